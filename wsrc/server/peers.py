# SPDX-License-Identifier: Apache-2.0
"""Connected peers: what they say goes to the relay, what the relay decides goes to them."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import ParamSpec, Protocol, get_args

from wsrc.audit import events
from wsrc.audit.events import Recorder
from wsrc.audit.throttle import Throttle
from wsrc.errors import LocalProtocolError, RemoteProtocolError
from wsrc.net.addresses import group_of
from wsrc.net.endpoint import Endpoint
from wsrc.net.outbox import Unread
from wsrc.principal import Principal
from wsrc.protocol import codec, messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, UnreadableError
from wsrc.protocol.conversation import CloseCode, Parting
from wsrc.protocol.messages import ClientType, Message
from wsrc.relay.effects import Audit, Book, Carry, Close, Effect, Keep, Note, Send, Stop, Uphold
from wsrc.relay.kept import Kept
from wsrc.relay.machine import Relay
from wsrc.relay.recalled import Recalled
from wsrc.relay.reservations import Booking
from wsrc.server.limits import Budget, Limit, Quotas, Usage
from wsrc.server.pulse import Pulse
from wsrc.server.refusals import TELL_S, Refusals
from wsrc.server.turns import Line, Share

# Longer than the aim: all peers, and what one of them says.

_log = logging.getLogger(__name__)

SPARE_OCTETS = 4 << 20
"""Memory kept for the shutdown of a server that has run out of it."""

RESTARTING = "The server is restarting."


Event = ParamSpec("Event")

COSTLY = (
    m.ListCards,
    m.ListReaders,
    m.Who,
    m.Revoke,
    m.Allow,
    m.Lend,
    *get_args(m.Operator),
    m.WatchReaders,
    m.SetTags,
    m.SetComment,
    m.Resume,
    m.ReaderReport,
    m.ReaderGone,
)
"""What costs more than the command of one session, of either kind of client."""

_ARE_COSTLY = frozenset(COSTLY)

BUDGETS = {ClientType.USER: (100.0, 500.0), ClientType.CARD: (200.0, 4096.0)}
"""
How many of these a peer may send in a second, and at once; what comes sooner is read later. A card
host with 1,024 readers tells each four times while it identifies its cards.
"""


class Link(Protocol):
    """Where what the relay says to a peer goes."""

    def send(self, message: Message) -> None:
        """Send a message; LocalProtocolError if it cannot be written."""
        ...

    def forward(self, text: bytes) -> None:
        """Send the text of a message."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Close on the peer; `Peers.gone` follows."""
        ...


