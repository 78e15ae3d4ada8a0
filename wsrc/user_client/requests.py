# SPDX-License-Identifier: Apache-2.0
"""
Requests and their answers: numbers, limits, cancellation, what is known after a loss.

Nothing here knows of a socket. `Requests` belongs to one connection; `Session` is one card's
turn-taking on top of it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from wsrc import messages as m
from wsrc.codec import UnreadableError, tag_of
from wsrc.conversation import ANSWERS
from wsrc.errors import (
    CardError,
    ConnectionLostError,
    ErrorCode,
    LocalProtocolError,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    RemoteProtocolError,
    SessionLostError,
    WsrcError,
)
from wsrc.slot import Disposition
from wsrc.user_client.faults import from_error

MAX_WAIT_S = 31_536_000.0
"""Longest wait that a server is asked for: a year."""

Hear = Callable[[m.Message], None]


@dataclass(slots=True, eq=False)
class _Pending:
    request: m.Message
    hear: Hear | None
    late: Hear | None
    abandoned: bool = False
    answer: m.Message | WsrcError | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def session(self) -> str | None:
        return m.session_of(self.request)

    @property
    def is_command(self) -> bool:
        return isinstance(self.request, m.COMMANDS)

    def settle(self, answer: m.Message | WsrcError) -> None:
        self.answer = answer
        self.done.set()


class Requests:
    """
    The requests of one connection.

    `send` gives False where it provably did not send.
    """

    def __init__(self, send: Callable[[m.Message], bool]) -> None:
        self._send = send
        self._last_id = 0
        self._pending: dict[int, _Pending] = {}
        self._sessions: dict[str, m.SessionEnded | None] = {}
        self._when_over: dict[str, Callable[[WsrcError], None]] = {}
        self._lost: str | None = None

    async def ask(
        self,
        request: m.Message,
        limit_s: float,
        *,
        hear: Hear | None = None,
        late: Hear | None = None,
    ) -> m.Message:
        """
        Send a request and give its answer.

        A caller that is cancelled sends `cancel`; what is answered then is dropped.

        Args:
            request: Without an id.
            limit_s: How long to wait.
            hear: Called at once, in the order of arrival, with all that is said to the request.
            late: Called with an answer that came after the caller gave up.

        Raises:
            OutcomeUnknownError: A command was sent and neither answered in time nor before the
                connection was lost.
            NotExecutedError: A command was not sent.
            ConnectionLostError: Another request was not answered for one of these reasons.
            WsrcError: The server answered with an error, which is told by the class.
        """
        self.check(m.session_of(request))
        pending = self._start(request, hear, late)
        try:
            async with asyncio.timeout(limit_s):
                await pending.done.wait()
        except TimeoutError:
            if pending.answer is None:
                self._give_up(pending)
                raise _too_late(pending, limit_s) from None
        except asyncio.CancelledError:
            self._give_up(pending)
            raise
        return _result(pending)

    def tell(self, request: m.Message) -> None:
        """Send a request whose answer does not matter."""
        self._last_id += 1
        self._send(msgspec.structs.replace(request, id=self._last_id))

    def check(self, session: str | None = None) -> None:
        """
        Raise the reason for which nothing can be asked now.

        Raises:
            ConnectionLostError: If the connection is lost.
            SessionLostError: If the session ended.
        """
        if self._lost is not None:
            raise ConnectionLostError(self._lost)
        if session is None:
            return
        if session not in self._sessions:
            raise SessionLostError("The card was given back; select it again to use it.")
        ended = self._sessions[session]
        if ended is not None:
            raise SessionLostError(
                f"The card is no longer ours: {ended.message} Select it again.", ended.code
            )

    def when_over(self, session: str, tell: Callable[[WsrcError], None]) -> None:
        """Call `tell` once when a session ends or the connection is lost; not after `forget`."""
        self._when_over[session] = tell
        self._tell_over(session)

    def forget(self, session: str) -> None:
        """Strike a session that was given back; its command in flight will not be answered."""
        self._when_over.pop(session, None)
        self._sessions.pop(session, None)
        for id_, pending in list(self._pending.items()):
            if pending.session == session:
                del self._pending[id_]
                pending.settle(
                    OutcomeUnknownError(
                        "The card was given back while it ran the command.", ErrorCode.CANCELLED
                    )
                )

    async def settled(self, session: str) -> None:
        """Wait until the requests of a session whose callers gave up are answered."""
        for pending in list(self._pending.values()):
            if pending.session == session and pending.abandoned:
                await pending.done.wait()

    def deliver(self, message: m.Message) -> None:
        """
        Take what the server said; an answer that nobody waits for is dropped.

        Raises:
            RemoteProtocolError: If it does not answer the request with its id.
        """
        if isinstance(message, m.SessionEnded):
            if message.session in self._sessions:
                self._sessions[message.session] = message
                self._tell_over(message.session)
            return
        if isinstance(message, m.SelectCardAck) and message.session is not None:
            self._sessions[message.session] = None
        pending = self._pending.get(message.id) if message.id is not None else None
        if pending is None:
            return
        _check_answer(pending, message)
        if pending.hear is not None and not pending.abandoned:
            pending.hear(message)
        if not isinstance(message, m.Waiting):
            self._settle(pending, message)

    def unreadable(self, error: UnreadableError) -> None:
        """Fail the request whose answer cannot be read."""
        pending = self._pending.get(error.id) if error.id is not None else None
        if pending is None:
            return
        if pending.is_command:
            why = f"The answer cannot be read. {error}"
            self._settle(pending, OutcomeUnknownError(why, error.code))
        else:
            self._settle(pending, RemoteProtocolError(str(error)))

    def lost(self, reason: str) -> None:
        """Fail all that waits; `reason` is a sentence."""
        if self._lost is not None:
            return
        self._lost = reason
        for pending in list(self._pending.values()):
            if pending.is_command:
                why = f"{reason} The card may or may not have run the command."
                self._settle(pending, OutcomeUnknownError(why, ErrorCode.CARD_CLIENT_GONE))
            else:
                self._settle(pending, ConnectionLostError(reason))
        for session in list(self._when_over):
            self._tell_over(session)

    def _tell_over(self, session: str) -> None:
        """Tell that a session is over, if it is and somebody wants to know."""
        try:
            self.check(session)
        except (ConnectionLostError, SessionLostError) as exc:
            tell = self._when_over.pop(session, None)
            if tell is not None:
                tell(exc)

    def _start(self, request: m.Message, hear: Hear | None, late: Hear | None) -> _Pending:
        self._last_id += 1
        pending = _Pending(msgspec.structs.replace(request, id=self._last_id), hear, late)
        if not self._send(pending.request):
            why = "The connection to the server is closing; nothing was sent."
            if pending.is_command:
                raise NotExecutedError(why, ErrorCode.CARD_CLIENT_GONE)
            raise ConnectionLostError(why)
        self._pending[self._last_id] = pending
        return pending

    def _settle(self, pending: _Pending, answer: m.Message | WsrcError) -> None:
        id_ = pending.request.id
        assert id_ is not None
        del self._pending[id_]
        pending.settle(answer)
        if pending.abandoned:
            _tell_late(pending)

    def _give_up(self, pending: _Pending) -> None:
        if pending.answer is not None:
            _tell_late(pending)
            return
        pending.abandoned = True
        assert pending.request.id is not None
        self.tell(m.Cancel(target=pending.request.id, session=pending.session))


class Session:
    """One card of ours: its requests go out one at a time, in the order of asking."""

    def __init__(self, requests: Requests, session: str) -> None:
        self.name = session
        self._requests = requests
        self._turn = asyncio.Lock()

    async def ask(
        self,
        request: m.Message,
        limit_s: float,
        known: Callable[[], m.Message | None] = lambda: None,
    ) -> m.Message:
        """
        Send a request of this session when those before it are answered, and give its answer.

        Args:
            request: What to ask.
            limit_s: How long the turn and the answer may take, each.
            known: Gives the answer when its turn has come, if the card need not be asked for it.

        Raises:
            NotExecutedError: If its turn did not come within `limit_s`, or the session or the
                connection was lost before it did.
            SessionLostError: If the session was over before the command reached the card.
            WsrcError: As `Requests.ask`.
        """
        self._requests.check(self.name)
        async with self._in_turn(limit_s):
            answer = known()
            if answer is not None:
                return answer
            try:
                return await self._requests.ask(
                    msgspec.structs.replace(request, session=self.name), limit_s
                )
            except CardError as exc:
                if exc.outcome is Outcome.NOT_EXECUTED:
                    self._requests.check(self.name)
                raise

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Call `tell` once when the card stops being ours, but for `detach`."""
        self._requests.when_over(self.name, tell)

    async def detach(self, limit_s: float, disposition: Disposition = Disposition.RESET) -> None:
        """Give the card back, whatever it is doing; it is no error if it is gone."""
        try:
            await self._requests.ask(m.Detach(session=self.name, disposition=disposition), limit_s)
        except (ConnectionLostError, SessionLostError):
            return
        finally:
            self._requests.forget(self.name)

    @asynccontextmanager
    async def _in_turn(self, limit_s: float) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(limit_s):
                await self._turn.acquire()
        except TimeoutError:
            raise _no_turn(limit_s) from None
        try:
            await self._ready(limit_s)
            yield
        finally:
            self._turn.release()

    async def _ready(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._requests.settled(self.name)
            self._requests.check(self.name)
        except TimeoutError:
            raise _no_turn(limit_s) from None
        except (ConnectionLostError, SessionLostError) as exc:
            raise NotExecutedError(f"The command was not sent. {exc}", exc.code) from exc


def bounded_wait(wait_s: float) -> float:
    """
    Give how long a server is asked to wait for a card, even where that is for ever.

    Raises:
        LocalProtocolError: If it is less than 0, or no number.
    """
    if not wait_s >= 0:
        raise LocalProtocolError(f"A card is waited for 0 or more seconds, not {wait_s}.")
    return min(wait_s, MAX_WAIT_S)


def _no_turn(limit_s: float) -> NotExecutedError:
    return NotExecutedError(
        "The command was not sent: the one before it on the same card was not answered within "
        f"{limit_s:g} s.",
        ErrorCode.REQUEST_IN_FLIGHT,
    )


def _tell_late(pending: _Pending) -> None:
    if pending.late is not None and isinstance(pending.answer, m.Message):
        pending.late(pending.answer)


def _check_answer(pending: _Pending, message: m.Message) -> None:
    request = pending.request
    fits = isinstance(message, (ANSWERS[type(request)], m.Error)) or (
        isinstance(message, m.Waiting) and isinstance(request, m.SelectCard)
    )
    if not fits:
        raise RemoteProtocolError(f"The server answered {tag_of(request)} with {tag_of(message)}.")
    if pending.session is not None and m.session_of(message) not in {None, pending.session}:
        raise RemoteProtocolError("The server answered a request with that of another session.")


def _too_late(pending: _Pending, limit_s: float) -> WsrcError:
    if pending.is_command:
        return OutcomeUnknownError(
            f"The card did not answer within {limit_s:g} s; it may still run the command."
        )
    return ConnectionLostError(
        f"The server did not answer {tag_of(pending.request)} within {limit_s:g} s."
    )


def _result(pending: _Pending) -> m.Message:
    answer = pending.answer
    assert answer is not None
    if isinstance(answer, WsrcError):
        raise answer
    if isinstance(answer, m.Error):
        raise from_error(answer, command=pending.is_command)
    return answer
