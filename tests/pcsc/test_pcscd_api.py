# SPDX-License-Identifier: Apache-2.0
"""Every answer of the API in every situation of several programs, on pcscd and on our socket."""

import ast
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.paths import PROGRAMS
from tests.support.pcsc import sides
from tests.support.pcsc.bench import require
from tests.support.pcsc.openpgp import openpgp_card
from tests.support.pcsc.sides import Side
from wsrc.readers.simulation import Card, default_cards

pytestmark = pytest.mark.pcscd

PROGRAM = PROGRAMS / "api.py"
PARTS = (
    "connecting", "sharing", "exchanging", "resetting", "transactions", "vanishing", "removing",
    "waiting", "asking", "plugging",
)  # fmt: skip
LIMIT_S = 60.0


def cards() -> list[Card]:
    return [default_cards()[0], openpgp_card()]


def answers(side: Side, part: str) -> list[str]:
    """Run a part of the program, moving the card as it asks."""
    lines: list[str] = []
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(_started(side, part))
        assert process.stdin
        assert process.stdout
        for line in process.stdout:
            if line.startswith("?"):
                {"?remove": side.remove, "?insert": side.insert}[line.strip()]()
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                lines.append(line.rstrip())
        assert process.wait(LIMIT_S) == 0
    return lines


@contextlib.contextmanager
def _started(side: Side, part: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), part],
        env=side.environment | {"PCSCLITE_NO_BLOCKING": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(LIMIT_S)
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()


@pytest.fixture(scope="module")
def real() -> Iterator[Side]:
    require()
    with sides.real(cards()) as side:
        yield side


@pytest.fixture(scope="module")
def ours(certificates: Certificates) -> Iterator[Side]:
    with sides.remote(cards(), certificates) as side:
        yield side


@pytest.mark.parametrize("part", PARTS)
def test_answers_are_those_of_pcscd(real: Side, ours: Side, part: str) -> None:
    for _ in range(3):  # pcscd looks every 0.1 s: on a busy machine it may miss a change
        expected, given = answers(real, part), answers(ours, part)
        assert len(expected) >= 3
        if given == expected:
            break
    assert given == expected


def test_parts_are_all_there_are() -> None:
    tree = ast.parse(PROGRAM.read_text("utf-8"))
    assigned = [n for n in tree.body if isinstance(n, ast.Assign)]
    value = next(n.value for n in assigned if getattr(n.targets[0], "id", "") == "PARTS")
    assert isinstance(value, ast.Tuple)
    assert tuple(getattr(name, "id", "") for name in value.elts) == PARTS
