# SPDX-License-Identifier: Apache-2.0
"""Drives the machine behind the pcscd socket without a socket: time and cards are the test's."""

import itertools
import struct
from collections.abc import Callable
from typing import Any

from wsrc.bridges.pcscd import requests as asks, wire
from wsrc.bridges.pcscd.machine import Machine
from wsrc.bridges.pcscd.needs import (
    Close,
    ControlReader,
    Exchange,
    Need,
    Open,
    Park,
    ReadAttribute,
    Reset,
    Steps,
    WriteAttribute,
)
from wsrc.bridges.pcscd.source import Failure, Seen
from wsrc.bridges.pcscd.waiting import Program
from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST, Code
from wsrc.card.slot import CardProtocol, ResetKind
from wsrc.errors import WsrcError

OK = Code.SCARD_S_SUCCESS
VIOLATION = Code.SCARD_E_SHARING_VIOLATION
RESET, REMOVED = Code.SCARD_W_RESET_CARD, Code.SCARD_W_REMOVED_CARD
MISMATCH, NO_CARD = Code.SCARD_E_PROTO_MISMATCH, Code.SCARD_E_NO_SMARTCARD
UNAVAILABLE = Code.SCARD_E_READER_UNAVAILABLE
INVALID = Code.SCARD_E_INVALID_VALUE
LEAVE, WARM, UNPOWER, EJECT = 0, 1, 2, 3
EXCLUSIVE, SHARED, DIRECT = 1, 2, 3

ATR = bytes.fromhex("3b021450")
"""T=0 by default."""
DUAL_ATR = bytes.fromhex("3b80800101")
NAME = b"Reader 00 00"
FEATURES = bytes.fromhex("1204 00000d4a")
"""One feature, by its control number 3402."""
HERE = Seen(NAME, present=True, atr=ATR, event_count=1)
OUT = Seen(NAME, event_count=2)
BACK = Seen(NAME, present=True, atr=ATR, event_count=3)


class FakeSession:
    """A card of ours; `world` notes what is done with it."""

    def __init__(self, atr: bytes, protocol: CardProtocol | None) -> None:
        self.atr = atr
        self.protocol = protocol
        self.closed = False

    def transmit(self, octets: bytes) -> bytes:
        raise NotImplementedError

    def reset(self, kind: ResetKind) -> bytes:
        raise NotImplementedError

    def control(self, number: int, octets: bytes) -> bytes:
        raise NotImplementedError

    def get_attribute(self, name: str) -> bytes:
        raise NotImplementedError

    def set_attribute(self, name: str, value: bytes) -> None:
        raise NotImplementedError

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class Running:
    """A call on its way: `need` is what it waits for, `answer` what it came to."""

    def __init__(self, steps: Steps, program: Program | None) -> None:
        self.steps = steps
        self.program = program
        self.need: Need | None = None
        self.answer: bytes | None = None
        self.done = False
        self.refused = False