class Peers:
    """
    All connections of a server; used by one event loop.

    Args:
        relay: Decides.
        line: The line of those who have used up their allowance.
        quotas: Counts the limits that are reached.
        refusals: Says so.
        audit: Where evidence goes.
        unread: Octets that may be held for all peers together.
        ping_s: How long a peer may be silent before it is pinged, in seconds.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what all peers share, each once
        self,
        relay: Relay,
        line: Line,
        quotas: Quotas,
        refusals: Refusals,
        audit: Recorder,
        unread: int,
        ping_s: float,
    ) -> None:
        self.relay = relay
        self.audit = audit
        self._often = {warns: Throttle() for warns in (False, True)}
        self._line = line
        self._quotas = quotas
        self._refusals = refusals
        self._pulse = Pulse(ping_s)
        self._links: dict[int, Link] = {}
        self._causes: dict[int, str] = {}
        self._unread = Unread(unread)
        self._last = 0
        self._loop = asyncio.get_running_loop()
        self._keep: Callable[[Keep | Book | Uphold], None] = self._not_kept
        self._carry: Callable[[object], None] = lambda _: None
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf
        self._deadlines = relay.deadlines
        self.stopping = False
        self._stopped = False
        self._broken: Callable[[], None] | None = None
        self._stop: Callable[[], None] | None = None
        self._spare: bytearray | None = bytearray(SPARE_OCTETS)
        self._idle = asyncio.Event()

    def __len__(self) -> int:
        return len(self._links)

    @property
    def octets(self) -> tuple[int, int]:
        """Octets of all frames that came and went since the start."""
        return self._unread.received, self._unread.sent

    @property
    def broken(self) -> bool:
        """Whether the relay ran out of memory amid an event, and must not go on."""
        return self._spare is None

    def when_broken(self, tell: Callable[[], None]) -> None:
        """Call `tell` when the relay is broken."""
        self._broken = tell

    def when_asked_to_stop(self, tell: Callable[[], None]) -> None:
        """Call `tell` when an operator has the server stopped."""
        self._stop = tell

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts of the relay."""
        return self.relay.counts

    def accept(  # noqa: PLR0913, PLR0917 - what is known of a peer, each once
        self,
        transport: asyncio.Transport,
        hold: Callable[[bool], None],
        role: ClientType,
        address: str,
        principal: Principal | None = None,
        usage: Usage | None = None,
        *,
        direct: bool = True,
    ) -> Endpoint:
        """
        Begin to serve a WebSocket that was just accepted.

        Args:
            transport: What it runs over.
            hold: Stops reading from the transport, or goes on.
            role: Of the port.
            address: Where the peer is.
            principal: Who it is, where that is known.
            usage: What it counts as using; None where nothing is limited.
            direct: Whether it is on this host, for all that it says, and comes through no proxy.
        """
        link = Endpoint(transport, hold, longest=MAX_MESSAGE_OCTETS, unread=self._unread)
        number = self._last + 1
        link.listen(_Peer(self, number, role, link, self._line, usage))
        self._pulse.enter(number, link)
        self.enter(link, role, address, principal, usage, direct=direct)
        return link

    def enter(  # noqa: PLR0913 - what is known of a peer, each once
        self,
        link: Link,
        role: ClientType,
        address: str,
        principal: Principal | None,
        usage: Usage | None,
        *,
        direct: bool = False,
    ) -> int:
        """Tell the relay of a peer; return its number, which no other has or had."""
        self._last += 1
        self._links[self._last] = link
        self._causes[self._last] = principal.name if principal is not None else group_of(address)
        who = f" as {principal.name}" if principal is not None else ""
        _log.info("%s client %d connected from %s%s", role, self._last, address, who)
        name = principal.name if principal is not None else None
        self.audit.record(
            events.Connected(peer=self._last, role=str(role), address=address, principal=name)
        )
        if self._stopped:
            link.close(CloseCode.RESTARTING, RESTARTING)
        account = usage.key if usage is not None else None
        now, whose = self._loop.time(), (principal, account, address)
        self.act(self.relay.connected, self._last, role, now, *whose, direct=direct)
        return self._last

    def said(self, number: int, message: Message) -> None:
        """Tell the relay what a peer says that has no connection of its own; `codec.check` it."""
        text = codec.encode(message)
        self.act(self.relay.received, number, message, text, self._loop.time())

    def slowed(self, number: int, role: ClientType, limit: Limit, again_s: float) -> int:
        """Tell a peer, and the logs, that what it sends is read later; return what that took."""
        self._quotas.bit(limit)
        cause = self._causes.get(number)
        self._refusals.reached(limit, f"{role} client {number}", cause)
        self.audit.record(events.Slowed(peer=number, role=str(role), limit=str(limit)), cause)
        return self.act(self.relay.slowed, number, limit, again_s, self._loop.time())

    def gone(self, number: int, *, goodbye: bool) -> None:
        """Strike a peer that said its last."""
        self._links.pop(number, None)
        self._pulse.leave(number)
        self.act(self.relay.disconnected, number, self._loop.time(), goodbye=goodbye)
        self._causes.pop(number, None)

    async def stop(self, reconnect_in_s: float, drain_s: float) -> None:
        """Announce the restart, give requests in flight `drain_s` to finish, close with 1012."""
        self.stopping = True
        self._perform(self.relay.shut_down(reconnect_in_s, self._loop.time()))
        try:
            async with asyncio.timeout(drain_s):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("%d requests are not answered yet", self.relay.in_flight)
        self._stopped = True
        for link in list(self._links.values()):
            link.close(CloseCode.RESTARTING, RESTARTING)

    def stopped(self) -> None:
        """Note that all connections are closed."""
        self._pulse.stop()
        if self._timer is not None:
            self._timer.cancel()

    def act(
        self, event: Callable[Event, list[Effect]], *args: Event.args, **kwargs: Event.kwargs
    ) -> int:
        """Perform what the relay answers to an event; return how many effects it has."""
        effects: list[Effect] = []
        try:
            effects = event(*args, **kwargs)
            self._perform(effects)
        except MemoryError:
            self._break()
        return len(effects)

    def has_no_memory(self, link: Endpoint) -> None:
        """Make room, and close on a peer whose message there was no room for."""
        self._unread.shed()
        link.close(CloseCode.TRY_AGAIN_LATER, "The server has no memory for this.")

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):  # nearly all are
                link = self._links.get(effect.peer)
                if link is None:
                    continue
                if effect.text is not None:
                    link.forward(effect.text)
                else:
                    self._send(effect.peer, link, effect.message)
            else:
                self._do(effect)
        if self.stopping and not self.relay.in_flight:
            self._idle.set()
        if self._deadlines.soonest < self._due:
            self._set_timer()

    def _do(self, effect: Close | Note | Audit | Stop | Keep | Book | Uphold | Carry) -> None:
        """Perform what is not to be sent."""
        match effect:
            case Close():
                link = self._links.get(effect.peer)
                if link is not None:
                    link.close(effect.code, effect.reason)
            case Note():
                self._note(effect)
            case Audit():
                self.audit.record(effect.event, self._cause(effect.by))
            case Stop():
                if self._stop is not None:
                    self._stop()
            case Keep() | Book() | Uphold():
                self._keep(effect)
            case Carry():
                self._carry(effect.what)

    def keep_with(self, keep: Callable[[Keep | Book | Uphold], None]) -> None:
        """Have changes kept by `keep`, which then calls `kept`, `booked` or `upheld`."""
        self._keep = keep

    def carry_with(self, carry: Callable[[object], None]) -> None:
        """Have what a node asks of what carries its messages done by `carry`."""
        self._carry = carry

    def recall(self, recalled: Recalled) -> None:
        """Know what the runs before have kept; no peer is here yet."""
        now = self._loop.time()
        self.relay.recall(recalled, now)
        self.act(self.relay.tick, now)

    def kept(self, number: int, now_kept: Kept | None, why: str) -> None:
        """Take note of what became of a change."""
        self.act(self.relay.kept, number, now_kept, why, self._loop.time())

    def booked(self, number: int, why: str) -> None:
        """Take note of what became of a reservation that was to be written or struck."""
        self.act(self.relay.booked, number, why, self._loop.time())

    def upheld(self, number: int, why: str) -> None:
        """Take note of what became of an order that was to be written or struck."""
        self.act(self.relay.upheld, number, why, self._loop.time())

    def told(self, identity: str, kept: Kept | tuple[Booking, ...]) -> None:
        """Take note of all that is kept of a card now, which another server may have changed."""
        self.act(self.relay.told, identity, kept, self._loop.time())

    def _not_kept(self, change: Keep | Book | Uphold) -> None:
        why = "This server keeps nothing."
        if isinstance(change, Keep):
            self._loop.call_soon(self.kept, change.number, None, why)
        elif change.number:
            tell = self.booked if isinstance(change, Book) else self.upheld
            self._loop.call_soon(tell, change.number, why)

    def _note(self, note: Note) -> None:
        """Log a sentence; of what a user can cause at will, not all."""
        level = logging.WARNING if note.warns else logging.INFO
        cause = self._cause(note.by)
        if note.limit is not None:
            self._quotas.bit(note.limit)
            self._refusals.note(note.limit, level, note.sentence, cause)
            return
        more: int | None = 0
        if note.by is not None:
            more = self._often[note.warns].take(self._loop.time(), cause)
        if more is not None:
            after = f" ({more} lines like it are left out)" if more else ""
            _log.log(level, "%s%s", note.sentence, after)

    def _cause(self, peer: int | None) -> str | None:
        """Return who a peer is to be counted as: its principal, else where it is."""
        return None if peer is None else self._causes.get(peer)

    def _send(self, peer: int, link: Link, message: Message) -> None:
        try:
            link.send(message)
        except LocalProtocolError as exc:  # its peers chose texts that no bound of the relay has
            _log.error("Client %d is not sent a message: %s", peer, exc)

    def _set_timer(self) -> None:
        deadline = self.relay.deadline()
        if deadline is None or deadline >= self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = deadline
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer, self._due = None, math.inf
        self.act(self.relay.tick, self._loop.time())

    def _break(self) -> None:
        """
        End the server where an event cannot be completed for want of memory.

        What it knows of cards and sessions may be half changed; its peers know better, and bring
        it to the server that is started next.
        """
        self._spare = None
        _log.critical("There is no memory left; the server ends and must be started again")
        self._unread.shed()
        if self._broken is not None:
            self._broken()


