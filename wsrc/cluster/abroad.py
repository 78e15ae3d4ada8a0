# SPDX-License-Identifier: Apache-2.0
"""
Our users' cards on other nodes: which node is asked, and what becomes of that when it is gone.

Nothing is decided here but where a request goes. What is found nowhere stays with our own relay,
which refuses it or has it wait, and goes to the node where it comes up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from wsrc.card.slot import Share
from wsrc.cluster import items
from wsrc.cluster.outside import ANSWER_S, Outside
from wsrc.errors import ErrorCode, Outcome, RefusedError
from wsrc.protocol import codec, messages as m
from wsrc.relay import picking, queue, resuming
from wsrc.relay.index import everything
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState
from wsrc.selection import Key, Selection, lookups, normal, selection_of

# Longer than the aim: a request that is looked for, is there, or waits here, and each way between.

NUMBERS = ("iccid", "eid")
"""Kinds of names that one card has; by others several nodes may have cards."""

TIMER = "errand"

HOST = "host"
"""Kind of the key of a card host."""

MAX_CANDIDATES = queue.MAX_CANDIDATES

Named = m.SelectCard | m.Revoke | m.SetTags | m.SetComment | m.Reserve
"""Requests that mean one card, wherever it is."""

Draining = m.Drain | m.Undrain
"""Requests that mean one card host."""

Routed = Named | Draining | m.Resume


@dataclass(slots=True, eq=False)
class Away:
    """A session with a card of another node; `open` is a request that nobody answers if it goes."""

    node: str
    keep: bool
    open: int | None = None


@dataclass(slots=True, eq=False)
class Errand:
    """
    A request on its way: it is looked for, then at `node`, or at home, where it waits.

    `asks` are the questions that are not answered, `others` the nodes that are asked if the first
    does not know the session.
    """

    number: int
    traveller: "Traveller"
    message: Routed
    text: bytes
    began: float
    keys: tuple[Key, ...] = ()
    asks: set[int] = field(default_factory=set[int])
    node: str | None = None
    at_home: bool = False
    others: list[str] = field(default_factory=list[str])
    found: dict[str, items.Found] = field(default_factory=dict[str, items.Found])
    looked: dict[int, str] = field(default_factory=dict[int, str])
    refused: bool = False


@dataclass(slots=True, eq=False)
class Traveller:
    """One of our users with something elsewhere; `at` are the nodes where it has arrived."""

    user: UserPeer
    arrive: items.Arrive
    at: set[str] = field(default_factory=set[str])
    sessions: dict[str, Away] = field(default_factory=dict[str, Away])
    errands: dict[int, Errand] = field(default_factory=dict[int, Errand])


class Abroad:
    """
    All that our users have elsewhere.

    Args:
        state: Of our own relay.
        outside: The other nodes.
        arrival: Returns what other nodes are told of a user.
        home: Has our own relay act on a request.
    """

    def __init__(
        self,
        state: RelayState,
        outside: Outside,
        arrival: Callable[[UserPeer], items.Arrive],
        home: Callable[[UserPeer, m.Message, bytes | None, float], None],
    ) -> None:
        self._state = state
        self._outside = outside
        self._arrival = arrival
        self._home = home
        self._travellers: dict[int, Traveller] = {}
        self._asked: dict[int, Errand] = {}
        self._errands: dict[int, Errand] = {}
        self._followers: dict[Key, dict[int, Errand]] = {}
        self._number = 0

    @property
    def counts(self) -> dict[str, int]:
        """Users, sessions and requests that are elsewhere, and what is followed."""
        travellers = self._travellers.values()
        return {
            "users": sum(1 for each in travellers if each.at),
            "sessions": sum(len(each.sessions) for each in travellers),
            "errands": len(self._errands),
            "followed": len(self._followers),
        }

    # What our users say

    def has_session(self, user: int, message: m.Message) -> bool:
        """Return whether a message is of a session elsewhere."""
        traveller = self._travellers.get(user)
        return traveller is not None and m.session_of(message) in traveller.sessions

    def passes(self, user: int, message: m.Message, text: bytes) -> bool:
        """Pass on what belongs to a session elsewhere; return whether it does."""
        traveller = self._travellers.get(user)
        away = traveller.sessions.get(m.session_of(message) or "") if traveller else None
        if away is None or isinstance(message, m.Resume):
            return False
        if not away.keep and isinstance(message, m.Forwarded):
            away.open = message.id
        self._outside.carry(away.node, items.Say(user, text))
        return True

    def takes(self, user: UserPeer, message: m.Message, text: bytes | None, now: float) -> bool:
        """Take what may be for a card elsewhere; return whether it was taken."""
        if isinstance(message, m.Cancel):
            return self._cancels(user, message, now)
        if not isinstance(message, Routed) or message.id is None or self._state.draining:
            return False
        here = self._is_here(user, message)
        if here and not (_waits(message) and _keys(message)):
            return False
        traveller = self._traveller(user)
        if message.id in traveller.errands:
            why = "A request with this id is not answered yet."
            self._state.refuse(user, message.id, ErrorCode.REQUEST_IN_FLIGHT, why)
            return True
        self._number += 1
        errand = Errand(self._number, traveller, message, text or codec.encode(message), now)
        self._errands[errand.number] = errand
        traveller.errands[message.id] = errand
        self._begin(errand, now, here=here)
        return True

    def gone(self, user: int, *, goodbye: bool) -> None:
        """Take note that one of our users is gone."""
        traveller = self._travellers.pop(user, None)
        if traveller is None:
            return
        for errand in list(traveller.errands.values()):
            self._forget(errand)
        for node in traveller.at:
            self._outside.carry(node, items.Leave(user, goodbye))

    # What other nodes say

    def is_at(self, user: int, node: str) -> bool:
        """Return whether one of our users is one of a node."""
        traveller = self._travellers.get(user)
        return traveller is not None and node in traveller.at

    def arrives(self, user: UserPeer, node: str) -> None:
        """Have one of our users be one of a node as well."""
        self._arrives(self._traveller(user), node)

    def told(self, node: str, item: items.Tell, message: m.Message, now: float) -> None:
        """Pass on what a node says to one of our users, who is there."""
        traveller = self._travellers[item.link]
        errand = traveller.errands.get(message.id) if message.id is not None else None
        if errand is not None and errand.node != node:
            self._undo(node, item.link, message)
            return
        if errand is not None and not isinstance(message, m.Waiting):
            if self._goes_on(errand, message, now):
                return
            self._forget(errand)
        self._note(traveller, node, message)
        self._state.send(traveller.user, message, item.text)

    def passed(self, node: str, item: items.Pass) -> UserPeer | None:
        """Return the user to whom what a node has passed on is to be sent as it is."""
        traveller = self._travellers.get(item.link)
        return traveller.user if traveller is not None and node in traveller.at else None

    def has(self, node: str, number: int, now: float) -> None:
        """Take note that a node has what was asked for."""
        errand = self._asked.get(number)
        if errand is None:
            return
        if errand.node is None and not errand.at_home:
            self._send(errand, node, now)
        elif node != errand.node:
            errand.others.append(node)

    def nobody(self, number: int, now: float) -> None:
        """Take note that no node has what was asked for."""
        errand = self._asked.pop(number, None)
        if errand is None:
            return
        errand.asks.discard(number)
        if not errand.asks and errand.node is None and not errand.at_home:
            self._stays(errand, now)

    def found(self, node: str, item: items.Found, now: float) -> None:
        """Take note of how many cards a node has that are meant."""
        errand = self._asked.get(item.number)
        if errand is None or errand.looked.get(item.number) != node:
            return
        errand.found[node] = item
        self.nobody_left(errand, item.number, now)

    def nobody_left(self, errand: Errand, number: int, now: float) -> None:
        """Decide where a request goes once all nodes have answered."""
        self._asked.pop(number, None)
        errand.asks.discard(number)
        if not errand.asks and errand.node is None and not errand.at_home:
            self._decide(errand, now)

    def came(self, key: Key, node: str, now: float) -> None:
        """Send what waits for a card or a host to the node where it has come up."""
        for errand in list(self._followers.get(key, {}).values()):
            if errand.at_home:
                if self._leaves_home(errand, now):
                    self._send(errand, node, now)
            elif errand.node is None:
                self._send(errand, node, now)
            elif errand.node != node:
                self._moves(errand, node, now)

    def expired(self, number: int, now: float) -> None:
        """Go on with a request that not all nodes have answered in time."""
        errand = self._errands.get(number)
        if errand is None or errand.node is not None or errand.at_home:
            return
        looked = bool(errand.looked)
        self._unask(errand)
        if looked:
            self._decide(errand, now)
        else:
            self._stays(errand, now)

    def dismissed(self, node: str, link: int, now: float) -> None:
        """Take note that a node knows one of our users no more."""
        traveller = self._travellers.get(link)
        if traveller is not None and node in traveller.at:
            self._lost(traveller, node, now)

    def down(self, node: str, now: float) -> None:
        """Take note that there is no road to a node any more."""
        for traveller in list(self._travellers.values()):
            if node in traveller.at:
                self._lost(traveller, node, now)
        for errand in list(self._errands.values()):
            for number, asked in list(errand.looked.items()):
                if asked == node and number in errand.asks:
                    self.nobody_left(errand, number, now)

    def answered(self, user: int, message: m.Message) -> None:
        """Take note of what our own relay answers."""
        traveller = self._travellers.get(user)
        errand = traveller.errands.get(message.id or 0) if traveller is not None else None
        if errand is not None and errand.at_home and not isinstance(message, m.Waiting):
            self._forget(errand)

    # Where a request goes

    def _is_here(self, user: UserPeer, message: Routed) -> bool:
        """Return whether our own relay has what is meant, for all that need be known."""
        state = self._state
        if isinstance(message, m.Resume):
            if message.session in state.sessions or message.host is None:
                return True
            slots = state.places.of(message.reader) if message.reader is not None else ()
            return any(slot.peer.name == message.host for slot in slots)
        if isinstance(message, Draining):
            return self._outside.serves(host_key(message.host))
        selection = _selection(message)
        if selection is None or getattr(message, "reservation", None) is not None:
            return True
        if _picks_any(message):
            return meant(state, user, message)[1] > 0
        return bool(numbers_of(selection)) and meant(state, user, message)[0] > 0

    def _begin(self, errand: Errand, now: float, *, here: bool = False) -> None:
        errand.keys, errand.node, errand.at_home = _keys(errand.message), None, False
        errand.others, errand.found, errand.looked = [], {}, {}
        errand.refused = False
        if _waits(errand.message):
            for key in errand.keys:
                self._follow(key, errand)
        if here:
            self._stays(errand, now)
            return
        if errand.keys:
            for key in errand.keys:
                self._outside.ask(key, self._ask(errand))
        else:
            for node in self._outside.up():
                self._arrives(errand.traveller, node)
                number = self._ask(errand)
                errand.looked[number] = node
                link = errand.traveller.user.number
                self._outside.carry(node, items.Look(link, number, errand.text))
        if errand.asks:
            self._outside.until((TIMER, errand.number), now + ANSWER_S)
        else:
            self._stays(errand, now)

    def _ask(self, errand: Errand) -> int:
        self._number += 1
        self._asked[self._number] = errand
        errand.asks.add(self._number)
        return self._number

    def _decide(self, errand: Errand, now: float) -> None:
        """Choose among the nodes that have what is meant, ours too."""
        message, user = errand.message, errand.traveller.user
        assert isinstance(message, Named)
        selection = _selection(message)
        there = {node: found for node, found in errand.found.items() if found.cards}
        if selection is None or not there:
            self._stays(errand, now)
            return
        if _picks_any(message):
            best = max(there, key=lambda node: (there[node].free, there[node].cards))
            self._send(errand, best, now)
            return
        here, _, some = meant(self._state, user, message)
        if len(there) + bool(here) > 1:
            cards = [*some, *(card for each in there.values() for card in _cards(each))]
            several = here + sum(each.cards for each in there.values())
            self._refuse_ambiguous(errand, selection, several, cards)
        else:
            self._send(errand, next(iter(there)), now)

    def _refuse_ambiguous(
        self, errand: Errand, selection: Selection, several: int, cards: Sequence[m.CardInfo]
    ) -> None:
        why = f"{several} cards on several servers have {selection}. {queue.BY_READER}"
        user, some = errand.traveller.user, tuple(cards[:MAX_CANDIDATES])
        self._forget(errand)
        code = ErrorCode.AMBIGUOUS
        self._state.refuse(user, errand.message.id, code, why, candidates=some)

    def _send(self, errand: Errand, node: str, now: float) -> None:
        """Let a node have a request."""
        self._outside.until((TIMER, errand.number), None)
        self._arrives(errand.traveller, node)
        errand.node, errand.at_home = node, False
        text = _on(errand, now)
        self._outside.carry(node, items.Say(errand.traveller.user.number, text))

    def _stays(self, errand: Errand, now: float) -> None:
        """Let our own relay have a request, for nobody else can."""
        self._outside.until((TIMER, errand.number), None)
        self._unask(errand)
        errand.at_home = True
        message = codec.decode(_on(errand, now))
        self._home(errand.traveller.user, message, None, now)

    def _leaves_home(self, errand: Errand, now: float) -> bool:
        """Withdraw what waits with our own relay; return whether it waited for a card elsewhere."""
        user, id_ = errand.traveller.user, errand.message.id
        waiter, claim = user.waiting.get(id_), user.claims.get(id_)
        if waiter is not None:
            message = errand.message
            if not isinstance(message, m.SelectCard) or meant(self._state, user, message)[0]:
                return False
            queue.give_up(self._state, waiter, now)
        elif claim is not None and claim.peer is None:
            resuming.withdraw(self._state, claim)
        else:
            return False
        return True

    def _moves(self, errand: Errand, node: str, now: float) -> None:
        """Have a node give up what waits there, for the card has come up with another."""
        user, id_ = errand.traveller.user.number, errand.message.id
        assert errand.node is not None
        assert id_ is not None
        given_up = codec.encode(m.Cancel(id=id_, target=id_))
        if isinstance(errand.message, m.SelectCard):
            self._outside.carry(errand.node, items.Say(user, given_up))
        self._send(errand, node, now)

    # What becomes of it

    def _goes_on(self, errand: Errand, message: m.Message, now: float) -> bool:
        """Try elsewhere what a node could not do; return whether that is tried."""
        if not isinstance(message, m.Error):
            return False
        if message.code is ErrorCode.SHUTTING_DOWN:
            errand.refused = True
            return True  # it is sent elsewhere when the node has ended
        unknown = message.code is ErrorCode.NO_SUCH_SESSION
        if isinstance(errand.message, m.Resume) and unknown and errand.others:
            self._send(errand, errand.others.pop(), now)
            return True
        return False

    def _undo(self, node: str, link: int, message: m.Message) -> None:
        """Give back what a node has given whom another is asked by now."""
        if isinstance(message, m.SelectCardAck) and message.session is not None:
            back = m.Detach(id=message.id, session=message.session)
            self._outside.carry(node, items.Say(link, codec.encode(back)))

    def _note(self, traveller: Traveller, node: str, message: m.Message) -> None:
        """Note which sessions begin and end elsewhere."""
        match message:
            case m.SelectCardAck() | m.Resumed() if message.session is not None:
                keep = isinstance(message, m.Resumed) or bool(message.keep_s)
                traveller.sessions[message.session] = Away(node, keep)
            case m.SessionEnded() | m.DetachAck() | m.LendAck() | m.SessionInterrupted():
                traveller.sessions.pop(message.session or "", None)
            case _:
                away = traveller.sessions.get(m.session_of(message) or "")
                if away is not None and away.open == message.id:
                    away.open = None

    def _lost(self, traveller: Traveller, node: str, now: float) -> None:
        """Tell a user what became of sessions with a node that is gone, and ask others."""
        traveller.at.discard(node)
        state, user = self._state, traveller.user
        why = f"The server {node} of the cluster, which had the card, does not answer."
        for session, away in list(traveller.sessions.items()):
            if away.node != node:
                continue
            del traveller.sessions[session]
            if away.keep:
                state.send(user, m.SessionInterrupted(session=session, message=why))
                continue
            gone = ErrorCode.CARD_CLIENT_GONE
            if away.open is not None:
                unknown = {"session": session, "outcome": Outcome.UNKNOWN}
                state.refuse(user, away.open, gone, why, **unknown)
            state.send(user, m.SessionEnded(session=session, code=gone, message=why))
        for errand in list(traveller.errands.values()):
            if errand.node == node:
                self._unask(errand)
                self._begin(errand, now)

    def _cancels(self, user: UserPeer, message: m.Cancel, now: float) -> bool:
        traveller = self._travellers.get(user.number)
        errand = traveller.errands.get(message.target) if traveller is not None else None
        if errand is None or errand.at_home:
            return False
        if errand.node is not None and not errand.refused:
            self._outside.carry(errand.node, items.Say(user.number, codec.encode(message)))
            return True
        self._forget(errand)
        why = "The request was cancelled."
        self._state.refuse(user, message.target, ErrorCode.CANCELLED, why)
        self._state.send(user, m.CancelAck(id=message.id, cancelled=True, session=message.session))
        return True

    # What is kept

    def _traveller(self, user: UserPeer) -> Traveller:
        traveller = self._travellers.get(user.number)
        if traveller is None:
            traveller = self._travellers[user.number] = Traveller(user, self._arrival(user))
        return traveller

    def _arrives(self, traveller: Traveller, node: str) -> None:
        if node not in traveller.at:
            traveller.at.add(node)
            self._outside.carry(node, traveller.arrive)

    def _follow(self, key: Key, errand: Errand) -> None:
        followers = self._followers.setdefault(key, {})
        if not followers:
            self._outside.follow(key)
        followers[errand.number] = errand

    def _unask(self, errand: Errand) -> None:
        for number in errand.asks:
            self._asked.pop(number, None)
        errand.asks.clear()

    def _forget(self, errand: Errand) -> None:
        """Strike a request that is answered."""
        self._unask(errand)
        self._outside.until((TIMER, errand.number), None)
        self._errands.pop(errand.number, None)
        errand.traveller.errands.pop(errand.message.id or 0, None)
        for key in errand.keys:
            followers = self._followers.get(key, {})
            if followers.pop(errand.number, None) is not None and not followers:
                del self._followers[key]
                self._outside.unfollow(key)


def numbers_of(selection: Selection) -> tuple[Key, ...]:
    """Return the keys of the numbers by which a card is selected, of which it is to have one."""
    for kind, value in selection.items:
        if kind in NUMBERS:
            return tuple(lookups(kind, value))
    return ()


def meant(
    state: RelayState, user: UserPeer, message: Named
) -> tuple[int, int, tuple[m.CardInfo, ...]]:
    """
    Return how many cards a request means that a user sees, how many of them are free, and some.

    Of many only as many are counted as are looked at in a turn.
    """
    selection = _selection(message)
    if selection is None:
        return 0, 0, ()
    if _picks_any(message):
        return (*picking.how_many(state, user, selection), ())
    if isinstance(message, m.SelectCard):
        slots = queue.find(state, user, message, selection)
    else:
        sees = user.audience.sees if user.audience is not None else everything
        slots = state.index.find(selection, sees)
    some = tuple(state.card_info(slot) for slot in slots[:MAX_CANDIDATES])
    return len(slots), sum(1 for slot in slots if slot.free_for(Share.EXCLUSIVE)), some


def host_key(name: str) -> Key:
    """Return the key of a card host."""
    return HOST, normal(HOST, name)


def _keys(message: Routed) -> tuple[Key, ...]:
    """Return the keys by which it is asked who has what is meant; none where all are asked."""
    if isinstance(message, m.Resume | Draining):
        return (host_key(message.host or ""),)
    selection = _selection(message)
    return numbers_of(selection) if selection is not None and not _picks_any(message) else ()


def _cards(found: items.Found) -> tuple[m.CardInfo, ...]:
    listed = codec.decode(found.candidates) if found.candidates else None
    return listed.cards if isinstance(listed, m.ListCardsAck) else ()


def _waits(message: Routed) -> bool:
    """Return whether what is nowhere is waited for."""
    if isinstance(message, m.Resume):
        return message.host is not None
    return isinstance(message, m.SelectCard) and message.wait_s > 0


def _picks_any(message: Named) -> bool:
    return isinstance(message, m.SelectCard | m.Reserve) and message.pick is m.Pick.ANY


def _selection(message: Named) -> Selection | None:
    """Return which cards are meant; None of a request that is refused for it."""
    try:
        return selection_of(message)
    except RefusedError:
        return None


def _on(errand: Errand, now: float) -> bytes:
    """Return a request as it is sent on, which has waited meanwhile."""
    message, waited = errand.message, now - errand.began
    if not isinstance(message, m.SelectCard) or waited < 0.1 or not message.wait_s:
        return errand.text
    left = max(0.0, message.wait_s - waited)
    later = msgspec.structs.replace(message, wait_s=left, waited_s=message.waited_s + waited)
    return codec.encode(later)
