# SPDX-License-Identifier: Apache-2.0
"""
The readers as users see them, and who is told of their changes.

Whatever touches a slot marks it; `audiences` does. When an event is dealt with, each slot that was
marked and looks different is one change; so all that a watcher is told was true between two events.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from wsrc.card.slot import Share, SlotState
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.audience import Audience
from wsrc.relay.effects import Effect, Send
from wsrc.relay.free import Free
from wsrc.relay.records import Lease, LeasePhase, Slot, UserPeer
from wsrc.relay.ring import Entry, Ring
from wsrc.relay.shelves import Bounds, Shelves, T
from wsrc.selection import Filter, Key, names_of_reader

PAGE = 200
"""Most readers in one answer."""

PAGE_OCTETS = 500_000
"""No further reader is put into an answer that has grown to this."""

LIST_OCTETS = 500_000
"""Longest `Pcsc.Readers.ListChange` that names all readers: a peer reads 1 MiB at least."""


_TAKING: Final = frozenset((Verb.USE, Verb.SHARE))
"""Verbs without which no user of an audience can be given a card, whichever it is."""


class Watcher(NamedTuple):
    """In which form a user is told of readers, and of which."""

    form: m.ReaderForm
    wanted: Filter

    def cares_for(self, names: Sequence[tuple[Key, ...]]) -> bool:
        """Return whether a change is one of a reader that had or has names that are wanted."""
        return any(map(self.wanted.fits, names))


class Readers:
    """
    The readers that exist for an audience, and those of its users who watch them.

    A watcher is told of those for which the audience may be told of changes.

    Args:
        audience: The users.
        instance: Name of this run of the server for them, which no other has.
        shelves: Where their readers are.
        ring: Where the changes are that are kept for watchers who come back.
        slots: All slots of the relay, by its own numbers.
        view_of: Describes a slot as it is now.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what there is, what is kept, and how it is shown
        self,
        audience: Audience,
        instance: str,
        shelves: Shelves,
        ring: Ring,
        slots: Mapping[int, Slot],
        view_of: Callable[[Slot], m.ReaderView],
    ) -> None:
        self.audience = audience
        self.watchers: dict[int, Watcher] = {}
        self.free = Free()
        self._instance = instance
        self._ring = ring
        self._shelves = shelves
        self._slots = slots
        self._view_of = view_of
        self._shown: dict[int, m.ReaderView] = {}
        self._unseen: Sequence[Slot] = ()
        self._at = 0

    @property
    def is_behind(self) -> bool:
        """Whether `go_on` has something to do."""
        return self._at < len(self._unseen)

    @property
    def weight(self) -> int:
        """What it is to make the same for others, in the work for one reader."""
        return 1 + len(self._shown) // 100 + len(self._ring) // 500

    def look_at_all(self, slots: Sequence[Slot]) -> None:
        """Note that these, which are all, are to be looked at for new rights."""
        self._unseen, self._at = slots, 0

    def go_on(self, most: int) -> list[Effect]:
        """Look at some of the readers that were there before; return what watchers get."""
        some = self._unseen[self._at : self._at + most]
        self._at += len(some)
        if not self.is_behind:
            self._unseen, self._at = (), 0
        return self.settle(some) if some else []

    def for_others(self, audience: Audience, instance: str) -> "Readers":
        """
        Return the same readers and changes, for users who have seen these until now.

        Which cards are free is found out anew, while all are looked at.
        """
        shelves, ring = self._shelves.copy(), self._ring.copy()
        other = Readers(audience, instance, shelves, ring, self._slots, self._view_of)
        other._shown = dict(self._shown)
        return other

    def place_of(self, slot: Slot) -> float:
        """Return the number of a reader; of one that has none yet, infinity."""
        return self._shelves.number_of(slot) or math.inf

    def settle(self, marked: Collection[Slot]) -> list[Effect]:
        """Enter what changed of these slots under a number each, and return what watchers get."""
        entries = [entry for slot in marked if (entry := self._changed(slot)) is not None]
        return self._tell(entries, self.watchers) if entries else []

    def cards(
        self,
        wanted: Filter,
        after: int,
        describe: Callable[[Slot], T | None],
        bounds: Bounds,
    ) -> tuple[tuple[T, ...], int | None]:
        """Return cards in readers whose numbers are greater, and after which to go on, if so."""

        def visible(slot: Slot) -> T | None:
            return describe(slot) if Verb.LIST in self._rights(slot) else None

        return self._shelves.page(wanted, after, visible, bounds)

    def page_of(self, asked: m.ListReaders) -> m.ListReadersAck:
        """Return one answer to `list_readers`."""
        readers, after = self._page(Filter(asked), asked.after, Verb.LIST)
        return m.ListReadersAck(
            id=asked.id, instance=self._instance, seq=self._ring.seq, readers=readers, next=after
        )

    def watch_for(self, user: UserPeer, asked: m.WatchReaders) -> list[Effect]:
        """Answer `watch_readers`, and send what was missed."""
        watcher = Watcher(asked.form, Filter(asked))
        self.watchers[user.number] = watcher
        missed = None
        if asked.since is not None and asked.instance == self._instance:
            missed = self._ring.since(asked.since)
        readers, after, seq = None, None, asked.since
        if missed is None or seq is None:
            readers, after = self._page(watcher.wanted, 0, Verb.EVENTS)
            missed, seq = [], self._ring.seq
        ack = m.WatchReadersAck(
            id=asked.id, instance=self._instance, seq=seq, readers=readers, next=after
        )
        told = self._tell(missed, {user.number: watcher}) if missed else []
        return [Send(user.number, ack), *told]

    def watches(self, user: UserPeer) -> bool:
        """Return whether a user is told of changes."""
        return user.number in self.watchers

    def forget(self, user: UserPeer) -> None:
        """Stop telling a user of changes."""
        self.watchers.pop(user.number, None)

    def __len__(self) -> int:
        return len(self._shown)

    def _page(
        self, wanted: Filter, after: int, verb: Verb
    ) -> tuple[tuple[m.ReaderView, ...], int | None]:
        """
        Return readers for which there is a right, and after which to go on, if there are more.

        Their numbers are greater than `after`. They are described anew: the end of a lease moves
        with each command.
        """

        def describe(slot: Slot) -> m.ReaderView | None:
            number = self._shelves.number_of(slot)
            if number is None or verb not in self._rights(slot):
                return None
            return self._numbered(slot, number)

        bounds = Bounds(PAGE, PAGE_OCTETS)
        return self._shelves.page(wanted, after, describe, bounds)

    def _rights(self, slot: Slot) -> Collection[Verb]:
        """Return what users may do with a reader, nothing with one that is gone."""
        return self.audience.rights(slot) if self._slots.get(slot.number) is slot else ()

    def numbered(self, slot: Slot, view: m.ReaderView) -> m.ReaderView:
        """Return a description with the number that the reader has for these users."""
        number = self._shelves.number_of(slot) or view.number
        return msgspec.structs.replace(view, number=number)

    def _numbered(self, slot: Slot, number: int) -> m.ReaderView:
        view = self._view_of(slot)
        return view if view.number == number else msgspec.structs.replace(view, number=number)

    def _changed(self, slot: Slot) -> Entry | None:
        rights = self._rights(slot)
        if _TAKING.isdisjoint(rights):
            self.free.remove(slot)
        else:
            self.free.put(slot)
        number = self._shelves.put(slot) if rights else self._shelves.number_of(slot)
        if number is None:
            return None
        before = self._shown.get(number)
        after = self._numbered(slot, number) if Verb.EVENTS in rights else None
        if not rights:
            self._shelves.remove(slot)
        if after is None:
            if before is None:
                return None
            del self._shown[number]
            return self._ring.add(m.Change.REMOVED, before, before)
        if before == after:
            return None
        self._shown[number] = after
        change = m.Change.ADDED if before is None else m.Change.CHANGED
        return self._ring.add(change, after, before)

    def _tell(self, entries: list[Entry], watchers: Mapping[int, Watcher]) -> list[Effect]:
        """Return what each watcher is sent of these changes; each text is made once."""
        if not watchers:
            return []
        forms = {watcher.form for watcher in watchers.values()}
        texts = {form: [_written(form, entry) for entry in entries] for form in forms}
        in_json = m.ReaderForm.JSON_RPC in forms
        listed = [self._list_change()] if in_json and any(map(_is_list_change, entries)) else []
        mark = m.ReaderMark(seq=entries[-1].event.seq)
        marked = [(mark, encode(mark))]
        names = [_names(entry) for entry in entries]
        effects: list[Effect] = []
        for user, watcher in watchers.items():
            told = [at for at, named in enumerate(names) if watcher.cares_for(named)]
            said = [each for at in told for each in texts[watcher.form][at]]
            if told and watcher.form is m.ReaderForm.JSON_RPC:
                came_or_went = any(_is_list_change(entries[at]) for at in told)
                said = [*(listed if came_or_went else ()), *said, *marked]
            effects += [Send(user, message, text) for message, text in said]
        return effects

    def _list_change(self) -> tuple[m.Message, bytes]:
        """Name all readers, where one message has room for that."""
        change = m.list_change(self._shown.values())
        text = encode(change)
        return (change, text) if len(text) <= LIST_OCTETS else (m.UNLISTED, encode(m.UNLISTED))


