# SPDX-License-Identifier: Apache-2.0
"""What users ask for beside lists, selects and sessions, and how the document has it answered."""

# Longer than the aim: each request once, and what the document says of it beside it.

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tests.support import policy_table as table
from tests.support.models import authorisation as book
from tests.support.models.authorisation import Thing, Verdict, Who
from tests.support.policy_served import FORBIDDEN, GONE, Served, refusal
from tests.support.relay_clients import Peer
from wsrc.card.slot import Pick, Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

M = TypeVar("M", bound=m.Message)


DAY_S = 86_400.0


class Asking:
    """
    A relay with a drawn policy, and one connection of each user.

    `met` counts what became of the requests of each kind.
    """

    def __init__(self, number: int) -> None:
        self.served = Served(number)
        self.met: Counter[Verdict] = Counter()
        self.said: Counter[type[m.Message]] = Counter()
        self.peers: dict[Who, Peer] = {}
        self.peer(table.LOOKER)

    def peer(self, who: Who) -> Peer:
        """Return the connection of a user."""
        if who not in self.peers:
            self.peers[who] = self.served.user(who)
        return self.peers[who]

    def called(self, who: Who) -> str:
        """Return a name by which others can mean a user."""
        state = self.served.world.relay._state
        return who.name or state.peers[self.peer(who).number].name

    def answer(self, who: Who, kind: type[m.Message], /, **fields: Any) -> m.Message:
        """Ask for something, and return the one answer."""
        peer = self.peer(who)
        request = kind(id=peer.new_id(), **fields)
        peer.say(request)
        self.said[kind] += 1
        if any(isinstance(each, m.Waiting) for each in peer.inbox):
            self.served.world.pass_time(self.served.world.limits.settle_s + 1.0)
        answer = [each for each in peer.inbox if each.id == request.id][-1]
        peer.inbox.clear()
        return answer

    def had(self, who: Who, kind: type[m.Message], answer: type[M], /, **fields: Any) -> M:
        """Ask for something that is given."""
        got = self.answer(who, kind, **fields)
        assert isinstance(got, answer), (got, self.served.text)
        return got

    def checked(
        self,
        who: Who,
        kind: type[m.Message],
        verdict: Verdict,
        /,
        **fields: Any,
    ) -> m.Message | None:
        """Ask for something, compare the answer, and return it if the document gives it."""
        heard = self.served.heard()
        answer = self.answer(who, kind, **fields)
        self.met[verdict] += 1
        where = who, kind, fields, answer, self.served.text
        if verdict is Verdict.ALLOWED:
            assert not isinstance(answer, m.Error), where
            return answer
        assert refusal(answer) == (GONE if verdict is Verdict.HIDDEN else FORBIDDEN), where
        assert self.served.heard() == heard, where
        return None

    def take(self, who: Who, thing: Thing, share: Share = Share.EXCLUSIVE) -> str | None:
        """Return the session of a card if it can be had at once."""
        answer = self.answer(who, m.SelectCard, reader=thing.shown, share=share)
        return answer.session if isinstance(answer, m.SelectCardAck) else None

    def give_back(self, who: Who, session: str) -> None:
        """End a session."""
        self.had(who, m.Detach, m.DetachAck, session=session)


Ask = Callable[[Asking, Who], None]


def _noted(kind: type[m.Message], fields: Mapping[str, Any]) -> Ask:
    def ask(asking: Asking, who: Who) -> None:
        for thing in asking.served.things:
            verdict = asking.served.verdict(who, thing, "tag")
            if thing.state == "unavailable":
                verdict = Verdict.HIDDEN
            ack = asking.checked(who, kind, verdict, reader=thing.shown, **fields)
            assert ack is None or ack.reader.reader == thing.shown  # type: ignore[attr-defined]

    return ask


def _reserved(asking: Asking, who: Who) -> None:
    for thing in asking.served.things:
        verdict = asking.served.verdict(who, thing, "reserve")
        absent = Verdict.HIDDEN if not thing.has_card else verdict
        ack = asking.checked(who, m.Reserve, absent, reader=thing.shown, for_s=DAY_S)
        if ack is not None:
            assert isinstance(ack, m.ReserveAck)
            _used(asking, who, thing, ack.token)
    may = {
        each.shown
        for each in asking.served.visible(who)
        if each.has_card and _has(asking, who, each, "reserve") and _takes(asking, who, each)
    }
    verdict = Verdict.ALLOWED if may else Verdict.HIDDEN
    ack = asking.checked(who, m.Reserve, verdict, pick=Pick.ANY, for_s=DAY_S)
    if ack is not None:
        assert isinstance(ack, m.ReserveAck)
        kind, _, name = ack.reservation.card.partition(" ")
        names = {book.identity(each) for each in asking.served.things if each.shown in may}
        assert f"{kind} {name}" in names, (ack, names)
        asking.had(who, m.CancelReservation, m.CancelReservationAck, token=ack.token)


