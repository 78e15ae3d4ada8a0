# SPDX-License-Identifier: Apache-2.0
"""Any order of what programs, cards and readers do leaves the machine behind the socket sound."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.pcscd_programs import ATR, NAME, Running, TestProgram, World
from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.machine import KEEP_S
from wsrc.bridges.pcscd.reader import Reader
from wsrc.bridges.pcscd.source import Failure, Park, Seen, Session
from wsrc.card.pcsc_numbers import Code

NAMES = (NAME, b"Other 00 00")
FAILURES = (
    None,
    None,
    Failure(Code.SCARD_E_NOT_TRANSACTED),
    Failure(Code.SCARD_E_SHARING_VIOLATION),
    Failure(Code.SCARD_E_COMM_DATA_LOST, Code.SCARD_W_RESET_CARD),
    Failure(Code.SCARD_W_REMOVED_CARD, Code.SCARD_W_REMOVED_CARD),
)


class Sharing(RuleBasedStateMachine):
    """Up to five programs and two readers; commands end when the rules say so."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(*(Seen(name, present=True, atr=ATR) for name in NAMES))
        self.world.slow = {"open", "transmit", "reset", "close"}
        self.programs: list[TestProgram] = []
        self.busy: dict[int, Running] = {}
        self.holds: dict[int, set[int]] = {}
        self.requests: dict[int, asks.Request[Any]] = {}
        self.waits: set[int] = set()
        self.counts = dict.fromkeys(NAMES, 0)
        self.inside = dict.fromkeys(NAMES, True)
        self.there = set(NAMES)
        self.within = set(NAMES)
        self.sessions: dict[Reader, Session | None] = {}

    @initialize(shares=st.sampled_from(((1,), (3,), (2, 2), (2, 3), (3, 2))))
    def begin(self, shares: Sequence[int]) -> None:
        """Have one reader in use."""
        for share in shares:
            self.arrive(4)
            program = self.programs[-1]
            self._start(program, asks.Connect(program.context, NAME, share, 3))
            while self._is_at_work():
                self.world.finish()
            self._collect()

    @precondition(lambda self: len(self.programs) < 5)
    @rule(minor=st.sampled_from((4, 5, 6)))
    def arrive(self, minor: int) -> None:
        program = self.world.program(minor)
        self.programs.append(program)
        self.holds[program.number] = set()

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        program = self._idle(data)
        if program is not None:
            self.programs.remove(program)
            self.waits.discard(program.number)
            program.vanish()

    @rule(data=st.data(), share=st.sampled_from((1, 2, 2, 2, 3)), protocols=st.sampled_from((1, 3)))
    def connect(self, data: st.DataObject, share: int, protocols: int) -> None:
        program = self._idle(data)
        if program is not None:
            name = data.draw(st.sampled_from(NAMES))
            self._start(program, asks.Connect(program.context, name, share, protocols))

    @rule(
        data=st.data(),
        what=st.sampled_from("bbrdett"),
        how=st.sampled_from((0, 0, 1, 2)),
        share=st.sampled_from((1, 2, 2, 3)),
    )
    def use(self, data: st.DataObject, what: str, how: int, share: int) -> None:
        program = self._idle(data)
        if program is None or not self.holds[program.number]:
            return
        card = data.draw(st.sampled_from(sorted(self.holds[program.number])))
        requests: dict[str, Any] = {
            "b": asks.Begin(card),
            "e": asks.End(card, how),
            "r": asks.Reconnect(card, share, 3, how),
            "d": asks.Disconnect(card, how),
            "t": asks.Transmit(card, 1, b"\0\1\2\3"),
        }
        self._start(program, requests[what])

    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        program = self._idle(data)
        if program is not None and program.number not in self.waits:
            program.ask(asks.Wait())
            program.ask(asks.GetTable())
            self.waits.add(program.number)

    @rule(data=st.data())
    def stop_waiting(self, data: st.DataObject) -> None:
        program = self._idle(data)
        if program is not None:
            assert program.ask(asks.StopWaiting()) == (program.number in self.waits)
            self.waits.discard(program.number)

    @precondition(lambda self: self._is_at_work())
    @rule(failure=st.sampled_from(FAILURES))
    def finish(self, failure: Failure | None) -> None:
        for kind in ("open", "transmit", "reset"):
            self.world.fail.pop(kind, None)
            if failure is not None:
                self.world.fail[kind] = failure
        self.world.finish()
        self._collect()

    @rule(name=st.sampled_from(NAMES), what=st.sampled_from(("card", "reader", "reach", "swap")))
    def move(self, name: bytes, what: str) -> None:
        if what == "reader":
            self.there ^= {name}
        elif what == "reach":
            self.within ^= {name}
        elif what == "swap":
            self.counts[name] += 2
        else:
            self.inside[name] ^= True
            self.counts[name] += 1
        self.world.see(*(self._seen(n) for n in NAMES if n in self.there))
        self._collect()

    @rule(number=st.integers(0, 1))
    def lose(self, number: int) -> None:
        sessions = [r.session for r in self.world.machine._table.readers if r.session is not None]
        if number < len(sessions):
            why = Failure(Code.SCARD_E_READER_UNAVAILABLE, Code.SCARD_W_RESET_CARD)
            self.world.machine.session_over(sessions[number], why)
            self.world.settle()
            self._collect()

    @rule(seconds=st.sampled_from((0.05, 0.2, 1.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.later(seconds)
        self._collect()

    @invariant()
    def messages_go_to_those_who_wait_once(self) -> None:
        for number, code in self.world.told():
            assert code == 0
            assert number in self.waits
            self.waits.remove(number)

    @invariant()
    def sharing_is_what_programs_hold(self) -> None:
        reader = {r.name: r for r in self.world.machine._table.readers}
        for each in reader.values():
            idle = [cards for number, cards in self.holds.items() if number not in self.busy]
            held = {card for cards in idle for card in cards} & set(each.handles)
            mine = {n for n, handle in each.handles.items() if self._is_told(handle.owner)}
            assert held == mine
            assert each.sharing == (-1 if each.exclusive else len(each.handles))
            assert not each.exclusive or len(each.handles) == 1
            owner = each.locked_by
            assert owner is None or owner.number in each.handles
            assert each.session is None or each.session not in each.stale
            open_ones = [s for s in self.world.sessions if not s.closed]
            assert each.session is None or each.session in open_ones

    @invariant()
    def transactions_end_with_the_session(self) -> None:
        readers = self.world.machine._table.readers
        for each in readers:
            before = self.sessions.get(each)
            assert before in {None, each.session} or each.exclusive or each.locked_by is None
            assert not each.exclusive or each.locked_by is next(iter(each.handles.values()))
        self.sessions = {each: each.session for each in readers}

    def teardown(self) -> None:
        self.world.fail.clear()
        self.world.slow.clear()
        while self._is_at_work():
            self.world.finish()
        for call in list(self.world.running):
            call.steps.close()
            self.world.running.remove(call)
        for program in self.programs:
            program.vanish()
        self.world.later(2 * KEEP_S)
        self.world.later(2 * KEEP_S)
        assert all(session.closed for session in self.world.sessions)
        for reader in self.world.machine._table.readers:
            assert not reader.handles
            assert reader.locked_by is None
            assert not reader.busy

    def _seen(self, name: bytes) -> Seen:
        count = self.counts[name]
        if name not in self.within:
            return Seen(name, event_count=count, unavailable=True)
        present = self.inside[name]
        return Seen(name, present=present, atr=ATR if present else b"", event_count=count)

    def _is_told(self, owner: object) -> bool:
        """Return whether a program has the answer to its connect."""
        number = getattr(owner, "number", 0)
        return number in self.holds and number not in self.busy

    def _is_at_work(self) -> bool:
        return any(not isinstance(call.need, Park) for call in self.world.running)

    def _idle(self, data: st.DataObject) -> TestProgram | None:
        idle = [program for program in self.programs if program.number not in self.busy]
        return data.draw(st.sampled_from(idle)) if idle else None

    def _start(self, program: TestProgram, request: asks.Request[Any]) -> None:
        self.busy[program.number] = program.start(request)
        self.requests[program.number] = request
        self._collect()

    def _collect(self) -> None:
        """Take the answers that have come."""
        for number, call in list(self.busy.items()):
            if not call.done:
                continue
            del self.busy[number]
            request = self.requests[number]
            assert call.code is not None
            if call.code is not Code.SCARD_S_SUCCESS:
                continue
            if isinstance(request, asks.Connect):
                self.holds[number].add(call.given.card)
            if isinstance(request, asks.Disconnect):
                self.holds[number].discard(request.card)


Sharing.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestSharing = Sharing.TestCase
