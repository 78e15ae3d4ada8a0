# SPDX-License-Identifier: Apache-2.0
"""The transactions of a session, ended where whoever began one, or was about to, gave up."""

import asyncio
from contextlib import suppress

from wsrc.card.slot import Disposition
from wsrc.errors import (
    CardError,
    ErrorCode,
    NotExecutedError,
    OutcomeUnknownError,
    RefusedError,
    WsrcError,
)
from wsrc.protocol import messages as m
from wsrc.user_client.core.session import Session

UNDO_S = 10.0
"""How long whoever is cancelled waits for the end of its transaction."""

_STRENGTH = list(Disposition)


class CardSession(Session):
    """A session that can begin a transaction; otherwise as `Session`."""

    _unwanted: tuple[Disposition, ...] = ()
    """What is to become of the card at the end of each transaction that nobody wants any more."""

    async def begin(self, limit_s: float) -> None:
        """
        Begin a transaction; one that begins although its asker was cancelled is ended at once.

        It is ended before the next request of this session where that takes longer than `UNDO_S`,
        or where the asker did not wait for the answer at all.

        Raises:
            WsrcError: As `Session.ask`.
        """
        self._check()
        async with self._in_turn(limit_s):
            request = m.BeginTransaction(session=self.name)
            try:
                await self._exchange(request, limit_s, self._began_late)
            except asyncio.CancelledError:
                with suppress(WsrcError, TimeoutError):
                    async with asyncio.timeout(UNDO_S):
                        await self._ready(UNDO_S)
                raise

    async def abandon(self, disposition: Disposition) -> None:
        """End the transaction begun last, within `UNDO_S` or else before the next request."""
        self._unwanted += (disposition,)
        with suppress(WsrcError, TimeoutError):
            async with asyncio.timeout(UNDO_S), self._in_turn(UNDO_S):
                pass

    async def detach(
        self, limit_s: float, disposition: Disposition = Disposition.RESET, *, wait: bool = True
    ) -> None:
        """As `Session.detach`, with what the end of an unwanted transaction was to do."""
        strongest = max((disposition, *self._unwanted), key=_STRENGTH.index)
        await super().detach(limit_s, strongest, wait=wait)

    async def _ready(self, limit_s: float) -> None:
        await super()._ready(limit_s)
        while self._unwanted:
            await self._end_unwanted(limit_s)

    async def _end_unwanted(self, limit_s: float) -> None:
        end = m.EndTransaction(session=self.name, disposition=self._unwanted[0])
        try:
            await self._exchange(end, limit_s, self._ended_late)
        except OutcomeUnknownError as exc:
            why = f"The command was not sent: a transaction before it did not end. {exc}"
            raise NotExecutedError(why, exc.code) from exc
        except CardError:
            self._unwanted = self._unwanted[1:]
            raise
        except RefusedError as exc:
            if exc.code is not ErrorCode.NOT_TRANSACTED:
                raise
            self._unwanted = self._unwanted[1:]
        else:
            self._unwanted = self._unwanted[1:]

    def _began_late(self, answer: m.Message) -> None:
        if isinstance(answer, m.BeginTransactionAck):
            self._unwanted += (Disposition.LEAVE,)

    def _ended_late(self, answer: m.Message) -> None:
        if isinstance(answer, m.EndTransactionAck):
            self._unwanted = self._unwanted[1:]
