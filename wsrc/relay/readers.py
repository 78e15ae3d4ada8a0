# SPDX-License-Identifier: Apache-2.0
"""
The readers as users see them, and who is told of their changes.

Whatever touches a slot marks it. When an event is dealt with, each slot that was marked and looks
different is one change; so all that a watcher is told was true between two events.
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from wsrc.card.slot import Share, SlotState
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.effects import Effect, Send
from wsrc.relay.records import Slot, UserPeer
from wsrc.relay.ring import Entry, Ring

PAGE = 200
"""Readers in one answer: with the longest names they are less than 1 MiB."""

LIST_OCTETS = 500_000
"""Longest `Pcsc.Readers.ListChange` that names all readers: a peer reads 1 MiB at least."""


class Readers:
    """
    All readers, and their watchers.

    Args:
        instance: Name of this run of the server, which no other run has.
        capacity: Changes that are kept for watchers that come back.
        slots: All slots of the relay, by number.
    """

    def __init__(self, instance: str, capacity: int, slots: Mapping[int, Slot]) -> None:
        self.watchers: dict[int, m.ReaderForm] = {}
        self._instance = instance
        self._ring = Ring(capacity)
        self._slots = slots
        self._shown: dict[int, m.ReaderView] = {}
        self._marked: dict[int, Slot] = {}

    def mark(self, slot: Slot) -> None:
        """Note that a slot may look different, or be gone."""
        self._marked[slot.number] = slot

    def settle(self) -> list[Effect]:
        """Return every change since the last call its number, and tell those who watch."""
        if not self._marked:
            return []
        marked, self._marked = self._marked, {}
        entries = [entry for slot in marked.values() if (entry := self._changed(slot)) is not None]
        return self._tell(entries, self.watchers) if entries else []

    def list_for(self, user: UserPeer, asked: m.ListReaders) -> Effect:
        """Answer `list_readers`."""
        readers, after = self._page(asked.after)
        ack = m.ListReadersAck(
            id=asked.id, instance=self._instance, seq=self._ring.seq, readers=readers, next=after
        )
        return Send(user.number, ack)

    def watch_for(self, user: UserPeer, asked: m.WatchReaders) -> list[Effect]:
        """Answer `watch_readers`, and send what was missed."""
        self.watchers[user.number] = asked.form
        missed = None
        if asked.since is not None and asked.instance == self._instance:
            missed = self._ring.since(asked.since)
        readers, after, seq = None, None, asked.since
        if missed is None or seq is None:
            readers, after = self._page(0)
            missed, seq = [], self._ring.seq
        ack = m.WatchReadersAck(
            id=asked.id, instance=self._instance, seq=seq, readers=readers, next=after
        )
        told = self._tell(missed, {user.number: asked.form}) if missed else []
        return [Send(user.number, ack), *told]

    def forget(self, user: UserPeer) -> None:
        """Tell a user nothing more."""
        self.watchers.pop(user.number, None)

    def __len__(self) -> int:
        return len(self._shown)

    def _page(self, after: int) -> tuple[tuple[m.ReaderView, ...], int | None]:
        """Return readers whose numbers are greater, and after which to go on, if there are more."""
        rest = (view for number, view in self._shown.items() if number > after)
        page = tuple(islice(rest, PAGE))
        more = next(rest, None) is not None
        return page, page[-1].number if more else None

    def _changed(self, slot: Slot) -> Entry | None:
        before = self._shown.get(slot.number)
        after = view_of(slot) if slot.number in self._slots else None
        if after is None:
            if before is None:
                return None
            del self._shown[slot.number]
            return self._ring.add(m.Change.REMOVED, before, shows=False)
        if before == after:
            return None
        self._shown[slot.number] = after
        if before is None:
            return self._ring.add(m.Change.ADDED, after, shows=True)
        return self._ring.add(m.Change.CHANGED, after, shows=_state(before) != _state(after))

    def _tell(self, entries: list[Entry], watchers: Mapping[int, m.ReaderForm]) -> list[Effect]:
        """Return what each watcher is sent of these changes; each text is made once."""
        texts = {form: list(self._texts(form, entries)) for form in set(watchers.values())}
        return [
            Send(user, message, text)
            for user, form in watchers.items()
            for message, text in texts[form]
        ]

    def _texts(self, form: m.ReaderForm, entries: list[Entry]) -> Iterable[tuple[m.Message, bytes]]:
        if form is m.ReaderForm.WSRC:
            for entry in entries:
                yield entry.event, encode(entry.event)
            return
        if any(entry.event.change is not m.Change.CHANGED for entry in entries):
            yield self._list_change()
        for entry in entries:
            if entry.shows:
                change = m.state_change(entry.event.reader)
                yield change, encode(change)
        mark = m.ReaderMark(seq=entries[-1].event.seq)
        yield mark, encode(mark)

    def _list_change(self) -> tuple[m.Message, bytes]:
        """Name all readers, where one message has room for that."""
        change = m.list_change(self._shown.values())
        text = encode(change)
        return (change, text) if len(text) <= LIST_OCTETS else (m.UNLISTED, encode(m.UNLISTED))


def view_of(slot: Slot) -> m.ReaderView:
    """Describe a reader for users."""
    info, holders = slot.info, slot.holders
    return m.ReaderView(
        number=slot.number,
        reader=info.reader,
        name=info.name,
        host=slot.peer.name,
        state=_STATES.get(info.state, SlotState.PRESENT),
        insertion=info.insertion,
        atr=info.atr if slot.has_card else None,
        in_use=bool(holders) or info.state is m.ReaderState.IN_USE or info.in_use,
        exclusive=info.exclusive or any(lease.share is Share.EXCLUSIVE for lease in holders),
        label=info.label,
    )


def _state(reader: m.ReaderView) -> tuple[object, ...]:
    """Return what PC/SC tells of a reader."""
    return reader.insertion, m.state_change(reader).params


_STATES = {
    m.ReaderState.EMPTY: SlotState.EMPTY,
    m.ReaderState.MUTE: SlotState.MUTE,
    m.ReaderState.UNAVAILABLE: SlotState.UNAVAILABLE,
}
"""States of a reader in which there is no card that could be talked to."""