def view_of(slot: Slot, leases: tuple[m.LeaseInfo, ...]) -> m.ReaderView:
    """Describe a reader, and who has its card, for users."""
    info, holders = slot.info, slot.holders
    card = slot.has_card
    return m.ReaderView(
        number=slot.number,
        reader=slot.reader,
        name=info.name,
        host=slot.peer.name,
        state=_STATES.get(info.state, SlotState.PRESENT),
        insertion=info.insertion,
        atr=info.atr if card else None,
        in_use=bool(holders) or info.state is m.ReaderState.IN_USE or info.in_use,
        exclusive=info.exclusive or _is_closed(holders),
        label=info.label,
        tags=slot.tags,
        comment=slot.comment,
        card_state=slot.state if card else None,
        iccid=info.iccid if card else None,
        eids=info.eids if card else (),
        protocol=info.protocol if card else None,
        lease=leases[0] if leases else None,
        others=leases[1:],
        draining=slot.peer.drained is not None,
        reserved=slot.reserved is not None,
        waiting=slot.waiting,
    )


def _is_closed(holders: Sequence[Lease]) -> bool:
    """Return whether nobody can have a card beside those who hold it now."""
    away = bool(holders) and all(lease.phase is LeasePhase.KEPT for lease in holders)
    return away or any(lease.share is Share.EXCLUSIVE for lease in holders)


