# SPDX-License-Identifier: Apache-2.0
"""
Measure WSRC beside others and print what is aimed at with what is so: `make bench`.

docs/performance.md says what each row is.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import (
    accounting,
    cluster_rows,
    export_rows,
    page_rows,
    path_rows,
    picture,
    relay_machine_rows,
    relay_rows,
    report,
    scale_rows,
    seal_rows,
    start_rows,
    wan_rows,
)
from tests.bench.book import FULL, QUICK, Book
from tests.bench.driver import MissingError
from tests.bench.profile import sampler
from tests.bench.programs import Host
from tests.support.certificates import make

ROWS: dict[str, Callable[[Book], None]] = {
    "relay": relay_rows.alone,
    "pairs": relay_rows.pairs,
    "path": path_rows.path,
    "export": export_rows.export,
    "hops": path_rows.hops,
    "sealed": seal_rows.sealed,
    "calls": path_rows.calls,
    "wan": wan_rows.wan,
    "scale": scale_rows.scale,
    "lists": relay_machine_rows.lists,
    "watchers": relay_machine_rows.watchers,
    "waiters": relay_machine_rows.waiters,
    "start_up": start_rows.start_up,
    "pages": page_rows.pages,
    "cluster": cluster_rows.cluster,
}


def chosen(given: str) -> list[str]:
    """Return the rows that are named, in our order; all of them if none is."""
    names = given.replace(",", " ").split() or list(ROWS)
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        raise SystemExit(f"bench: no row is called {unknown[0]}; there are {', '.join(ROWS)}")
    return [name for name in ROWS if name in names]


def tell(sentence: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {sentence}\n")


FAILURES = (RuntimeError, AssertionError, OSError, subprocess.SubprocessError)


def measure(book: Book, rows: Sequence[str]) -> bool:
    """Run rows; what a host cannot do is noted, a row that fails too, and the others go on."""
    whole = True
    for name in rows:
        try:
            ROWS[name](book)
        except MissingError as exc:
            book.note(f"{name} is left out: {exc}")
        except (KeyboardInterrupt, SystemExit):
            book.note(f"It was ended amid {name}; what follows is left out")
            return False
        except FAILURES as exc:
            whole = False
            book.note(f"{name} failed: {type(exc).__name__}: {exc}")
    return whole


def _check(needs: Callable[[], object]) -> None:
    """End before anything is measured where what is asked for lacks what it needs."""
    try:
        needs()
    except MissingError as exc:
        raise SystemExit(f"bench: {exc}") from exc


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="in three minutes, with fewer rounds")
    parser.add_argument("--rows", default="", help=f"only these: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, help="how often each thing is measured")
    parser.add_argument("--json", type=Path, help="where to write all figures")
    parser.add_argument("--profile", action="store_true", help="profile the servers by py-spy")
    parser.add_argument("--picture", type=Path, help="where to draw the relayed commands")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rows = chosen(given.rows)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if given.profile:
        _check(sampler)
    if given.picture:
        _check(picture.check)
    with tempfile.TemporaryDirectory(prefix="wsrc-bench-") as folder:
        host = Host(make(Path(folder) / "certs"), Path(folder), given.profile)
        effort = QUICK if given.quick else FULL
        if given.rounds:
            effort = effort._replace(rounds=given.rounds, pairs=given.rounds)
        book = Book(host, effort, tell)
        if given.profile:
            book.note("Our server was sampled while it was measured alone, which slows it down")
        about = accounting.host()
        whole = measure(book, rows)
    about["load_after"] = round(os.getloadavg()[0], 2)
    result = {"host": about, "quick": given.quick, "rows": rows, "notes": book.notes}
    result["figures"] = book.as_json()
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.picture:
        picture.draw(book.as_json(), given.picture)
    sys.stdout.write(report.report(result))
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
