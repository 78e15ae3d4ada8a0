# SPDX-License-Identifier: Apache-2.0
"""Drives the machine behind the pcscd socket without a socket: time and cards are the test's."""

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.machine import Machine
from wsrc.bridges.pcscd.requests import Refused, RequestError, Row
from wsrc.bridges.pcscd.source import Ask, Failure, Need, Open, Park, Seen, Steps
from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST, Code
from wsrc.card.slot import CardProtocol, ResetKind
from wsrc.errors import WsrcError

T = TypeVar("T")

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

    def __init__(self, world: "World") -> None:
        self.atr = world.atr
        self.protocol = world.protocol
        self.closed = False
        self._world = world

    def transmit(self, octets: bytes) -> bytes:
        self._note(octets.hex())
        return octets + b"\x90\x00"

    def reset(self, kind: ResetKind) -> bytes:
        self._note(f"reset {kind}")
        return self._world.atr

    def control(self, number: int, octets: bytes) -> bytes:
        self._note(f"control {number}")
        return octets if number != GET_FEATURE_REQUEST else FEATURES

    def get_attribute(self, name: str) -> bytes:
        self._note(f"read {name}")
        return name.encode()

    def set_attribute(self, name: str, value: bytes) -> None:
        self._note(f"write {name} {value.hex()}")

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self._note("close")
        self.closed = True

    def _note(self, what: str) -> None:
        assert not self.closed
        self._world.log.append(what)


class Running:
    """
    A call on its way: `need` is what it waits for, then `code` and `given` are what it came to.

    One that ends the connection of its program is `wrong`, and has no code.
    """

    def __init__(self, steps: Steps[Any]) -> None:
        self.steps = steps
        self.need: Need | None = None
        self.given: Any = None
        self.code: Code | None = None
        self.refusal: Refused | None = None
        self.wrong = False

    @property
    def done(self) -> bool:
        return self.wrong or self.code is not None

    @property
    def waits_for(self) -> str:
        """Return the method of a session or `open`; nothing where it is parked or done."""
        match self.need:
            case Open():
                return "open"
            case Ask(method=method):
                return method.__name__
            case _:
                return ""


class World:
    """
    The machine, its programs and its cards.

    `slow` are needs that are not met at once but by `finish`, each by the name of its method;
    `fail` are those that fail. `log` has what was done with cards.
    """

    def __init__(self, *seen: Seen, listed: bool = True) -> None:
        numbers = itertools.count(1)
        self.now = 100.0
        self.machine = Machine(lambda: next(numbers), listed=listed)
        self.log: list[str] = []
        self.slow: set[str] = set()
        self.fail: dict[str, Failure] = {}
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
        """Return what was told unasked: number of the program, and code."""
        return [(program.number, told.code) for program, told in self.machine.take_outgoing()]

    def program(self, minor: int = 4) -> "TestProgram":
        return TestProgram(self, minor)

    def begin(self, steps: Steps[Any]) -> Running:
        call = Running(steps)
        self.running.append(call)
        self._go_on(call, None)
        self.settle()
        return call

    def finish(self, what: str | None = None) -> None:
        """Meet the first need that is open."""
        call = next(r for r in self.running if r.waits_for and what in {None, r.waits_for})
        self._meet(call)
        self.settle()

    def settle(self) -> None:
        while True:
            for steps in self.machine.take_begun():
                call = Running(steps)
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
            call.code, call.given = OK, done.value
        except Refused as refused:
            call.code, call.refusal = refused.code, refused
        except RequestError:
            call.wrong = True
        if call.done:
            self.running.remove(call)
        elif call.waits_for and call.waits_for not in self.slow:
            self._meet(call)

    def _meet(self, call: Running) -> None:
        failure = self.fail.get(call.waits_for)
        if failure is not None:
            self._go_on(call, None, failure)
            return
        self._go_on(call, self._do(call.need))

    def _do(self, need: Need | None) -> Any:
        match need:
            case Open(direct=direct):
                self.log.append("open reader" if direct else "open")
                self.sessions.append(FakeSession(self))
                return self.sessions[-1]
            case Ask(method=method, arguments=arguments):
                return method(*arguments)
            case _:
                raise AssertionError(need)


class TestProgram:
    """One program; calls give their code, or a call on its way."""

    __test__ = False

    def __init__(self, world: World, minor: int) -> None:
        self.world = world
        self.program = world.machine.connected()
        assert self.ask(asks.Version(4, minor)) == minor
        self.context = self.ask(asks.EstablishContext(2))

    @property
    def number(self) -> int:
        return self.program.number

    def start(self, request: asks.Request[Any]) -> Running:
        return self.world.begin(self.world.machine.asked(self.program, request, self.world.now))

    def ask(self, request: asks.Request[T]) -> T:
        """Return what a request gives, which must not be refused."""
        call = self.finished(request)
        assert call.code is OK
        given: T = call.given
        return given

    def simple(self, request: asks.Request[Any]) -> Code:
        """Return the code that a request is answered with."""
        call = self.finished(request)
        assert call.code is not None
        return call.code

    def finished(self, request: asks.Request[Any]) -> Running:
        """Return a call that ends at once."""
        call = self.start(request)
        assert call.done, f"{request} waits for {call.need}"
        return call

    def connect(self, share: int = 2, protocols: int = 3, name: bytes = NAME) -> tuple[Code, int]:
        call = self.finished(asks.Connect(self.context, name, share, protocols))
        assert call.code is not None
        return call.code, call.given.card if call.code is OK else 0

    def card(self, share: int = 2) -> int:
        code, card = self.connect(share)
        assert code is Code.SCARD_S_SUCCESS
        return card

    def transmit(self, card: int, octets: bytes = b"\0\1\2\3", protocol: int = 1) -> Code:
        return self.simple(asks.Transmit(card, protocol, octets))

    def vanish(self) -> None:
        self.world.machine.disconnected(self.program, self.world.now)
        self.world.settle()

    def row(self, number: int = 0) -> tuple[int, int, int, int]:
        """Return event counter, state, sharing and protocol of a reader."""
        row = self._row(number)
        return row.event_counter, row.state, row.sharing, row.protocol

    def atr(self, number: int = 0) -> bytes:
        """Return the ATR that is shown of a reader."""
        return self._row(number).atr

    def _row(self, number: int) -> Row:
        return self.ask(asks.GetReaders())[number]