def _has(asking: Asking, who: Who, thing: Thing, verb: str) -> bool:
    return asking.served.verdict(who, thing, verb) is Verdict.ALLOWED


def _takes(asking: Asking, who: Who, thing: Thing) -> bool:
    """Return whether a user may have a card, alone or with others."""
    return _has(asking, who, thing, "use") or _has(asking, who, thing, "share")


def _used(asking: Asking, who: Who, thing: Thing, token: str) -> None:
    """Take the reserved card, as far as its user may have it, and let nobody else have it."""
    other = table.LOOKER
    answer = asking.answer(other, m.SelectCard, reservation=token)
    if who.name is not None:
        assert _code(answer) is ErrorCode.NO_SUCH_RESERVATION, answer
    _back(asking, other, answer)
    without = asking.answer(who, m.SelectCard, reader=thing.shown)
    assert _code(without) is not None, (who, thing, without)
    mine = [
        each
        for each in asking.served.visible(who)
        if each.has_card and book.identity(each) == book.identity(thing)
    ]
    answer = asking.answer(who, m.SelectCard, reservation=token)
    if len(mine) == 1:
        forbidden = asking.served.verdict(who, thing, "use") is Verdict.FORBIDDEN
        assert (refusal(answer) == FORBIDDEN) == forbidden, (who, thing, answer)
        assert refusal(answer) != GONE
    _back(asking, who, answer)
    asking.had(who, m.CancelReservation, m.CancelReservationAck, token=token)


def _code(answer: m.Message) -> ErrorCode | None:
    return answer.code if isinstance(answer, m.Error) else None


def _back(asking: Asking, who: Who, answer: m.Message) -> None:
    if isinstance(answer, m.SelectCardAck):
        asking.give_back(who, answer.session or "")


def _reservations(asking: Asking) -> dict[int, tuple[Who, str, str]]:
    """Have cards reserved; return who has each reservation, of which card, and its token."""
    made: dict[int, tuple[Who, str, str]] = {}
    for who in (table.LOOKER, *table.USERS):
        for thing in asking.served.visible(who):
            answer = asking.answer(who, m.Reserve, reader=thing.shown, for_s=DAY_S)
            if isinstance(answer, m.ReserveAck):
                made[answer.reservation.number] = who, book.identity(thing), answer.token
            if isinstance(answer, m.ReserveAck) and who is not table.LOOKER:
                break
        if who is table.LOOKER:
            for number in list(made)[1::2]:
                asking.had(who, m.CancelReservation, m.CancelReservationAck, number=number)
                del made[number]
    return made


def _owns(who: Who, owner: Who) -> bool:
    return who.name is not None and who.name == owner.name


def _reservations_listed(asking: Asking, who: Who) -> None:
    made = _reservations(asking)
    for each in (who, table.LOOKER):
        there = {book.identity(thing) for thing in asking.served.visible(each)}
        every = book.operates(asking.served.says, each)
        expected = {
            number for number, (owner, card, _) in made.items()
            if every or _owns(each, owner) or card in there
        }  # fmt: skip
        ack = asking.had(each, m.ListReservations, m.ListReservationsAck)
        assert {info.number for info in ack.reservations} == expected, (each, asking.served.text)
        own = {info.number for info in ack.reservations if info.own}
        assert own == {number for number, (owner, _, _) in made.items() if _owns(each, owner)}
        asking.met[Verdict.ALLOWED if expected else Verdict.HIDDEN] += 1
    _given_up(asking, made)


def _given_up(asking: Asking, made: Mapping[int, tuple[Who, str, str]]) -> None:
    for number, (owner, _, token) in made.items():
        by = {"token": token} if owner.name is None else {"number": number}
        asking.had(owner, m.CancelReservation, m.CancelReservationAck, **by)


