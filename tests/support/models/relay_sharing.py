# SPDX-License-Identifier: Apache-2.0
"""What users do who share a card: the verbs of PC/SC, and transactions that exclude others."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.support.models.relay import Model
from tests.support.models.relay_peers import LIMITS, Asker
from wsrc.card.slot import Initialization, Share
from wsrc.octets import Octets
from wsrc.protocol import messages as m

VERBS = ("begin", "begin", "end", "status", "control")
PICK = st.integers(0, 7)


class SharingRules(Model):
    """Rules of a state machine that can have every card client answer."""

    def all_answer_well(self) -> None:
        """Have every card client answer all that it was asked."""
        raise NotImplementedError

    @precondition(lambda self: any(asker.held for asker in self.askers))
    @rule(
        at=PICK,
        which=PICK,
        what=st.sampled_from([*VERBS, *Share, *Initialization]),
        prompt=st.booleans(),
    )
    def user_sends_verb(self, at: int, which: int, what: str, prompt: bool) -> None:
        askers = [asker for asker in self.askers if asker.held]
        asker = askers[at % len(askers)]
        ids = {"id": asker.peer.new_id(), "session": self.some_session(asker, which) or ""}
        request: m.Message
        match what:
            case "begin":
                request = m.BeginTransaction(**ids)
            case "end":
                request = m.EndTransaction(**ids)
            case "status":
                request = m.Status(**ids)
            case "control":
                request = m.Control(**ids, number=1, data=Octets())
            case Share() as share:
                request = m.Reconnect(**ids, share=share)
            case _:
                request = m.Reconnect(**ids, initialization=Initialization(what))
        self.ask(asker, request, LIMITS["command_s"])
        if prompt:
            self.all_answer_well()

    @precondition(lambda self: any(host.places for host in self.hosts))
    @rule(
        at=PICK,
        turn=st.booleans(),
        ending=st.sampled_from(["end", "leave", "detach", "reconnect", "nothing"]),
    )
    def transaction_keeps_another_waiting(self, at: int, turn: bool, ending: str) -> None:
        host = next(host for host in self.hosts if host.places)
        name = list(host.places)[at % len(host.places)]
        both = [asker for asker in self.askers if not asker.peer.first_form][:: -1 if turn else 1]
        held = [session for asker in both[:2] if (session := self.joins(asker, name)) is not None]
        if len(held) < 2 or host not in self.hosts or any(asker.open for asker in both[:2]):
            return
        (owner, other), (mine, others) = both[:2], held
        self.ask(owner, m.BeginTransaction(id=owner.peer.new_id(), session=mine), 5.0)
        self.all_answer_well()
        place = host.place_of(mine)
        if place is None or place.owner != mine:
            return
        waits = m.Control(id=other.peer.new_id(), session=others, number=1, data=Octets())
        self.ask(other, waits, LIMITS["command_s"])
        self.all_answer_well()
        assert waits.id in other.open
        depth = place.depth
        if ending == "leave":
            owner.peer.leave()
            self.look()
        elif ending == "detach":
            self.ask(owner, m.Detach(id=owner.peer.new_id(), session=mine), 0)
        elif ending == "end":
            for _ in range(depth):
                self.ask(owner, m.EndTransaction(id=owner.peer.new_id(), session=mine), 5.0)
                self.all_answer_well()
        elif ending == "reconnect":
            request = m.Reconnect(id=owner.peer.new_id(), session=mine, share=Share.EXCLUSIVE)
            self.ask(owner, request, 5.0)
        self.all_answer_well()
        kept = ending in {"reconnect", "nothing"} or (ending == "leave" and mine in self.known)
        assert (place.owner == mine) == kept
        assert (waits.id in other.open) == (place.owner not in {None, others})

    def joins(self, asker: Asker, name: str) -> str | None:
        """Have a user share the card in a reader; give the session that the user has with it."""
        if self.sessions_with(asker, name):
            return self.sessions_with(asker, name)[-1]
        select = m.SelectCard(id=asker.peer.new_id(), reader=name, share=Share.SHARED)
        self.ask(asker, select, LIMITS["settle_s"] + LIMITS["attach_s"])
        self.all_answer_well()
        return next(iter(self.sessions_with(asker, name)), None)

    def sessions_with(self, asker: Asker, name: str) -> list[str]:
        """Return the sessions that a user has with the card in a reader."""
        return [each for each in asker.held if self.where.get(each, (0, ""))[1] == name]
