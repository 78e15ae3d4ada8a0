# SPDX-License-Identifier: Apache-2.0
"""
Readers of all nodes for who watches them: changes in one stream, counted anew for each watch.

A change gets its number where our own relay sends it, so that one count is for all nodes. A node
that comes is watched as well, and its readers are told as new ones; one that is lost takes its
readers with it.

Other nodes are asked in our own form, whichever the user has: a list of the readers of one node
would say in JSON-RPC that those of all others are gone. That readers came or went is said there
without naming them.
"""

from dataclasses import dataclass, field

import msgspec

from wsrc.cluster import items
from wsrc.cluster.gathering import number_of, place_of, placed
from wsrc.cluster.outside import Home, Outside
from wsrc.protocol import codec, messages as m
from wsrc.protocol.reader_events import UNLISTED, state_change
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState


@dataclass(slots=True, eq=False)
class Watch:
    """
    What one user watches.

    `seq` is the number of the last change that it was told. `shown` are the readers of other nodes
    that it knows, by the number of the cluster. `heard` are the nodes whose changes are told,
    `late` those whose readers are told as new.
    """

    user: UserPeer
    asked: m.WatchReaders
    instance: str
    seq: int = 0
    shown: dict[str, dict[int, m.ReaderView]] = field(
        default_factory=dict[str, "dict[int, m.ReaderView]"]
    )
    heard: set[str] = field(default_factory=set[str])
    late: set[str] = field(default_factory=set[str])


class Watches:
    """
    All watches of our users.

    Args:
        state: Of our own relay.
        outside: The other nodes.
        home: Has our own relay act on a request.
    """

    def __init__(
        self,
        state: RelayState,
        outside: Outside,
        home: Home,
    ) -> None:
        self._state = state
        self._outside = outside
        self._home = home
        self._watches: dict[int, Watch] = {}
        self._made = 0

    def __len__(self) -> int:
        return len(self._watches)

    def takes(self, user: UserPeer, message: m.Message, now: float) -> bool:
        """Begin to watch all nodes; return whether that is what a message asks for."""
        if not isinstance(message, m.WatchReaders) or message.id is None:
            return False
        self._made += 1
        asked = msgspec.structs.replace(message, since=None, instance=None)
        watch = Watch(user, asked, f"{self._state.instance}-{self._made}")
        self._watches[user.number] = watch
        for node in self._outside.up():
            self._ask(watch, node)
        self._home(user, asked, None, now)
        return True

    def told(self, node: str, link: int, message: m.Message) -> bool:
        """Tell who watches what another node says of readers; return whether it is that."""
        watch = self._watches.get(link)
        if watch is None:
            return isinstance(message, m.ReaderEvent)
        own = message.id is not None and message.id == watch.asked.id
        match message:
            case m.WatchReadersAck() | m.ListReadersAck() if own:
                watch.heard.add(node)
                self._first(watch, node, message)
            case m.Error() if own:
                pass
            case m.ReaderEvent():
                if node in watch.heard:
                    self._change(watch, node, message)
            case _:
                return False
        return True

    def answered(self, user: int, message: m.Message) -> m.Message | None:
        """Return in what form a user is told what our own relay says; None where it is as it is."""
        watch = self._watches.get(user)
        if watch is None:
            return None
        match message:
            case m.WatchReadersAck() if message.id == watch.asked.id:
                return self._begun(watch, message)
            case m.ReaderEvent() | m.ReaderMark():
                watch.seq += 1
                return msgspec.structs.replace(message, seq=watch.seq)
            case m.ListChange() if self._outside.up() or watch.shown:
                return UNLISTED
            case m.ListReadersAck():
                self._paged(watch, message)
                return msgspec.structs.replace(message, instance=watch.instance, seq=watch.seq)
            case m.Error() if message.id == watch.asked.id:
                del self._watches[user]
            case _:
                pass
        return None

    def up(self, node: str) -> None:
        """Watch a node that has come."""
        for watch in self._watches.values():
            watch.late.add(node)
            self._ask(watch, node)

    def down(self, node: str) -> None:
        """Tell that the readers of a node are gone."""
        for watch in self._watches.values():
            watch.heard.discard(node)
            watch.late.discard(node)
            for reader in watch.shown.pop(node, {}).values():
                self._tell(watch, m.Change.REMOVED, reader)

    def gone(self, user: int) -> None:
        """Forget what a user watches that is gone."""
        self._watches.pop(user, None)

    def _ask(self, watch: Watch, node: str) -> None:
        self._outside.arrives(watch.user, node)
        asked = msgspec.structs.replace(watch.asked, form=m.ReaderForm.WSRC)
        self._outside.carry(node, items.Say(watch.user.number, codec.encode(asked)))

    def _begun(self, watch: Watch, ack: m.WatchReadersAck) -> m.WatchReadersAck:
        places = [self._outside.place(node) for node in self._outside.up()]
        following = ack.next
        if following is None and places:
            following = number_of(min(places), 0)
        return msgspec.structs.replace(ack, instance=watch.instance, seq=0, next=following)

    def _first(self, watch: Watch, node: str, ack: m.WatchReadersAck | m.ListReadersAck) -> None:
        """Tell of the readers of a node that has come, and ask for the rest of them."""
        if node not in watch.late:
            return
        for reader in placed(ack.readers or (), self._outside.place(node)):
            self._show(watch, node, reader)
        if ack.next is None:
            return
        asked = watch.asked
        rest = m.ListReaders(
            id=asked.id,
            after=ack.next,
            iccid=asked.iccid,
            eid=asked.eid,
            atr=asked.atr,
            reader=asked.reader,
            label=asked.label,
            any=asked.any,
            tags=asked.tags,
        )
        self._outside.carry(node, items.Say(watch.user.number, codec.encode(rest)))

    def _paged(self, watch: Watch, page: m.ListReadersAck) -> None:
        """Note which readers of other nodes a user knows by a list."""
        for reader in page.readers:
            node = self._outside.name(place_of(reader.number)[0])
            if node is not None and node in watch.heard:
                watch.shown.setdefault(node, {})[reader.number] = reader

    def _show(self, watch: Watch, node: str, reader: m.ReaderView) -> None:
        shown = watch.shown.setdefault(node, {})
        before = shown.get(reader.number)
        shown[reader.number] = reader
        if before is None:
            self._tell(watch, m.Change.ADDED, reader)
        elif before != reader:
            self._tell(watch, m.Change.CHANGED, reader)

    def _change(self, watch: Watch, node: str, event: m.ReaderEvent) -> None:
        (reader,) = placed((event.reader,), self._outside.place(node))
        shown = watch.shown.setdefault(node, {})
        if event.change is m.Change.REMOVED:
            shown.pop(reader.number, None)
        else:
            shown[reader.number] = reader
        self._tell(watch, event.change, reader)

    def _tell(self, watch: Watch, change: m.Change, reader: m.ReaderView) -> None:
        user, send = watch.user, self._state.send
        if watch.asked.form is m.ReaderForm.WSRC:
            send(user, m.ReaderEvent(seq=0, change=change, reader=reader))
            return
        if change is not m.Change.CHANGED:
            send(user, UNLISTED)
        if change is not m.Change.REMOVED:
            send(user, state_change(reader))
        send(user, m.ReaderMark(seq=0))