class World:
    """
    The machine, its programs and its cards.

    `slow` are needs that are not met at once but by `finish`. `log` has what was done with cards.
    """

    def __init__(self, *seen: Seen) -> None:
        numbers = itertools.count(1)
        self.now = 100.0
        self.machine = Machine(lambda: next(numbers))
        self.log: list[str] = []
        self.slow: set[type[Need]] = set()
        self.fail: dict[type[Need], Failure] = {}
        self.atr = ATR
        self.protocol: CardProtocol | None = None
        self.running: list[Running] = []
        self.sessions: list[FakeSession] = []
        self.machine.readers_are(seen or (HERE,))
        self.told()

    def see(self, *seen: Seen) -> None:
        self.machine.readers_are(seen)
        self.settle()

    def later(self, seconds: float) -> None:
        """Let time pass, and wake whoever it is due for."""
        self.now += seconds
        for call in [r for r in self.running if isinstance(r.need, Park)]:
            if call.need.until is not None and call.need.until <= self.now:  # type: ignore[union-attr]
                self._go_on(call, self.now)
        self.machine.due(self.now)
        self.settle()

    def told(self) -> list[tuple[int, int]]:
        """Return the messages that were sent unasked: number of the program, and code."""
        return [
            (program.number, struct.unpack("=II", octets)[1])
            for program, octets in self.machine.take_outgoing()
        ]

    def program(self, minor: int = 4) -> "TestProgram":
        return TestProgram(self, minor)

    def begin(self, steps: Steps, program: Program | None) -> Running:
        call = Running(steps, program)
        self.running.append(call)
        self._go_on(call, None)
        self.settle()
        return call

    def finish(self, kind: type[Need] | None = None) -> None:
        """Meet the first need that is open."""
        call = next(r for r in self.running if self._is_open(r, kind))
        self._meet(call)
        self.settle()

    def _is_open(self, call: Running, kind: type[Need] | None) -> bool:
        need = call.need
        return need is not None and not isinstance(need, Park) and isinstance(need, kind or object)

    def settle(self) -> None:
        while True:
            for steps in self.machine.take_begun():
                call = Running(steps, None)
                self.running.append(call)
                self._go_on(call, None)
            if not self.machine.take_let_go():
                return
            for call in [r for r in self.running if isinstance(r.need, Park)]:
                if isinstance(call.need, Park):
                    self._go_on(call, self.now)

    def _go_on(self, call: Running, value: Any, failure: Failure | None = None) -> None:
        call.need = None
        try:
            call.need = call.steps.throw(failure) if failure else call.steps.send(value)
        except StopIteration as done:
            self._end(call, done.value)
        except wire.WireError:
            call.refused = True
            self._end(call, None)
        else:
            if not isinstance(call.need, Park) and type(call.need) not in self.slow:
                self._meet(call)

    def _end(self, call: Running, answer: bytes | None) -> None:
        call.answer, call.done = answer, True
        self.running.remove(call)

    def _meet(self, call: Running) -> None:
        need = call.need
        assert need is not None
        failure = self.fail.get(type(need))
        if failure is not None:
            self._go_on(call, None, failure)
            return
        self._go_on(call, self._do(need))

    def _do(self, need: Need) -> Any:
        match need:
            case Open(direct=direct):
                self.log.append("open reader" if direct else "open")
                self.sessions.append(FakeSession(self.atr, self.protocol))
                return self.sessions[-1]
            case Exchange(octets=octets):
                self.log.append(octets.hex())
                return octets + b"\x90\x00"
            case Reset(kind=kind):
                self.log.append(f"reset {kind}")
                return self.atr
            case ControlReader() | ReadAttribute() | WriteAttribute():
                return self._ask_reader(need)
            case Close(session=session):
                self.log.append("close")
                assert isinstance(session, FakeSession)
                assert not session.closed
                session.closed = True
                return None
            case _:
                raise AssertionError(need)

    def _ask_reader(self, need: ControlReader | ReadAttribute | WriteAttribute) -> Any:
        assert isinstance(need.session, FakeSession)
        assert not need.session.closed
        match need:
            case ControlReader(number=number, octets=octets):
                self.log.append(f"control {number}")
                return octets if number != GET_FEATURE_REQUEST else FEATURES
            case ReadAttribute(name=name):
                self.log.append(f"read {name}")
                return name.encode()
            case WriteAttribute(name=name, value=value):
                self.log.append(f"write {name} {value.hex()}")
                return None


class TestProgram:
    """One program; calls give their code, or a call on its way."""

    __test__ = False

    def __init__(self, world: World, minor: int) -> None:
        self.world = world
        self.program = world.machine.connected()
        assert self.ask(asks.Version(4, minor)) == struct.pack("=iiI", 4, minor, 0)
        established = self.ask(asks.EstablishContext(2))
        assert established is not None
        self.context = struct.unpack("=III", established)[1]

    @property
    def number(self) -> int:
        return self.program.number

    def start(self, request: asks.Request) -> Running:
        steps = self.world.machine.asked(self.program, request, self.world.now)
        return self.world.begin(steps, self.program)

    def ask(self, request: asks.Request) -> bytes | None:
        call = self.start(request)
        assert call.done, f"{request} waits for {call.need}"
        return call.answer

    def connect(self, share: int = 2, protocols: int = 3, name: bytes = NAME) -> tuple[Code, int]:
        code, card, _ = self.connected(self.ask(asks.Connect(self.context, name, share, protocols)))
        return code, card

    @staticmethod
    def connected(answer: bytes | None) -> tuple[Code, int, int]:
        assert answer is not None
        *_, card, protocol, code = struct.unpack("=I128sIIiII", answer)
        return Code(code), card, protocol

    def card(self, share: int = 2) -> int:
        code, card = self.connect(share)
        assert code is Code.SCARD_S_SUCCESS
        return card

    def simple(self, request: asks.Request) -> Code:
        """Return the code, which ends most answers."""
        return code_of(self.ask(request))

    def transmit(self, card: int, octets: bytes = b"\0\1\2\3", protocol: int = 1) -> Code:
        answer = self.ask(asks.Transmit(card, protocol, (0, 0, 0), 264, octets))
        assert answer is not None
        return Code(struct.unpack("=iIIIIIII", answer[:32])[7])

    def vanish(self) -> None:
        self.world.machine.disconnected(self.program, self.world.now)
        self.world.settle()

    def row(self, number: int = 0) -> tuple[int, int, int, int]:
        """Return event counter, state, sharing and protocol of a reader."""
        _, events, state, sharing, _, _, protocol = self._row(number)
        return events, state, sharing, protocol

    def atr(self, number: int = 0) -> bytes:
        """Return the ATR that is shown of a reader."""
        _, _, _, _, atr, size, _ = self._row(number)
        return bytes(atr[:size])

    def _row(self, number: int) -> tuple[Any, ...]:
        table = self.ask(asks.GetReaders())
        assert table is not None
        return struct.unpack("=128sIIi33s3xII", table[184 * number : 184 * (number + 1)])


def code_of(answer: bytes | None) -> Code:
    assert answer is not None
    return Code(struct.unpack("=I", answer[-4:])[0])
