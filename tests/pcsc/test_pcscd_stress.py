# SPDX-License-Identifier: Apache-2.0
"""
Six processes at our socket while cards and readers come and go every 70 ms.

`WSRC_STRESS_S` is how long; the wrong answer may need a minute, but three seconds find most.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.paths import PROGRAMS
from tests.support.pcsc import sides
from tests.support.pcsc.bench import reader_states, require, wait_until
from tests.support.pcsc.sides import OurSide
from wsrc.card.apdu import Command, Response
from wsrc.readers.base import CardProtocol
from wsrc.readers.simulation import Card
from wsrc.readers.simulation.engine import Direction
from wsrc.readers.simulation.status import SW, StatusWordError

pytestmark = pytest.mark.pcscd

PROGRAM = PROGRAMS / "busy.py"
SECONDS = float(os.environ.get("WSRC_STRESS_S", "3"))
STEP_S = 0.07
ATR = bytes.fromhex("3b800181")


class Telling:
    """Answers 80 10 xx yy with xxyy octets that follow from these numbers."""

    def fetch_sw1(self, _cla: int) -> int:
        return 0x61

    def reset(self) -> None:
        pass

    def direction(self, cla: int, ins: int) -> Direction:
        del cla, ins
        return Direction.OUT

    def process(self, command: Command, *, exact: bool) -> Response:
        del exact
        if (command.cla, command.ins) != (0x80, 0x10):
            raise StatusWordError(SW.WRONG_INS)
        size = command.p1 << 8 | command.p2
        first = command.p1 + command.p2
        return Response(bytes((first + i) & 0xFF for i in range(size)), 0x9000)


def telling_card() -> Card:
    return Card(Telling(), ATR, CardProtocol.T1, name="Telling")


@pytest.fixture(params=["local", "remote"])
def side(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[OurSide]:
    require()
    cards = [telling_card() for _ in range(3)]
    made = sides.local(cards) if request.param == "local" else sides.remote(cards, certificates)
    with made as side:
        yield side


def test_no_answer_is_wrong(side: OurSide) -> None:
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(worker(side, seed, how))
            for seed, how in enumerate(("library", "library", "library", "4", "5", "6"))
        ]
        shake(side, SECONDS)
        for process in workers:
            printed, _ = process.communicate(timeout=60)
            assert process.returncode == 0, printed
            assert int(printed) > 0
    settled(side)


@contextlib.contextmanager
def worker(side: OurSide, seed: int, how: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(PROGRAM), str(SECONDS), str(seed), how, str(side.socket_path)]
    process = subprocess.Popen(
        command,
        env=side.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)
        assert process.stdout
        process.stdout.close()


def shake(side: OurSide, seconds: float) -> None:
    """Take cards and readers out and put them in, every 70 ms."""
    draw = random.Random(1)
    source = side.source
    names = source.names
    cards = {name: telling_card() for name in names}
    out: set[str] = set()
    unplugged: set[str] = set()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = draw.choice(names)
        if name in unplugged:
            source.plug(cards[name], name)
            unplugged.discard(name)
        elif name in out:
            source.insert(name)
            out.discard(name)
        elif draw.random() < 0.3:
            source.unplug(name)
            unplugged.add(name)
        else:
            source.remove(name)
            out.add(name)
        time.sleep(STEP_S)
    for name in unplugged:
        source.plug(cards[name], name)
    for name in out:
        source.insert(name)


def settled(side: OurSide) -> None:
    """See that all readers are there, with cards, and that nobody holds them."""

    def is_so() -> bool:
        return list(reader_states(side.socket_path).values()) == [4, 4, 4]

    wait_until(is_so, 20.0, "all cards are free")
