# SPDX-License-Identifier: Apache-2.0
"""One reader and the card in it: what is seen of it, and one thing after the other that is done."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from wsrc.card.slot import Share
from wsrc.card_client.evidence import Evidence
from wsrc.card_client.identification import Identification
from wsrc.card_client.inbox import MAX_WAITING
from wsrc.card_client.replies import NO_SESSION, Replies
from wsrc.card_client.seals import Seals
from wsrc.card_client.sessions import Sessions, is_copy
from wsrc.card_client.sight import Sight, same_card
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import SOON_S
from wsrc.readers.base import Slot, SlotState
from wsrc.settings.load import CardClientSettings

Job = Callable[[], Coroutine[Any, Any, None]]


class Jobs:
    """
    A queue of jobs for one task; what fills it has bounds of its own.

    Args:
        loop: The event loop of the task.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Job] = deque()
        self._wanted: asyncio.Future[None] | None = None

    def put(self, job: Job) -> None:
        """Have something done after all that waits already."""
        self._waiting.append(job)
        self._wake()

    async def next(self, due: float | None) -> Job | None:
        """Return the next job; None if there is none by the time that is due."""
        if not self._waiting:
            self._wanted = self._loop.create_future()
            timer = None if due is None else self._loop.call_at(due, self._wake)
            try:
                await self._wanted
            finally:
                self._wanted = None
                if timer is not None:
                    timer.cancel()
        return self._waiting.popleft() if self._waiting else None

    def _wake(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)


