# SPDX-License-Identifier: Apache-2.0
"""A card of ours while connections come and go: `wsrc.session.UserEnd` with its clock and wire."""

# Longer than the aim: one session, from what it asks to how it is resumed and given back.

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from wsrc.card.slot import Disposition
from wsrc.errors import (
    CardError,
    ConnectionLostError,
    ErrorCode,
    LocalProtocolError,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    SessionLostError,
    WsrcError,
)
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError
from wsrc.protocol.conversation import ANSWERS
from wsrc.session import AWAY, Effect, Send, Settled, State, UserEnd
from wsrc.user_client.core.faults import from_error
from wsrc.user_client.core.following import Then
from wsrc.user_client.core.limits import Limits
from wsrc.user_client.core.requests import Hear, Requests

if TYPE_CHECKING:
    from wsrc.protocol.boxed import UserBoxes
    from wsrc.user_client.core.tracing import SessionTrace

_log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""When `resume` is sent again that was refused for too many, unless the server says when."""

_LATER = "detach_after"
"""Feature of a server that takes a card back once its last request is answered."""

_GIVEN_BACK = "It was given back."

_OTHER_FIRST = "The card was selected with another first command; ask for that one first."


class Session:
    """
    One card of ours: its requests go out one at a time, in the order of asking.

    It is made when `granted` arrives, so that nothing that the server says of it is missed.
    `sending` is called with each request when its turn has come, and returns it as it is sent.
    `trace` is told of each that is answered, if it is there.

    Args:
        requests: Those of its client.
        asked: How the card was selected.
        granted: The answer to that.
        boxes: The user's end of a session that is sealed.
    """

    def __init__(
        self,
        requests: Requests,
        asked: m.SelectCard,
        granted: m.SelectCardAck,
        boxes: "UserBoxes | None" = None,
    ) -> None:
        self.name = granted.session or ""
        self._requests = requests
        self.keep_s = granted.keep_s
        self.sending: Callable[[m.Plain], m.Plain] = lambda request: request
        self.trace: SessionTrace | None = None
        where = (None, None) if granted.card is None else (granted.card.host, granted.card.reader)
        self._end = UserEnd(self.name, asked.secret or "", granted.keep_s, *where, boxes)
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._in_line = 0
        self._limits = Limits(self._loop)
        self._id: int | None = None
        self._posted: int | None = None
        self._asked: m.Plain | None = None
        self._answer: m.Message | WsrcError | None = None
        self._settled = asyncio.Event()
        self._settled.set()
        self._waiter: asyncio.Future[None] | None = None
        self._late: Hear | None = None
        self._abandoned = False
        self._goodbye: m.Detach | None = None
        self._unsaid: m.Detach | None = None
        self._is_last = self._leaving = self._given_back = False
        self._over = asyncio.Event()
        self._tell_over: Callable[[WsrcError], None] | None = None
        self._tell_idle: Callable[[m.SessionIdle], None] | None = None
        self._then: Then | None = None
        self._on_its_way: m.Following | None = None
        self._keep_timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        requests.sessions[self.name] = self

    @property
    def limits(self) -> m.ServerLimits:
        """What the server takes."""
        return self._requests.limits

    async def ask(
        self,
        request: m.Plain,
        limit_s: float,
        known: Callable[[], m.Message | None] = lambda: None,
        late: Hear | None = None,
        *,
        last: bool = False,
    ) -> m.Message:
        """
        Send a request once those before it are answered, and return its answer.

        While the card is out of reach this waits, for as long as the session is kept.

        Args:
            request: What to ask.
            limit_s: How long the turn and the answer may take, each, while the card is in reach.
            known: Returns the answer when its turn has come, if the card need not be asked for it.
            late: Called with an answer that came after the caller gave up.
            last: Whether the card is given back with the answer, where the server can do that:
                `detach` finds that done.

        Raises:
            OutcomeUnknownError: If it was sent, and it is not known whether the card ran it.
            NotExecutedError: If its turn did not come within `limit_s`, or the session was lost
                before it was taken in hand.
            SessionLostError: If the session was over before it reached the card.
            ConnectionLostError: If the connection was lost for good before.
            WsrcError: If the server or the card client answered with an error.
        """
        if self._then is not None:
            return await self._first(request, limit_s)
        self._check()
        async with self._in_turn(limit_s):
            answer = known()
            if answer is not None:
                return answer
            self._is_last = last and _LATER in self._requests.features
            return await self._exchange(request, limit_s, late)

    async def detach(
        self, limit_s: float, disposition: Disposition = Disposition.RESET, *, wait: bool = True
    ) -> None:
        """
        Give the card back, whatever it is doing; it is no error if it is gone.

        Without `wait` the end of the connection tells whether the server has taken it.

        Where the server is out of reach for longer than `limit_s`, it is told on the next
        connection; else the session ends there when it is not kept any more.
        """
        self._tell_over = None
        goodbye = m.Detach(session=self.name, disposition=disposition)
        self._goodbye, self._unsaid = goodbye, None if self._leaving else goodbye
        self._end.abandon()
        self._after()
        try:
            async with asyncio.timeout(limit_s if wait or self._leaving else 0.0):
                await self._over.wait()
        except TimeoutError:
            return
        finally:
            if self._end.state in AWAY:
                self._requests.owe(goodbye)
            if not wait and self._end.state is not State.OVER:
                self._requests.unconfirmed[self.name] = goodbye
            self.forget("The card was given back while it ran the command.")

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Call `tell` once when the card stops being ours, except by `detach`."""
        self._tell_over = tell
        self._after()

    def when_idle(self, tell: Callable[[m.SessionIdle], None]) -> None:
        """Call `tell` each time that the server says that it takes the card back soon."""
        self._tell_idle = tell

    async def say(self, request: m.Making, limit_s: float) -> m.Message:
        """
        Ask the server something for this session that it answers itself, once its turn has come.

        Raises:
            WsrcError: As `ask`, but for a request that is sent once.
        """
        self._check()
        async with self._in_turn(limit_s):
            asked = msgspec.structs.replace(request, session=self.name)
            return await self._requests.ask(asked, limit_s, once=True)

    def forget(self, sentence: str) -> None:
        """End the session at this end; a command in flight will not be answered."""
        self._tell_over = None
        self._perform(self._end.closed(sentence))

    # What `Requests` tells

    def told(self, message: m.SessionEnded | m.SessionInterrupted | m.SessionIdle) -> None:
        """Take what the server says of the session unasked."""
        if isinstance(message, m.SessionIdle):
            _log.warning("%s", message.message)
            if self._tell_idle is not None:
                self._tell_idle(message)
        elif isinstance(message, m.SessionEnded):
            self._perform(self._end.ended(message))
        elif self.keep_s and self._end.state is State.LIVE:
            self._hold()
            self._perform(self._end.interrupted(self.now()))

    def disconnected(self, reason: str) -> None:
        """Wait for another connection, if the session outlives the one that is lost."""
        if not self.keep_s:
            self.lost(reason)
            return
        self._hold()
        if self._again is not None:
            self._again.cancel()
        self._perform(self._end.disconnected(self.now()))

    def complained(self, reason: str) -> bool:
        """Fail the open request where it was sent; return whether it was."""
        effects = self._end.complained(reason)
        self._perform(effects)
        return bool(effects)

    def answered(self, answer: m.Answer) -> None:
        """Take an answer of the card client to what was asked on an earlier connection."""
        self._perform(self._end.answered(answer))

    def connected(self) -> None:
        """Go on with another connection."""
        self._perform(self._end.connected())

    def lost(self, reason: str) -> None:
        """End the session: there will be no other connection."""
        self._perform(self._end.closed(reason, ErrorCode.CONNECTION_LOST))

    # One request

    def follow(self, then: Then, granted: m.SelectCardAck) -> None:
        """
        Expect the answer to what was sent within the select, or note that it is in doubt.

        It is the first that is to be asked of this session.
        """
        self._on_its_way = then.taken(granted)
        if self._on_its_way is not None:
            self._then = then
            self._begin(self._on_its_way, None)
        elif then.in_doubt:
            self._then, self._answer = then, then.doubt()

    async def _first(self, request: m.Plain, limit_s: float) -> m.Message:
        """Return the answer to what was sent within the select, which is asked for now."""
        then = self._then
        if then is None or not then.is_asked_by(request):
            raise LocalProtocolError(_OTHER_FIRST)
        self._then = None
        await self._take_turn(limit_s)
        try:
            return await self._answered(limit_s)
        finally:
            self._turn.release()

    async def _exchange(self, request: m.Plain, limit_s: float, late: Hear | None) -> m.Message:
        self._begin(self.sending(request), late)
        return await self._answered(limit_s)

    def _begin(self, request: m.Plain, late: Hear | None) -> None:
        self._settled.clear()
        self._asked, self._answer, self._late = request, None, late
        self._abandoned = False
        self._perform(self._end.ask(request))

    async def _answered(self, limit_s: float) -> m.Message:
        """Wait for the answer to the request that is open, and return it."""
        try:
            if not self._settled.is_set():
                self._waiter = self._loop.create_future()
                await self._limits.wait(self._waiter, limit_s)
        except TimeoutError:
            if self._answer is None:
                raise self._too_late(limit_s, at_risk=self._give_up()) from None
        except asyncio.CancelledError:
            self._give_up()
            raise
        return self._result()

    def _give_up(self) -> bool:
        """Stop waiting for the answer; return whether the card may run the command."""
        if self._answer is not None:
            self._tell_late()
            return True
        self._abandoned = True
        self._cancel()
        return self._end.abandon()

    def _cancel(self) -> None:
        """Cancel what is asked on this connection, where it can be."""
        if self._id is not None:
            self._requests.tell(m.Cancel(target=self._id, session=self.name))

    def _result(self) -> m.Message:
        answer = self._answer
        assert answer is not None
        if isinstance(answer, WsrcError):
            raise answer
        return answer

    def _judged(self, answer: m.Message | WsrcError) -> m.Message | WsrcError:
        """Turn an answer that is an error into one; that the session was over before wins."""
        if isinstance(answer, NotExecutedError):
            return self._end.over or answer
        if isinstance(answer, WsrcError):
            return answer
        if not isinstance(answer, m.Error):
            fits = self._asked is not None and isinstance(answer, ANSWERS[type(self._asked)])
            why = "The card client kept the answer to a different request."
            return answer if fits else OutcomeUnknownError(why)
        fault = from_error(answer, command=self._is_command)
        if isinstance(fault, CardError) and fault.outcome is Outcome.NOT_EXECUTED:
            return self._end.over or fault
        return fault

    @property
    def _is_command(self) -> bool:
        return isinstance(self._asked, m.COMMANDS)

    def _too_late(self, limit_s: float, *, at_risk: bool) -> WsrcError:
        if not at_risk:
            why = f"The server did not pass the command on within {limit_s:g} s."
            return NotExecutedError(why, ErrorCode.SHUTTING_DOWN)
        if self._is_command:
            return OutcomeUnknownError(
                f"The card did not answer within {limit_s:g} s; it may still run the command."
            )
        return ConnectionLostError(f"The server did not answer within {limit_s:g} s.")

    def _tell_late(self) -> None:
        late, self._late = self._late, None
        if late is not None and isinstance(self._answer, m.Message):
            late(self._answer)

    # Effects

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Settled):
                self._settle(effect.answer)
            else:
                self._send(effect)
        self._after()

    def _settle(self, answer: m.Message | WsrcError) -> None:
        self._answer = self._judged(answer)
        if self.trace is not None:
            self.trace.settled(self._asked, self._answer)
        self._id = None
        self._settled.set()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._abandoned:
            self._tell_late()

    def _send(self, effect: Send) -> None:
        if isinstance(effect.message, m.Resume):
            self._requests.post(effect.message, self._heard_of_resume)
            return
        if isinstance(effect.message, m.Detach):
            self._requests.tell(self._goodbye or effect.message)
            return
        if self._on_its_way is not None:
            sent = msgspec.structs.replace(effect.message, id=self._on_its_way.id)
            self._on_its_way = None
            self._id = self._posted = self._requests.expect(sent, self._heard)
            return
        self._requests.drop(self._posted)
        try:
            self._id = self._posted = self._requests.post(effect.message, self._heard)
        except LocalProtocolError as exc:
            self._refuse(exc.code, str(exc))
            return
        if self._abandoned:
            self._cancel()
        if self._is_last and self._id is not None:
            goodbye = m.Detach(session=self.name, after_answer=True)
            self._leaving = self._requests.post(goodbye, self._heard_of_detach) is not None
        if self._id is None and not self.keep_s:
            why = "The connection to the server is closing; nothing was sent."
            self._refuse(ErrorCode.CONNECTION_LOST, why)

    def _refuse(self, code: ErrorCode, sentence: str) -> None:
        """Settle a request that was not sent."""
        refusal = m.error(code, sentence, outcome=Outcome.NOT_EXECUTED)
        self._perform(self._end.unsent(refusal))

    def _after(self) -> None:
        """Set the timers for the state of the session; remove a session that is over."""
        if self._end.state in AWAY:
            self._limits.hold()
        else:
            self._limits.begin_anew()
        deadline = self._end.deadline()
        if self._keep_timer is not None:
            self._keep_timer.cancel()
            self._keep_timer = None
        if deadline is not None:
            self._keep_timer = self._loop.call_at(deadline, self._expire)
        if self._end.state is State.OVER:
            if self._end.idle:
                self._requests.sessions.pop(self.name, None)
            self._over.set()
            self._tell_end()
        elif self._end.state not in AWAY and self._unsaid is not None:
            detach, self._unsaid = self._unsaid, None
            self._requests.post(detach, self._heard_of_detach)
        elif self._end.state is State.LIVE and self._given_back:
            self.forget(_GIVEN_BACK)

    def _tell_end(self) -> None:
        tell, self._tell_over = self._tell_over, None
        if tell is None:
            return
        try:
            self._check()
        except WsrcError as exc:
            tell(exc)

    def _expire(self) -> None:
        self._perform(self._end.expired(self.now()))

    def _heard(self, said: m.Message | UnreadableError) -> None:
        if isinstance(said, UnreadableError):
            why = f"The answer cannot be read. {said}"
            said = m.error(ErrorCode.INTERNAL, why, outcome=Outcome.UNKNOWN)
        assert isinstance(said, m.Answer)
        self._perform(self._end.answered(said))

    def _heard_of_resume(self, said: m.Message | UnreadableError) -> None:
        match said:
            case m.Resumed():
                self._perform(self._end.resumed(said))
            case m.SessionEnded():
                self._perform(self._end.ended(said))
            case m.Error():
                self._perform(self._end.refused(said, self.now()))
                if said.code is ErrorCode.TOO_MANY and self._end.state is State.CUT:
                    again_s = said.retry_after_s or AGAIN_S
                    self._again = self._loop.call_later(again_s, self._resume_again)
            case _:
                self.lost("The answer to resume cannot be read.")
                self._requests.tell(self._goodbye or m.Detach(session=self.name))

    def _resume_again(self) -> None:
        """Resume on the same connection."""
        if self._end.state is State.CUT:
            self._perform(self._end.connected())

    def _heard_of_detach(self, said: m.Message | UnreadableError) -> None:
        """Note that it is over; while the card is out of reach, it is asked again after that."""
        self._requests.confirmed(self.name)
        if self._end.state is State.ASKING and self._goodbye is None:
            self._given_back = True
        elif isinstance(said, m.DetachAck) or self._end.state is State.LIVE:
            self.forget(_GIVEN_BACK)

    # Turns

    def _check(self) -> None:
        self._requests.check()
        self._end.check()

    def _hold(self) -> None:
        """Note that what was asked on this connection is asked again."""
        self._id = None
        self._unsaid, self._leaving = self._goodbye, False

    @asynccontextmanager
    async def _in_turn(self, limit_s: float) -> AsyncGenerator[None, None]:
        if self._then is not None:
            raise LocalProtocolError(_OTHER_FIRST)
        await self._take_turn(limit_s)
        try:
            await self._ready(limit_s)
            yield
        finally:
            self._turn.release()

    async def _take_turn(self, limit_s: float) -> None:
        if not self._turn.locked() and not self._in_line:
            await self._turn.acquire()  # nothing to wait for, so nothing to limit
            return
        self._in_line += 1
        try:
            async with self._limits.of(limit_s):
                await self._turn.acquire()
        except TimeoutError:
            raise _no_turn(limit_s) from None
        finally:
            self._in_line -= 1

    async def _ready(self, limit_s: float) -> None:
        try:
            if not self._settled.is_set():
                async with self._limits.of(limit_s):
                    await self._settled.wait()
            self._check()
        except TimeoutError:
            raise _no_turn(limit_s) from None
        except (ConnectionLostError, SessionLostError) as exc:
            raise NotExecutedError(f"The command was not sent. {exc}", exc.code) from exc

    @property
    def in_reach(self) -> bool:
        """Whether the card is ours, for all that is known, and can be asked at once."""
        return self._end.state is State.LIVE

    def now(self) -> float:
        """Return the time of the clock of this session, in seconds."""
        return self._loop.time()


def _no_turn(limit_s: float) -> NotExecutedError:
    return NotExecutedError(
        "The command was not sent: the one before it on the same card was not answered within "
        f"{limit_s:g} s.",
        ErrorCode.REQUEST_IN_FLIGHT,
    )
