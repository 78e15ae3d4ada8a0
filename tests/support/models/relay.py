# SPDX-License-Identifier: Apache-2.0
"""
What the peers of a relay know, and what must hold of what they hear.

The model stands at the edges: it knows what each peer asked, which commands a card saw since its
last reset, and which sessions a card client has open. It knows nothing of the relay's state.
"""

from collections import Counter

from tests.support.card_watcher import CardWatcher
from tests.support.models.relay_peers import (
    LIMITS,
    Asked,
    Asker,
    Host,
    Known,
    OldHost,
    Place,
    echo_of,
)
from tests.support.relay_clients import ATR, Peer
from tests.support.relay_world import World
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.principal import run_and_owner
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import ANSWERS
from wsrc.session import CardEnd
from wsrc.user_client.core.feeds import CardEvent


class Model:
    """The peers, and what they are told; an assertion fails where the relay is wrong."""

    def __init__(self) -> None:
        self.world = World(**LIMITS)
        self.hosts: list[Host] = []
        self.cut_hosts: list[Host] = []
        self.known: dict[str, Known] = {}
        self.away: dict[str, float] = {}
        self.until: dict[str, float] = {}
        self.old_hosts: list[OldHost] = []
        self.askers: list[Asker] = []
        self.owners: dict[bytes, str] = {}
        self.where: dict[str, tuple[str, str]] = {}
        self.acknowledged: set[str] = set()
        self.shares: dict[str, Share] = {}
        self.shown: Counter[tuple[str | None, str | None]] = Counter()
        self.number = 0
        self.joined: list[tuple[str, list[str]]] = []
        self.watch()

    def watch(self) -> None:
        self.shown.clear()
        self.watcher = self.world.user(name="watcher")
        self.watching = CardWatcher(self.watcher)
        assert self.watching.told() == []

    def some_asker(self, at: int) -> Asker:
        """Give a user, more often one that has a card."""
        holding = [asker for asker in self.askers if asker.held or asker.peer.first_form]
        those = holding if holding and at < 6 else self.askers
        return those[at % len(those)]

    def some_session(self, asker: Asker, which: int) -> str | None:
        mine = asker.held or [None]
        if which == 7:
            everyones = [session for other in self.askers for session in other.held] or [None]
            return everyones[self.number % len(everyones)]
        return mine[which % len(mine)]

    def ask(
        self, asker: Asker, request: m.Message, limit_s: float, echo: bytes | None = None
    ) -> None:
        asked = Asked(request, self.patience(asker, limit_s), echo)
        if asker.peer.first_form:
            self.ask_in_order(asker, asked)
        else:
            assert request.id is not None
            asker.open[request.id] = asked
        asker.peer.say(request)
        self.look()

    def ask_in_order(self, asker: Asker, asked: Asked) -> None:
        asker.order.append(asked)

    def patience(self, asker: Asker, limit_s: float) -> float:
        """Return until when an answer must come; a first-form user is answered in turn."""
        return max([self.world.now, *(asked.until for asked in asker.order)]) + limit_s

    def answer(self, host: Host, asked: m.Message) -> None:
        match asked:
            case m.Attach(session=session, reader=name, keep_s=keep_s):
                place = host.places.get(name)
                if place is not None and session in place.sessions:
                    self.acknowledged.add(session)
                    if keep_s:
                        host.peer.ends[session] = CardEnd(
                            session, asked.secret, keep_s, owner=run_and_owner(asked.instance)[1]
                        )
                    host.peer.say(m.AttachAck(session=session, atr=ATR, keep_s=keep_s))
            case m.Detach(session=session):
                self.end_of(host, session)
                host.peer.say(m.DetachAck(session=session))
            case m.CApdu(id=id_, session=session, command=command):
                echo = echo_of(command)
                host.peer.say(m.RApdu(id=id_, session=session, response=echo, sw="9000"))
            case m.Sealed(id=id_, session=session, box=box):
                of = "batch_resp" if asked.of == "batch" else "r_apdu"
                said = m.SealedResp(id=id_, session=session, of=of, box=bytes(echo_of(Octets(box))))
                host.peer.say(said)
            case m.Batch(id=id_, session=session, steps=steps):
                results = tuple(
                    m.StepResult(response=echo_of(step.command), sw="9000") for step in steps
                )
                host.peer.say(m.BatchResp(id=id_, session=session, results=results))
            case _:
                self.answer_verb(host, asked)

    def answer_verb(self, host: Host, asked: m.Message) -> None:
        if isinstance(asked, m.BeginTransaction | m.EndTransaction):
            self.transact(host, asked)
            return
        if isinstance(asked, m.Reconnect) and asked.share is not None:
            place = host.place_of(asked.session)
            if place is not None:
                taken = asked.share is not Share.SHARED and len(place.sessions) > 1
                if taken and asked.session in self.world.boxed:
                    fields = {"id": asked.id, "session": asked.session}
                    code, no = ErrorCode.CARD_BUSY, Outcome.NOT_EXECUTED
                    host.peer.say(m.error(code, "Others have it.", outcome=no, **fields))
                    return
                assert not taken, "taken from those who share it"
                place.sessions[asked.session] = asked.share
        host.peer.answer(asked)

    def transact(self, host: Host, asked: m.BeginTransaction | m.EndTransaction) -> None:
        """Do as a card client does, which alone knows of transactions."""
        place = host.place_of(asked.session)
        if isinstance(asked, m.BeginTransaction) and place is not None:
            assert place.owner in {None, asked.session}
            place.owner, place.depth = asked.session, place.depth + 1
        elif place is None or place.owner != asked.session:
            self.answer_error(host, asked)
            return
        else:
            place.depth -= 1
            place.owner = asked.session if place.depth else None
        host.peer.answer(asked)

    def answer_error(self, host: Host, asked: m.Message) -> None:
        session: str | None = getattr(asked, "session", None)
        if isinstance(asked, m.Attach | m.Detach) and session is not None:
            self.end_of(host, session)
        host.peer.say(m.Error(id=asked.id, session=session, message="It does not work."))

    def answer_for_others(self, host: Host) -> None:
        """Claim what other card clients have to answer."""
        for other in self.hosts:
            for asked in other.todo if other is not host else ():
                session: str | None = getattr(asked, "session", None)
                if session is not None:
                    host.peer.say(m.Resumed(id=asked.id, session=session, seq=0))
                    host.peer.say(m.AttachAck(session=session, atr=ATR))
                    host.peer.say(m.DetachAck(session=session))
                    host.peer.say(
                        m.RApdu(id=asked.id, session=session, response=Octets(), sw="6f00")
                    )
                    host.peer.say(m.Error(id=asked.id, session=session, message="No."))
        self.look()

    def end_of(self, host: Host, session: str) -> None:
        for place in host.places.values():
            place.end(session)
        host.peer.end(session, ErrorCode.CANCELLED)

    def end_all(self, host: Host, place: Place) -> None:
        for session in list(place.sessions):
            self.end_of(host, session)

    def other_card(self, host: Host, place: Place) -> None:
        """End what the sessions of a reader have with the card that was there."""
        for session, share in list(place.sessions.items()):
            if share is not Share.DIRECT:
                self.end_of(host, session)

    def look(self) -> None:
        """Take in all that the relay has said."""
        for message in self.drain(self.watcher):
            for event in self.watching.hear(message):
                self.watcher_hears(event)
        self.look_at_hosts()
        for asker in self.askers:
            for message in self.drain(asker.peer):
                self.user_hears(asker, message)
        for asker in self.askers:
            if not self.is_there(asker.peer) and not asker.peer.said_goodbye:
                kept = [session for session in asker.held if session in self.known]
                self.away |= dict.fromkeys(kept, self.world.now)
                self.until |= {s: self.world.now + self.known[s].keep_s for s in kept}
        self.askers = [asker for asker in self.askers if self.is_there(asker.peer)]
        self.check_holders()
        self.check_joined()

    def check_holders(self) -> None:
        """Check that each session has one user, and each card one that does not share it."""
        held = [session for asker in self.askers for session in asker.held]
        assert len(held) == len(set(held)), "two users have one session"
        places: dict[tuple[str, str], list[str]] = {}
        for session in held:
            if session in self.where:
                places.setdefault(self.where[session], []).append(session)
        for sessions in places.values():
            shares = {self.shares[session] for session in sessions}
            assert len(sessions) == 1 or shares == {Share.SHARED}, "two users have one card"

    def check_joined(self) -> None:
        """Check that whoever joined a shared card joined somebody who is there."""
        attended = {session for asker in self.askers for session in asker.held}
        joined, self.joined = self.joined, []
        for session, others in joined:
            assert not others or attended & {*others}, f"{session} has a card as the dead left it"

    def watcher_hears(self, event: CardEvent) -> None:
        change, card = event
        step = {m.Change.ADDED: 1, m.Change.CHANGED: 0, m.Change.REMOVED: -1}[change]
        key = card.host, card.reader
        if change is not m.Change.ADDED:
            assert self.shown[key] > 0
        self.shown[key] += step

    def look_at_hosts(self) -> None:
        for host in self.hosts:
            for message in self.drain(host.peer):
                self.card_client_hears(host, message)
        for old_host in self.old_hosts:
            for message in self.drain(old_host.peer):
                self.old_card_client_hears(old_host, message)
        self.cut_hosts += [host for host in self.hosts if not self.is_there(host.peer)]
        self.hosts = [host for host in self.hosts if self.is_there(host.peer)]
        self.old_hosts = [host for host in self.old_hosts if self.is_there(host.peer)]

    def drain(self, peer: Peer) -> list[m.Message]:
        heard, peer.inbox = peer.inbox, []
        return heard

    def is_there(self, peer: Peer) -> bool:
        return not peer.gone and peer.closed is None

    def card_client_hears(self, host: Host, message: m.Message) -> None:
        if isinstance(message, m.Error):
            return
        if isinstance(message, m.Attach):
            place = host.places.get(message.reader)
            direct = message.share is Share.DIRECT
            if place is not None and (direct or place.info.insertion == message.insertion):
                shares = {message.share, *place.sessions.values()}
                alone = not place.sessions
                assert alone or shares == {Share.SHARED}, "given away before it was reset"
                leaving = {m.session_of(each) for each in host.todo if isinstance(each, m.Detach)}
                others = (self.acknowledged & place.sessions.keys()) - leaving
                self.joined.append((message.session, sorted(others)))
                place.sessions[message.session] = message.share
            self.shares[message.session] = message.share
            self.where[message.session] = host.name, message.reader
        if isinstance(message, m.Detach):
            self.check_kept(message)
        if isinstance(message, m.Cancel):
            host.todo.insert(0, message)
        else:
            host.todo.append(message)

    def check_kept(self, detach: m.Detach) -> None:
        """Check that the card of a user who is out of reach is not taken back too early."""
        since = self.away.get(detach.session)
        if since is not None:
            assert detach.code is not None, "nobody asked for it"
            expired = self.world.now >= since + self.known[detach.session].keep_s
            assert expired or detach.code is not ErrorCode.LEASE_EXPIRED, "given up too early"

    def old_card_client_hears(self, host: OldHost, message: m.Message) -> None:
        if not isinstance(message, m.CApdu | m.ResetReq):
            return
        assert host.question is None, "asked twice"
        host.question = message
        owner = self.owners.get(bytes(message.command)) if isinstance(message, m.CApdu) else None
        if owner is not None:
            user = owner.split()[0]
            assert host.dirty in {None, user}, "not reset since another user"
            host.dirty = user

    def user_hears(self, asker: Asker, message: m.Message) -> None:
        if isinstance(message, m.SessionEnded | m.SessionInterrupted) and message.id is None:
            self.user_loses(asker, message.session)
            return
        if isinstance(message, m.Waiting):
            assert message.id in asker.open
            assert message.position >= 1
            return
        if asker.peer.first_form:
            assert asker.order, "told without being asked"
            asked = asker.order.pop(0)
        else:
            assert message.id in asker.open, "answered twice, or another's answer"
            asked = asker.open.pop(message.id)
        self.check(asker, asked, message)

    def user_loses(self, asker: Asker, session: str) -> None:
        """Note that a session is not the user's; its requests are not answered any other way."""
        if session in asker.held:
            asker.held.remove(session)
        for id_, asked in list(asker.open.items()) if session in self.known else ():
            if isinstance(asked.request, m.Forwarded) and asked.request.session == session:
                del asker.open[id_]

    def check_claim(self, asker: Asker, claim: m.Resume, answer: m.Message) -> None:
        session = claim.session
        if isinstance(answer, m.Error):
            assert answer.session in {None, session}
            return
        assert isinstance(answer, m.Resumed | m.SessionEnded), answer
        assert answer.session == session
        assert claim.secret == self.known[session].secret, "not the user's session"
        self.user_loses(asker, session)
        if isinstance(answer, m.Resumed):
            asker.held.append(session)
            self.away.pop(session, None)
            self.until.pop(session, None)

    def check(self, asker: Asker, asked: Asked, message: m.Message) -> None:
        if isinstance(asked.request, m.Resume):
            self.check_claim(asker, asked.request, message)
            return
        assert isinstance(message, (ANSWERS[type(asked.request)], m.Error)), message
        if isinstance(message, m.RApdu):
            assert message.response == asked.echo
        if isinstance(message, m.SealedResp):
            assert message.box == asked.echo
        if isinstance(message, m.BatchResp):
            assert all(result.response == asked.echo for result in message.results)
        if isinstance(message, m.DetachAck | m.LendAck):
            asker.held.remove(message.session)
        if isinstance(message, m.ReconnectAck) and isinstance(asked.request, m.Reconnect):
            self.shares[message.session] = asked.request.share or self.shares[message.session]
        if isinstance(message, m.SelectCardAck) and message.session is not None:
            self.user_gets(asker, message.session)
            if message.keep_s:
                assert isinstance(asked.request, m.SelectCard)
                assert message.card is not None
                self.known[message.session] = Known(
                    asked.request.secret or "",
                    message.keep_s,
                    message.card.host,
                    message.card.reader,
                )

    def user_gets(self, asker: Asker, session: str) -> None:
        place = self.where.get(session)
        holders = [s for other in self.askers for s in other.held if self.where.get(s) == place]
        shares = {self.shares[each] for each in (session, *holders) if each in self.shares}
        alone = place is None or holders == []
        assert alone or shares == {Share.SHARED}, "two users have one card, and one did not share"
        assert place is None or session in self.acknowledged, "not reset for this user"
        asker.held.append(session)