class SlotAgent:
    """
    Serves one reader, in the event loop in which it is made; `info` is what the server is told.

    `powered_off` tells, when `run` has ended, whether the card was.

    Args:
        settings: The operator's.
        name: Name of the reader at its source.
        claim: Returns the id on the wire for a stable id and a position; see `ReaderIds`.
        thread: Of the reader; it is stopped at the end.
        replies: What the server is told.
        evidence: What is kept of what happened.
        seals: How sessions are sealed, by `settings` by default.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a reader is, each once
        self,
        settings: CardClientSettings,
        name: str,
        claim: Callable[[str, str], str],
        thread: ReaderThread,
        replies: Replies,
        evidence: Evidence | None = None,
        seals: Seals | None = None,
    ) -> None:
        self._claim = claim
        self._replies = replies
        self._loop = asyncio.get_running_loop()
        self._jobs = Jobs(self._loop)
        self._thread = thread
        self._card = Identification(settings, name, self._thread, replies.send)
        self._sight = Sight(self._card)
        self._sessions = Sessions(
            settings,
            self._thread,
            self._card,
            self._sight,
            replies,
            evidence or Evidence(),
            seals or Seals(settings, lambda: replies.longest),
        )
        self._turns, self._inbox = self._sessions.turns, self._sessions.inbox
        self._to_refresh = False
        self._new_id: str | None = None
        self._last = False
        self.powered_off = True

    async def run(self) -> None:
        """Serve the reader until cancelled, then power its card off."""
        try:
            await self._card.name(self._claim)
            while True:
                job = await self._next_job()
                await job()
                await self._take_turns()
                self._take_new_id()
        finally:
            self._sight.close()
            self.powered_off = await self._sessions.power_off(last=self._last)
            self._thread.stop()

    async def _next_job(self) -> Job:
        dues = [self._sessions.due()]
        now = self._loop.time()
        if not self._turns.sessions:
            retry_s = self._card.retry_s
            dues += [self._sight.quiet.due, None if retry_s is None else now + retry_s]
        due = min((each for each in dues if each is not None), default=None)
        return await self._jobs.next(due) or self._look_again

    async def _take_turns(self) -> None:
        """Do what is due: end what took too long, then go on with who waits."""
        await self._sessions.end_overdue()
        while (ready := self._turns.next_ready()) is not None:
            await self._handle(ready)
            await self._sessions.settle()

    def rename(self, reader: str) -> None:
        """Call the reader otherwise, as soon as no session knows it by its id."""
        self._new_id = reader
        self.soon(lambda: None)

    def _take_new_id(self) -> None:
        if self._new_id is not None and self.named and not self._sessions.any_to_end:
            self._card.rename(self._new_id)
            self._new_id = None

    @property
    def info(self) -> m.ReaderInfo:
        """What the server is told of the reader."""
        return self._card.info

    @property
    def named(self) -> bool:
        """Whether the reader has its id, without which the server is not told of it."""
        return bool(self.info.reader)

    # What the source sees

    def slot_changed(self, slot: Slot) -> None:
        """Take what the source sees now; who the card is takes its turn."""
        if not self._turns.sessions:
            self._sight.used(slot)
        self._sight.saw(slot, in_session=bool(self._turns.sessions))
        if not self._to_refresh:  # each change of any reader comes here
            self._to_refresh = True
            self._jobs.put(self._refresh)

    async def _refresh(self) -> None:
        self._to_refresh = False
        slot, seen = self._sight.slot, self._sight.dealt
        if slot is None or (seen is not None and seen == slot and self._card.retry_s is None):
            return
        self._sight.dealt = slot
        if self._card.to_be_named and not slot.in_use and not self._turns.sessions:
            await self._card.name(self._claim)
        same, present = same_card(seen, slot), slot.state is SlotState.PRESENT
        direct = any(held.share is Share.DIRECT for held in self._turns.sessions.values())
        if self._turns.sessions and not direct and not (same and present):
            why = "The card was taken out of the reader."
            await self._sessions.end(ErrorCode.CARD_NOT_PRESENT, why)
        self._sight.tell()
        if not present or slot.exclusive:  # it is identified when the other program lets go
            return
        if (not same or self.info.state is not m.ReaderState.READY) and not direct:
            await self._sight.identify()

    async def _look_again(self) -> None:
        quiet_due = self._sight.quiet.due
        quiet = quiet_due is not None and quiet_due <= self._loop.time()
        wanted = quiet or self._card.retry_s is not None
        if self._sight.present and not self._turns.sessions and wanted:
            await self._sight.identify()

    # What the server asks

    @property
    def kept(self) -> list[m.RunningSession]:
        """The sessions that go on when the server comes back."""
        return self._sessions.kept()

    @property
    def in_session(self) -> bool:
        """Whether there is a session whose end was not told."""
        return self._sessions.any_to_end

    def knows(self, session: str) -> bool:
        """Return whether a session is there, or about to be."""
        there = session in self._turns.sessions or session == self._sessions.beginning
        return there or bool(self._inbox.find(m.Attach, session))

    def connection_lost(self) -> None:
        """Keep the sessions that can be kept, and end the others; the server is gone."""
        self._sessions.lost()
        self.soon(lambda: None)  # what is to be ended comes before what the next server asks

    def connection_back(self) -> None:
        """Keep sessions without a limit again; a server was told of them."""
        self._sessions.back()

    def soon(self, do: Callable[[], None]) -> None:
        """Do something after what is being done."""

        async def job() -> None:
            do()

        self._jobs.put(job)

    def end_sessions(self, code: ErrorCode, sentence: str, *, last: bool = False) -> None:
        """
        End all sessions now, whatever is being done; the owner of `run` cancels it.

        With `last` the program ends, and does not wait long for a reader that hangs.
        """
        self._last = last
        self._sessions.strike(code, sentence)
        for resume in self._inbox.strike_all_but(m.Detach):
            if isinstance(resume, m.Resume):
                self._replies.too_late(resume)

    def request(self, message: m.Message) -> None:
        """Take a request of the server; it is answered by `replies`."""
        if isinstance(message, m.Cancel):
            self._cancel(message)
            return
        if self._inbox.full and not isinstance(message, m.Detach | m.Resume):
            why = f"{MAX_WAITING} requests wait for {self.info.name} already."
            self._sessions.refuse(message, ErrorCode.TOO_MANY, why, retry_after_s=SOON_S)
            return
        current = self._turns.sessions.get(m.session_of(message) or "")
        if isinstance(message, m.Resume) and self._sessions.may_resume(message):
            self._sessions.resume(message)
            return
        if current is not None and isinstance(message, m.Detach):
            current.break_off()
        self._inbox.put(message)
        self._jobs.put(lambda: self._handle(message))

    async def _handle(self, message: m.Message) -> None:
        if not self._inbox.has(message):
            return
        if isinstance(message, m.Forwarded) and self._sessions.must_wait(message):
            self._turns.park(message, self._loop.time())
            return
        self._inbox.take(message)
        match message:
            case m.Attach():
                await self._sessions.attach(message)
            case m.Detach():
                await self._sessions.detach(message)
            case m.Resume():
                self._sessions.resume(message)
            case _:
                assert isinstance(message, m.Forwarded)
                await self._sessions.carry_out(message)

    def _cancel(self, message: m.Cancel) -> None:
        if not self.knows(message.session or ""):
            self._sessions.refuse(message, ErrorCode.NO_SUCH_SESSION, NO_SESSION)
            return
        target = self._inbox.target(message)
        current = self._turns.sessions.get(message.session or "")
        in_batch = current is not None and current.in_batch == message.target
        if current is not None and target is not None and is_copy(target, current.end):
            target, in_batch = None, current.in_batch is not None
        if target is not None:
            self._inbox.take(target)
            self._turns.unpark(target)
            self._sessions.refuse(target, ErrorCode.CANCELLED, "The request was cancelled.")
        elif current is not None and in_batch:
            current.break_off()
        cancelled = target is not None or in_batch
        ack = m.CancelAck(id=message.id, session=message.session, cancelled=cancelled)
        self._replies.send(ack)