class _Peer:
    """What one peer says, on its way to the relay."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a peer is, each once
        self,
        peers: Peers,
        number: int,
        role: ClientType,
        link: Endpoint,
        line: Line,
        usage: Usage | None,
    ) -> None:
        self._peers = peers
        self._act = peers.act
        self._relay = peers.relay
        self._number = number
        self._role = role
        self._link = link
        self._time = asyncio.get_running_loop().time
        self._share = Share(line, link.go_on)
        self._costly = Budget(*BUDGETS[role])
        self._usage = usage
        self._told_at = -math.inf
        self._resting = False

    def may_speak(self) -> bool:
        """Return whether the next frame may be looked at; if not, the link is told when it may."""
        return not self._resting and self._share.next()

    def text(self, text: bytes) -> None:
        """Take a message; those that cross our close are dropped."""
        if self._link.closing:
            return
        now = self._time()
        try:
            if not text.isascii():
                codec.check_utf8(text)
            message = codec.decode(text)
            pause_s = 0.0
            if type(message) in _ARE_COSTLY:
                pause_s = self._costly.take(now, _cost(message))
            sent = self._act(self._relay.received, self._number, message, text, now)
            if self._usage is not None:
                pause_s = max(pause_s, self._use(self._usage, len(text), now))
            if pause_s:
                self._rest(pause_s)
        except UnreadableError as exc:
            sent = self._act(self._relay.unreadable, self._number, exc, now)
        except RemoteProtocolError as exc:
            sent = self._wrong(exc)
        except MemoryError:
            _log.warning("%s is closed: there is no memory for its message", self)
            self._peers.has_no_memory(self._link)
            sent = 0
        self._share.done(sent)

    def binary(self, octets: bytes) -> None:
        """Take note of a binary message, which breaks the protocol."""
        del octets
        why = "Binary frames are not used; send JSON as text."
        error = RemoteProtocolError(why, CloseCode.NO_TEXT)
        self._share.done(self._wrong(error))

    def ping(self) -> None:
        """Take note of a ping."""
        self._share.done(1)

    def ended(self, why: str, parting: Parting) -> None:
        """Take note that nothing more comes."""
        _log.info("%s is gone: %s", self, why)
        goodbye = parting is Parting.GOODBYE
        number, role = self._number, str(self._role)
        gone = events.Disconnected(peer=number, role=role, why=why, goodbye=goodbye)
        self._peers.audit.record(gone)
        self._peers.gone(self._number, goodbye=goodbye)

    def _use(self, usage: Usage, octets: int, now: float) -> float:
        """Charge a message; return for how many seconds the next is not read, and say so."""
        octets_s = usage.octets.take(now, octets)
        is_user = self._role is ClientType.USER
        requests_s = usage.requests.take(now) if is_user else 0.0
        pause_s = max(octets_s, requests_s)
        if pause_s and now >= self._told_at + TELL_S:
            self._told_at = now
            limit = Limit.OCTETS if octets_s > requests_s else Limit.REQUESTS
            self._peers.slowed(self._number, self._role, limit, pause_s)
        return pause_s

    def __str__(self) -> str:
        return f"{self._role} client {self._number}"

    def _wrong(self, error: RemoteProtocolError) -> int:
        _log.warning("%s broke the protocol: %s", self, error)
        return self._act(self._relay.malformed, self._number, error, self._time())

    def _rest(self, seconds: float) -> None:
        """Look at no frame for so long."""
        self._resting = True
        asyncio.get_running_loop().call_later(seconds, self._rested)

    def _rested(self) -> None:
        self._resting = False
        if self._link.waits:
            self._share.stand()  # others may end their rest in this turn


def _cost(message: Message) -> int:
    """Return as how many requests one counts: a list counts for each of its pages."""
    pages = message.pages if isinstance(message, m.ListCards | m.ListReaders | m.Who) else 1
    return min(max(pages, 1), m.MAX_PAGES)
