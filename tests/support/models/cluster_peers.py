# SPDX-License-Identifier: Apache-2.0
"""
What each peer of a cluster knows in the property test, and what it must not be told.

Users are as the library is: they resume what is interrupted, and drop answers until then. Card
hosts are as the program is: a card has one session at a time, which outlives the connection.
"""

from collections import Counter
from dataclasses import dataclass, field

from tests.support.cluster_world import Cluster
from tests.support.relay_clients import CardClient, Peer
from tests.support.relay_world import reader
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.protocol import messages as m

FEATURES = ("batch", "cancel", "pcsc", "raw_tpdu", "seal", "share", "resume")
NO_ANSWER = (m.Waiting, m.SessionInterrupted, m.Restarting)


@dataclass
class Holding:
    """A session of a user; `live` is whether it is used, `seq` its last number."""

    secret: str
    keeps: bool
    host: str | None
    reader: str | None
    live: bool = True
    seq: int = 0


@dataclass
class Seen:
    """What a user who watches knows: readers by their numbers; `seq` is that of the last change."""

    asked: int
    seq: int = 0
    readers: dict[int, m.ReaderView] = field(default_factory=dict[int, m.ReaderView])
    begun: bool = False

    def told(self, message: m.Message) -> int | None:
        """Take what was told; return after which number the rest is to be listed, if any."""
        match message:
            case m.WatchReadersAck(id=self.asked) | m.ListReadersAck():
                self.begun = True
                self.readers |= {each.number: each for each in message.readers or ()}
                return message.next
            case m.ReaderEvent(seq=seq, change=change, reader=reader):
                assert seq == self.seq + 1, "a change is left out, or told twice"
                self.seq = seq
                if change is m.Change.REMOVED:
                    self.readers.pop(reader.number, None)
                else:
                    self.readers[reader.number] = reader
            case m.ReaderMark(seq=seq):
                self.seq = seq
            case _:
                pass
        return None


@dataclass
class Member:
    """
    A user of a cluster, over one connection after the other.

    `open` are its requests that are not answered, `doubtful` those whose answers are dropped.
    `rest` are those that list what a watch leaves to them.
    """

    name: str
    node: str
    peer: Peer
    open: dict[int, m.Message] = field(default_factory=dict[int, m.Message])
    doubtful: set[int] = field(default_factory=set[int])
    held: dict[str, Holding] = field(default_factory=dict[str, Holding])
    seen: Seen | None = None
    rest: set[int] = field(default_factory=set[int])

    def watch(self) -> None:
        """Watch all readers."""
        self.seen = Seen(self.peer.new_id())
        self.ask(m.WatchReaders(id=self.seen.asked))

    def ask(self, request: m.Message) -> None:
        """Send a request."""
        assert request.id is not None
        self.open[request.id] = request
        self.peer.say(request)

    def connected(self, node: str, peer: Peer) -> None:
        """Go on over another connection; what is open is not answered any more."""
        peer.count_from(self.peer.new_id())
        self.node, self.peer = node, peer
        self.open.clear()
        self.doubtful.clear()
        self.seen = None
        self.held = {name: each for name, each in self.held.items() if each.keeps}
        for each in self.held.values():
            each.live = False
        self.resume()

    def resume(self) -> None:
        """Ask for all sessions that are interrupted."""
        asked = {m.session_of(each) for each in self.open.values() if isinstance(each, m.Resume)}
        for session, each in self.held.items():
            if not each.live and session not in asked:
                where = {"host": each.host, "reader": each.reader}
                id_, secret = self.peer.new_id(), each.secret
                self.ask(m.Resume(id=id_, session=session, secret=secret, seq=each.seq, **where))

    def listen(self) -> None:
        """Take what came."""
        while self.peer.inbox:
            self._told(self.peer.inbox.pop(0))
        if not self.peer.gone:
            self.resume()

    def _told(self, message: m.Message) -> None:
        request = None
        if message.id is not None and not isinstance(message, NO_ANSWER):
            if message.id in self.doubtful:
                self.doubtful.discard(message.id)
                return
            assert message.id in self.open, f"{self.name} is answered twice: {message}"
            more = getattr(message, "more", False)
            request = self.open[message.id] if more else self.open.pop(message.id)
        is_rest = request is not None and request.id in self.rest
        if self.seen is not None and (is_rest or not isinstance(request, m.ListReaders)):
            self._sees(self.seen.told(message), message)
        match message:
            case m.SelectCardAck(session=str() as session):
                assert isinstance(request, m.SelectCard)
                card = message.card
                where = (card.host, card.reader) if card is not None else (None, None)
                keeps = bool(message.keep_s)
                self.held[session] = Holding(request.secret or "", keeps, *where)
            case m.Resumed(session=str() as session):
                self.held[session].live = True
            case m.SessionInterrupted(session=session):
                self._interrupted(session)
            case m.SessionEnded(session=session) | m.DetachAck(session=session):
                self.held.pop(session or "", None)
            case m.Error(code=code) if isinstance(request, m.Resume):
                if code not in {ErrorCode.SHUTTING_DOWN, ErrorCode.TOO_MANY}:
                    self.held.pop(request.session, None)
            case _:
                pass

    def _sees(self, after: int | None, message: m.Message) -> None:
        """List what a watch has not told of yet."""
        if after is not None and not getattr(message, "more", False):
            id_ = self.peer.new_id()
            self.rest.add(id_)
            self.ask(m.ListReaders(id=id_, after=after, pages=8))

    def _interrupted(self, session: str) -> None:
        self.held[session].live = False
        for id_, request in list(self.open.items()):
            if m.session_of(request) == session and not isinstance(request, m.Resume):
                del self.open[id_]
                self.doubtful.add(id_)


