# SPDX-License-Identifier: Apache-2.0
"""
wsrc.relay: a card that is reserved is in nobody else's hands, and no reservation is lost.

The model keeps the reservations that were told, and for each card who had it when one was made.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.relay_clients import Peer
from tests.support.relay_world import World, reader
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay import reserving

CARDS = ("8988211000000430010", "8988211000000430028", "8988211000000430036")
USERS = ("ida", "bob", "cid")
IDLE_S = 10_000_000.0


@dataclass
class Made:
    """A reservation: of which card, from when until when, and the sessions that it spares."""

    number: int
    token: str
    card: str
    begins: float
    ends: float
    spared: set[str]


class Reserved(RuleBasedStateMachine):
    """Users who reserve, cancel, take and give back, while the clock is set and servers start."""

    @initialize()
    def begin(self) -> None:
        self.world = World(lease_idle_s=IDLE_S, wait_max_s=IDLE_S)
        self.made: dict[int, Made] = {}
        self.sessions: dict[str, tuple[Peer, str, int | None]] = {}
        self.last, self.latest = 0, 0.0
        self.gather()

    def gather(self) -> None:
        self.world.card(*(reader(f"r{n}", card) for n, card in enumerate(CARDS)))
        self.users = {name: self.world.user(who=name) for name in USERS}
        self.sessions.clear()
        for each in self.made.values():
            each.spared.clear()

    @property
    def utc(self) -> float:
        return self.world.epoch_s + self.world.now

    def hear(self) -> None:
        """Take note of what came unasked: cards for those who wait, and ends of sessions."""
        for user in self.users.values():
            for message in user.inbox:
                if isinstance(message, m.SessionEnded):
                    self.sessions.pop(message.session, None)
                elif isinstance(message, m.SelectCardAck):
                    self.given(user, message, None)
            user.inbox.clear()

    def given(self, user: Peer, ack: m.SelectCardAck, number: int | None) -> None:
        assert ack.session is not None
        assert ack.identities.iccid is not None
        self.sessions[ack.session] = user, ack.identities.iccid, number

    @property
    def booked(self) -> set[int]:
        return {each.shown for each in self.world.bookings.values()}

    def next_id(self) -> int:
        self.last += 1
        return self.last

    @rule(
        name=st.sampled_from(USERS),
        card=st.sampled_from([*CARDS, None]),
        ahead=st.integers(0, 500),
        for_s=st.integers(1, 300),
    )
    def reserves(self, name: str, card: str | None, ahead: int, for_s: int) -> None:
        user, begins = self.users[name], self.utc + ahead
        pick = m.Pick.ONE if card is not None else m.Pick.ANY
        when = datetime.fromtimestamp(begins, UTC).isoformat()
        request = m.Reserve(
            id=self.next_id(), iccid=card, pick=pick, begins=when, for_s=float(for_s)
        )
        user.say(request)
        answers = [e for e in user.inbox if isinstance(e, m.ReserveAck | m.Error)]
        (answer,) = [each for each in answers if each.id == request.id]
        self.hear()
        overlaps = {
            each.card for each in self.made.values()
            if each.begins < begins + for_s and begins < each.ends
        }  # fmt: skip
        if isinstance(answer, m.Error):
            assert answer.code is ErrorCode.RESERVED
            assert card in overlaps or overlaps == set(CARDS)
            return
        info = answer.reservation
        chosen = info.card.split(" ")[1]
        assert chosen not in overlaps
        spared = {
            s for s, (_, held, token) in self.sessions.items() if held == chosen and not token
        }
        made = Made(info.number, answer.token, chosen, begins, begins + for_s, spared)
        self.made[info.number] = made

    @rule(data=st.data())
    def cancels(self, data: st.DataObject) -> None:
        for number in data.draw(st.sets(st.sampled_from([0, *self.made]), max_size=1)):
            there, user = number in self.booked, self.users["ida"]
            self.made.pop(number, None)
            request = m.CancelReservation(id=self.next_id(), number=number)
            user.say(request)
            gone = any(isinstance(each, m.CancelReservationAck) for each in user.inbox)
            assert gone == there
            self.hear()

    @rule(name=st.sampled_from(USERS), card=st.sampled_from(CARDS), wait=st.booleans())
    def selects(self, name: str, card: str, wait: bool) -> None:
        wait_s = IDLE_S if wait else 0.0
        self.users[name].say(m.SelectCard(id=self.next_id(), iccid=card, wait_s=wait_s))
        self.hear()

    @rule(name=st.sampled_from(USERS))
    def selects_any(self, name: str) -> None:
        self.users[name].say(m.SelectCard(id=self.next_id(), pick=m.Pick.ANY))
        self.hear()

    @rule(data=st.data())
    def takes(self, data: st.DataObject) -> None:
        for number in data.draw(st.sets(st.sampled_from([0, *self.made]), max_size=1)):
            made = self.made.get(number)
            for user in self.users.values() if made is not None else ():
                assert made is not None
                user.say(m.SelectCard(id=self.next_id(), reservation=made.token))
                for ack in [e for e in user.inbox if isinstance(e, m.SelectCardAck)]:
                    self.given(user, ack, number)
                    made.card = ack.identities.iccid or ""
                    user.inbox.remove(ack)
                self.hear()

    @rule(data=st.data())
    def gives_back(self, data: st.DataObject) -> None:
        for session in data.draw(st.sets(st.sampled_from(["", *self.sessions]), max_size=1)):
            user, _, _ = self.sessions.pop(session, (None, "", None))
            if user is not None:
                user.say(m.Detach(id=self.next_id(), session=session))
                self.hear()

    @rule(seconds=st.integers(1, 200))
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(float(seconds))
        self.hear()

    @rule(by_s=st.sampled_from([-86_400, -300, 300, 86_400]))
    def the_clock_is_set(self, by_s: int) -> None:
        self.world.epoch_s += by_s
        self.latest = max(self.latest, self.utc)
        self.world.pass_time(reserving.LOOK_S)
        self.hear()

    @rule()
    def the_server_is_started_again(self) -> None:
        self.world.start()
        self.gather()

    @invariant()
    def nobody_else_has_a_reserved_card(self) -> None:
        for made in self.made.values():
            if not made.begins + 1 <= self.utc < made.ends - 1:
                continue
            for session, (_, card, number) in self.sessions.items():
                if card == made.card and number != made.number:
                    assert session in made.spared

    @invariant()
    def none_is_lost(self) -> None:
        self.latest = max(self.latest, self.utc)
        known = self.world.relay._state.reservations  # pyright: ignore[reportPrivateUsage]
        assert all(known.of_shown(number) is not None for number in self.booked)
        assert self.booked <= set(self.made)
        for number in set(self.made).difference(self.booked):
            assert self.made.pop(number).ends <= self.latest + 1


TestReserved = Reserved.TestCase
TestReserved.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
