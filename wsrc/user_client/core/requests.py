# SPDX-License-Identifier: Apache-2.0
"""
What a client asks its server, on one connection after another: numbers, limits, repetition.

Nothing here knows of a socket. `sessions` stands on this with what is asked of cards.
"""

# Longer than the aim: one table of requests, and each way in which one ends or is asked again.

import asyncio
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from wsrc.errors import (
    ConnectionLostError,
    ErrorCode,
    LocalProtocolError,
    RemoteProtocolError,
    WsrcError,
)
from wsrc.protocol import codec, messages as m
from wsrc.protocol.codec import UnreadableError, tag_of
from wsrc.protocol.conversation import ANSWERS
from wsrc.protocol.fields import MAX_USER_ID
from wsrc.user_client.core.faults import from_error
from wsrc.user_client.core.following import Then

_log = logging.getLogger(__name__)

_SLOWED = None, ErrorCode.TOO_MANY
"""Id and code of an error that says that our requests are read later."""

MAX_WAIT_S = 31_536_000.0
"""Longest wait that a server is asked for: a year."""

RETURN_S = 30.0
"""How long a select waits at least on a connection that was made again: its card may be on its
way back as well, to a server that was restarted."""

Hear = Callable[[m.Message], None]

Page = m.ListCardsAck | m.ListReadersAck | m.WhoAck
"""An answer to the request for a list."""


_TOLD = m.SessionEnded | m.SessionInterrupted | m.SessionIdle
"""What a server says of a session unasked."""


class Listener(Protocol):
    """A session: it has requests of its own, and outlives connections."""

    name: str

    @property
    def keep_s(self) -> float:
        """For how many seconds the server keeps the card after a loss; 0 if it does not."""
        ...

    def told(self, message: m.SessionEnded | m.SessionInterrupted | m.SessionIdle) -> None:
        """Take what the server says of the session unasked."""
        ...

    def answered(self, answer: m.Answer) -> None:
        """Take an answer of the card client to what was asked on an earlier connection."""
        ...

    def complained(self, reason: str) -> bool:
        """Note that the server rejected what was sent; return whether anything was."""
        ...

    def disconnected(self, reason: str) -> None:
        """Note that the connection is lost; another may be made."""
        ...

    def connected(self) -> None:
        """Note that there is a connection again."""
        ...

    def lost(self, reason: str) -> None:
        """Note that there will be no other connection."""
        ...


class _Posted(NamedTuple):
    request: m.Message
    heard: Callable[[m.Message | UnreadableError], None]


@dataclass(slots=True, eq=False)
class _Asked:
    request: m.Message
    limit: asyncio.Timeout
    hear: Hear | None
    late: Hear | None
    then: Then | None
    once: bool = False
    since: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    id: int | None = None
    abandoned: bool = False
    answer: m.Message | WsrcError | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def wait_on(self, select: m.SelectCard, now: float, return_s: float) -> None:
        """Repeat a select so that it keeps its place, and waits at least `return_s` more."""
        waited_s = now - self.since
        left_s = select.wait_s + select.waited_s - waited_s
        wait_s = max(left_s, return_s)
        self.request = msgspec.structs.replace(select, wait_s=wait_s, waited_s=waited_s)
        when = self.limit.when()
        if when is not None and not self.limit.expired():
            self.limit.reschedule(when + wait_s - left_s)

    @property
    def whole(self) -> m.Message:
        """The request, with what follows a select."""
        if self.then is None or not isinstance(self.request, m.SelectCard):
            return self.request
        return self.then.within(self.request)

    def advance(self, page: "Page") -> bool:
        """Take a page of a list, of which the rest is asked for again; False if it goes back."""
        if page.next is None:
            return not page.more
        assert isinstance(self.request, m.ListCards | m.ListReaders | m.Who)
        if page.next <= self.request.after:
            return False
        self.request = msgspec.structs.replace(self.request, after=page.next)
        return True

    async def settled(self) -> None:
        async with self.limit:
            await self.done.wait()

    def settle(self, answer: m.Message | WsrcError) -> None:
        self.answer = answer
        self.done.set()
        if self.abandoned:
            self.tell_late()

    def tell_late(self) -> None:
        if self.late is not None and isinstance(self.answer, m.Message):
            self.late(self.answer)