class CardHost:
    """
    A card host with one card; `holder` is the session that has it.

    `slow` has it answer nothing for now.
    """

    def __init__(self, cluster: Cluster, name: str, node: str, iccid: str) -> None:
        self.name = name
        self.node = node
        self.slow = False
        self.holder: str | None = None
        self.ran: Counter[bytes] = Counter()
        self._cluster = cluster
        self._info = reader(f"reader-{name}", iccid)
        self._lost_at: float | None = None
        self._before: CardClient | None = None
        self.peer = self._connected(node)

    def moves(self, node: str, *, goodbye: bool = False) -> None:
        """Lose the connection, and come to a node, which may be the same."""
        self.leaves(goodbye=goodbye)
        self.node, self.peer = node, self._connected(node)
        self._lost_at = None

    def leaves(self, *, goodbye: bool = False) -> None:
        """Lose the connection."""
        self._before = self.peer
        self._cluster[self.node].part(self.peer, goodbye=goodbye)
        self.peer.inbox.clear()
        if self._lost_at is None:
            self._lost_at = self._cluster.now
        if goodbye:
            self.peer.ends.clear()
        if self.holder not in self.peer.ends:
            self.holder = None

    def _connected(self, node: str) -> CardClient:
        return self._cluster[node].card(
            self._info,
            name=self.name,
            instance=f"run of {self.name}",
            auto=False,
            features=FEATURES,
            before=self._before,
            sessions=self._running(),
        )

    def _running(self) -> tuple[m.RunningSession, ...]:
        if self.holder is None or self._before is None:
            return ()
        end = self._before.ends[self.holder]
        return (
            m.RunningSession(
                session=self.holder,
                reader=self._info.reader,
                insertion=self._info.insertion,
                holder="somebody",
                keep_s=end.keep_s,
            ),
        )

    def wait(self) -> None:
        """End what has lasted long enough without a server."""
        if self._lost_at is None or self.holder is None:
            return
        end = self.peer.ends.get(self.holder)
        if end is None or self._cluster.now >= self._lost_at + end.keep_s:
            self.peer.end(self.holder, ErrorCode.LEASE_EXPIRED)
            self.holder = None

    def listen(self) -> bool:
        """Do what is asked; return whether anything was."""
        asked = [] if self.slow or self.peer.gone else list(self.peer.inbox)
        for message in asked:
            self.peer.inbox.remove(message)
            self._asked(message)
        return bool(asked)

    def _asked(self, message: m.Message) -> None:
        match message:
            case m.Attach(session=session):
                assert self.holder is None, f"{self.name} has two holders"
                self.holder = session
            case m.Detach(session=session):
                if session == self.holder:
                    self.holder = None
            case m.CApdu(session=session, command=command):
                if session != self.holder:
                    why = m.error(ErrorCode.NO_SUCH_SESSION, "It is over.", id=message.id)
                    self.peer.say(why)
                    return
                self.ran[bytes(command)] += 1
                assert self.ran[bytes(command)] == 1, "a command is run twice"
            case m.HelloAck() | m.Error() | m.Restarting():
                return
            case _:
                pass
        self.peer.answer(message)


def command_of(number: int) -> Octets:
    """Return a command that no other is like."""
    return Octets(b"\x00\x20\x00\x80\x04" + number.to_bytes(4))
