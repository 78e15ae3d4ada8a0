# SPDX-License-Identifier: Apache-2.0
"""What it takes to start each command: CPU of the whole process, run to its end."""

import contextlib
import statistics

from tests.bench import accounting, programs
from tests.bench.book import Book, interleaved
from tests.bench.path_rows import card_client, iccids, simulated, user_environment
from tests.bench.programs import BIN

RUNS = 7


def start_up(book: Book) -> None:
    """Time commands, `start_up.NAME_ms` of CPU; those that ask a server have one."""
    host = book.host
    [iccid] = iccids(1)
    wsrc, server_program = str(BIN / "wsrc"), str(BIN / "wsrc-server")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(programs.running(host, programs.WSRC, tls=True))
        ours = simulated(host.folder, [iccid])
        client = stack.enter_context(card_client(host, server, *ours))
        client.wait_for("has card")
        env = user_environment(host, server)
        commands = {
            "python": [str(BIN / "python"), "-c", "pass"],
            "version": [wsrc, "--version"],
            "help": [wsrc, "--help"],
            "list_help": [wsrc, "list", "--help"],
            "completion": [wsrc, "completion", "bash"],
            "list": [wsrc, "list"],
            "apdu": [wsrc, "apdu", "--iccid", iccid, "00a4000c023f00"],
            "info": [wsrc, "info", "--iccid", iccid],
            "reset": [wsrc, "reset", "--iccid", iccid],
            "status": [wsrc, "status", "--iccid", iccid],
            "pcsc_run": [wsrc, "pcsc", "run", "--iccid", iccid, "--", "true"],
            "readers": [wsrc, "readers"],
            "server_version": [server_program, "--version"],
            "card_client_version": [str(BIN / "wsrc-card-client"), "--version"],
        }
        runs = RUNS if book.effort.rounds > 1 else 3
        book.tell(f"start-up of {len(commands)} commands")
        took: dict[str, list[float]] = {name: [] for name in commands}
        for number, (name, command) in interleaved(list(commands.items()), runs + 1):
            spent = accounting.spent(command, env)
            if spent.status:
                raise RuntimeError(f"{command} ends with {spent.status}")
            if number:
                took[name].append(spent.cpu_s * 1000)
        for name, values in took.items():
            book.add(f"start_up.{name}_ms", statistics.median(values))
