# SPDX-License-Identifier: Apache-2.0
"""The beginning of a transaction, undone where whoever asked for it gave up meanwhile."""

import asyncio
from contextlib import suppress

from wsrc import messages as m
from wsrc.errors import (
    CardError,
    ErrorCode,
    NotExecutedError,
    OutcomeUnknownError,
    RefusedError,
    WsrcError,
)
from wsrc.user_client.sessions import Session

UNDO_S = 10.0
"""How long whoever is cancelled waits for the end of a transaction that began all the same."""


class CardSession(Session):
    """A session that can begin a transaction; else as `Session`."""

    _unwanted = 0

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

    async def _ready(self, limit_s: float) -> None:
        await super()._ready(limit_s)
        while self._unwanted:
            await self._end_unwanted(limit_s)

    async def _end_unwanted(self, limit_s: float) -> None:
        end = m.EndTransaction(session=self.name)
        try:
            await self._exchange(end, limit_s, self._ended_late)
        except OutcomeUnknownError as exc:
            why = f"The command was not sent: a transaction before it did not end. {exc}"
            raise NotExecutedError(why, exc.code) from exc
        except CardError:
            self._unwanted -= 1
            raise
        except RefusedError as exc:
            if exc.code is not ErrorCode.NOT_TRANSACTED:
                raise
            self._unwanted -= 1
        else:
            self._unwanted -= 1

    def _began_late(self, answer: m.Message) -> None:
        if isinstance(answer, m.BeginTransactionAck):
            self._unwanted += 1

    def _ended_late(self, answer: m.Message) -> None:
        if isinstance(answer, m.EndTransactionAck):
            self._unwanted -= 1