def _written(form: m.ReaderForm, entry: Entry) -> list[tuple[m.Message, bytes]]:
    """Return the messages that tell of one change, and their texts."""
    message: m.Message = entry.event
    if form is m.ReaderForm.JSON_RPC:
        if not _shows(entry):
            return []
        message = m.state_change(entry.event.reader)
    return [(message, encode(message))]


def _names(entry: Entry) -> tuple[tuple[Key, ...], ...]:
    """Return the names of a reader after a change, and before it where they were others."""
    views = entry.event.reader, entry.before
    return tuple(dict.fromkeys(names_of_reader(view) for view in views if view is not None))


def _is_list_change(entry: Entry) -> bool:
    return entry.event.change is not m.Change.CHANGED


def _shows(entry: Entry) -> bool:
    """Return whether a reader that is there is in another state, as PC/SC has it."""
    event = entry.event
    gone = event.change is m.Change.REMOVED
    return not gone and (entry.before is None or _state(entry.before) != _state(event.reader))


def _state(reader: m.ReaderView) -> tuple[object, ...]:
    """Return what PC/SC tells of a reader."""
    return reader.insertion, m.state_change(reader).params


_STATES = {
    m.ReaderState.EMPTY: SlotState.EMPTY,
    m.ReaderState.MUTE: SlotState.MUTE,
    m.ReaderState.UNAVAILABLE: SlotState.UNAVAILABLE,
}
"""States of a reader in which there is no card that could be talked to."""
