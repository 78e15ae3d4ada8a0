# SPDX-License-Identifier: Apache-2.0
"""
The readers as users see them, and who is told of their changes.

Whatever touches a slot marks it. When an event is dealt with, each slot that was marked and looks
different is one change; so all that a watcher is told was true between two events.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from wsrc.card.slot import Share, SlotState
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.effects import Effect, Send
from wsrc.relay.records import Lease, LeasePhase, Slot, UserPeer
from wsrc.relay.ring import Entry, Ring
from wsrc.relay.shelves import Bounds, Shelves
from wsrc.selection import Filter, Key, names_of_reader

PAGE = 200
"""Most readers in one answer."""

PAGE_OCTETS = 500_000
"""No further reader is put into an answer that has grown to this."""

LIST_OCTETS = 500_000
"""Longest `Pcsc.Readers.ListChange` that names all readers: a peer reads 1 MiB at least."""


class Watcher(NamedTuple):
    """In which form a user is told of readers, and of which."""

    form: m.ReaderForm
    wanted: Filter

    def cares_for(self, names: Sequence[tuple[Key, ...]]) -> bool:
        """Return whether a change is one of a reader that had or has names that are wanted."""
        return any(map(self.wanted.fits, names))


class Readers:
    """
    All readers, and their watchers.

    Args:
        instance: Name of this run of the server, which no other run has.
        capacity: Changes that are kept for watchers that come back.
        shelves: All slots of the relay, by number.
        view_of: Describes a slot as it is now.
    """

    def __init__(
        self,
        instance: str,
        capacity: int,
        shelves: Shelves,
        view_of: Callable[[Slot], m.ReaderView],
    ) -> None:
        self.watchers: dict[int, Watcher] = {}
        self._instance = instance
        self._ring = Ring(capacity)
        self._shelves = shelves
        self._view_of = view_of
        self._shown: dict[int, m.ReaderView] = {}
        self._marked: dict[int, Slot] = {}

    def mark(self, slot: Slot) -> None:
        """Note that a slot may look different, or be gone."""
        self._marked[slot.number] = slot

    def settle(self) -> list[Effect]:
        """Enter every change since the last call under a number, and return what watchers get."""
        if not self._marked:
            return []
        marked, self._marked = self._marked, {}
        entries = [entry for slot in marked.values() if (entry := self._changed(slot)) is not None]
        return self._tell(entries, self.watchers) if entries else []

    def page_of(self, asked: m.ListReaders) -> m.ListReadersAck:
        """Return one answer to `list_readers`."""
        readers, after = self._page(Filter(asked), asked.after)
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
            readers, after = self._page(watcher.wanted, 0)
            missed, seq = [], self._ring.seq
        ack = m.WatchReadersAck(
            id=asked.id, instance=self._instance, seq=seq, readers=readers, next=after
        )
        told = self._tell(missed, {user.number: watcher}) if missed else []
        return [Send(user.number, ack), *told]

    def forget(self, user: UserPeer) -> None:
        """Stop telling a user of changes."""
        self.watchers.pop(user.number, None)

    def __len__(self) -> int:
        return len(self._shown)

    def _page(self, wanted: Filter, after: int) -> tuple[tuple[m.ReaderView, ...], int | None]:
        """
        Return readers whose numbers are greater, and after which to go on, if there are more.

        They are described anew: the end of a lease moves with each command.
        """

        def describe(slot: Slot) -> m.ReaderView | None:
            return self._view_of(slot) if slot.number in self._shown else None

        return self._shelves.page(wanted, after, describe, Bounds(PAGE, PAGE_OCTETS))

    def _changed(self, slot: Slot) -> Entry | None:
        before = self._shown.get(slot.number)
        after = self._view_of(slot) if self._shelves.get(slot.number) is slot else None
        if after is None:
            if before is None:
                return None
            del self._shown[slot.number]
            return self._ring.add(m.Change.REMOVED, before, before)
        if before == after:
            return None
        self._shown[slot.number] = after
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
        card_state=slot.state if card else None,
        iccid=info.iccid if card else None,
        eids=info.eids if card else (),
        protocol=info.protocol if card else None,
        lease=leases[0] if leases else None,
        others=leases[1:],
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