def _reservations_cancelled(asking: Asking, who: Who) -> None:
    made = _reservations(asking)
    unknown = ErrorCode.NO_SUCH_RESERVATION
    for number, (owner, _, token) in list(made.items()):
        may = _owns(who, owner) or owner.name is None
        if not may:
            answer = asking.answer(who, m.CancelReservation, token=token)
            assert _code(answer) is unknown, (who, owner, answer)
        may = _owns(who, owner) or book.operates(asking.served.says, who)
        answer = asking.answer(who, m.CancelReservation, number=number)
        expected = None if may else unknown
        assert _code(answer) is expected, (who, owner, answer, asking.served.text)
        asking.met[Verdict.ALLOWED if may else Verdict.HIDDEN] += 1
        if may:
            del made[number]
    _given_up(asking, made)


def _who(asking: Asking, who: Who) -> None:
    served, looker = asking.served, table.LOOKER
    visible = served.visible(looker)
    held = {each.shown: asking.take(looker, each) for each in visible if each.state == "ready"}
    waits = served.user(looker)
    for name in held:
        waits.say(m.SelectCard(id=waits.new_id(), reader=name, wait_s=500.0))
    cards = asking.had(who, m.Who, m.WhoAck).cards
    used = {each.card.reader: each for each in cards}
    things = {each.shown: each for each in served.visible(who) if each.has_card}
    assert set(used) == set(things), (who, served.text)
    for name, use in used.items():
        knows = book.revokes(served.says, who, things[name])
        asking.met[Verdict.ALLOWED if knows else Verdict.FORBIDDEN] += 1
        assert len(use.holders) == (held.get(name) is not None) == use.waiting, use
        assert all((each.session is not None) == knows for each in use.holders), (who, use)
        assert bool(use.waiters) == (knows and use.waiting > 0), (who, use)
    asking.met[Verdict.HIDDEN] += len(visible) - len(things)
    waits.leave(goodbye=True)
    for session in filter(None, held.values()):
        asking.give_back(looker, session)


def _revoked(asking: Asking, who: Who) -> None:
    served, looker = asking.served, table.LOOKER
    for thing in served.visible(looker):
        session = asking.take(looker, thing)
        if session is None:
            continue
        verdict = served.verdict(who, thing)
        if verdict is Verdict.ALLOWED and not book.revokes(served.says, who, thing):
            verdict = Verdict.FORBIDDEN
        loses = asking.peer(looker)
        ack = asking.checked(who, m.Revoke, verdict, reader=thing.shown)
        if ack is None:
            assert loses.quiet()
            asking.give_back(looker, session)
            continue
        assert isinstance(ack, m.RevokeAck)
        assert len(ack.holders) == 1
        assert loses.one(m.SessionEnded).code is ErrorCode.REVOKED
    for thing in served.visible(who):
        session = asking.take(who, thing)
        if session is not None:
            may = who.name is not None or book.revokes(served.says, who, thing)
            verdict = Verdict.ALLOWED if may else Verdict.FORBIDDEN
            if asking.checked(who, m.Revoke, verdict, reader=thing.shown) is None:
                asking.give_back(who, session)


def _let_share(asking: Asking, who: Who) -> None:
    """Let somebody share a card, who gets it if they may; nobody else does."""
    for thing, guest, session in _made_way(asking, who):
        verdict = asking.served.verdict(guest, thing, "share")
        verdict = Verdict.ALLOWED if verdict is Verdict.ALLOWED else Verdict.FORBIDDEN
        name = asking.called(guest)
        ack = asking.checked(who, m.Allow, verdict, session=session, who=name)
        opened = asking.answer(who, m.Reconnect, session=session, share=Share.SHARED)
        joins = ack is not None and isinstance(opened, m.ReconnectAck)
        for each in (guest, table.LOOKER):
            got = asking.take(each, thing, Share.SHARED)
            has = isinstance(opened, m.ReconnectAck) and (ack is None or each is guest)
            has = has and asking.served.verdict(each, thing, "share") is Verdict.ALLOWED
            assert (got is not None) == has, (who, each, thing, joins, asking.served.text)
            if got is not None:
                asking.give_back(each, got)
        asking.give_back(who, session)


def _lent(asking: Asking, who: Who) -> None:
    """Lend a card, which goes to who may have it, and to nobody else."""
    for thing, guest, session in _made_way(asking, who):
        verdict = asking.served.verdict(guest, thing, "use")
        verdict = Verdict.ALLOWED if verdict is Verdict.ALLOWED else Verdict.FORBIDDEN
        name = asking.called(guest)
        if asking.checked(who, m.Lend, verdict, session=session, who=name) is None:
            asking.give_back(who, session)
            continue
        assert asking.take(table.LOOKER, thing) is None
        got = asking.take(guest, thing)
        assert got is not None, (who, guest, thing, asking.served.text)
        asking.give_back(guest, got)