class Requests:
    """
    The requests of one client.

    Args:
        send: Sends a message; returns False where it provably did not.
        keep_s: How long a lost connection is retried; what was not answered is asked again
            on the next. With 0 it fails.
    """

    def __init__(self, send: Callable[[m.Message], bool], keep_s: float) -> None:
        self.sessions: dict[str, Listener] = {}
        self.limits = m.ServerLimits()
        self.features = frozenset[str]()
        """What the server has said that it can do."""
        self.nonce = b""
        """What the server gave to the connection that there is, for proofs that resume."""
        self._send = send
        self._repeats = keep_s > 0
        self._return_s = min(keep_s, RETURN_S)
        self._last_id = 0
        self._posted: dict[int, _Posted] = {}
        self._asked: dict[_Asked, None] = {}
        self.owed: dict[str, m.Detach] = {}
        """What the next connection begins with: cards that were given back, by session."""
        self.unconfirmed: dict[str, m.Detach] = {}
        """Cards that were given back without waiting for the answer."""
        self._connected = True
        self._lost: WsrcError | None = None

    async def ask(  # noqa: PLR0913 - each way in which a request may go on
        self,
        request: m.Message,
        limit_s: float,
        *,
        hear: Hear | None = None,
        late: Hear | None = None,
        then: Then | None = None,
        once: bool = False,
    ) -> m.Message:
        """
        Return the answer to a request that may be repeated; a cancelled caller sends `cancel`.

        Args:
            request: Without an id.
            limit_s: How long to wait.
            hear: Called at once, in the order of arrival, with all that is said to the request.
            late: Called with an answer that came after the caller gave up.
            then: What follows a select.
            once: Whether it is not to be repeated where a connection was lost after it was sent.

        Raises:
            ConnectionLostError: If it was not answered in time, or the connection is lost.
            LocalProtocolError: If no server would take it; nothing was sent.
            WsrcError: If the server answered with an error; the class says which.
        """
        # Longer than the aim: each choice of a caller is told.
        self.check()
        asked = _Asked(request, asyncio.timeout(limit_s), hear, late, then, once)
        codec.check(asked.whole)
        self._asked[asked] = None
        if self._connected:
            self._repeat(asked)
        try:
            await asked.settled()
        except TimeoutError:
            if asked.answer is None:
                self._give_up(asked)
                raise _too_late(request, limit_s) from None
        except asyncio.CancelledError:
            self._give_up(asked)
            raise
        return _result(asked)

    async def pages(
        self,
        request: m.ListCards | m.ListReaders | m.Who,
        limit_s: float,
        hear: Hear | None = None,
    ) -> list[Page]:
        """
        Return a list, page by page, however many there are; as `ask`.

        Several are asked for at once; a server that does not know of that sends one.
        """
        pages: list[Page] = []

        def take(said: m.Message) -> None:
            if hear is not None:
                hear(said)
            if isinstance(said, Page):
                pages.append(said)

        after: int | None = request.after
        while after is not None:
            rest = msgspec.structs.replace(request, after=after, pages=m.MAX_PAGES)
            last = await self.ask(rest, limit_s, hear=take)
            assert isinstance(last, Page)
            after = last.next
        return pages

    def post(
        self, request: m.Message, heard: Callable[[m.Message | UnreadableError], None]
    ) -> int | None:
        """
        Send a request once, and return its id; None where it provably was not sent.

        `heard` is called with its answer, unless the connection is lost before.

        Raises:
            LocalProtocolError: If it cannot be written, or is too long.
        """
        numbered = self._numbered(request)
        if not self._connected or not self._send(numbered):
            return None
        self._posted[self._last_id] = _Posted(numbered, heard)
        return self._last_id

    def drop(self, posted: int | None) -> None:
        """Ignore the answer to a request that was posted."""
        if posted is not None:
            self._posted.pop(posted, None)

    def tell(self, request: m.Message) -> None:
        """Send a request whose answer does not matter, if there is a connection."""
        self._send(self._numbered(request))

    def _numbered(self, request: m.Message) -> m.Message:
        return msgspec.structs.replace(request, id=self.number())

    def number(self) -> int:
        """Return the next id; after the highest come those that are not open again."""
        self._last_id = self._last_id % MAX_USER_ID + 1
        while self._last_id in self._posted:
            self._last_id = self._last_id % MAX_USER_ID + 1
        return self._last_id

    def expect(
        self, sent: m.Message, heard: Callable[[m.Message | UnreadableError], None]
    ) -> int | None:
        """Have `heard` called with the answer to a request that was sent within another."""
        assert sent.id is not None
        self._posted[sent.id] = _Posted(sent, heard)
        return sent.id

    def owe(self, goodbye: m.Detach) -> None:
        """Give a card back on the next connection, before anything else is asked on it."""
        self.owed[goodbye.session] = goodbye

    def confirmed(self, session: str) -> None:
        """Note that the server knows that a card was given back."""
        self.owed.pop(session, None)
        self.unconfirmed.pop(session, None)

    def _given_back(self, session: str, _said: m.Message | UnreadableError) -> None:
        self.confirmed(session)

    @property
    def has_cards(self) -> bool:
        """Whether a card is ours, or may be to the knowledge of the server."""
        return bool(self.sessions or self.unconfirmed or self._asked)

    def kept_s(self, most_s: float) -> float | None:
        """Return for how long the first of our cards is kept after a loss, None if we have none."""
        kept = [session.keep_s for session in self.sessions.values() if session.keep_s]
        return min([most_s, *kept]) if kept else None

    def check(self) -> None:
        """
        Raise the reason why nothing can be asked now.

        Raises:
            ConnectionLostError: If the connection is lost for good.
            WsrcError: If the server refused it.
        """
        if self._lost is not None:
            raise _again(self._lost)

    def deliver(self, message: m.Message) -> None:
        """
        Take what the server said; an answer that nobody waits for is dropped.

        Raises:
            RemoteProtocolError: If it does not answer the request with its id.
        """
        posted = self._posted.get(message.id) if message.id is not None else None
        if posted is None or message.id is None:
            self._unasked(message)
            return
        _check_answer(posted.request, message)
        if _is_last(message):
            del self._posted[message.id]
        posted.heard(message)

    def unreadable(self, error: UnreadableError) -> None:
        """Fail the request whose answer cannot be read."""
        posted = self._posted.pop(error.id, None) if error.id is not None else None
        if posted is not None:
            posted.heard(error)

    def complained(self, reason: str) -> bool:
        """
        Fail what was sent and not answered, for the server would not have it.

        Tell whether there was anything: if not, it is of no use to connect again.
        """
        sent = [asked for asked in self._asked if asked.id is not None]
        for asked in sent:
            self._settle(asked, ConnectionLostError(reason))
        told = [session.complained(reason) for session in list(self.sessions.values())]
        return bool(sent) or any(told)

    def disconnected(self, reason: str, *, in_order: bool = False) -> None:
        """
        Note that the connection is lost; `reason` is a sentence.

        `in_order` tells that the server closed it for a restart, after all that it had to say.
        """
        self._connected = False
        self._posted.clear()
        self.owed.update(self.unconfirmed)
        for asked in list(self._asked):
            was_sent, asked.id = asked.id is not None, None
            if asked.then is not None:
                asked.then.cut(in_order=in_order)
            if asked.once and was_sent:
                why = f"{reason} It is not known whether the server did what it was asked to."
                self._settle(asked, ConnectionLostError(why))
            elif asked.abandoned or not self._repeats:
                self._settle(asked, ConnectionLostError(reason))
        for session in list(self.sessions.values()):
            session.disconnected(reason)

    def connected(self) -> None:
        """Go on with another connection: sessions are resumed, then requests repeated."""
        self._connected = True
        owed, self.owed = self.owed, {}
        for name, goodbye in owed.items():
            self.post(goodbye, functools.partial(self._given_back, name))
        for session in list(self.sessions.values()):
            session.connected()
        for asked in list(self._asked):
            if isinstance(asked.request, m.SelectCard):
                asked.wait_on(asked.request, asyncio.get_running_loop().time(), self._return_s)
            self._repeat(asked)

    def lost(self, reason: str) -> None:
        """Fail all that waits, now and from now on; `reason` is a sentence."""
        self.refused(ConnectionLostError(reason))

    def refused(self, why: WsrcError) -> None:
        """Fail all that waits, now and from now on, with why there is no connection."""
        if self._lost is not None:
            return
        self._lost = why
        self._connected = False
        self._posted.clear()
        for asked in list(self._asked):
            self._settle(asked, _again(why))
        for session in list(self.sessions.values()):
            session.lost(str(why))

    def _unasked(self, message: m.Message) -> None:
        session = self.sessions.get(m.session_of(message) or "")
        if session is None:
            if isinstance(message, m.Error) and (message.id, message.code) == _SLOWED:
                _log.warning("The server says: %s", message.message)
            return
        if isinstance(message, m.Answer):
            if message.seq is not None:
                session.answered(message)
        elif isinstance(message, _TOLD) and message.id is None:
            session.told(message)

    def _repeat(self, asked: _Asked) -> None:
        try:
            asked.id = self.post(asked.whole, lambda said: self._heard(asked, said))
        except LocalProtocolError as exc:
            self._settle(asked, exc)
            return
        if asked.id is not None and asked.then is not None:
            asked.then.sent()
        if asked.id is None and not self._repeats:
            why = "The connection to the server is closing; nothing was sent."
            self._settle(asked, ConnectionLostError(why))

    def _heard(self, asked: _Asked, said: m.Message | UnreadableError) -> None:
        if isinstance(said, UnreadableError):
            self._settle(asked, RemoteProtocolError(str(said)))
            return
        if asked.then is not None:
            asked.then.heard(said)
        if self._repeats and isinstance(said, m.Error) and said.code is ErrorCode.SHUTTING_DOWN:
            asked.id = None
            return
        if isinstance(said, Page) and not asked.advance(said):
            why = "The server's list does not advance."
            self.drop(asked.id)
            self._settle(asked, RemoteProtocolError(why))
            return
        if asked.hear is not None and not asked.abandoned:
            asked.hear(said)
        if _is_last(said):
            self._settle(asked, said)

    def _settle(self, asked: _Asked, answer: m.Message | WsrcError) -> None:
        del self._asked[asked]
        asked.settle(answer)

    def _give_up(self, asked: _Asked) -> None:
        if asked.answer is not None:
            asked.tell_late()
            return
        asked.abandoned = True
        if asked.id is None:
            del self._asked[asked]
        else:
            self.tell(m.Cancel(target=asked.id, session=m.session_of(asked.request)))


