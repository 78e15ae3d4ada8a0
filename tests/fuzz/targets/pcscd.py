# SPDX-License-Identifier: Apache-2.0
"""The socket of pcscd: octets of programs, cut anywhere, and the machine that they ask."""

import itertools
import random
import struct
from typing import Any

from tests.fuzz import records
from tests.fuzz.engine import mutate
from tests.support.pcscd_octets import REQUESTS, framed, transmit
from tests.support.pcscd_programs import ATR, NAME, Running, World
from wsrc.bridges.pcscd import requests as asks, wire
from wsrc.bridges.pcscd.machine import KEEP_S
from wsrc.bridges.pcscd.requests import MAX_PAYLOAD_OCTETS, RequestError
from wsrc.bridges.pcscd.source import Failure, Seen
from wsrc.bridges.pcscd.table import Program
from wsrc.card.pcsc_numbers import Code

COME, SEND, GO, SEE, TIME, FAIL = range(6)
"""What happens; the five bits above say which program, or which readers."""

_FAILURES = (
    None,
    (Code.SCARD_E_NOT_TRANSACTED,),
    (Code.SCARD_E_COMM_DATA_LOST, Code.SCARD_W_RESET_CARD),
    (Code.SCARD_W_REMOVED_CARD, Code.SCARD_W_REMOVED_CARD),
)
_NAMES = (NAME, b"Other 00 00")
_VERSION = framed(0x11, struct.pack("=iiI", 4, 4, 0))
_CONTEXT = framed(0x01, struct.pack("=III", 2, 0, 0))


def _connect(context: int, share: int) -> bytes:
    return framed(0x04, struct.pack("=I128sIIiII", context, NAME, share, 3, 0, 0, 0))


def _session(share: int) -> list[records.Record]:
    return [
        (COME, b""),
        (SEND, _VERSION + _CONTEXT + _connect(1, share)),
        (SEND, framed(0x07, struct.pack("=iI", 2, 0))),
        (
            SEND,
            struct.pack("=II", 32, 0x09)
            + struct.pack("=iIIIIIII", 2, 1, 16, 5, 1, 8, 264, 0)
            + bytes(5),
        ),
        (SEND, framed(0x08, struct.pack("=iII", 2, 1, 0))),
        (SEND, framed(0x13) + framed(0x17)),
        (SEE | 1 << 3, b""),
        (SEND, framed(0x06, struct.pack("=iII", 2, 1, 0))),
        (TIME, b"\0\xff"),
        (GO, b""),
    ]


_POOL = [(SEND, each) for each, _ in REQUESTS] + [
    (COME, b""),
    *((SEE | number << 3, b"") for number in range(8)),
    *((FAIL | number << 3, b"") for number in range(6)),
    (TIME, b"\0\x40"),
    (SEND, transmit(b"", 1 << 31)),
]
SEEDS = [records.joined(_session(share)) for share in (1, 2, 3)] + [
    records.joined([(COME, b""), *_POOL])
]
WORDS = [
    struct.pack("=I", number) for number in (0, 1, 2, 3, 264, 265, 1 << 16, 1 << 31, (1 << 32) - 1)
] + [
    struct.pack("=II", size, command)
    for size, command in ((0, 0x12), (12, 1), (32, 9), (24, 10), (8, 7))
]
SHARE = 8


class _Line:
    """A program and its connection: one request is carried out at a time."""

    def __init__(self, world: World) -> None:
        self.reading = wire.Reading()
        self.program: Program = world.machine.connected()
        self.call: Running | None = None
        self.asked: asks.Request[Any] | None = None


