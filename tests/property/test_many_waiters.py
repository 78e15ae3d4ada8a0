# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: no event costs more where thousands wait; counted in lines of code that are run."""

from collections.abc import Callable

import pytest

from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.steps import steps
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.effects import Effect

FEW, MANY = 100, 10_000
GROWTH = 1.3
"""How much more may be run for 100 times as many: what is sorted takes a logarithm."""

IN_A_TURN = 60_000
"""Lines of code that are run in one turn at most: some milliseconds."""


class Crowd:
    """A card that one user has, and others who wait for it."""

    def __init__(
        self, count: int, wait_s: float = 3000.0, *, each: int = 1, with_card: bool = True
    ) -> None:
        self.world = World(max_waiting=MANY + 10, wait_max_s=5000.0, settle_s=5000.0)
        self.card: CardClient | None = None
        self.session = ""
        if with_card:
            self.card = self.world.card(reader())
            self.holder = self.world.user()
            self.session = self.holder.hold(iccid=ICCID)
        self.users = [self.world.user() for _ in range(count // each)]
        for user in self.users:
            for id_ in range(1, each + 1):
                user.say(select(wait_s, id_))
        self.world.pass_time(10.0)

    def turns(self, seconds: float) -> int:
        """Let time pass; return the steps of the turn that took the most."""
        world, most = self.world, 0
        end = world.now + seconds
        while (due := world.relay.deadline()) is not None and due <= end:
            world.now = max(world.now, due)
            most = max(most, self.of(lambda: world.relay.tick(world.now)))
        world.now = end
        return most

    def says(self, peer: Peer, message: m.Message) -> int:
        """Return the steps of the relay when a peer says something, and let it be answered."""
        text, relay = encode(message), self.world.relay
        return self.of(lambda: relay.received(peer.number, message, text, self.world.now))

    def leaves(self, peer: Peer) -> int:
        """Return the steps of the relay when the connection of a peer is lost."""
        peer.gone = True
        relay, now = self.world.relay, self.world.now
        return self.of(lambda: relay.disconnected(peer.number, now, goodbye=False))

    def of(self, event: Callable[[], list[Effect]]) -> int:
        """Return the steps of an event, and carry out its effects."""
        effects: list[Effect] = []
        took = steps(lambda: effects.extend(event()))
        self.world.perform(effects)
        return took


def select(wait_s: float, id_: int = 1, **by: object) -> m.SelectCard:
    return m.SelectCard(id=id_, wait_s=wait_s, **({"iccid": ICCID} | by))  # type: ignore[arg-type]


def joins(crowd: Crowd) -> int:
    return crowd.says(crowd.world.user(), select(60.0))


def joins_in_front(crowd: Crowd) -> int:
    return crowd.says(crowd.world.user(), select(60.0, waited_s=4000.0))


def leaves_in_front(crowd: Crowd) -> int:
    return crowd.leaves(crowd.users[0])


def leaves_in_the_middle(crowd: Crowd) -> int:
    return crowd.leaves(crowd.users[len(crowd.users) // 2])


def gives_up(crowd: Crowd) -> int:
    return crowd.says(crowd.users[1], m.Cancel(id=2, target=1))


def is_given_back(crowd: Crowd) -> int:
    assert crowd.card is not None
    crowd.card.auto = False
    given_back = crowd.says(crowd.holder, m.Detach(id=99, session=crowd.session))
    detach = crowd.card.inbox[-1]
    assert isinstance(detach, m.Detach)
    given = crowd.says(crowd.card, m.DetachAck(session=detach.session))
    attach = crowd.card.inbox[-1]
    assert isinstance(attach, m.Attach)
    return max(given_back, given)


def card_is_reported(crowd: Crowd) -> int:
    assert crowd.card is not None
    return crowd.says(crowd.card, m.ReaderReport(reader=reader(label="new")))


def card_client_goes(crowd: Crowd) -> int:
    assert crowd.card is not None
    return crowd.leaves(crowd.card)


EVENTS = [
    joins,
    joins_in_front,
    leaves_in_front,
    leaves_in_the_middle,
    gives_up,
    is_given_back,
    card_is_reported,
    card_client_goes,
]


def test_b14_no_event_costs_more_where_ten_thousand_wait() -> None:
    few, many = Crowd(FEW, each=20), Crowd(MANY, each=20)
    for event in EVENTS:
        small, large = event(few), event(many)
        assert 0 < large <= GROWTH * small + 20, event.__name__
        assert few.turns(0.5) < IN_A_TURN
        assert many.turns(0.5) < IN_A_TURN, event.__name__


def test_b14_a_card_that_comes_costs_no_more_where_ten_thousand_wait_for_it() -> None:
    few, many = (Crowd(count, each=20, with_card=False) for count in (FEW, MANY))
    took: list[int] = []
    for crowd in (few, many):
        card = crowd.world.card(auto=False)
        took.append(crowd.says(card, m.ReaderReport(reader=reader())))
        assert isinstance(card.inbox[-1], m.Attach)
        assert crowd.turns(0.5) < IN_A_TURN
    assert took[1] <= GROWTH * took[0] + 20


def test_b14_connections_that_are_lost_together_are_dealt_with_one_by_one() -> None:
    crowd = Crowd(0)
    users = [crowd.world.user() for _ in range(160)]
    for user in users:
        for id_ in range(1, 63):
            user.say(select(3000.0, id_))
    crowd.world.pass_time(10.0)
    most = max(crowd.leaves(user) for user in users)
    assert most < IN_A_TURN
    assert crowd.turns(60.0) < IN_A_TURN
    assert crowd.world.relay.counts["waiting"] == 0


@pytest.mark.parametrize("with_card", [True, False])
def test_b14_many_whose_wait_is_over_at_once_are_answered_in_turns(with_card: bool) -> None:
    crowd = Crowd(1_000, wait_s=20.0, with_card=with_card)
    for user in crowd.users:
        user.inbox.clear()
    assert crowd.turns(100.0) < IN_A_TURN
    code = ErrorCode.CARD_BUSY if with_card else ErrorCode.NO_SUCH_CARD
    assert all(code_of(user.next(m.Error)) is code for user in crowd.users)


def test_b14_many_who_will_not_wait_are_refused_in_turns() -> None:
    world = World(max_waiting=MANY)
    crowd = Crowd.__new__(Crowd)
    crowd.world, crowd.card = world, world.card(reader(state=m.ReaderState.IDENTIFYING))
    users = [world.user() for _ in range(1_000)]
    for user in users:
        user.say(select(0.0))
        user.inbox.clear()
    assert crowd.says(crowd.card, m.ReaderReport(reader=reader())) < IN_A_TURN
    assert crowd.turns(5.0) < IN_A_TURN
    users[0].one(m.SelectCardAck)
    refused = [each.next(m.Error) for each in users[1:]]
    assert {code_of(each) for each in refused} == {ErrorCode.CARD_BUSY}
    assert world.relay.counts["waiting"] == 0


def test_b14_everyone_is_told_the_right_place_in_the_end() -> None:
    crowd = Crowd(300)
    world = crowd.world
    for user in crowd.users[:100]:
        user.leave()
        world.pass_time(0.05)
    world.pass_time(5.0)
    left = [user for user in crowd.users if not user.gone]
    assert [user.inbox[-1] for user in left] == [
        m.Waiting(id=1, position=n, lease=user.inbox[-1].lease)  # type: ignore[union-attr]
        for n, user in enumerate(left, start=1)
    ]


def test_b14_each_is_told_at_most_once_a_second() -> None:
    world = World(max_waiting=MANY)
    world.card(reader())
    holder = world.user()
    holder.hold(iccid=ICCID)
    users = [world.user() for _ in range(50)]
    for user in users:
        user.say(select(3000.0))
    told = [user.one(m.Waiting).position for user in users]
    assert told == list(range(1, 51))
    for user in users[:20]:
        user.leave()
    assert all(user.quiet() for user in users[20:])
    world.pass_time(0.9)
    assert all(user.quiet() for user in users[20:])
    world.pass_time(0.2)
    assert [user.one(m.Waiting).position for user in users[20:]] == list(range(1, 31))


def test_b14_who_waits_in_other_words_for_the_same_card_keeps_the_place() -> None:
    """Those who would share the card stand in another line than those who want it alone."""
    world = World()
    card = world.card(reader(label="L"))
    holder = world.user()
    session = holder.hold(iccid=ICCID)
    ways = ({"iccid": ICCID}, {"any": "l"}, {"label": "L"}, {"reader": "r1", "label": "L"})
    users = [world.user() for _ in range(12)]
    for n, user in enumerate(users):
        user.say(m.SelectCard(id=1, wait_s=60.0, **ways[n % 4]))
        assert user.one(m.Waiting).position == n + 1
    for n, user in enumerate(users):
        holder.ask(m.Detach(id=9, session=session), m.DetachAck)
        world.pass_time(1.5)
        got = user.next(m.Waiting) if n else user.next(m.SelectCardAck)
        while isinstance(got, m.Waiting):
            got = user.inbox.pop(0)  # type: ignore[assignment]
        assert isinstance(got, m.SelectCardAck)
        holder, session = user, got.session or ""
        assert card.closed is None
