# SPDX-License-Identifier: Apache-2.0
"""One reader and the card in it: who it is, the one session that it may have, and its end."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from wsrc import messages as m
from wsrc.card_client.attachment import Attachment
from wsrc.card_client.identification import Identification, Options
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import (
    BadApduError,
    CardError,
    CardTransmissionError,
    ErrorCode,
    Outcome,
    RefusedError,
)
from wsrc.octets import Octets
from wsrc.readers.base import Connection, Reader, Slot, SlotState
from wsrc.slot import Disposition

_log = logging.getLogger(__name__)

T = TypeVar("T")

ATTACH_S = 25.0
"""Longest reset for a new holder; the server gives up a little later."""

CLOSE_S = 10.0
"""Longest power-off."""

MAX_JOBS = 64
"""What may wait for one reader: a session has one request in flight, the rest is slack."""

GRACE_S = 1.0
"""How long PC/SC may go on showing our own use after we let go."""


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()


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
        self.attachment: Attachment | None = None
        self._options = options
        self._claim = claim
        self._send = send
        self._jobs: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]]] = asyncio.Queue(MAX_JOBS)
        self._thread = ReaderThread(name, open_reader)
        self._slot: Slot | None = None
        self._seen: Slot | None = None
        self._card = Identification(options, name, self._thread, send)
        self._waiting: list[m.Message] = []
        self._touched = False

    async def run(self) -> None:
        """Serve the reader until cancelled, then power its card off."""
        try:
            await self._card.name(self._claim)
            while True:
                job: Callable[[], Coroutine[Any, Any, None]]
                try:
                    async with asyncio.timeout(self._card.retry_s):
                        job = await self._jobs.get()
                except TimeoutError:
                    job = self._look_again
                await job()
        finally:
            await self._power_off()
            self._thread.stop()

    @property
    def info(self) -> m.ReaderInfo:
        """What the server is told of the reader."""
        return self._card.info

    @property
    def named(self) -> bool:
        """Whether the reader has its id, without which the server is not told of it."""
        return bool(self.info.reader)

    def slot_changed(self, slot: Slot) -> None:
        """Take what the source sees now."""
        quiet = self.attachment is None and self._thread.idle_s > GRACE_S
        if slot.in_use and quiet:
            self._touched = True
        self._slot = slot
        self._put(self._refresh)

    def connection_lost(self) -> None:
        """End the session: the server is gone, and with it whoever held the card."""
        self._waiting.clear()
        self._put(self._abandon)

    def request(self, message: m.Message) -> None:
        """Take a request of the server; it is answered by `send`."""
        if isinstance(message, m.Cancel):
            self._cancel(message)
            return
        self._waiting.append(message)
        if not self._put(lambda: self._handle(message)):
            self._waiting.remove(message)
            why = f"{MAX_JOBS} requests wait for {self.info.name} already."
            self._refuse(message, ErrorCode.TOO_MANY, why)

    def _put(self, job: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull:
            return False
        return True

    async def _handle(self, message: m.Message) -> None:
        if not any(waiting is message for waiting in self._waiting):
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
            (w for w in self._waiting if isinstance(w, m.Forwarded) and w.id == message.target),
            None,
        )
        current = self.attachment
        in_batch = current is not None and current.in_batch == message.target
        if target is not None:
            self._waiting.remove(target)
            self._refuse(target, ErrorCode.CANCELLED, "The request was cancelled.")
        elif current is not None and in_batch:
            current.cancelled = message.target
        cancelled = target is not None or in_batch
        ack = m.CancelAck(id=message.id, session=message.session, cancelled=cancelled)
        self._send(ack)

    # What the source sees

    async def _refresh(self) -> None:
        slot, seen = self._slot, self._seen
        if slot is None or (seen is not None and seen == slot and self._card.retry_s is None):
            return
        self._seen = slot
        same_card = seen is not None and seen.event_count == slot.event_count
        if self.attachment is not None and not (same_card and slot.state is SlotState.PRESENT):
            await self._end(ErrorCode.CARD_NOT_PRESENT, "The card was taken out of the reader.")
        if slot.state is not SlotState.PRESENT:
            self._card.no_card(_STATES[slot.state], slot.atr)
        elif not same_card or self.info.state is not m.ReaderState.READY:
            if not same_card:
                self._card.new_card(slot)
            await self._identify()

    async def _identify(self) -> None:
        await self._card.identify()
        self._touched = False

    async def _look_again(self) -> None:
        if self._slot is not None and self._slot.state is SlotState.PRESENT:
            await self._identify()

    # The session

    async def _attach(self, asked: m.Attach) -> None:
        if self.attachment is not None:
            await self._end(ErrorCode.NO_SUCH_SESSION, "Another session began.")
        if asked.insertion != self.info.insertion or self.info.state is not m.ReaderState.READY:
            why = f"The card that was in {self.info.name} is not there any more."
            self._refuse(asked, ErrorCode.CARD_NOT_PRESENT, why)
            return
        if self._touched and not await self._is_still_the_same():
            why = f"Another program has used {self.info.name}, and the card is another one now."
            self._refuse(asked, ErrorCode.NO_SUCH_CARD, why)
            return
        try:
            connection = await self._thread.with_reader(
                lambda reader: reader.connect(asked.protocols), ATTACH_S, _close
            )
        except RefusedError as exc:
            self._refuse(asked, exc.code, str(exc))
            return
        except CardError as exc:
            self._refuse(asked, exc.code, str(exc))
            self._card.failed(exc)
            return
        self.attachment = Attachment(
            asked.session,
            connection,
            self._run,
            raw_tpdu=asked.raw_tpdu,
            batch_s=self._options.command_s,
        )
        atr = Octets(connection.atr)
        self._send(m.AttachAck(session=asked.session, atr=atr, protocol=connection.protocol))

    async def _is_still_the_same(self) -> bool:
        before = self.info
        await self._identify()
        return (before.iccid, before.eids) == (self.info.iccid, self.info.eids)

    async def _detach(self, asked: m.Detach) -> None:
        if self.attachment is not None and self.attachment.session == asked.session:
            await self._power_off(eject=asked.disposition is Disposition.EJECT)
            _log.info("Session %s on %s is over", asked.session[:8], self.info.name)
            await self._identify()
        self._send(m.DetachAck(session=asked.session))

    async def _abandon(self) -> None:
        if self.attachment is not None:
            _log.info("Session %s lost its server", self.attachment.session[:8])
            await self._power_off()
            await self._identify()

    async def _carry_out(self, asked: m.Forwarded) -> None:
        current = self.attachment
        if current is None or current.session != asked.session:
            self._refuse(asked, ErrorCode.NO_SUCH_SESSION, "The card has no such session.")
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
        if failure is not None and not isinstance(failure, CardTransmissionError):
            await self._end(failure.code, str(failure))
            self._card.failed(failure)

    async def _answer(self, asked: m.Forwarded, current: Attachment) -> CardError | None:
        """Answer a request; give what went wrong after that."""
        failure: CardError | None = None
        answer: m.ForwardedAck
        match asked:
            case m.CApdu():
                answer, failure = await current.command(asked)
            case m.Batch():
                answer, failure = await current.batch(asked)
            case m.ResetReq():
                answer, iccid = await current.reset(asked)
                self._card.was_reset(answer, iccid)
            case m.Reconnect():
                answer, iccid = await current.reconnect(asked)
                self._card.was_reset(answer, iccid)
            case _:
                answer = await current.verb(asked, self.info.name)
        self._send(answer)
        return failure

    async def _run(self, connection: Connection, function: Callable[[], T]) -> T:
        return await self._thread.call(
            function, self._options.command_s, late=lambda _: connection.close()
        )

    async def _end(self, code: ErrorCode, sentence: str) -> None:
        """End the session without being asked to."""
        ended = self.attachment
        if ended is None:
            return
        await self._power_off()
        for request in [w for w in self._waiting if isinstance(w, m.Forwarded)]:
            if request.session == ended.session:
                self._waiting.remove(request)
                self._refuse(request, code, sentence)
        _log.info("Session %s on %s ended: %s", ended.session[:8], self.info.name, sentence)
        self._send(m.SessionEnded(session=ended.session, code=code, message=sentence))

    async def _power_off(self, *, eject: bool = False) -> None:
        """Let go of the card; one that hangs is reset when it is next connected to."""
        ended, self.attachment = self.attachment, None
        if ended is None:
            return
        try:
            await self._thread.call(lambda: ended.connection.close(eject=eject), CLOSE_S)
        except CardError as exc:
            _log.warning("%s: the card could not be powered off: %s", self.info.name, exc)

    def _refuse(
        self,
        asked: m.Message,
        code: ErrorCode,
        sentence: str,
        outcome: Outcome = Outcome.NOT_EXECUTED,
    ) -> None:
        error = m.error(code, sentence, id=asked.id, session=_session(asked), outcome=outcome)
        self._send(error)


def _session(request: m.Message) -> str | None:
    session: str | None = getattr(request, "session", None)
    return session


_STATES = {
    SlotState.EMPTY: m.ReaderState.EMPTY,
    SlotState.MUTE: m.ReaderState.MUTE,
    SlotState.UNAVAILABLE: m.ReaderState.UNAVAILABLE,
}