def _made_way(asking: Asking, who: Who) -> "list[tuple[Thing, Who, str]]":
    """Yield a card that a user has, somebody else, and the session, for each of both."""
    draw = table.drawn("way", len(asking.said) + len(str(who)))
    for thing in asking.served.visible(who):
        # A card client of the first form cannot share.
        if asking.served.things[thing] is None:
            continue
        for guest in draw.sample([each for each in table.USERS if each != who], 3):
            asking.peer(guest)
            session = asking.take(who, thing)
            if session is not None:
                yield thing, guest, session


def _any(asking: Asking, who: Who) -> None:
    """Take any card until there is none; it is always one that may be had alone."""
    may = {
        each.shown: each
        for each in asking.served.visible(who)
        if each.has_card and asking.served.verdict(who, each, "use") is Verdict.ALLOWED
    }
    sessions: dict[str, str] = {}
    while isinstance(answer := asking.answer(who, m.SelectCard, pick=Pick.ANY), m.SelectCardAck):
        assert answer.card is not None
        sessions[answer.card.reader or ""] = answer.session or ""
    assert set(sessions) <= set(may), (who, asking.served.text)
    assert set(sessions) >= {name for name, each in may.items() if each.state == "ready"}
    there = any(each.has_card and _takes(asking, who, each) for each in asking.served.visible(who))
    assert _code(answer) is (ErrorCode.CARD_BUSY if there else ErrorCode.NO_SUCH_CARD), answer
    asking.met[Verdict.ALLOWED if sessions else Verdict.HIDDEN] += 1
    for session in sessions.values():
        asking.give_back(who, session)


def _operated(kind: type[m.Message], fields: Callable[[Asking], Mapping[str, Any]]) -> Ask:
    def ask(asking: Asking, who: Who) -> None:
        verdict = Verdict.ALLOWED if book.operates(asking.served.says, who) else Verdict.FORBIDDEN
        given, _ = fields(asking), asking.peer(who)
        before = _server(asking)
        if asking.checked(who, kind, verdict, **given) is None:
            assert _server(asking) == before, (who, kind, asking.served.text)
        asking.served.world.stopped = False

    return ask


def _server(asking: Asking) -> tuple[object, ...]:
    """Return what operators may change."""
    world, looker = asking.served.world, table.LOOKER
    bans = asking.had(looker, m.ListBans, m.ListBansAck).bans
    peers = asking.had(looker, m.ListPeers, m.ListPeersAck).peers
    closed = [each.closed for each in world.peers.values()]
    return bans, [(each.number, each.draining) for each in peers], closed, world.stopped


def _to_kick(asking: Asking) -> Mapping[str, Any]:
    return {"peer": asking.served.user(Who("guest")).number}


def _banned(asking: Asking) -> Mapping[str, Any]:
    asking.had(table.LOOKER, m.Ban, m.BanAck, who="nobody", for_s=9.0)
    return {"who": "nobody"}


def _host(asking: Asking) -> str:
    hosts = (each for each in asking.served.things.values() if each is not None)
    return next(each.shown_as or "" for each in hosts)


def _drained(asking: Asking) -> Mapping[str, Any]:
    asking.had(table.LOOKER, m.Drain, m.DrainAck, host=_host(asking))
    return {"host": _host(asking)}


OPERATING: Mapping[type[m.Message], Ask] = {
    kind: _operated(kind, fields)
    for kind, fields in {
        m.ListPeers: lambda _: {},
        m.Kick: _to_kick,
        m.Ban: lambda _: {"who": "nobody", "for_s": 9.0},
        m.Unban: _banned,
        m.ListBans: lambda _: {},
        m.Drain: lambda asking: {"host": _host(asking)},
        m.Undrain: _drained,
        m.Stop: lambda _: {},
    }.items()
}
"""What is an operator's, as one user asks for it."""

OF_CARDS: Mapping[type[m.Message], Ask] = {
    m.SetTags: _noted(m.SetTags, {"set": {"rack": "7"}}),
    m.SetComment: _noted(m.SetComment, {"comment": "a loose contact"}),
    m.Reserve: _reserved,
    m.ListReservations: _reservations_listed,
    m.CancelReservation: _reservations_cancelled,
    m.Who: _who,
    m.Revoke: _revoked,
    m.Allow: _let_share,
    m.Lend: _lent,
}
"""What is asked for cards, as one user asks for it of all of them."""

any_card: Ask = _any
