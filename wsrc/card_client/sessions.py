# SPDX-License-Identifier: Apache-2.0
"""The sessions of one reader: how they begin, what is done for them, how they end."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from wsrc import messages as m
from wsrc.card_client.attachment import Attachment, Held
from wsrc.card_client.identification import Identification, Options
from wsrc.card_client.inbox import Inbox
from wsrc.card_client.replies import Replies
from wsrc.card_client.sight import Sight
from wsrc.card_client.taking import check_reset, resets, take
from wsrc.card_client.turns import Turns
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import (
    BadApduError,
    CardError,
    CardTransmissionError,
    ErrorCode,
    RefusedError,
)
from wsrc.readers.base import Direct, ResetKind
from wsrc.slot import Disposition, Share

_log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S = 10.0
"""Longest power-off."""


class Sessions:
    """
    The sessions of one reader; what awaits is called by one task, in turn.

    Args:
        options: The operator's.
        thread: The thread of the reader.
        card: Who the card is.
        sight: What the source sees.
        replies: What the server is told.
    """

    def __init__(
        self,
        options: Options,
        thread: ReaderThread,
        card: Identification,
        sight: Sight,
        replies: Replies,
    ) -> None:
        self.turns = Turns(options.transaction_wait_s, options.transaction_idle_s)
        self.inbox = Inbox()
        self._options = options
        self._thread = thread
        self._card = card
        self._sight = sight
        self._replies = replies

    # Begin

    async def attach(self, asked: m.Attach) -> None:
        """Give a session to the card or the reader."""
        if not self.turns.may_join(asked.share):
            await self.end(ErrorCode.NO_SUCH_SESSION, "Another session began.")
        try:
            await self._check_card(asked)
            sharing = next(iter(self.turns.sessions.values()), None)
            held = await take(asked, sharing, self._thread, self._run, self._options.command_s)
        except RefusedError as exc:
            self._replies.refuse(asked, exc.code, str(exc))
        except CardError as exc:
            self._replies.refuse(asked, exc.code, str(exc))
            if asked.share is not Share.DIRECT:
                self._sight.failed(exc)
        else:
            self.turns.add(held)
            self._replies.send(held.attached())

    async def _check_card(self, asked: m.Attach) -> None:
        """Raise RefusedError if the card that is meant is not there any more."""
        info = self._card.info
        if asked.share is Share.DIRECT:
            return
        if asked.insertion != info.insertion or info.state is not m.ReaderState.READY:
            why = f"The card that was in {info.name} is not there any more."
            raise RefusedError(ErrorCode.CARD_NOT_PRESENT, why)
        if self._sight.touched and not self.turns.sessions:
            await self._sight.identify()
            now = self._card.info
            if (info.iccid, info.eids) != (now.iccid, now.eids):
                why = f"Another program has used {info.name}, and the card is another one now."
                raise RefusedError(ErrorCode.NO_SUCH_CARD, why)

    # Use

    async def carry_out(self, asked: m.Forwarded) -> None:
        """Answer a request whose turn has come."""
        current = self.turns.sessions.get(asked.session or "")
        if current is None:
            why = "The card client has no such session."
            self._replies.refuse(asked, ErrorCode.NO_SUCH_SESSION, why)
            return
        failure: CardError | None = None
        try:
            failure = await self._answer(asked, current)
        except BadApduError as exc:
            self._replies.refuse(asked, exc.code, f"Not a command for a card: {exc}.")
        except RefusedError as exc:
            self._replies.refuse(asked, exc.code, str(exc))
        except CardError as exc:
            self._replies.refuse(asked, exc.code, str(exc), exc.outcome)
            failure = exc
        self.turns.used(current.session, asyncio.get_running_loop().time())
        if failure is not None and not isinstance(failure, CardTransmissionError):
            await self._fail(failure)

    async def _answer(self, asked: m.Forwarded, current: Held) -> CardError | None:
        """Answer a request; give what went wrong after that."""
        check_reset(current, asked)
        if isinstance(asked, m.BeginTransaction | m.EndTransaction):
            await self._transact(asked, current)
            return None
        if resets(asked):
            self.turns.were_reset(current.session)
        done = await current.carry_out(asked, self._card.info.name)
        if isinstance(asked, m.Reconnect):
            current.was_reset, current.share = False, asked.share or current.share
        if done.reset is not None:
            self._card.was_reset(done.reset, done.iccid)
        self._replies.send(done.answer)
        return done.failure

    async def _transact(self, asked: m.BeginTransaction | m.EndTransaction, current: Held) -> None:
        session = current.session
        if isinstance(asked, m.BeginTransaction):
            self.turns.begin(session, asyncio.get_running_loop().time())
            self._replies.send(m.BeginTransactionAck(id=asked.id, session=session))
            return
        self.turns.end(session)
        await self._dispose(asked.disposition, session)
        if session in self.turns.sessions:
            self._replies.send(m.EndTransactionAck(id=asked.id, session=session))

    async def end_overdue(self) -> None:
        """End what took too long."""
        now = asyncio.get_running_loop().time()
        for late in self.turns.overdue(now):
            if self.inbox.take(late):  # else the server is gone
                why = "Another user who shares the card had a transaction open for too long."
                self._replies.refuse(late, ErrorCode.CARD_BUSY, why)
        owner = self.turns.end_idle(now)
        if owner is not None:
            _log.warning("Session %s left a transaction open; the card is reset", owner[:8])
            await self._dispose(Disposition.RESET, None)
        await self.settle()

    async def settle(self) -> None:
        """Do with the card what those who left want, as soon as no transaction is open."""
        await self._dispose(self.turns.disposition(), None)

    async def _dispose(self, disposition: Disposition, by: str | None) -> None:
        """Do with the card what a session wants; the others are told when they next ask."""
        held = next(iter(self.turns.sessions.values()), None)
        if disposition is Disposition.LEAVE or not isinstance(held, Attachment):
            return
        kind = ResetKind.WARM if disposition is Disposition.RESET else ResetKind.COLD
        self.turns.were_reset(by)
        try:
            reset, iccid = await held.reset(m.ResetReq(session=held.session, kind=kind))
        except CardError as exc:
            await self._fail(exc)
        else:
            self._card.was_reset(reset, iccid)

    async def _run(self, held: Direct, function: Callable[[], T]) -> T:
        return await self._thread.call(
            function, self._options.command_s, late=lambda _: held.close()
        )

    # End

    async def detach(self, asked: m.Detach) -> None:
        """End a session because the server asks for it."""
        left = self.turns.leave(asked.session, asked.disposition)
        self.inbox.strike_requests({asked.session})
        if left is not None:
            _log.info("Session %s on %s is over", asked.session[:8], self._card.info.name)
        if left is not None and not self.turns.sessions:
            await self._close(left.held, eject=asked.disposition is Disposition.EJECT)
            if left.share is not Share.DIRECT or self._card.info.state is not m.ReaderState.EMPTY:
                await self._sight.identify()
        self._replies.send(m.DetachAck(session=asked.session))

    async def abandon(self) -> None:
        """End all sessions, for their server is gone."""
        if self.turns.sessions:
            names = ", ".join(session[:8] for session in self.turns.sessions)
            _log.info("Sessions %s on %s lost their server", names, self._card.info.name)
            await self.power_off()
            await self._sight.identify()

    async def end(self, code: ErrorCode, sentence: str) -> None:
        """End all sessions without being asked to."""
        ended = tuple(self.turns.sessions)
        await self.power_off()
        for request in self.inbox.strike_requests(ended):
            self._replies.refuse(request, code, sentence)
        for session in ended:
            _log.info("Session %s on %s ended: %s", session[:8], self._card.info.name, sentence)
            self._replies.send(m.SessionEnded(session=session, code=code, message=sentence))

    async def power_off(self) -> None:
        """Strike all sessions and let go of the card."""
        for held in self.turns.clear()[:1]:
            await self._close(held.held)

    async def _fail(self, failure: CardError) -> None:
        await self.end(failure.code, str(failure))
        self._sight.failed(failure)

    async def _close(self, held: Direct, *, eject: bool = False) -> None:
        """Let go of the card; one that hangs is reset when it is next connected to."""
        try:
            await self._thread.call(lambda: held.close(eject=eject), CLOSE_S)
        except CardError as exc:
            _log.warning("%s: the card could not be powered off: %s", self._card.info.name, exc)
