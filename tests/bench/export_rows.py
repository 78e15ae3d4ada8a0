# SPDX-License-Identifier: Apache-2.0
"""pySim-shell's export of a whole SIM, at its card and through `wsrc pcsc run`."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import programs
from tests.bench.book import Book, interleaved
from tests.bench.driver import MissingError
from tests.bench.path_rows import card_client, iccids, running_pcscd, user_environment
from tests.bench.programs import BIN
from tests.support.pcsc.bench import SOCKET_VARIABLE

LIMIT_S = 120.0
_VISITED = re.compile(r"total files visited:\s+(\d+)")


def export(book: Book) -> None:
    """Time exports, `export.direct_s`, `export.pcsc_run_s`, and `export.pcsc_run_over_direct`."""
    given = os.environ.get("PYSIM")
    if not given:
        raise MissingError("pySim is no part of this project; PYSIM=/path/to/pySim has it measured")
    host = book.host
    script = host.folder / "export.pysim"
    script.write_text("export\n", encoding="utf-8")
    shell = [str(Path(given) / "pySim-shell.py"), "--noprompt", "--script", str(script)]
    direct, far = iccids(2)
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(running_pcscd(host, [direct, far]))
        server = stack.enter_context(programs.running(host, programs.WSRC, tls=True))
        socket = {SOCKET_VARIABLE: str(bench.socket_path)}
        included = ["--reader-include", bench.slots[1].reader]
        client = stack.enter_context(card_client(host, server, *included, env=socket))
        client.wait_for("has card")
        env = user_environment(host, server)
        run = [str(BIN / "wsrc"), "pcsc", "run", "--iccid", far, "--"]
        kinds = {
            "direct": ([*shell, "--pcsc-regex", re.escape(bench.slots[0].reader)], env | socket),
            "pcsc_run": ([*run, *shell, "--pcsc-regex", "WSRC"], env),
        }
        for number, (name, (command, given_env)) in interleaved(
            list(kinds.items()), book.effort.rounds + 1
        ):
            book.tell(f"round {number}: export, {name}")
            took_s, files = _exported(command, given_env)
            if number:
                book.add(f"export.{name}_s", took_s)
                book.add(f"export.{name}_files", files)
    if book.get("export.direct_files") != book.get("export.pcsc_run_files"):
        raise RuntimeError("the exports did not see the same files")
    for theirs, mine in zip(
        book.values["export.direct_s"], book.values["export.pcsc_run_s"], strict=True
    ):
        book.add("export.pcsc_run_over_direct", mine / theirs)


def _exported(command: Sequence[str], env: dict[str, str]) -> tuple[float, int]:
    """Return how long an export took, and how many files it saw."""
    begun = time.monotonic()
    done = subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    took_s = time.monotonic() - begun
    visited = _VISITED.search(done.stdout)
    if visited is None:
        raise RuntimeError(f"pySim-shell exported nothing: {(done.stdout + done.stderr)[-800:]}")
    return took_s, int(visited[1])
