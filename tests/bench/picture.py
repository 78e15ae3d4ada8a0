# SPDX-License-Identifier: Apache-2.0
"""
A picture of a run: what a relayed command costs each server.

    python -m tests.bench.picture FIGURES.json PICTURE.svg
"""

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.bench.driver import MissingError

LABELS = {
    "wsrc": "WSRC",
    "wsrc-plain": "WSRC without `fast`",
    "a": "a: first shape",
    "b": "b: bare, uvloop",
    "nginx": "nginx stream",
}


def check() -> None:
    """
    Look for what a picture is drawn with.

    Raises:
        MissingError: If it is not there.
    """
    if find_spec("matplotlib") is None:
        raise MissingError("a picture needs matplotlib (pip install 'wsrc[bench]')")


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw the CPU time of a command by the number of sessions, with TLS and without."""
    import matplotlib as mpl  # noqa: PLC0415 - it is in an extra of its own

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "wsrc"
    from matplotlib import pyplot as plt  # noqa: PLC0415

    found = {
        match.groups(): each["median"]
        for name, each in figures.items()
        if (match := re.fullmatch(r"relay\.(tls|plain)\.(\d+)\.([\w-]+)\.cpu_us", name))
    }
    sessions = sorted({int(count) for _, count, _ in found})
    names = [name for name in LABELS if any(name == each for _, _, each in found)]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, (mode, title) in zip(axes, {"tls": "TLS 1.3", "plain": "plain"}.items(), strict=True):
        for number, name in enumerate(names):
            offset = (number - (len(names) - 1) / 2) * 0.8 / len(names)
            heights = [found.get((mode, str(count), name), 0.0) for count in sessions]
            places = [place + offset for place in range(len(sessions))]
            axis.bar(places, heights, 0.8 / len(names), label=LABELS[name])
        axis.set_title(title)
        axis.set_xticks(range(len(sessions)), [str(count) for count in sessions])
        axis.set_xlabel("sessions")
    axes[0].set_ylabel("CPU of the server, µs per APDU")
    axes[0].legend()
    figure.savefig(path, metadata={"Date": None})


def main(given: str, path: str) -> None:
    """Draw the figures of a run that are in a file."""
    draw(json.loads(Path(given).read_text("utf-8"))["figures"], Path(path))


if __name__ == "__main__":
    main(*sys.argv[1:3])