class Socket:
    """The machine, its programs and readers."""

    def __init__(self) -> None:
        self.world = World(*(Seen(name, present=True, atr=ATR) for name in _NAMES))
        self.lines: dict[int, _Line] = {}
        self._counts = itertools.count(1)

    def act(self, what: int, octets: bytes) -> None:
        """Do what an event says."""
        number, kind = what >> 3, what & 7
        match kind:
            case 0 if len(self.lines) < 5:
                self.lines[next(self._counts)] = _Line(self.world)
            case 1 if self.lines:
                at = list(self.lines)[number % len(self.lines)]
                self._sent(at, octets)
            case 2 if self.lines:
                self._gone(list(self.lines)[number % len(self.lines)])
            case 3:
                self._see(number)
            case 4:
                self.world.later(int.from_bytes(octets[:2]) / 100)
            case 5:
                codes = _FAILURES[number % len(_FAILURES)]
                kinds = () if codes is None else ("transmit", "reset")
                self.world.fail = {kind: Failure(*codes or ()) for kind in kinds}
            case _:
                pass
        for at in list(self.lines):
            self._go_on(at)
        for _, told in self.world.machine.take_outgoing():
            assert len(wire.event(told)) == 8
        self._check()

    def _see(self, number: int) -> None:
        seen = [
            Seen(
                name,
                present=bool(number & 1),
                atr=ATR if number & 1 else b"",
                event_count=next(self._counts),
                unavailable=bool(number & 2),
            )
            for name in (_NAMES if number & 4 else _NAMES[:1])
        ]
        self.world.see(*seen)

    def _sent(self, at: int, octets: bytes) -> None:
        line = self.lines[at]
        line.reading.feed(octets)

    def _go_on(self, at: int) -> None:
        """Carry out what a program asks, until it must wait or is wrong."""
        line = self.lines[at]
        for _ in range(1_000):
            if line.call is not None and not self._answered(line):
                return
            try:
                line.asked = line.reading.next()
            except RequestError:
                self._gone(at)
                return
            if line.asked is None:
                assert line.reading.unread <= MAX_PAYLOAD_OCTETS + 400
                return
            steps = self.world.machine.asked(line.program, line.asked, self.world.now)
            line.call = self.world.begin(steps)
            if line.call.wrong:
                self._gone(at)
                return
        raise AssertionError("a program is answered without end")

    def _answered(self, line: _Line) -> bool:
        """Write the answer to the open request; return whether there is one."""
        call, asked = line.call, line.asked
        assert call is not None
        assert asked is not None
        if not call.done:
            return False
        if call.code is Code.SCARD_S_SUCCESS:
            wire.answer(asked, call.given)
        elif call.refusal is not None:
            wire.refusal(asked, call.refusal.code)
        line.call = line.asked = None
        return True

    def _gone(self, at: int) -> None:
        line = self.lines.pop(at)
        if line.call is not None and line.call in self.world.running:
            line.call.steps.close()
            self.world.running.remove(line.call)
        self.world.machine.disconnected(line.program, self.world.now)
        self.world.settle()

    def _check(self) -> None:
        for each in self.world.machine._table.readers:
            assert each.sharing == (-1 if each.exclusive else len(each.handles))
            assert not each.exclusive or len(each.handles) == 1
            assert each.locked_by is None or each.locked_by.number in each.handles

    def end(self) -> None:
        """Have all programs go: no card is ours after a while."""
        self.world.fail = {}
        for at in list(self.lines):
            self._gone(at)
        self.world.later(2 * KEEP_S)
        self.world.later(2 * KEEP_S)
        assert all(session.closed for session in self.world.sessions)
        for reader in self.world.machine._table.readers:
            assert not reader.handles
            assert reader.locked_by is None
            assert not reader.busy


def one(data: bytes) -> None:
    """Whatever programs send, and whoever goes: the machine stays sound, and nothing is left."""
    socket = Socket()
    for what, octets in records.split(data):
        socket.act(what, octets)
    socket.end()
    _same_however_cut(data)


def _same_however_cut(data: bytes) -> None:
    size = (data[0] if data else 0) or 7
    cut, whole = _requests(data, size), _requests(data, len(data) or 1)
    assert cut == whole


def _requests(data: bytes, size: int) -> tuple[list[asks.Request[Any]], bool]:
    reading, found = wire.Reading(), []
    try:
        for at in range(0, len(data), size):
            reading.feed(data[at : at + size])
            while (request := reading.next()) is not None:
                found.append(request)
    except RequestError:
        return found, True
    return found, False


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change what happens, or what is sent."""
    return records.mutated(data, rng, lambda each, r: mutate(each, r, WORDS), _POOL)
