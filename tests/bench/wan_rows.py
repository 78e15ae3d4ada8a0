# SPDX-License-Identifier: Apache-2.0
"""Jobs over a slow link: 50 ms each way, round trips counted on the wire."""

import contextlib
import ctypes.util
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.bench import programs
from tests.bench.book import Book
from tests.bench.driver import Driver, Orders
from tests.bench.jobs import COUNT, FILES, commands
from tests.bench.path_rows import SEALS, card_client, iccids, sealing, simulated, user_environment
from tests.bench.programs import BIN, Host, Server

ONE_WAY_S = 0.05
LISTED = 2000
SEALED = ("J1", "J1_two", "J1_shared", "J2", "J2_last", "J3", "J4")
"""Jobs that are done in sealed sessions as well."""

LIMIT_S = 120.0


@contextlib.contextmanager
def far_away(server: Server, one_way_s: float = ONE_WAY_S) -> Iterator[tuple[Orders, int]]:
    """Put a slow link in front of a server: the proxy, and the port where users find it."""
    command = [sys.executable, "-m", "tests.bench.delaying", str(server.user_port), str(one_way_s)]
    with Orders(command, programs.clean()) as proxy:
        yield proxy, proxy.answer()["port"]


def jobs(host: Host, iccid: str, of_tool: int = COUNT) -> dict[str, list[str]]:
    """
    Return the command line of each job but the list, as far as this host has its programs.

    A tool sends so many commands.
    """
    tool = [sys.executable, "-m", "tests.bench.tool", iccid, str(of_tool)]
    script = host.folder / "job.wsrc"
    script.write_text("!expect any\n" + "\n".join(commands()) + "\n", encoding="utf-8")
    wsrc, select = str(BIN / "wsrc"), "00a4000c023f00"
    found = {
        "J1": [wsrc, "apdu", "--iccid", iccid, select],
        "J1_two": [wsrc, "apdu", "--iccid", iccid, select, select],
        "J1_shared": [wsrc, "apdu", "--iccid", iccid, "--share", "shared", select],
        "J2": tool,
        "J2_last": [*tool, "--last"],
        "J2_read_ahead": [*tool, "--read-ahead"],
        "J3": [wsrc, "script", "--iccid", iccid, str(script)],
    }
    if shutil.which("opensc-tool") and ctypes.util.find_library("pcsclite"):
        found["J4"] = [wsrc, "pcsc", "run", "--iccid", iccid, "--", "opensc-tool", "--atr"]
    return found


def done(command: list[str], env: dict[str, str]) -> float:
    """Run a job to its end; return the seconds that it took."""
    begun = time.monotonic()
    result = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if result.returncode:
        raise RuntimeError(f"{command[:3]} ends with {result.returncode}: {result.stderr[-500:]}")
    return time.monotonic() - begun


def wan(book: Book) -> None:
    """Count the round trips of jobs, `wan.JOB.round_trips`, and time them, `wan.JOB.s`."""
    host = book.host
    [iccid] = iccids(1)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(programs.running(host, programs.WSRC, tls=True))
        proxy, port = stack.enter_context(far_away(server))
        env = user_environment(host, server)
        env["WSRC_SERVER_URL"] = f"wss://localhost:{port}/user"
        ours = simulated(host.folder, [iccid], FILES)
        with card_client(host, server, *SEALS, *ours) as client:
            client.wait_for("has card")
            found = jobs(host, iccid)
            if "J4" not in found:
                book.note("J4 needs opensc-tool and libpcsclite; it is left out")
            for name, command in found.items():
                _count(book, proxy, name, command, env)
                if name in SEALED:
                    _count(book, proxy, f"{name}_sealed", command, sealing(env, host))
        trust = {"ca": host.certificates.ca}
        cards = stack.enter_context(Driver("cards", "wsrc", server.card_port, LISTED, **trust))
        cards.ask("open")
        _count(book, proxy, "J5", [str(BIN / "wsrc"), "list"], env)


def _count(book: Book, proxy: Orders, name: str, command: list[str], env: dict[str, str]) -> None:
    book.tell(f"wan: {name}")
    proxy.ask("count")
    took_s = done(command, env)
    counted = proxy.ask("count")
    book.add(f"wan.{name}.round_trips", counted["round_trips"])
    book.add(f"wan.{name}.connections", counted["connections"])
    book.add(f"wan.{name}.s", took_s)
