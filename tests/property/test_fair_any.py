# SPDX-License-Identifier: Apache-2.0
"""
wsrc.relay: among those who compete for a card, whoever came first is first, for any or for this.

The model keeps everybody who waits in the order in which they came, and the free cards in the order
in which they were given back. A card that is free goes to the first who would have it.
"""

from dataclasses import dataclass, field

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.relay_clients import Peer
from tests.support.relay_world import World, reader
from wsrc.protocol import messages as m

CARDS = range(1, 7)
TAGS = {
    number: {"kind": "ab"[number % 2], "operator": "xyz"[number % 3], "bench": "1"}
    for number in CARDS
}
ANY_OF = st.sampled_from(
    [{}, {"kind": "a"}, {"kind": "b"}, {"operator": "x"}, {"kind": "a", "operator": "y"},
     {"kind": "b", "operator": "z", "bench": "1"}, {"kind": "a", "bench": "1"}]
)  # fmt: skip
WAIT_S = 100_000.0


def iccid(number: int) -> str:
    return f"{8949020000000000000 + number}"


@dataclass(eq=False)
class Asker:
    """A user who wants this card, or any with some tags; `card` is the one that it has."""

    peer: Peer
    tags: dict[str, str] | None = None
    this: int | None = None
    card: int | None = None
    session: str = ""
    request: int = 0

    def would_have(self, number: int) -> bool:
        if self.tags is None:
            return number == self.this
        return self.tags.items() <= TAGS[number].items()


@dataclass
class Model:
    """Who waits, the oldest first; the free cards, the next to be used first; those used once."""

    waiting: list[Asker] = field(default_factory=list[Asker])
    free: list[int] = field(default_factory=list[int])
    used: set[int] = field(default_factory=set[int])
    holders: dict[int, Asker] = field(default_factory=dict[int, Asker])

    def is_free(self, number: int) -> None:
        """Give a card to the first who would have it, or put it among those that are free."""
        for asker in self.waiting:
            if asker.would_have(number):
                self.waiting.remove(asker)
                self.give(number, asker)
                return
        self.free.insert(len(self.free) if number in self.used else 0, number)

    def ask(self, asker: Asker) -> None:
        for number in self.free:
            if asker.would_have(number):
                self.free.remove(number)
                self.give(number, asker)
                return
        self.waiting.append(asker)

    def give(self, number: int, asker: Asker) -> None:
        self.used.add(number)
        self.holders[number] = asker


class FairMachine(RuleBasedStateMachine):
    """Cards come and go, users ask, give back and give up."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(wait_max_s=2 * WAIT_S, lease_idle_s=0.0)
        self.model = Model()
        self.askers: list[Asker] = []
        self.there: set[int] = set()
        self.insertion = 0

    @initialize(hosts=st.integers(1, 2))
    def hosts_come(self, hosts: int) -> None:
        self.hosts = [self.world.card(name=f"h{number}") for number in range(hosts)]

    @rule(number=st.sampled_from(CARDS))
    def card_comes_or_goes(self, number: int) -> None:
        host, name = self.hosts[number % len(self.hosts)], f"r{number}"
        if number not in self.there:
            self.there.add(number)
            self.insertion += 1
            info = reader(name, iccid(number), tags=TAGS[number], insertion=self.insertion)
            host.say(m.ReaderReport(reader=info))
            self.model.is_free(number)
            return
        self.there.remove(number)
        host.say(m.ReaderGone(reader=name))
        holder = self.model.holders.pop(number, None)
        if holder is not None:
            holder.card = None
            assert isinstance(holder.peer.inbox.pop(), m.SessionEnded)
            self.askers.remove(holder)
        else:
            self.model.free.remove(number)

    @precondition(lambda self: len(self.askers) < 12)
    @rule(tags=ANY_OF, patient=st.sampled_from([True, True, False]))
    def any_is_asked_for(self, tags: dict[str, str], patient: bool) -> None:
        asker = Asker(self.world.user(), tags=tags)
        self.ask(asker, patient=patient, pick=m.Pick.ANY, tags=tags or None)

    @precondition(lambda self: len(self.askers) < 12)
    @rule(number=st.sampled_from(CARDS))
    def this_is_asked_for(self, number: int) -> None:
        self.ask(Asker(self.world.user(), this=number), patient=True, iccid=iccid(number))

    def ask(self, asker: Asker, *, patient: bool, **by: object) -> None:
        asker.request = asker.peer.new_id()
        wait_s = WAIT_S if patient else 0.0
        select = m.SelectCard(id=asker.request, wait_s=wait_s, **by)  # type: ignore[arg-type]
        asker.peer.say(select)
        self.world.pass_time(0.1)
        self.model.ask(asker)
        if patient or asker in self.model.holders.values():
            self.askers.append(asker)
            return
        self.model.waiting.remove(asker)
        said = asker.peer.inbox.pop()
        assert isinstance(said, m.Error), said

    @precondition(lambda self: self.model.holders)
    @rule(data=st.data(), leaves=st.booleans())
    def card_is_given_back(self, data: st.DataObject, leaves: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.model.holders)))
        holder = self.model.holders.pop(number)
        self.askers.remove(holder)
        if leaves:
            holder.peer.leave(goodbye=True)
        else:
            holder.peer.say(m.Detach(id=holder.peer.new_id(), session=holder.session))
        self.model.is_free(number)

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), leaves=st.booleans())
    def one_gives_up(self, data: st.DataObject, leaves: bool) -> None:
        asker = data.draw(st.sampled_from(self.model.waiting))
        self.model.waiting.remove(asker)
        self.askers.remove(asker)
        if leaves:
            asker.peer.leave()
        else:
            asker.peer.say(m.Cancel(id=asker.peer.new_id(), target=asker.request))

    @invariant()
    def everybody_has_what_they_are_to_have(self) -> None:
        self.world.pass_time(0.2)
        for asker in self.askers:
            for said in asker.peer.inbox:
                if isinstance(said, m.SelectCardAck):
                    assert asker.card is None
                    assert said.card is not None
                    asker.card, asker.session = (
                        int((said.card.reader or "r0")[1:]),
                        said.session or "",
                    )
                else:
                    assert isinstance(said, m.Waiting), said
            asker.peer.inbox.clear()
        has = {asker.card: asker for asker in self.askers if asker.card is not None}
        assert has == self.model.holders
        assert self.world.relay._state.sought == {}

    def teardown(self) -> None:
        for asker in self.askers:
            asker.peer.leave(goodbye=True)
        for host in getattr(self, "hosts", ()):
            host.leave()
        self.world.pass_time(5.0)
        assert "waiting" not in self.world.leftovers()


TestFairAny = FairMachine.TestCase
TestFairAny.settings = settings(stateful_step_count=60)
