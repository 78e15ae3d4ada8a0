# SPDX-License-Identifier: Apache-2.0
"""Connections that break and come back, claims to sessions, and a server that is killed."""

import math

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from tests.support.models.relay import Model
from tests.support.models.relay_peers import LIMITS, Host
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.relay.claims import FIRST_NUMBER

FEATURES = ("batch", "cancel", "pcsc", "raw_tpdu", "resume", "seal", "share")
PICK = st.integers(0, 7)

CLAIM_S = LIMITS["keep_s"] + 2 * LIMITS["command_s"] + LIMITS["attach_s"]
"""How long a claim can take once card clients neither come nor go."""


class Resuming(Model):
    """Rules of sessions that outlive connections."""

    @precondition(lambda self: self.hosts or self.cut_hosts)
    @rule(at=PICK)
    def card_client_comes_back(self, at: int) -> None:
        """Connect a card client again, with what it kept; the server may not have missed it."""
        hosts = [*self.cut_hosts, *self.hosts]
        host = hosts[at % len(hosts)]
        if any(host.instance == each.instance and host is not each for each in self.hosts):
            return
        self.be_alone(host)
        before = host.peer
        host.peer = self.world.card(
            *(place.info for place in host.places.values()),
            name=host.name,
            instance=host.instance,
            auto=False,
            features=FEATURES,
            before=before,
            sessions=self.kept_by(host),
        )
        assert before.gone or before.closed is not None
        self.cut_hosts = [each for each in self.cut_hosts if each is not host]
        self.hosts = [*[each for each in self.hosts if each is not host], host]
        self.claims_take_longer()
        for kept in self.kept_by(host):
            before_it = self.until.get(kept.session, math.inf)
            self.until[kept.session] = min(before_it, self.world.now + kept.keep_s)
        self.look()
        self.check_claims(host)

    def check_claims(self, host: Host) -> None:
        """Check that a card client that came back is asked what its users waited to ask."""
        for session in [session for place in host.places.values() for session in place.sessions]:
            asked = [each for each in host.todo if isinstance(each, m.Resume)]
            claims = [each.request for asker in self.askers for each in asker.open.values()]
            open_ = [each for each in claims if isinstance(each, m.Resume)]
            count = sum(each.session == session for each in open_)
            assert count == sum(each.session == session for each in asked), "claims are forgotten"

    @invariant()
    def sessions_are_not_kept_for_longer(self) -> None:
        for host in self.hosts:
            ending = {each.session for each in host.todo if isinstance(each, m.Detach)}
            for place in host.places.values():
                for session in place.sessions.keys() - ending:
                    until = self.until.get(session, math.inf)
                    assert self.world.now <= until + 0.001, "kept for nobody"

    def be_alone(self, host: Host) -> None:
        """Drop what a card client does not keep without its server."""
        host.todo, host.done = [], []
        for place in host.places.values():
            kept = {s: share for s, share in place.sessions.items() if s in host.peer.ends}
            place.sessions = kept

    def kept_by(self, host: Host) -> tuple[m.RunningSession, ...]:
        return tuple(
            m.RunningSession(
                session=session,
                reader=name,
                insertion=place.info.insertion,
                holder="somebody",
                keep_s=host.peer.ends[session].keep_s,
                share=share,
            )
            for name, place in host.places.items()
            for session, share in place.sessions.items()
        )

    def claims_take_longer(self) -> None:
        """Give claims the time that they have from now on."""
        for asker in self.askers:
            for asked in asker.open.values():
                if isinstance(asked.request, m.Resume):
                    asked.until = self.world.now + CLAIM_S

    @precondition(lambda self: self.askers and self.known)
    @rule(
        at=PICK,
        which=PICK,
        secret=st.sampled_from(["right", "right", "right", "wrong"]),
        placed=st.booleans(),
    )
    def user_resumes(self, at: int, which: int, secret: str, placed: bool) -> None:
        asker = self.askers[at % len(self.askers)]
        if asker.peer.first_form:
            return
        session, known = list(self.known.items())[-1 - which % len(self.known)]
        claim = m.Resume(
            id=asker.peer.new_id(),
            session=session,
            secret=known.secret if secret == "right" else secret,
            host=known.host if placed else None,
            reader=known.reader if placed else None,
        )
        self.ask(asker, claim, CLAIM_S)

    @precondition(lambda self: self.hosts or self.askers)
    @rule(sure=st.integers(0, 3))
    def server_is_killed(self, sure: int) -> None:
        """Start a server that knows nothing, once in a while."""
        if sure:
            return
        now = self.world.now
        self.away |= {s: now for asker in self.askers for s in asker.held if s in self.known}
        self.until.clear()
        self.world.start()
        self.askers, self.old_hosts = [], []
        self.cut_hosts, self.hosts = [*self.cut_hosts, *self.hosts], []
        self.watch()

    @precondition(lambda self: self.known and self.hosts)
    @rule(at=PICK)
    def card_client_claims_a_session(self, at: int) -> None:
        """Answer claims that were not made."""
        host = self.hosts[at % len(self.hosts)]
        asked = {each.id for each in (*host.todo, *host.done) if isinstance(each, m.Resume)}
        for session in self.known:
            if FIRST_NUMBER + at not in asked:
                host.peer.say(m.Resumed(id=FIRST_NUMBER + at, session=session, seq=0))
            host.peer.say(m.Resumed(session=session, seq=0))
        host.peer.say(m.RApdu(id=1, session="nobody's", response=Octets(), sw="9000"))
        self.look()