def bounded_wait(wait_s: float, most_s: float | None = None) -> float:
    """
    Return how long a server is asked to wait for a card, even where that is for ever.

    Args:
        wait_s: How long a program would wait.
        most_s: What the server says that it waits at most.

    Raises:
        LocalProtocolError: If it is less than 0, or not a number.
    """
    if not wait_s >= 0:
        raise LocalProtocolError(f"The wait for a card must be 0 or more seconds, not {wait_s}.")
    return min(wait_s, MAX_WAIT_S if most_s is None else max(0.0, most_s))


def _is_last(answer: m.Message) -> bool:
    """Return whether nothing more is said to the request."""
    return not (isinstance(answer, m.Waiting) or (isinstance(answer, Page) and answer.more))


def _check_answer(request: m.Message, message: m.Message) -> None:
    fits = isinstance(message, (ANSWERS[type(request)], m.Error)) or (
        isinstance(message, m.Waiting) and isinstance(request, m.SelectCard)
    )
    ended = isinstance(message, m.SessionEnded) and isinstance(request, m.Resume)
    if not fits and not ended:
        raise RemoteProtocolError(f"The server answered {tag_of(request)} with {tag_of(message)}.")
    session = m.session_of(request)
    if session is not None and m.session_of(message) not in {None, session}:
        raise RemoteProtocolError("The server's answer belongs to another session.")


def _again(why: WsrcError) -> WsrcError:
    """Return an error to raise where others raise it as well."""
    if isinstance(why, ConnectionLostError):
        return ConnectionLostError(str(why))
    return why.with_traceback(None)


def _too_late(request: m.Message, limit_s: float) -> ConnectionLostError:
    return ConnectionLostError(f"The server did not answer {tag_of(request)} within {limit_s:g} s.")


def _result(asked: _Asked) -> m.Message:
    answer = asked.answer
    assert answer is not None
    if isinstance(answer, WsrcError):
        raise answer
    if isinstance(answer, m.Error):
        raise from_error(answer, command=False)
    return answer
