# SPDX-License-Identifier: Apache-2.0
"""
Any interleaving of changes, watchers and lost connections: whoever watches knows the truth.

The ring is short and pages are small, so that going on and starting anew both happen. What was
not heard when a connection is lost is lost with it.
"""

from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.relay_clients import CardClient, Peer
from tests.support.relay_world import World, empty, reader
from wsrc.card.slot import SlotState
from wsrc.protocol import messages as m
from wsrc.protocol.reader_events import status_of
from wsrc.relay import readers
from wsrc.relay.records import NO_CARD
from wsrc.user_client.core.feeds import ReaderChange, ReaderFeed, ReaderMark, ReaderSnapshot

CAPACITY, SMALL_PAGE = 4, 2
PICK = st.integers(0, 7)

Facts = tuple[str, SlotState, int, bool, str | None, str | None, tuple[str, ...], str | None]
"""What is compared: id, state, insertion, whether it is held, label, ICCID, EIDs, holder."""

STATES = {
    m.ReaderState.EMPTY: SlotState.EMPTY,
    m.ReaderState.UNAVAILABLE: SlotState.UNAVAILABLE,
    m.ReaderState.MUTE: SlotState.MUTE,
}


class Host:
    """A card client, what is in its readers, and who holds that."""

    def __init__(self, peer: CardClient, infos: list[m.ReaderInfo]) -> None:
        self.peer = peer
        self.readers = {info.reader: info for info in infos}
        self.held: set[str] = set()


class Subscriber:
    """A program that watches in our form, and comes back after each loss."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.view: dict[int, m.ReaderView] = {}
        self.mark: ReaderMark | None = None
        self.come()

    def come(self) -> None:
        """Connect and watch, from where it stopped."""
        self.peer: Peer | None = self.world.user()
        self.feed = ReaderFeed()
        self.asked = False
        instance, seq = self.mark or (None, None)
        self.forgotten = self.mark is None or self.world_seq - self.mark.seq > CAPACITY
        self.peer.say(m.WatchReaders(id=1, instance=instance, since=seq))

    @property
    def world_seq(self) -> int:
        (readers,) = self.world.relay._state.readers._readers.values()
        return readers._ring.seq

    def hear(self, count: int) -> None:
        """Ask for the next page if the last time brought one of several; take some messages."""
        assert self.peer is not None
        if self.feed.after is not None and not self.asked:
            self.asked = True
            self.peer.say(m.ListReaders(id=2, after=self.feed.after))
        heard, self.peer.inbox = self.peer.inbox[:count], self.peer.inbox[count:]
        for message in heard:
            self.feed.hear(message)
            if isinstance(message, m.WatchReadersAck):
                assert (message.readers is not None) == self.forgotten
            if isinstance(message, m.ListReadersAck):
                self.asked = False
        while self.feed._unread:
            self.take(self.feed._unread.popleft())
        assert self.feed._end is None

    def take(self, news: object) -> None:
        match news:
            case ReaderSnapshot(readers=there, mark=mark):
                assert self.mark is None or mark.seq > self.mark.seq
                self.view = {view.number: view for view in there}
                self.mark = mark
            case ReaderChange(change=change, reader=view, mark=mark):
                assert self.mark is not None
                assert mark.seq == self.mark.seq + 1, "doubled or missing"
                assert (change is m.Change.ADDED) == (view.number not in self.view)
                self.mark = mark
                if change is m.Change.REMOVED:
                    del self.view[view.number]
                else:
                    self.view[view.number] = view
            case _:
                raise AssertionError(news)

    def settle(self) -> None:
        assert self.peer is not None
        while self.peer.inbox or self.feed.after is not None:
            self.hear(1)

    def lose(self) -> None:
        """Lose the connection, with all that is on the way."""
        assert self.peer is not None
        self.peer.inbox = []
        self.peer.leave()
        self.peer = None

    def knows_what_is_listed(self) -> bool:
        """Return whether a list says the same, but for when leases end: each command moves that."""
        assert self.peer is not None
        after: int | None = 0
        listed: dict[int, m.ReaderView] = {}
        while after is not None:
            page = self.peer.ask(m.ListReaders(id=3, after=after), m.ListReadersAck)
            listed |= {view.number: timeless(view) for view in page.readers}
            after = page.next
        return listed == {number: timeless(view) for number, view in self.view.items()}

    def facts(self) -> Counter[Facts]:
        return Counter(
            (
                view.reader,
                view.state,
                view.insertion,
                view.exclusive,
                view.label,
                view.iccid,
                view.eids,
                view.lease and view.lease.holder,
            )
            for view in self.view.values()
        )


def timeless(view: m.ReaderView) -> m.ReaderView:
    lease = view.lease and msgspec.structs.replace(view.lease, until=None)
    return msgspec.structs.replace(view, lease=lease)


class RpcSubscriber:
    """A program that watches in JSON-RPC; what came after the last mark does not count."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.view: dict[str, str] = {}
        self.since: tuple[str, int] | None = None
        self.come()

    def come(self) -> None:
        self.peer: Peer | None = self.world.user()
        self.pending: list[m.Message] = []
        instance, seq = self.since or (None, None)
        form = m.ReaderForm.JSON_RPC
        self.peer.say(m.WatchReaders(id=1, instance=instance, since=seq, form=form))
        ack = self.peer.next(m.WatchReadersAck)
        if ack.readers is None:
            return
        page: m.WatchReadersAck | m.ListReadersAck = ack
        self.view = {}
        while True:
            self.view |= {view.reader: status_of(view) for view in page.readers or ()}
            if page.next is None:
                break
            page = self.peer.ask(m.ListReaders(id=2, after=page.next), m.ListReadersAck)
        self.since = ack.instance, ack.seq

    def hear(self, count: int) -> None:
        assert self.peer is not None
        heard, self.peer.inbox = self.peer.inbox[:count], self.peer.inbox[count:]
        for message in heard:
            if isinstance(message, m.ReaderMark):
                assert self.since is not None
                assert message.seq > self.since[1]
                self.since = self.since[0], message.seq
                self.commit()
            else:
                self.pending.append(message)

    def commit(self) -> None:
        for message in self.pending:
            if isinstance(message, m.ListChange):
                ids = message.params.reader_ids
                self.view = {id_: self.view.get(id_, "unknown") for id_ in ids}
            else:
                assert isinstance(message, m.StateChange)
                if message.params.reader_id in self.view:
                    self.view[message.params.reader_id] = message.params.status
        self.pending = []

    def lose(self) -> None:
        assert self.peer is not None
        self.peer.inbox = []
        self.peer.leave()
        self.peer = None


class ReadersMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(max_reader_changes=CAPACITY)
        self.hosts: list[Host] = []
        self.holder = self.world.user(name="holder")
        self.sessions: dict[str, str] = {}
        self.ours = [Subscriber(self.world), Subscriber(self.world)]
        self.theirs = RpcSubscriber(self.world)
        self.number = 0

    def new_info(self, kind: int) -> m.ReaderInfo:
        self.number += 1
        name = f"r{self.number}"
        return reader(name, None) if kind % 2 else empty(name, insertion=0)

    @precondition(lambda self: len(self.hosts) < 3)
    @rule(kinds=st.lists(PICK, max_size=3))
    def host_comes(self, kinds: list[int]) -> None:
        infos = [self.new_info(kind) for kind in kinds]
        self.hosts.append(Host(self.world.card(*infos), infos))

    @precondition(lambda self: self.hosts)
    @rule(at=PICK)
    def host_goes(self, at: int) -> None:
        host = self.hosts.pop(at % len(self.hosts))
        host.peer.leave()
        self.holder.inbox = []

    @precondition(lambda self: self.hosts)
    @rule(at=PICK, which=PICK, what=st.sampled_from([*m.ReaderState, "swap", "label", "profile"]))
    def reader_changes(self, at: int, which: int, what: str) -> None:
        host = self.hosts[at % len(self.hosts)]
        if not host.readers:
            return
        before = list(host.readers.values())[which % len(host.readers)]
        name, insertion = before.reader, before.insertion
        if what in {m.ReaderState.EMPTY, m.ReaderState.UNAVAILABLE}:
            state = m.ReaderState(what)
            info = msgspec.structs.replace(empty(name, insertion=insertion), state=state)
            host.held.discard(name)
        elif what == "swap" or before.state in NO_CARD:
            info = reader(name, None, insertion=insertion + 1)
            host.held.discard(name)
        elif what == "label":
            info = reader(name, None, insertion=insertion, label=f"L{which}")
        elif what == "profile":
            iccid, eids = f"894902000001234567{which}", ("89" * 16,)
            info = reader(name, iccid, insertion=insertion, eids=eids)
        else:
            info = reader(name, None, insertion=insertion, state=what)
        host.readers[name] = info
        host.peer.report(info)
        self.holder.inbox = []

    @precondition(lambda self: self.hosts)
    @rule(at=PICK, kind=PICK)
    def reader_plugged(self, at: int, kind: int) -> None:
        host, info = self.hosts[at % len(self.hosts)], self.new_info(kind)
        host.readers[info.reader] = info
        host.peer.report(info)

    @precondition(lambda self: self.hosts)
    @rule(at=PICK, which=PICK)
    def reader_unplugged(self, at: int, which: int) -> None:
        host = self.hosts[at % len(self.hosts)]
        if host.readers:
            name = list(host.readers)[which % len(host.readers)]
            del host.readers[name]
            host.held.discard(name)
            host.peer.say(m.ReaderGone(reader=name))
            self.holder.inbox = []

    @precondition(lambda self: self.hosts)
    @rule(at=PICK, which=PICK)
    def card_taken_or_given_back(self, at: int, which: int) -> None:
        host = self.hosts[at % len(self.hosts)]
        if not host.readers:
            return
        info = list(host.readers.values())[which % len(host.readers)]
        if info.reader in host.held:
            session = self.sessions[info.reader]
            self.holder.ask(m.Detach(id=self.holder.new_id(), session=session), m.DetachAck)
            host.held.discard(info.reader)
        elif info.state is m.ReaderState.READY:
            self.sessions[info.reader] = self.holder.hold(reader=info.reader)
            host.held.add(info.reader)

    @rule(at=PICK, count=st.integers(0, 3))
    def someone_listens(self, at: int, count: int) -> None:
        subscriber = [*self.ours, self.theirs][at % 3]
        if subscriber.peer is not None:
            subscriber.hear(count)

    @rule(at=PICK)
    def someone_is_cut_off_or_comes_back(self, at: int) -> None:
        subscriber = [*self.ours, self.theirs][at % 3]
        if subscriber.peer is not None:
            subscriber.lose()
        else:
            subscriber.come()

    @invariant()
    def ring_and_sends_are_bounded(self) -> None:
        kept = self.world.relay._state.readers._readers.values()
        assert all(len(readers._ring) <= CAPACITY for readers in kept)

    @rule()
    def all_settle(self) -> None:
        truth = self.truth()
        for subscriber in self.ours:
            if subscriber.peer is None:
                subscriber.come()
            subscriber.settle()
            assert subscriber.facts() == truth
            assert subscriber.knows_what_is_listed()
        if self.theirs.peer is None:
            self.theirs.come()
        self.theirs.hear(10_000)
        assert self.theirs.pending == []
        statuses = {view.reader: status_of(view) for view in self.ours[0].view.values()}
        assert self.theirs.view == statuses

    def truth(self) -> Counter[Facts]:
        return Counter(
            (
                name,
                STATES.get(info.state, SlotState.PRESENT),
                info.insertion,
                name in host.held,
                info.label,
                info.iccid,
                info.eids,
                "holder" if name in host.held else None,
            )
            for host in self.hosts
            for name, info in host.readers.items()
        )

    def teardown(self) -> None:
        self.all_settle()
        for host in self.hosts:
            host.peer.leave()
        for subscriber in [*self.ours, self.theirs]:
            assert subscriber.peer is not None
            subscriber.lose()
        self.holder.leave()
        assert self.world.leftovers() == {}


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    with patch.object(readers, "PAGE", SMALL_PAGE):
        yield


TestReaders = ReadersMachine.TestCase
TestReaders.settings = settings(stateful_step_count=40)
