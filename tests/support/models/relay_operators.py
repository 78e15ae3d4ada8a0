# SPDX-License-Identifier: Apache-2.0
"""Operators take cards back, kick peers and drain hosts; users lend cards and let others share."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.support.models.relay import Model
from tests.support.models.relay_peers import LIMITS, Asker, Place
from tests.support.relay_clients import Peer
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

PICK = st.integers(0, 7)


class Operating(Model):
    """Rules of a state machine that can have every card client answer, and time pass."""

    drained: set[str] = set()  # noqa: RUF012 - each machine has its own from its first drain on

    def all_answer_well(self) -> None:
        """Have every card client answer all that it was asked."""
        raise NotImplementedError

    def time_passes(self, seconds: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    @precondition(lambda self: self.askers and any(host.places for host in self.hosts))
    @rule(
        at=PICK,
        holder=st.sampled_from([None, None, None, "*", "u2", "nobody"]),
        first=st.sampled_from(["wants", "has", "has", "has and leaves"]),
        share=st.sampled_from([Share.EXCLUSIVE, Share.SHARED]),
        prompt=st.booleans(),
    )
    def card_is_taken_back(
        self, at: int, holder: str | None, first: str, share: Share, prompt: bool
    ) -> None:
        """Take a card back from who has it, is about to, or is out of reach."""
        hosts = [host for host in self.hosts if host.places]
        name = next(iter(hosts[at % len(hosts)].places))
        asker = self.askers[at % len(self.askers)]
        if not asker.peer.first_form:
            self.wants(asker, name, share)
        if first != "wants":
            self.all_answer_well()
        if first == "has and leaves" and asker in self.askers:
            asker.peer.leave()
            self.look()
        boss = self.boss()
        boss.say(m.Revoke(id=1, reader=name, holder=holder, why="why"))
        answer = boss.inbox.pop(0)
        assert isinstance(answer, m.RevokeAck | m.Error), answer
        if isinstance(answer, m.Error):
            assert answer.code in {ErrorCode.NO_SUCH_CARD, ErrorCode.AMBIGUOUS}
        boss.leave(goodbye=True)
        self.look()
        if prompt:
            self.all_answer_well()

    @precondition(lambda self: self.askers or self.hosts)
    @rule(at=PICK, host=st.booleans(), end=st.booleans())
    def peer_is_kicked(self, at: int, host: bool, end: bool) -> None:
        peers = [each.peer for each in (self.hosts if host else self.askers)]
        if not peers:
            return
        peer = peers[at % len(peers)]
        boss = self.boss()
        boss.ask(m.Kick(id=1, peer=peer.number, end=end), m.KickAck)
        boss.leave(goodbye=True)
        assert peer.closed is not None
        self.look()

    @precondition(lambda self: self.hosts)
    @rule(at=PICK, on=st.booleans(), prompt=st.booleans())
    def host_is_drained(self, at: int, on: bool, prompt: bool) -> None:
        host = self.hosts[at % len(self.hosts)]
        boss = self.boss()
        if on:
            boss.ask(m.Drain(id=1, host=host.name), m.DrainAck)
            self.drained = {*self.drained, host.name}
        else:
            self.undrain(boss, host.name)
        boss.leave(goodbye=True)
        self.look()
        if prompt:
            self.all_answer_well()

    def undrain(self, boss: Peer, host: str) -> None:
        """Let the cards of a host be had; a server that was killed knows of no drain."""
        boss.say(m.Undrain(id=boss.new_id(), host=host))
        answer = boss.inbox.pop(0)
        assert isinstance(answer, m.UndrainAck) or (
            isinstance(answer, m.Error) and answer.code is ErrorCode.NO_SUCH_PEER
        )
        self.drained = self.drained - {host}

    @precondition(lambda self: any(asker.held for asker in self.askers))
    @rule(at=PICK, which=PICK, to=PICK, lend=st.booleans(), waits=st.booleans())
    def user_makes_way(self, at: int, which: int, to: int, lend: bool, waits: bool) -> None:
        """Lend a card, or let another share it, who may wait for it already."""
        asker = self.some_asker(at)
        session = self.some_session(asker, which)
        if asker.peer.first_form or session is None:
            return
        other = self.askers[to % len(self.askers)]
        name = self.where.get(session, ("", ""))[1]
        if waits and other is not asker and not other.peer.first_form:
            share = Share.EXCLUSIVE if lend else Share.SHARED
            self.wants(other, name, share)
        who = self.name_of(other)
        id_ = asker.peer.new_id()
        asked = m.Lend(id=id_, session=session, who=who)
        self.ask(asker, asked if lend else m.Allow(id=id_, session=session, who=who), 0)
        if not lend and session in asker.held:
            share = m.Reconnect(id=asker.peer.new_id(), session=session, share=Share.SHARED)
            self.ask(asker, share, LIMITS["command_s"])
        self.all_answer_well()
        if not other.peer.first_form and other in self.askers:
            self.wants(other, name, Share.EXCLUSIVE if lend else Share.SHARED)
            self.all_answer_well()

    def wants(self, asker: Asker, name: str, share: Share) -> None:
        """Have a user wait for the card in a reader."""
        secret = {"secret": f"secret {self.number}", "keep_s": 99.0}
        id_ = asker.peer.new_id()
        select = m.SelectCard(id=id_, reader=name, wait_s=4.0, share=share, **secret)  # type: ignore[arg-type]
        limit = max(4.0, LIMITS["settle_s"]) + LIMITS["attach_s"]
        self.ask(asker, select, limit)

    def name_of(self, asker: Asker) -> str:
        """Return what a user is called."""
        state = self.world.relay._state
        return state.peers[asker.peer.number].name

    @rule()
    def nothing_is_stuck(self) -> None:
        """Check that each card is had by whom its host knows, or can be had by whoever comes."""
        boss = self.boss()
        for host in list(self.drained):
            self.undrain(boss, host)
        self.time_passes(seconds=LIMITS["lend_s"] + 0.1)
        self.all_answer_well()
        for card in boss.ask(m.ListCards(id=5000), m.ListCardsAck).cards:
            place = self.place_at(card)
            if place is None:
                continue
            sessions = set(place.sessions)
            assert card.state is not m.CardState.RESETTING, "it waits for a reset for ever"
            assert (card.state is m.CardState.ASSOCIATED) == bool(sessions), (card, sessions)
            if card.state is m.CardState.READY:
                self.is_had_by_a_newcomer(card)
        boss.leave(goodbye=True)
        self.look()

    def is_had_by_a_newcomer(self, card: m.CardInfo) -> None:
        newcomer = self.world.user(name="newcomer")
        newcomer.say(m.SelectCard(id=1, reader=card.reader))
        self.look()
        self.all_answer_well()
        answer = newcomer.inbox.pop(0)
        assert isinstance(answer, m.SelectCardAck), answer
        newcomer.leave(goodbye=True)
        self.look()
        self.all_answer_well()

    def place_at(self, card: m.CardInfo) -> Place | None:
        """Return the reader of a card whose host is of the present form."""
        hosts = [host for host in self.hosts if host.name == card.host]
        places = hosts[0].places if hosts else {}
        return next((each for name, each in places.items() if name == card.reader), None)

    def boss(self) -> Peer:
        """Connect an operator."""
        return self.world.user(name="boss")
