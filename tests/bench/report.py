# SPDX-License-Identifier: Apache-2.0
"""
What a run says, in Markdown, which a terminal shows as well.

    python -m tests.bench.report FIGURES.json docs/performance.md

puts it into the document, in the place of that of the run before.
"""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import targets

BEGIN, END = "<!-- measured -->", "<!-- end -->"

_TITLES = {
    "path": "The whole way, one session: median of a command",
    "hops": "User and card exchanged for ours one by one (c is the driver)",
    "sealed": "Sealed sessions beside others: CPU for a command, octets of its texts, set-up",
    "calls": "System calls per APDU",
    "wan": "Jobs with 50 ms each way",
    "scale": "Many peers",
    "pages": "Open pages beside card clients",
    "lists": "Among many cards, the relay alone",
    "watchers": "A change that many watch, the relay alone",
    "waiters": "Beside many who wait, the relay alone",
    "start_up": "Start-up, CPU",
}


def grid(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    texts = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([texts[0], rule, *texts[1:]])


def of_targets(lines: Sequence[targets.Line]) -> str:
    """Return the table of what is aimed at."""
    return grid([("", "Before", "Target", "Measured", "Verdict"), *lines])


def of_relay(medians: dict[str, float]) -> str:
    """Return tables of relayed commands: a row for each server, a column for each load."""
    cells: dict[tuple[str, str], dict[tuple[str, int], float]] = {}
    for name, value in medians.items():
        found = re.fullmatch(r"relay\.(tls|plain)\.(\d+)\.([\w-]+)\.(\w+)", name)
        if found and not found[3].startswith("wsrc_over"):
            cells.setdefault((found[1], found[4]), {})[found[3], int(found[2])] = value
    texts: list[str] = []
    for (mode, what), values in sorted(cells.items(), reverse=True):
        loads = sorted({load for _, load in values})
        servers = list(dict.fromkeys(server for server, _ in values))
        head = [f"{mode}, {what}", *(f"{load} sessions" for load in loads)]
        body = [
            [server, *(_short(values.get((server, load))) for load in loads)] for server in servers
        ]
        texts.append(grid([head, *body]))
    return "\n\n".join(texts)


def of_others(medians: dict[str, float], row: str) -> str:
    """Return a table of all figures of a row."""
    found = {name: value for name, value in medians.items() if name.startswith(f"{row}.")}
    lines = [
        (name.partition(".")[2].replace("_", " "), _short(each)) for name, each in found.items()
    ]
    return grid([(_TITLES[row], ""), *lines])


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def report(result: dict[str, Any]) -> str:
    """Return what a run says: where it was, targets and verdicts, then all figures."""
    host, rows = result["host"], result["rows"]
    medians = {name: each["median"] for name, each in result["figures"].items()}
    where = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in host.items() if name != "packages"
    )
    packages = ", ".join(f"{name} {version}" for name, version in host.get("packages", {}).items())
    parts = [f"{where}; {packages}.", of_targets(targets.lines(medians.get, rows))]
    if "relay" in rows:
        parts.append(of_relay(medians))
    parts += [of_others(medians, row) for row in rows if row in _TITLES]
    parts += result["notes"]
    return "\n\n".join(part for part in parts if part) + "\n"


def put(document: str, text: str) -> str:
    """Return a document with another report between its marks."""
    before, rest = document.split(f"{BEGIN}\n", 1)
    after = rest.split(f"{END}\n", 1)[1]
    return f"{before}{BEGIN}\n\n{text}\n{END}\n{after}"


def main(given: str, document: str) -> None:
    """Put the report of a run into a document."""
    path = Path(document)
    result = json.loads(Path(given).read_text("utf-8"))
    path.write_text(put(path.read_text("utf-8"), report(result)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
