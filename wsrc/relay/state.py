# SPDX-License-Identifier: Apache-2.0
"""The state of the relay, and the few moves that everything else is made of."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from weakref import WeakValueDictionary

import msgspec

from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import CloseCode
from wsrc.protocol.messages import LeaseInfo
from wsrc.relay import tags
from wsrc.relay.audience import Audience
from wsrc.relay.audiences import Audiences
from wsrc.relay.bans import Bans
from wsrc.relay.claims import Claims, Lost, Past, Remembered
from wsrc.relay.effects import Close, Effect, Note, Send
from wsrc.relay.index import Index, Places
from wsrc.relay.kept import Kept
from wsrc.relay.names import HostNames, ReaderIds
from wsrc.relay.readers import Readers, view_of
from wsrc.relay.records import (
    Account,
    CardPeer,
    Drained,
    Lease,
    LeasePhase,
    Lent,
    Peer,
    Pending,
    Slot,
    UserPeer,
)
from wsrc.relay.reservations import Booked, Reservations
from wsrc.relay.roll import Roll
from wsrc.relay.standing import Ordered
from wsrc.relay.tally import Tally
from wsrc.relay.timers import Timers
from wsrc.relay.waiting import Line, Round, WaitingRoom
from wsrc.selection import Key, named, names_of, normal, reader_names


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """
    Times in seconds and counts that bound what a peer may ask for.

    `lease_idle_s`, `…_per_principal`, `…_per_address` and `…_per_s` of 0 are no limits.
    Connections, requests and octets are counted elsewhere, and only told here. With `keep_s` of 0
    no session outlives its connection, and without `resume_by_secret` none that is not sealed.
    `lease_warn_s` is how long before its lease ends a user is told, for idleness at most half of
    `lease_idle_s`; 0 is not to tell. `lend_s` is how long a card is kept for whom it was lent to.
    `settle_s` is how long a select waits unasked for a card that is being reset or identified.
    `max_reader_changes` are kept for watchers of readers that come back.
    """

    hello_s: float = 10.0
    attach_s: float = 30.0
    command_s: float = 150.0
    settle_s: float = 30.0
    lease_idle_s: float = 3600.0
    lease_warn_s: float = 0.0
    lend_s: float = 120.0
    wait_max_s: float = 3600.0
    keep_s: float = 600.0
    resume_by_secret: bool = True
    max_sessions_per_user: int = 64
    max_waiting: int = 10_000
    max_sessions_per_principal: int = 0
    max_waiting_per_principal: int = 0
    max_reservations_per_principal: int = 0
    max_connections_per_principal: int = 0
    max_connections_per_address: int = 0
    requests_per_s: float = 0.0
    octets_per_s: float = 0.0
    max_readers_per_card_client: int = 1_024
    max_reader_changes: int = 2_048


TimerKey = tuple[str, int | str, int | None]
"""What a deadline is for: its kind, the number of a peer or claim or a session, a request id."""

Unjudged = UserPeer | str | tuple[CardPeer, str] | Readers
"""A user, a session, a reader of a card client or the readers of users, for a new policy."""

LENT = "lent"
"""Kind of the deadline until which a card is kept for whom it was lent to."""

SESSION_TIMERS = frozenset(("attach", "command", "idle", "reserved", "away", "clean"))
"""Kinds of deadlines that belong to a session."""


class RelayState:
    """
    Everything that the relay knows.

    `kept` has the leases whose user is out of reach, by the run of the user's program and the
    session. `past` has the card client's number of sessions that were kept once and are over.
    `lost` has leases whose card client is out of reach and may come back with the session. `gone`
    has the runs of users' programs that said goodbye, `left` the names of card hosts that did, by
    the number of their connection. `drained` has card hosts by their names in normal form.
    `instance` is the name of this run of the server. `open_to_operators` tells that whoever is
    there may do what is the operator's, where there is no policy. `kept_tags` is what users noted
    of cards, by `tags.identity_of`, and `pending` what is not kept yet, `booked` likewise of
    reservations, `ordered` of bans and drained hosts. `accounts` are those that a peer or a lease
    has. `rounds` has what is left to do for those who wait, `awaited` the cards of which users are
    shown that somebody waits for them, `sought` the lines that look through free cards, by their
    numbers, `unjudged` what is not looked at yet since the policy is another. `worn` has the cards
    that were used last, each in the reader where it was: who sees one of several with one ICCID is
    told nothing of the others.

    Args:
        limits: Bounds.
        epoch: Returns what to add to a monotonic time to get seconds since 1970 in UTC.
        new_session: Returns a new session name that nobody can guess.
        instance: Name of this run of the server, which no other run has.
    """

    def __init__(
        self,
        limits: Limits,
        epoch: Callable[[], float],
        new_session: Callable[[], str],
        instance: str,
    ) -> None:
        # Longer than the aim: all that a relay knows, each by its name.
        self.limits = limits
        self.instance = instance
        self.epoch = epoch
        self.new_session = new_session
        self.peers: dict[int, Peer] = {}
        self.slots: dict[int, Slot] = {}
        self.sessions: dict[str, Lease] = {}
        self.instances: dict[tuple[type[Peer], str], Peer] = {}
        self.index = Index()
        self.places = Places()
        self.host_names = HostNames()
        self.reader_ids = ReaderIds()
        self.readers = Audiences(
            instance, limits.max_reader_changes, self.slots, self.places, self.view_of
        )
        self.waiting = WaitingRoom(self._seen_under)
        self.rounds: dict[TimerKey, Round] = {}
        self.awaited: dict[Slot, None] = {}
        self.sought: dict[int, Line] = {}
        self.worn: Remembered[bool] = Remembered()
        self.unjudged: deque[Unjudged] = deque()
        self.claims = Claims()
        self.kept: dict[str, dict[str, Lease]] = {}
        self.past: Remembered[Past] = Remembered()
        self.lost: Remembered[Lost] = Remembered()
        self.gone: Remembered[bool] = Remembered()
        self.left: Remembered[str] = Remembered()
        self.timers: Timers[TimerKey] = Timers()
        self.roll = Roll()
        self.bans = Bans()
        self.drained: dict[str, Drained] = {}
        self.kept_tags: dict[str, Kept] = {}
        self.pending: dict[int, Pending] = {}
        self.reservations = Reservations(limits.lease_warn_s)
        self.booked: dict[int, Booked] = {}
        self.ordered: dict[int, Ordered] = {}
        self.last_change = 0
        self.accounts: WeakValueDictionary[str, Account] = WeakValueDictionary()
        self.effects: list[Effect] = []
        self.tally = Tally()
        self.draining = False
        self.open_to_operators = False
        self.reconnect_in_s: float | None = None
        self._slot_number = 0

    def _seen_under(self, key: Key, audience: Audience | None) -> int:
        """Count the cards with a name that an audience sees."""
        if audience is None:
            return self.index.count(key)
        return self.readers.free_of(audience).count((key,))

    def send(self, peer: Peer, message: m.Message, text: bytes | None = None) -> None:
        """Send a message to a peer that is still there, as the text in which it came if given."""
        if peer.number in self.peers:
            self.effects.append(Send(peer.number, message, text))

    def refuse(
        self, peer: Peer, id_: int | None, code: ErrorCode, sentence: str, **fields: object
    ) -> None:
        """
        Answer a request with an error, or say one without `id_`.

        What ends with a restart says when that is, what nobody gave the right to was not executed.
        """
        if code is ErrorCode.FORBIDDEN and id_ is not None:
            fields.setdefault("outcome", Outcome.NOT_EXECUTED)
        if code is ErrorCode.SHUTTING_DOWN:
            fields["retry_after_s"] = self.reconnect_in_s
        self.tally.refused(code)
        self.send(peer, m.error(code, sentence, id=id_, **fields))

    def reached(self, limit: str, what: str, by: Peer) -> None:
        """Have it counted, and told once a minute, that a peer reached a limit."""
        sentence = f"{limit} is reached: {what}"
        self.effects.append(Note(sentence, warns=True, limit=limit, by=by.number))

    def account(self, key: str) -> Account:
        """Return the account of this name, which is there for as long as anything is in it."""
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account()
        return account

    def tell(self, lease: Lease, message: m.Message, text: bytes | None = None) -> None:
        """Send the user of a lease a message; nothing happens when they are away."""
        if lease.user is not None:
            self.send(lease.user, message, text)

    def close(self, peer: Peer, code: CloseCode, reason: str) -> None:
        """Close a peer's connection and forget the peer, once what is decided now is done."""
        self.effects.append(Close(peer.number, code, reason))

    def note(self, sentence: str) -> None:
        """Log a sentence for the operator."""
        self.effects.append(Note(sentence))

    def warn(self, sentence: str, by: Peer) -> None:
        """Log a sentence that the operator should act on; a peer may have caused many."""
        self.effects.append(Note(sentence, warns=True, by=by.number))

    def clear_timers(self, lease: Lease) -> None:
        """Forget all deadlines of a lease."""
        for kind in SESSION_TIMERS:
            self.timers.clear((kind, lease.session, None))

    def keep(self, lease: Lease) -> None:
        """Note that a lease waits for its user."""
        if lease.instance is not None:
            self.kept.setdefault(lease.instance, {})[lease.session] = lease

    def unkeep(self, lease: Lease) -> None:
        """Note that a lease waits for its user no more, if it did."""
        same = self.kept.get(lease.instance or "", {})
        if same.pop(lease.session, None) is not None and not same:
            del self.kept[lease.instance or ""]

    def uses(self, slot: Slot) -> None:
        """Note that a card is given to a user, now and when it is back from elsewhere."""
        slot.used = True
        self.worn.put(_place(slot, tags.identity_of(slot)), what=True)

    def new_slot(self, peer: CardPeer, info: m.ReaderInfo) -> Slot:
        """Enter a reader that was not known."""
        self._slot_number += 1
        slot = Slot(self._slot_number, peer, info)
        self.slots[slot.number] = slot
        peer.slots[info.reader] = slot
        other = self.reader_ids.enter(slot)
        if other is not None:
            self._found_otherwise(other)
            names = " and ".join(f"{s.info.name} on {s.peer.name}" for s in (other, slot))
            ids = " and ".join(s.reader for s in (other, slot))
            self.warn(f"{names} claim one id: they are called {ids}", peer)
        self.places.put(slot)
        return slot

    def lend(self, slot: Slot, lent: Lent | None) -> None:
        """Keep a card for whom it is lent to, or for nobody; it counts as its lender's."""
        if slot.lent is not None:
            slot.lent.by.lends(-1)
            self.timers.clear((LENT, slot.number, None))
        slot.lent = lent
        if lent is not None:
            lent.by.lends(1)
            self.timers.set((LENT, slot.number, None), lent.until)

    def strike_slot(self, slot: Slot) -> None:
        """Strike a reader that is gone."""
        self.readers.mark(slot)
        self.awaited.pop(slot, None)
        self.lend(slot, None)
        self.index.put(slot, ())
        self.places.remove(slot)
        del self.slots[slot.number]
        del slot.peer.slots[slot.info.reader]
        other = self.reader_ids.leave(slot)
        if other is not None:
            self._found_otherwise(other)

    def slots_of(self, identity: str) -> list[Slot]:
        """Return the readers of an identity, which `tags.identity_of` made."""
        kind, _, name = identity.partition(" ")
        if kind != "reader":
            slots = self.index.under((kind, name))
        else:
            slots = self.places.under(("reader", normal("reader", name.rpartition("@")[0])))
        return [slot for slot in list(slots) if tags.identity_of(slot) == identity]

    def _found_otherwise(self, slot: Slot) -> None:
        self.places.put(slot)
        self.file(slot)

    def file(self, slot: Slot) -> None:
        """Index a slot under what it holds now; an empty one is not found."""
        info = slot.info
        ids = slot.ids or (info.reader,)
        full = slot.has_card
        identity = tags.identity_of(slot)
        slot.reserved = self.reservations.active.get(identity)
        kept, slot.used = self.kept_tags.get(identity), bool(self.worn.get(_place(slot, identity)))
        slot.of_host, slot.of_card = tags.of_host(info), tags.of_card(info)
        slot.tags = tags.shown(info, slot.peer.name, kept)
        slot.comment = (kept.comment or None) if kept is not None else None
        named_so = (*ids, info.name)
        slot.renamed(
            names_of(info, ids, slot.tags) if full else reader_names(*named_so, tags=slot.tags)
        )
        self.index.put(slot, named(slot.names) if full else ())
        self.readers.mark(slot)

    def lease_infos(self, slot: Slot) -> tuple[LeaseInfo, ...]:
        """Return who holds the card in a slot; nobody does while it is reset for the next."""
        return tuple(
            LeaseInfo(
                holder=lease.holder,
                since=self.utc(lease.since),
                until=self.until(lease),
                share=lease.share,
            )
            for lease in slot.holders
        )

    def until(self, lease: Lease) -> str | None:
        """Return when a lease ends if its user does nothing."""
        if lease.phase is LeasePhase.KEPT:
            return self.utc(lease.kept_until)
        idle = self.limits.lease_idle_s
        ends = [lease.used + idle] if idle else []
        after = self.reservations.next_of(tags.identity_of(lease.slot), self.epoch() + lease.used)
        if after is not None and lease.loses_to(after.number):
            ends.append(after.begins - self.epoch())
        return self.utc(min(ends)) if ends else None

    def view_of(self, slot: Slot) -> m.ReaderView:
        """Describe a reader, and the card in it, for users."""
        return view_of(slot, self.lease_infos(slot))

    def card_info(self, slot: Slot) -> m.CardInfo:
        """Describe the card in a slot, or who has the slot without one."""
        return m.card_info(self.view_of(slot), slot.state)

    def card_in(self, slot: Slot) -> m.CardInfo | None:
        """Describe the card in a slot, if users are shown one."""
        return self.card_info(slot) if slot.has_card else None

    def utc(self, when: float) -> str:
        """Return a monotonic time as RFC 3339 in UTC, in whole seconds."""
        moment = datetime.fromtimestamp(self.epoch() + when, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _place(slot: Slot, identity: str) -> str:
    """Return a name of what is in a reader, by `tags.identity_of`, and of the reader."""
    return f"{slot.peer.name} {slot.info.reader} {identity}"
