# SPDX-License-Identifier: Apache-2.0
"""Requests of our users on their way to other nodes, and what a request says of its way."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from wsrc.card.slot import Share
from wsrc.cluster import items
from wsrc.errors import ErrorCode, Outcome, RefusedError
from wsrc.protocol import codec, messages as m
from wsrc.relay import picking, queue, reserving
from wsrc.relay.index import everything
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState
from wsrc.selection import Key, Selection, lookups, normal, selection_of

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

Once = m.Revoke | m.Reserve
"""Requests that are not repeated where they may have been done."""

Routed = Named | Draining | m.Resume


@dataclass(slots=True, eq=False)
class Away:
    """
    A session with a card of another node.

    `keep` is whether it outlives the node: what was asked of its card is then answered by
    `resumed`. `open` are the requests that nobody answers if the node goes, by their ids.
    """

    node: str
    keep: bool
    open: dict[int, m.Message] = field(default_factory=dict[int, m.Message])


@dataclass(slots=True, eq=False)
class Errand:
    """
    A request on its way: it is looked for, then at `node`, or at home, where it waits.

    `asks` are the questions that are not answered, until `until`; `questions` has the keys of those
    that NATS may lose, which are asked again after `again_s`. `others` are the nodes that are asked
    if the first does not know the session. `refused` is whether its node has refused it because it
    ends, and `given_back` whether the session that it asks for is not wanted any more.
    """

    number: int
    traveller: "Traveller"
    message: Routed
    text: bytes
    began: float
    keys: tuple[Key, ...] = ()
    asks: set[int] = field(default_factory=set[int])
    questions: dict[int, Key] = field(default_factory=dict[int, Key])
    again_s: float = 0.0
    until: float = 0.0
    node: str | None = None
    at_home: bool = False
    others: list[str] = field(default_factory=list[str])
    found: dict[str, items.Found] = field(default_factory=dict[str, items.Found])
    looked: dict[int, str] = field(default_factory=dict[int, str])
    refused: bool = False
    given_back: bool = False

    @property
    def is_cancelled(self) -> bool:
        """Whether its user wants it cancelled at its node."""
        return any(each is self for each in self.traveller.cancels.values())


@dataclass(slots=True, eq=False)
class Traveller:
    """
    One of our users with something elsewhere.

    `at` are the nodes where it has arrived. `cut` are sessions elsewhere that were interrupted, and
    neither go on nor have ended, for all that the user was told. `cancels` has what it wants
    cancelled at another node, by the id of its `cancel`; `given_up` the nodes at which a request of
    an id was cancelled by us, until they have said so.
    """

    user: UserPeer
    at: set[str] = field(default_factory=set[str])
    cancels: dict[int, "Errand"] = field(default_factory=dict[int, "Errand"])
    given_up: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    sessions: dict[str, Away] = field(default_factory=dict[str, Away])
    cut: set[str] = field(default_factory=set[str])
    errands: dict[int, Errand] = field(default_factory=dict[int, Errand])

    def awaits(self, errand: Errand | None, node: str, message: m.Message) -> bool:
        """
        Return whether what a node tells the user is for it; `errand` is what it would answer.

        It is not where it comes too late: of a request that was answered, or that another node has
        by now, and of a session that is over, or goes on with another node.
        """
        if errand is not None:
            return errand.node == node
        session = m.session_of(message)
        away = self.sessions.get(session or "")
        if away is not None:
            return away.node == node
        if message.id is not None:
            return message.id in self.cancels
        if session is None:
            return True
        if session not in self.cut or isinstance(message, m.SessionInterrupted):
            return False
        return all(each.node == node for each in self.claims(session))

    def note(self, node: str, message: m.Message) -> None:
        """Note which sessions begin and end elsewhere."""
        match message:
            case m.SelectCardAck() | m.Resumed() if message.session is not None:
                keep = isinstance(message, m.Resumed) or bool(message.keep_s)
                self.sessions[message.session] = Away(node, keep)
                self.cut.discard(message.session)
            case m.SessionInterrupted():
                self.sessions.pop(message.session, None)
                self.cut.add(message.session)
            case m.SessionEnded() | m.DetachAck() | m.LendAck():
                self.sessions.pop(message.session or "", None)
                self.cut.discard(message.session or "")
            case _:
                away = self.sessions.get(m.session_of(message) or "")
                if away is not None:
                    away.open.pop(message.id or 0, None)

    def claims(self, session: str) -> "list[Errand]":
        """Return the requests to go on with a session."""
        claims = (each for each in self.errands.values() if isinstance(each.message, m.Resume))
        return [each for each in claims if m.session_of(each.message) == session]


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
    selection = cards_meant(state, message)
    if selection is None:
        return 0, 0, ()
    if picks_any(message):
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


def keys_of(state: RelayState, message: Routed) -> tuple[Key, ...]:
    """Return the keys by which it is asked who has what is meant; none where all are asked."""
    if isinstance(message, m.Resume | Draining):
        return (host_key(message.host or ""),)
    selection = cards_meant(state, message)
    return numbers_of(selection) if selection is not None and not picks_any(message) else ()


def cards_in(found: items.Found) -> tuple[m.CardInfo, ...]:
    """Return some of the cards that a node has found."""
    listed = codec.decode(found.candidates) if found.candidates else None
    return listed.cards if isinstance(listed, m.ListCardsAck) else ()


def waits(message: Routed) -> bool:
    """Return whether what is nowhere is waited for."""
    if isinstance(message, m.Resume):
        return message.host is not None
    return isinstance(message, m.SelectCard) and message.wait_s > 0


def picks_any(message: Named) -> bool:
    """Return whether any card will do that matches."""
    return isinstance(message, m.SelectCard | m.Reserve) and message.pick is m.Pick.ANY


def cards_meant(state: RelayState, message: Named) -> Selection | None:
    """
    Return which cards are meant; None of a request that is refused for it.

    A token of a reservation means the card that is reserved, where that is known.
    """
    if isinstance(message, m.SelectCard) and message.reservation is not None:
        return reserving.card_of(state, message.reservation)
    try:
        return selection_of(message)
    except RefusedError:
        return None


def as_sent_on(errand: Errand, now: float) -> bytes:
    """Return a request as it is sent on, which has waited meanwhile."""
    message, waited = errand.message, now - errand.began
    if not isinstance(message, m.SelectCard) or waited < 0.1 or not message.wait_s:
        return errand.text
    left = max(0.0, message.wait_s - waited)
    later = msgspec.structs.replace(message, wait_s=left, waited_s=message.waited_s + waited)
    return codec.encode(later)


def answer_open(state: RelayState, user: UserPeer, session: str, away: Away, why: str) -> bool:
    """Answer what nobody else does of a session; return whether it was given back."""
    is_over = False
    for id_, message in away.open.items():
        match message:
            case m.Detach():
                state.send(user, m.DetachAck(id=id_, session=session))
                is_over = True
            case m.Cancel():
                ack = m.CancelAck(id=id_, session=session, cancelled=False)
                state.send(user, ack)
            case _:
                unknown = {"session": session, "outcome": Outcome.UNKNOWN}
                gone = ErrorCode.CARD_CLIENT_GONE
                state.refuse(user, id_, gone, why, **unknown)
    return is_over


def refuse_ambiguous(
    state: RelayState,
    errand: Errand,
    selection: Selection,
    several: int,
    cards: Sequence[m.CardInfo],
) -> None:
    """Refuse a request that means several cards on several servers, with some of them."""
    why = f"{several} cards on several servers have {selection}. {queue.BY_READER}"
    user, some = errand.traveller.user, tuple(cards[:MAX_CANDIDATES])
    code = ErrorCode.AMBIGUOUS
    state.refuse(user, errand.message.id, code, why, candidates=some)
