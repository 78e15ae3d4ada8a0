# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: to take any card costs no more where 100,000 match; in lines of code that are run."""

from tests.support.relay_clients import CardClient, Peer
from tests.support.relay_world import World, reader
from tests.support.steps import steps
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.effects import Effect
from wsrc.relay.picking import LOOKED_AT

COUNTS = 10, 1_000, 100_000
EACH = 1_000
"""Readers of a card host."""

IN_A_TURN = 10_000
"""Lines of code that are run in one turn of a search at most."""

SPREAD = 20
"""Lines of code by which the cost of an event may differ."""


def iccid(number: int) -> str:
    return f"{8949020000000000000 + number}"


class Farm:
    """So many free cards of one kind, and as many users as are needed."""

    def __init__(self, count: int) -> None:
        self.world = World(max_waiting=10_000)
        self.hosts: list[CardClient] = []
        for first in range(0, count, EACH):
            infos = [
                reader(f"r{number}", iccid(number), tags={"kind": "sgp22"})
                for number in range(first, min(first + EACH, count))
            ]
            self.hosts.append(self.world.card(*infos, name=f"h{first}"))
        self.count = count

    def says(self, peer: Peer, message: m.Message) -> int:
        """Return the steps of the relay when a peer says something, and let it be answered."""
        text, relay = encode(message), self.world.relay
        effects: list[Effect] = []
        took = steps(
            lambda: effects.extend(relay.received(peer.number, message, text, self.world.now))
        )
        self.world.perform(effects)
        return took

    def ticks(self) -> int:
        """Return the steps of the next turn."""
        world, effects = self.world, list[Effect]()
        due = world.relay.deadline()
        assert due is not None
        world.now = max(world.now, due)
        took = steps(lambda: effects.extend(world.relay.tick(world.now)))
        world.perform(effects)
        return took


def any_card(user: Peer, wait_s: float = 0.0, **tags: str) -> m.SelectCard:
    return m.SelectCard(
        id=user.new_id(), pick=m.Pick.ANY, tags={"kind": "sgp22"} | tags, wait_s=wait_s
    )


def costs(farm: Farm) -> dict[str, int]:
    """Return what each event costs, the last of which are those where no card is free."""
    took: dict[str, int] = {}
    user, other = farm.world.user(), farm.world.user()
    took["is taken"] = farm.says(user, any_card(user))
    ack = user.one(m.SelectCardAck)
    took["is given back"] = farm.says(user, m.Detach(id=900, session=ack.session or ""))
    took["none matches"] = farm.says(other, any_card(other, kind="none"))
    took["one waits in vain"] = farm.says(other, any_card(other, 60.0, kind="none"))
    host, number = farm.hosts[0], farm.count
    new = m.ReaderReport(reader=reader(f"r{number}", iccid(number), tags={"kind": "sgp22"}))
    took["comes"] = farm.says(host, new)
    took["goes"] = farm.says(host, m.ReaderGone(reader=f"r{number}"))
    host.say(m.ReaderReport(reader=reader("rare", iccid(number + 1), tags={"kind": "rare"})))
    rare = farm.world.user()
    took["a rare one is taken"] = farm.says(rare, any_card(rare, kind="rare"))
    session = rare.one(m.SelectCardAck).session or ""
    took["one waits for a rare one"] = farm.says(other, any_card(other, 60.0, kind="rare"))
    host.auto = False
    farm.says(rare, m.Detach(id=901, session=session))
    detach = host.inbox[-1]
    assert isinstance(detach, m.Detach)
    took["who waits is given it"] = farm.says(host, m.DetachAck(session=detach.session))
    assert isinstance(host.inbox[-1], m.Attach)
    return took


def test_to_take_any_card_costs_the_same_however_many_match() -> None:
    found = [costs(Farm(count)) for count in COUNTS]
    for event, least in found[0].items():
        assert all(abs(each[event] - least) <= SPREAD for each in found), (event, found)


def test_a_search_looks_at_some_cards_in_a_turn() -> None:
    farm = Farm(COUNTS[1])
    others = [reader(f"o{n}", iccid(n), tags={"operator": "o"}) for n in range(COUNTS[1])]
    farm.world.card(*others, name="others")
    user = farm.world.user()
    farm.says(user, any_card(user, 5.0, operator="o"))
    assert user.one(m.Waiting)
    turns = 0
    while farm.world.relay._state.sought:
        turns += 1
        assert farm.ticks() < IN_A_TURN
    assert turns >= COUNTS[1] // LOOKED_AT
