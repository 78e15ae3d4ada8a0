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
)
from wsrc.octets import Octets
from wsrc.readers.base import Connection, Reader, Slot, SlotState

_log = logging.getLogger(__name__)

T = TypeVar("T")

ATTACH_S = 25.0
"""Longest reset for a new holder; the server gives up a little later."""

CLOSE_S = 10.0
"""Longest power-off."""

MAX_JOBS = 64
"""What may wait for one reader: a session has one request in flight, the rest is slack."""

TELL_S = 0.05
"""How long the server is not told of a change so that a session can end with its outcome."""

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
        self._jobs: asyncio.Queue[Callable[[], Coroutine[Any, Any, None]]] = asyncio.Queue()
        self._thread = ReaderThread(name, open_reader)
        self._slot: Slot | None = None
        self._seen: Slot | None = None
        self._told: Slot | None = None
        self._late: asyncio.TimerHandle | None = None
        self._card = Identification(options, name, self._thread, send)
        self._waiting: list[m.Message] = []
        self._touched = False
        self._to_refresh = False

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
            self._forget_late()
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
        """
        Take what the source sees now.

        The server is told that a card came or went at once, whatever the reader is busy with; who
        the card is takes its turn. A session has `TELL_S` to end first, so that its user is told
        what became of a command.
        """
        quiet = self.attachment is None and self._thread.idle_s > GRACE_S
        if slot.in_use and quiet:
            self._touched = True
        self._slot = slot
        if self.attachment is None:
            self._tell()
        elif self._late is None:
            self._late = asyncio.get_running_loop().call_later(TELL_S, self._tell)
        if not self._to_refresh:  # each change of any reader comes here
            self._to_refresh = True
            self._jobs.put_nowait(self._refresh)

    def connection_lost(self) -> None:
        """End the session: the server is gone, and with it whoever held the card."""
        self._waiting.clear()
        if self.attachment is not None:
            self.attachment.break_off()
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
        current = self.attachment
        ours = current is not None and current.session == m.session_of(message)
        if current is not None and ours and isinstance(message, m.Detach):
            current.break_off()
        self._waiting.append(message)
        self._jobs.put_nowait(lambda: self._handle(message))

    async def _handle(self, message: m.Message) -> None:
        if not any(waiting is message for waiting in self._waiting):
            return
        self._waiting.remove(message)
        match message:
            case m.Attach():
                await self._attach(message)
            case m.Detach():
                await self._detach(message)
            case m.CApdu() | m.Batch() | m.ResetReq():
                await self._carry_out(message)
            case _:
                self._refuse(message, ErrorCode.UNEXPECTED_MESSAGE, "A reader cannot do that.")

    def _cancel(self, message: m.Cancel) -> None:
        target = next(
            (w for w in self._waiting if isinstance(w, m.COMMANDS) and w.id == message.target), None
        )
        current = self.attachment
        in_batch = current is not None and current.in_batch == message.target
        if target is not None:
            self._waiting.remove(target)
            self._refuse(target, ErrorCode.CANCELLED, "The request was cancelled.")
        elif current is not None and in_batch:
            current.break_off()
        cancelled = target is not None or in_batch
        ack = m.CancelAck(id=message.id, session=message.session, cancelled=cancelled)
        self._send(ack)

    # What the source sees

    def _tell(self) -> None:
        """Tell the server what the source sees, if it was not told yet."""
        slot, told = self._slot, self._told
        self._forget_late()
        if slot is None or slot == told:
            return
        self._told = slot
        if slot.state is not SlotState.PRESENT:
            self._card.no_card(_STATES[slot.state], slot.atr)
        elif not _same_card(told, slot):
            self._card.new_card(slot)

    def _forget_late(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    async def _refresh(self) -> None:
        self._to_refresh = False
        slot, seen = self._slot, self._seen
        if slot is None or (seen is not None and seen == slot and self._card.retry_s is None):
            return
        self._seen = slot
        same_card = _same_card(seen, slot)
        if self.attachment is not None and not (same_card and slot.state is SlotState.PRESENT):
            await self._end(ErrorCode.CARD_NOT_PRESENT, "The card was taken out of the reader.")
        self._tell()
        if slot.state is not SlotState.PRESENT:
            self._card.no_card(_STATES[slot.state], slot.atr)
        elif not same_card or self.info.state is not m.ReaderState.READY:
            await self._identify()

    async def _identify(self) -> None:
        await self._card.identify(self._still_there)
        self._touched = False

    async def _look_again(self) -> None:
        if self._slot is not None and self._slot.state is SlotState.PRESENT:
            await self._identify()

    def _still_there(self) -> bool:
        """Tell whether the source sees what it saw when this was begun."""
        slot, seen = self._slot, self._seen
        return slot is not None and slot.state is SlotState.PRESENT and _same_card(seen, slot)

    def _failed(self, exc: CardError) -> None:
        """Say how a card is that failed, unless the source has seen it go."""
        if self._still_there():
            self._card.failed(exc)

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
                lambda reader: reader.connect(), ATTACH_S, _close
            )
        except CardError as exc:
            self._refuse(asked, exc.code, str(exc))
            self._failed(exc)
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
            await self._power_off()
            _log.info("Session %s on %s is over", asked.session[:8], self.info.name)
            await self._identify()
        self._send(m.DetachAck(session=asked.session))

    async def _abandon(self) -> None:
        if self.attachment is not None:
            _log.info("Session %s lost its server", self.attachment.session[:8])
            await self._power_off()
            await self._identify()

    async def _carry_out(self, asked: m.CApdu | m.Batch | m.ResetReq) -> None:
        current = self.attachment
        if current is None or current.session != asked.session:
            self._refuse(asked, ErrorCode.NO_SUCH_SESSION, "The card has no such session.")
            return
        failure: CardError | None = None
        try:
            match asked:
                case m.CApdu():
                    done, failure = await current.command(asked)
                    self._send(done)
                case m.Batch():
                    answer, failure = await current.batch(asked)
                    self._send(answer)
                case m.ResetReq():
                    reset, iccid = await current.reset(asked)
                    self._card.was_reset(reset, iccid)
                    self._send(reset)
        except BadApduError as exc:
            self._refuse(asked, exc.code, f"Not a command for a card: {exc}.")
        except CardError as exc:
            self._refuse(asked, exc.code, str(exc), exc.outcome)
            failure = exc
        if failure is not None and not isinstance(failure, CardTransmissionError):
            await self._end(failure.code, str(failure))
            self._failed(failure)

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
        for request in [w for w in self._waiting if isinstance(w, m.COMMANDS)]:
            if request.session == ended.session:
                self._waiting.remove(request)
                self._refuse(request, code, sentence)
        _log.info("Session %s on %s ended: %s", ended.session[:8], self.info.name, sentence)
        self._send(m.SessionEnded(session=ended.session, code=code, message=sentence))

    async def _power_off(self) -> None:
        """Let go of the card; one that hangs is reset when it is next connected to."""
        ended, self.attachment = self.attachment, None
        if ended is None:
            return
        try:
            await self._thread.call(ended.connection.close, CLOSE_S)
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


def _same_card(before: Slot | None, slot: Slot) -> bool:
    """Tell whether no card went out or in between two sights of a reader."""
    return (
        before is not None
        and before.event_count == slot.event_count
        and before.state not in {SlotState.EMPTY, SlotState.UNAVAILABLE}
    )


_STATES = {
    SlotState.EMPTY: m.ReaderState.EMPTY,
    SlotState.MUTE: m.ReaderState.MUTE,
    SlotState.UNAVAILABLE: m.ReaderState.UNAVAILABLE,
}
