# SPDX-License-Identifier: Apache-2.0
"""One reader and the card in it: who it is, the sessions that it has, and their end."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from wsrc import messages as m
from wsrc.card_client.attachment import Attachment, Held
from wsrc.card_client.identification import Identification, Options
from wsrc.card_client.sight import STATES, Sight, same_card
from wsrc.card_client.taking import check_reset, resets, take
from wsrc.card_client.turns import Turns
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import (
    BadApduError,
    CardError,
    CardTransmissionError,
    ErrorCode,
    Outcome,
    RefusedError,
)
from wsrc.readers.base import Direct, Reader, ResetKind, Slot, SlotState
from wsrc.slot import Disposition, Share

_log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S = 10.0
"""Longest power-off."""

MAX_JOBS = 64
"""What may wait for one reader: a session has one request in flight, the rest is slack."""


class SlotAgent:
    """
    Serves one reader; `info` is what the server is told of it.

    Args:
        options: The operator's.
        name: Name of the reader at its source.
        claim: Gives the id on the wire for a stable id, such that no two readers share one.
        open_reader: Makes the reader, in the thread that serves it.
        send: Takes messages for the server, and drops them while there is none.
    """

    def __init__(
        self,
        options: Options,
        name: str,
        claim: Callable[[str], str],
        open_reader: Callable[[], Reader],
        send: Callable[[m.Message], None],
    ) -> None:
        self._turns = Turns(options.transaction_wait_s, options.transaction_idle_s)
        self._options = options
        self._claim = claim
        self._send = send
        self._jobs: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]]] = asyncio.Queue()
        self._thread = ReaderThread(name, open_reader)
        self._card = Identification(options, name, self._thread, send)
        self._sight = Sight(self._card)
        self._waiting: list[m.Message] = []
        self._touched = False
        self._to_refresh = False

    async def run(self) -> None:
        """Serve the reader until cancelled, then power its card off."""
        try:
            await self._card.name(self._claim)
            while True:
                job = await self._next_job()
                await job()
                await self._take_turns()
        finally:
            self._sight.close()
            await self._power_off()
            self._thread.stop()

    async def _next_job(self) -> Callable[[], Coroutine[Any, Any, None]]:
        due, retry_s = self._turns.due(), self._card.retry_s
        wait_s = None if self._turns.sessions else retry_s
        if due is not None:
            wait_s = max(0.0, due - asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(wait_s):
                return await self._jobs.get()
        except TimeoutError:
            return self._look_again

    @property
    def info(self) -> m.ReaderInfo:
        """What the server is told of the reader."""
        return self._card.info

    @property
    def named(self) -> bool:
        """Whether the reader has its id, without which the server is not told of it."""
        return bool(self.info.reader)

    def slot_changed(self, slot: Slot) -> None:
        """Take what the source sees now; who the card is takes its turn."""
        if slot.in_use and not self._turns.sessions:
            self._touched = True
        self._sight.saw(slot, in_session=bool(self._turns.sessions))
        if not self._to_refresh:  # each change of any reader comes here
            self._to_refresh = True
            self._jobs.put_nowait(self._refresh)

    def knows(self, session: str) -> bool:
        """Tell whether a session is there, or about to be."""
        waiting = (w.session for w in self._waiting if isinstance(w, m.Attach))
        return session in self._turns.sessions or session in waiting

    def connection_lost(self) -> None:
        """End all sessions: the server is gone, and with it whoever held the card."""
        self._waiting.clear()
        for held in self._turns.sessions.values():
            held.break_off()
        self._jobs.put_nowait(self._abandon)

    def request(self, message: m.Message) -> None:
        """Take a request of the server; it is answered by `send`."""
        if isinstance(message, m.Cancel):
            self._cancel(message)
            return
        if self._jobs.qsize() >= MAX_JOBS and not isinstance(message, m.Detach):
            why = f"{MAX_JOBS} requests wait for {self.info.name} already."
            self._refuse(message, ErrorCode.TOO_MANY, why)
            return
        current = self._turns.sessions.get(m.session_of(message) or "")
        if current is not None and isinstance(message, m.Detach):
            current.break_off()
        self._waiting.append(message)
        self._jobs.put_nowait(lambda: self._handle(message))

    async def _handle(self, message: m.Message) -> None:
        if not any(waiting is message for waiting in self._waiting):
            return
        if isinstance(message, m.Forwarded) and self._turns.must_wait(message):
            self._turns.park(message, asyncio.get_running_loop().time())
            return
        self._waiting.remove(message)
        match message:
            case m.Attach():
                await self._attach(message)
            case m.Detach():
                await self._detach(message)
            case _:
                assert isinstance(message, m.Forwarded)
                await self._carry_out(message)

    def _cancel(self, message: m.Cancel) -> None:
        target = next(
            (w for w in self._waiting if isinstance(w, m.Forwarded) and _is_target(w, message)),
            None,
        )
        current = self._turns.sessions.get(message.session or "")
        in_batch = current is not None and current.in_batch == message.target
        if target is not None:
            self._waiting.remove(target)
            self._turns.unpark(target)
            self._refuse(target, ErrorCode.CANCELLED, "The request was cancelled.")
        elif current is not None and in_batch:
            current.break_off()
        cancelled = target is not None or in_batch
        ack = m.CancelAck(id=message.id, session=message.session, cancelled=cancelled)
        self._send(ack)

    # What the source sees

    async def _refresh(self) -> None:
        self._to_refresh = False
        slot, seen = self._sight.slot, self._sight.dealt
        if slot is None or (seen is not None and seen == slot and self._card.retry_s is None):
            return
        self._sight.dealt = slot
        same, present = same_card(seen, slot), slot.state is SlotState.PRESENT
        direct = any(held.share is Share.DIRECT for held in self._turns.sessions.values())
        if self._turns.sessions and not direct and not (same and present):
            await self._end(ErrorCode.CARD_NOT_PRESENT, "The card was taken out of the reader.")
        self._sight.tell()
        if not present:
            self._card.no_card(STATES[slot.state], slot.atr)
        elif slot.exclusive:  # it is identified when the other program lets go
            return
        elif (not same or self.info.state is not m.ReaderState.READY) and not direct:
            await self._identify()

    async def _identify(self) -> None:
        await self._card.identify(self._sight.still_there)
        self._touched = False

    async def _look_again(self) -> None:
        if self._sight.present and not self._turns.sessions and self._card.retry_s is not None:
            await self._identify()

    def _failed(self, exc: CardError) -> None:
        """Say how a card is that failed, unless the source has seen it go."""
        if self._sight.still_there():
            self._card.failed(exc)

    # Sessions

    async def _attach(self, asked: m.Attach) -> None:
        if not self._turns.may_join(asked.share):
            await self._end(ErrorCode.NO_SUCH_SESSION, "Another session began.")
        try:
            await self._check_card(asked)
            sharing = next(iter(self._turns.sessions.values()), None)
            held = await take(asked, sharing, self._thread, self._run, self._options.command_s)
        except RefusedError as exc:
            self._refuse(asked, exc.code, str(exc))
        except CardError as exc:
            self._refuse(asked, exc.code, str(exc))
            if asked.share is not Share.DIRECT:
                self._failed(exc)
        else:
            self._turns.add(held)
            self._send(held.attached())

    async def _check_card(self, asked: m.Attach) -> None:
        """Raise RefusedError if the card that is meant is not there any more, or is in use."""
        name, before = self.info.name, self.info
        if asked.share is Share.DIRECT:
            return
        self._check_state(asked)
        if self._touched and not self._turns.sessions:
            await self._identify()
            self._check_state(asked)
            if (before.iccid, before.eids) != (self.info.iccid, self.info.eids):
                why = f"Another program has used {name}, and the card is another one now."
                raise RefusedError(ErrorCode.NO_SUCH_CARD, why)

    def _check_state(self, asked: m.Attach) -> None:
        name, state = self.info.name, self.info.state
        if asked.insertion == self.info.insertion and state is m.ReaderState.IN_USE:
            why = f"Another program on {self._options.host} uses the card in {name}."
            raise RefusedError(ErrorCode.READER_IN_USE, why)
        if asked.insertion != self.info.insertion or state is not m.ReaderState.READY:
            why = f"The card that was in {name} is not there any more."
            raise RefusedError(ErrorCode.CARD_NOT_PRESENT, why)

    async def _detach(self, asked: m.Detach) -> None:
        left = self._turns.leave(asked.session, asked.disposition)
        self._waiting = [w for w in self._waiting if m.session_of(w) != asked.session]
        if left is not None:
            _log.info("Session %s on %s is over", asked.session[:8], self.info.name)
        if left is not None and not self._turns.sessions:
            await self._close(left.held, eject=asked.disposition is Disposition.EJECT)
            if left.share is not Share.DIRECT or self.info.state is not m.ReaderState.EMPTY:
                await self._identify()
        self._send(m.DetachAck(session=asked.session))

    async def _abandon(self) -> None:
        if self._turns.sessions:
            names = ", ".join(session[:8] for session in self._turns.sessions)
            _log.info("Sessions %s on %s lost their server", names, self.info.name)
            await self._power_off()
            await self._identify()

    async def _take_turns(self) -> None:
        """Do what is due: end what took too long, then go on with who waits."""
        now = asyncio.get_running_loop().time()
        for late in self._turns.overdue(now):
            if late not in self._waiting:  # the server is gone
                continue
            self._waiting.remove(late)
            why = "Another user who shares the card had a transaction open for too long."
            self._refuse(late, ErrorCode.CARD_BUSY, why)
        owner = self._turns.end_idle(now)
        if owner is not None:
            _log.warning("Session %s left a transaction open; the card is reset", owner[:8])
            await self._dispose(Disposition.RESET, None)
        await self._dispose(self._turns.disposition(), None)
        while (ready := self._turns.next_ready()) is not None:
            await self._handle(ready)
            await self._dispose(self._turns.disposition(), None)

    async def _carry_out(self, asked: m.Forwarded) -> None:
        current = self._turns.sessions.get(asked.session or "")
        if current is None:
            self._refuse(asked, ErrorCode.NO_SUCH_SESSION, "The card client has no such session.")
            return
        failure: CardError | None = None
        try:
            failure = await self._answer(asked, current)
        except BadApduError as exc:
            self._refuse(asked, exc.code, f"Not a command for a card: {exc}.")
        except RefusedError as exc:
            self._refuse(asked, exc.code, str(exc))
        except CardError as exc:
            self._refuse(asked, exc.code, str(exc), exc.outcome)
            failure = exc
        self._turns.used(current.session, asyncio.get_running_loop().time())
        if failure is not None and not isinstance(failure, CardTransmissionError):
            await self._fail(failure)

    async def _answer(self, asked: m.Forwarded, current: Held) -> CardError | None:
        """Answer a request; give what went wrong after that."""
        check_reset(current, asked)
        if isinstance(asked, m.BeginTransaction | m.EndTransaction):
            await self._transact(asked, current)
            return None
        if resets(asked):
            self._turns.were_reset(current.session)
        done = await current.carry_out(asked, self.info.name)
        if isinstance(asked, m.Reconnect):
            current.was_reset, current.share = False, asked.share or current.share
        if done.reset is not None:
            self._card.was_reset(done.reset, done.iccid)
        self._send(done.answer)
        return done.failure

    async def _transact(self, asked: m.BeginTransaction | m.EndTransaction, current: Held) -> None:
        session = current.session
        if isinstance(asked, m.BeginTransaction):
            self._turns.begin(session, asyncio.get_running_loop().time())
            self._send(m.BeginTransactionAck(id=asked.id, session=session))
            return
        self._turns.end(session)
        await self._dispose(asked.disposition, session)
        if session in self._turns.sessions:
            self._send(m.EndTransactionAck(id=asked.id, session=session))

    async def _dispose(self, disposition: Disposition, by: str | None) -> None:
        """Do with the card what a session wants; the others are told when they next ask."""
        held = next(iter(self._turns.sessions.values()), None)
        if disposition is Disposition.LEAVE or not isinstance(held, Attachment):
            return
        kind = ResetKind.WARM if disposition is Disposition.RESET else ResetKind.COLD
        self._turns.were_reset(by)
        try:
            reset, iccid = await held.reset(m.ResetReq(session=held.session, kind=kind))
        except CardError as exc:
            await self._fail(exc)
        else:
            self._card.was_reset(reset, iccid)

    async def _fail(self, failure: CardError) -> None:
        await self._end(failure.code, str(failure))
        self._failed(failure)

    async def _run(self, held: Direct, function: Callable[[], T]) -> T:
        return await self._thread.call(
            function, self._options.command_s, late=lambda _: held.close()
        )

    async def _end(self, code: ErrorCode, sentence: str) -> None:
        """End all sessions without being asked to."""
        ended = tuple(self._turns.sessions)
        if not ended:
            return
        await self._power_off()
        for request in [w for w in self._waiting if isinstance(w, m.Forwarded)]:
            if request.session in ended:
                self._waiting.remove(request)
                self._refuse(request, code, sentence)
        for session in ended:
            _log.info("Session %s on %s ended: %s", session[:8], self.info.name, sentence)
            self._send(m.SessionEnded(session=session, code=code, message=sentence))

    async def _power_off(self) -> None:
        """Strike all sessions and let go of the card."""
        for held in self._turns.clear()[:1]:
            await self._close(held.held)

    async def _close(self, held: Direct, *, eject: bool = False) -> None:
        """Let go of the card; one that hangs is reset when it is next connected to."""
        try:
            await self._thread.call(lambda: held.close(eject=eject), CLOSE_S)
        except CardError as exc:
            _log.warning("%s: the card could not be powered off: %s", self.info.name, exc)

    def _refuse(
        self,
        asked: m.Message,
        code: ErrorCode,
        sentence: str,
        outcome: Outcome = Outcome.NOT_EXECUTED,
    ) -> None:
        error = m.error(code, sentence, id=asked.id, session=m.session_of(asked), outcome=outcome)
        self._send(error)


def _is_target(request: m.Forwarded, cancel: m.Cancel) -> bool:
    return request.id == cancel.target and request.session == cancel.session
