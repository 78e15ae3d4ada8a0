# SPDX-License-Identifier: Apache-2.0
"""The sessions of one reader: how they begin, what is done for them, how they end and outlive."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import msgspec

from wsrc.card.slot import Disposition, Share
from wsrc.card_client import blocking
from wsrc.card_client.attachment import Attachment, Held, Room
from wsrc.card_client.evidence import Evidence
from wsrc.card_client.guarding import Guards
from wsrc.card_client.identification import Identification
from wsrc.card_client.inbox import Inbox
from wsrc.card_client.replies import NO_SESSION, Replies
from wsrc.card_client.seals import Seals
from wsrc.card_client.sight import Sight
from wsrc.card_client.taking import Way, check_reset, resets, take
from wsrc.card_client.turns import Turns
from wsrc.card_client.worker import ReaderThread, Steps
from wsrc.errors import (
    BadApduError,
    CardError,
    CardTransmissionError,
    ErrorCode,
    ReaderInUseError,
    RefusedError,
)
from wsrc.process.printable import clean
from wsrc.protocol import messages as m
from wsrc.readers.base import Direct, ResetKind
from wsrc.session import CardEnd, Verdict
from wsrc.settings.load import CardClientSettings

# Longer than the aim: how a session begins, is used, outlives its server and ends.

_log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_S, LAST_CLOSE_S = 10.0, 2.0
"""Longest power-off, and the longest of one when the program ends."""

MAX_WHY = 500
"""Characters of the sentence for which a server ends a session that are kept."""

_UNPROVEN = frozenset((ErrorCode.SEAL_BOX, ErrorCode.SEAL_SECRET, ErrorCode.SEAL_USER))
"""Why a sealed request is refused that its user may never have sent: its number is not used up."""

_GONE = "The card that was in {} is not there any more."


class Sessions:
    """
    The sessions of one reader; what awaits is called by one task, in turn.

    `beginning` is the session whose card is being reset for it.

    Args:
        settings: The operator's.
        thread: The thread of the reader.
        card: Who the card is.
        sight: What the source sees.
        replies: What the server is told.
        evidence: What is kept of what happened.
        seals: How sessions are sealed.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a reader is, each once
        self,
        settings: CardClientSettings,
        thread: ReaderThread,
        card: Identification,
        sight: Sight,
        replies: Replies,
        evidence: Evidence,
        seals: Seals,
    ) -> None:
        self.turns = Turns(settings.transaction_wait_s, settings.transaction_idle_s)
        self.inbox = Inbox()
        self.beginning: str | None = None
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._evidence = evidence
        self._guards = Guards(settings, evidence.guarded)
        self._thread = thread
        self._card = card
        self._sight = sight
        self._replies = replies
        self._seals = seals
        self._losses = 0
        self._ending: list[Held] = []
        self._loose: list[Held] = []

    @property
    def any_to_end(self) -> bool:
        """Whether there is a session whose end was not told."""
        return bool(self.turns.sessions or self._ending)

    def kept(self) -> list[m.RunningSession]:
        """Describe those that go on when the server comes back."""
        return [
            held.running(self._card.info)
            for held in self.turns.sessions.values()
            if held.end.keep_s and not self.inbox.find(m.Detach, held.session)
        ]

    def due(self) -> float | None:
        """Return the time at which `end_overdue` has something to do."""
        ends = [held.end.deadline() for held in self.turns.sessions.values()]
        return min((due for due in (self.turns.due(), *ends) if due is not None), default=None)

    # Begin

    async def attach(self, asked: m.Attach) -> None:
        """Begin a session with the card or the reader."""
        if not self.turns.may_join(asked.share):
            await self.end(ErrorCode.NO_SUCH_SESSION, "Another session began.")
        losses, self.beginning = self._losses, asked.session
        keep_s = min(max(0.0, asked.keep_s), self._settings.keep_s)
        try:
            held = await self._take(msgspec.structs.replace(asked, keep_s=keep_s))
        except RefusedError as exc:
            self._replies.refuse(asked, exc.code, str(exc))
        except CardError as exc:
            self._replies.refuse(asked, exc.code, str(exc))
            if asked.share is not Share.DIRECT:
                self._sight.failed(exc)
        else:
            self.turns.add(held)
            self._evidence.took(held, self._card.info)
            if losses == self._losses:
                self._replies.send(held.attached())
            else:  # the server that asked is lost, and the next one was not told of this session
                held.end.keep_s = 0.0
                held.end.disconnected(self._loop.time())
        finally:
            self.beginning = None

    async def _take(self, asked: m.Attach) -> Held:
        self._seals.check(asked, self._card.info)
        if asked.share is not Share.DIRECT:
            self._check_state(asked)
        sharing = next(iter(self.turns.sessions.values()), None)
        try:
            way = Way(self._thread, self._guards, self._card.info)
            held = await take(asked, sharing, way, self._run, self._room(asked))
        except ReaderInUseError as exc:
            raise ReaderInUseError(self._used_elsewhere(), exc.outcome) from exc
        try:
            await self._check_card(asked, held)
            offered = self._seals.offer(asked, self._card.info, held.atr)
        except BaseException:
            if sharing is None:
                await self._close(held.direct)
            raise
        if offered is not None:
            held.seal(*offered)
        return held

    def _room(self, asked: m.Attach) -> Room:
        settings = self._settings
        return Room(
            settings.command_s,
            self._seals.longest(asked),
            settings.read_ahead_s,
            lambda: not self.inbox.empty,
        )

    async def _check_card(self, asked: m.Attach, held: Held) -> None:
        """
        Check that a card that was just taken is the one that was selected.

        PC/SC tells nobody that another program used it a moment ago.

        Raises:
            RefusedError: If it is not; the card must be released.
            CardError: If it cannot be asked.
        """
        now = self._card.info
        if not isinstance(held, Attachment) or self.turns.sessions:
            return
        if not self._sight.still_there(held.connection.event_count):
            raise RefusedError(ErrorCode.CARD_NOT_PRESENT, _GONE.format(now.name))
        by_iccid = asked.iccid is not None or asked.label is not None
        if not (by_iccid and (self._sight.touched or self._card.may_switch)):
            return
        read = partial(blocking.read_iccid, held.line, asked.protocols)
        now = self._card.has_iccid(await self._run(held.direct, read))
        if (asked.iccid or now.iccid, asked.label or now.label) != (now.iccid, now.label):
            why = f"Another program has used {now.name}, and the card is another one now."
            raise RefusedError(ErrorCode.NO_SUCH_CARD, why)

    def _check_state(self, asked: m.Attach) -> None:
        info = self._card.info
        if asked.insertion == info.insertion and info.state is m.ReaderState.IN_USE:
            raise RefusedError(ErrorCode.READER_IN_USE, self._used_elsewhere())
        if asked.insertion != info.insertion or info.state is not m.ReaderState.READY:
            raise RefusedError(ErrorCode.CARD_NOT_PRESENT, _GONE.format(info.name))

    def _used_elsewhere(self) -> str:
        return f"Another program on {self._settings.name} uses the card in {self._card.info.name}."

    # Use

    def must_wait(self, asked: m.Forwarded) -> bool:
        """Return whether a request has to wait for the end of another session's transaction."""
        held = self.turns.sessions.get(asked.session or "")
        old = held is not None and held.end.has_seen(asked)
        return not old and self.turns.must_wait(asked)

    async def carry_out(self, asked: m.Forwarded) -> None:
        """Take a request in hand whose turn has come, and answer it; a copy is not carried out."""
        current = self.turns.sessions.get(asked.session or "")
        if current is None:
            self._replies.refuse(asked, ErrorCode.NO_SUCH_SESSION, NO_SESSION)
            return
        request = self._plain(asked, current)
        if request is None:
            return
        asked, failure = request, None
        try:
            failure = await self._answer(request, current)
        except BadApduError as exc:
            why = f"Not a command for a card: {exc}."
            self._replies.fail(asked, current.end, exc.code, why)
        except RefusedError as exc:
            self._replies.fail(asked, current.end, exc.code, str(exc))
        except CardError as exc:
            self._replies.fail(asked, current.end, exc.code, str(exc), exc.outcome)
            failure = exc
        self.turns.used(current.session, self._loop.time())
        if failure is not None and not isinstance(failure, CardTransmissionError):
            await self._fail(failure)

    def refuse(
        self,
        asked: m.Message,
        code: ErrorCode,
        sentence: str,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        """Answer a request whose turn did not come, and is not to come, with an error."""
        held = self.turns.sessions.get(m.session_of(asked) or "")
        if held is not None and isinstance(asked, m.Forwarded):
            held.end.refused(asked)
        end = None if held is None else held.end
        self._replies.refuse(asked, code, sentence, retry_after_s=retry_after_s, end=end)

    def _plain(self, asked: m.Forwarded, current: Held) -> m.Plain | None:
        """
        Return what is to be carried out; deal with what is not.

        A box is opened before its number counts as used: one that somebody else made is no reason
        to refuse the user's own.
        """
        boxes, end = current.boxes, current.end
        if isinstance(asked, m.Sealed) != (boxes is not None):
            why = "The session is sealed." if boxes is not None else "The session is not sealed."
            self._replies.refuse(asked, ErrorCode.BAD_MESSAGE, why)
            return None
        if not isinstance(asked, m.Sealed) or boxes is None or end.has_seen(asked):
            new = self._is_new(asked, current)
            return asked if new and not isinstance(asked, m.Sealed) else None
        try:
            request = boxes.open(asked, end.taken)
        except RefusedError as exc:
            if exc.code not in _UNPROVEN:
                end.refused(asked)
            self._replies.refuse(asked, exc.code, str(exc), end=end)
            return None
        return request if self._is_new(asked, current) else None

    def _is_new(self, asked: m.Forwarded, current: Held) -> bool:
        """Return whether a request is to be carried out; deal with one that is not."""
        if asked.seq is None and not current.end.keep_s:
            return True
        verdict = current.end.receive(asked)
        if verdict is Verdict.REPEAT:
            self._replies.send(current.end.repeated(asked))
        elif verdict is Verdict.WRONG:
            why = "The request has no number, or that of another request of the session."
            self._replies.refuse(asked, ErrorCode.BAD_MESSAGE, why)
        elif verdict is Verdict.LATE:
            self._replies.late(asked, current.end)
        return verdict is Verdict.EXECUTE

    async def _answer(self, asked: m.Forwarded, current: Held) -> CardError | None:
        """Answer a request; return what went wrong after that."""
        check_reset(current, asked)
        if isinstance(asked, m.BeginTransaction):
            self.turns.begin(current.session, self._loop.time())
            done = m.BeginTransactionAck(id=asked.id, session=current.session)
            self._replies.answer(asked, current.end, done)
            return None
        if isinstance(asked, m.EndTransaction):
            await self._end_transaction(asked, current)
            return None
        return await self._exchange(asked, current)

    async def _exchange(self, asked: m.Forwarded, current: Held) -> CardError | None:
        if isinstance(asked, m.Reconnect) and not self.turns.may_share(current, asked.share):
            raise RefusedError(ErrorCode.CARD_BUSY, "Others share the card; nothing was done.")
        if resets(asked):
            self.turns.were_reset(current.session)
        done = await current.carry_out(asked, self._card.info.name)
        if resets(asked) or isinstance(asked, m.Reconnect):
            current.was_reset = False
        if isinstance(asked, m.Reconnect):
            current.share = asked.share or current.share
        if done.reset is not None:
            kind = asked.kind if isinstance(asked, m.ResetReq) else "reconnect"
            self._evidence.reset(current, self._card.info, str(kind))
            self._card.was_reset(done.reset, done.iccid)
        self._replies.answer(asked, current.end, done.answer)
        return done.failure

    async def _end_transaction(self, asked: m.EndTransaction, current: Held) -> None:
        self.turns.end(current.session)
        try:
            await self._dispose(asked.disposition, current.session)
        except CardError as exc:
            self._replies.fail(asked, current.end, exc.code, str(exc), exc.outcome)
            await self._fail(exc)
        else:
            done = m.EndTransactionAck(id=asked.id, session=current.session)
            self._replies.answer(asked, current.end, done)

    async def end_overdue(self) -> None:
        """End what took too long."""
        now = self._loop.time()
        for held in [held for held in self.turns.sessions.values() if held.end.expired(now)]:
            await self._give_up(held)
        for late in self.turns.overdue(now):
            self.inbox.take(late)
            why = "Another user who shares the card had a transaction open for too long."
            self.refuse(late, ErrorCode.CARD_BUSY, why)
        owner = self.turns.end_idle(now)
        if owner is not None:
            _log.warning("Session %s left a transaction open; the card is reset", owner[:8])
            await self._dispose_or_end(Disposition.RESET)
        await self.settle()

    async def settle(self) -> None:
        """Do with the card what those who left want, as soon as no transaction is open."""
        await self._dispose_or_end(self.turns.disposition())

    async def _dispose_or_end(self, disposition: Disposition) -> None:
        try:
            await self._dispose(disposition, None)
        except CardError as exc:
            await self._fail(exc)

    async def _dispose(self, disposition: Disposition, by: str | None) -> None:
        """Do with the card what a session wants; the others are told when they next ask."""
        held = next(iter(self.turns.sessions.values()), None)
        if disposition is Disposition.LEAVE or not isinstance(held, Attachment):
            return
        kind = ResetKind.WARM if disposition is Disposition.RESET else ResetKind.COLD
        self.turns.were_reset(by)
        reset, iccid = await held.reset(m.ResetReq(session=held.session, kind=kind))
        self._evidence.reset(held, self._card.info, str(kind))
        self._card.was_reset(reset, iccid)

    async def _run(self, held: Direct, function: Callable[[], T], steps: Steps | None = None) -> T:
        limit_s = self._settings.command_s

        def late(_: object) -> None:
            held.close()

        if steps is None:
            return await self._thread.command(function, limit_s, late)
        return await self._thread.call(function, limit_s, late, steps)

    # Without a server

    def lost(self) -> None:
        """Note that the server is gone: drop what was not begun, and what is not to be kept."""
        self._losses += 1
        now = self._loop.time()
        for request in self.inbox.strike_all_but(m.Detach):
            self.turns.unpark(request)
        for held in self.turns.sessions.values():
            if not held.end.keep_s:
                held.break_off()
            elif held.end.deadline() is None:
                what = held.session[:8], self._card.info.name, held.end.keep_s
                _log.info("Session %s on %s is kept for %g s while there is no server", *what)
            held.end.disconnected(now)

    def back(self) -> None:
        """Note that there is a server again, which was told of those that are kept."""
        for held in self.turns.sessions.values():
            if held.end.keep_s:
                held.end.connected()

    def may_resume(self, asked: m.Resume) -> bool:
        """Return whether a session can be resumed without waiting for what is being done."""
        there = asked.session in self.turns.sessions
        return there and self.inbox.find(m.Detach, asked.session) is None

    def resume(self, asked: m.Resume) -> None:
        """Give a session back to its user; what waits for it will be asked again."""
        held = self.turns.sessions.get(asked.session)
        if held is None or not held.end.keep_s or not held.end.may_resume(asked):
            self._replies.too_late(asked)
            return
        for request in self.inbox.strike_requests({asked.session}):
            self.turns.unpark(request)
        _log.info("Session %s on %s is resumed", asked.session[:8], self._card.info.name)
        self._replies.send(held.end.resumed(asked))

    async def _give_up(self, held: Held) -> None:
        session, name = held.session[:8], self._card.info.name
        why = f"The card host had no server for {held.end.keep_s:g} s."
        if held.end.keep_s:
            _log.warning("Session %s on %s is given up: %s", session, name, why)
        else:
            _log.info("Session %s on %s lost its server", session, name)
        self._leave(held.session, Disposition.RESET)
        self._evidence.gave_back(held, self._card.info, why)
        self._replies.over(held.end, ErrorCode.LEASE_EXPIRED, why, tell=bool(held.end.keep_s))
        await self._let_go(held)

    # End

    async def detach(self, asked: m.Detach) -> None:
        """End a session because the server asks for it."""
        left = self._leave(asked.session, asked.disposition)
        if left is not None:
            _log.info("Session %s on %s is over", asked.session[:8], self._card.info.name)
            why = f"The server ended it: {asked.code}." if asked.code else "It was given back."
            told = clean(asked.message or why)[:MAX_WHY]
            code = asked.code or ErrorCode.NO_SUCH_SESSION
            revoked, why = asked.code is ErrorCode.REVOKED, f"The session is over. {told}"
            self._evidence.gave_back(left, self._card.info, told, asked=not revoked)
            asks_no_more = asked.code is None and not asked.after_answer
            self._replies.over(left.end, code, why, tell=False, given_back=asks_no_more)
            await self._let_go(left, eject=asked.disposition is Disposition.EJECT)
        self._replies.send(m.DetachAck(session=asked.session))

    def _leave(self, session: str, disposition: Disposition) -> Held | None:
        """Strike a session, if it is there, and what it waits for."""
        self.inbox.strike_requests({session})
        return self.turns.leave(session, disposition)

    async def _let_go(self, left: Held, *, eject: bool = False) -> None:
        """Power the card off after the last session, and find out who it is."""
        if self.turns.sessions:
            return
        await self._close(left.direct, eject=eject)
        if left.share is not Share.DIRECT or self._card.info.state is not m.ReaderState.EMPTY:
            await self._sight.identify()

    async def end(self, code: ErrorCode, sentence: str) -> None:
        """End all sessions unasked, and report that when the card is powered off."""
        self._sight.session_ends()
        self._ending = self.turns.clear()
        for held in self._ending[:1]:
            await self._close(held.direct)
        self.strike(code, sentence)

    def strike(self, code: ErrorCode, sentence: str) -> None:
        """Strike all sessions, and tell how they ended; `power_off` is to follow."""
        struck = self.turns.clear()
        self._loose += struck[:1]
        ended, self._ending = [*self._ending, *struck], []
        ends = {held.session: held.end for held in ended}
        for request in self.inbox.strike_requests(ends):
            end = ends[request.session or ""]
            if not is_copy(request, end):
                end.refused(request)
                self._replies.refuse(request, code, sentence, end=end)
        for held in ended:
            name = self._card.info.name
            _log.info("Session %s on %s ended: %s", held.session[:8], name, sentence)
            self._evidence.gave_back(held, self._card.info, sentence)
            self._replies.over(held.end, code, sentence)

    async def power_off(self, *, last: bool) -> bool:
        """
        Strike all sessions and release the card; return whether it was released.

        Args:
            last: Whether the program ends, and waits for no reader that hangs.
        """
        closed = True
        for held in [*self._loose, *self.turns.clear()[:1]]:
            limit_s = LAST_CLOSE_S if last else CLOSE_S
            closed = await self._close(held.direct, limit_s=limit_s) and closed
        return closed

    async def _fail(self, failure: CardError) -> None:
        await self.end(failure.code, str(failure))
        self._sight.failed(failure)

    async def _close(self, held: Direct, *, eject: bool = False, limit_s: float = CLOSE_S) -> bool:
        """Release the card; one that hangs is reset when it is next connected to."""
        try:
            await self._thread.call(lambda: held.close(eject=eject), limit_s)
        except CardError as exc:
            _log.warning("%s: the card could not be powered off: %s", self._card.info.name, exc)
            return False
        return True


def is_copy(asked: m.Forwarded, end: CardEnd) -> bool:
    """Return whether a request was taken in hand before, so that to refuse it would be a lie."""
    return asked.seq is not None and asked.seq <= end.taken
