# SPDX-License-Identifier: Apache-2.0
"""
A user of the relay without a connection: what comes over HTTP says the messages of any user.

So there is one way to a card, with the rights, limits and evidence that go with it.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import msgspec

from wsrc.errors import ErrorCode, LocalProtocolError
from wsrc.principal import Principal
from wsrc.protocol import codec, messages as m
from wsrc.protocol.conversation import CloseCode
from wsrc.server.http.problems import ProblemError, of_error, problem
from wsrc.server.limits import Usage
from wsrc.server.peers import Peers

A = TypeVar("A", bound=m.Message)

_ENDED = "The server has ended what this request was part of."


class Insider:
    """
    One user of the relay.

    `over` is why it is none any more; None as long as it is one.

    Args:
        peers: Where it is entered.
        principal: Who it is, if known.
        usage: What its principal uses; None where nothing is limited.
        address: Where the request is from that began it.
        name: What others are shown.
        told: Called with what the relay says unasked.
        direct: Whether its requests are of a program of this host, for all that is known.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a user is, each once
        self,
        peers: Peers,
        principal: Principal | None,
        usage: Usage | None,
        address: str,
        name: str,
        told: Callable[[m.Message], None] | None = None,
        *,
        direct: bool = False,
    ) -> None:
        self.over: m.Error | None = None
        self._peers = peers
        self._told = told
        self._last = 0
        self._asked: dict[int, asyncio.Future[m.Message]] = {}
        self.number = peers.enter(self, m.ClientType.USER, address, principal, usage, direct=direct)
        hello = m.Hello(id=0, client_type=m.ClientType.USER, version=m.VERSION, name=name)
        peers.said(self.number, hello)

    async def ask(self, request: m.Message, kind: type[A], limit_s: float) -> A:
        """
        Send a request, and return the answer.

        Args:
            request: Without an id.
            kind: What the answer is.
            limit_s: Seconds after which the server is to blame; the relay has limits of its own.

        Raises:
            ProblemError: If it is refused, or there will be no answer.
        """
        if self.over is not None:
            raise ProblemError(of_error(self.over))
        self._last += 1
        answer: asyncio.Future[m.Message] = asyncio.get_running_loop().create_future()
        self._asked[self._last] = answer
        number = self._last
        try:
            codec.check(request)
            self._peers.said(self.number, msgspec.structs.replace(request, id=number))
            async with asyncio.timeout(limit_s):
                said = await answer
        except LocalProtocolError as exc:
            raise problem(400, ErrorCode.BAD_MESSAGE, str(exc)) from exc
        except TimeoutError as exc:
            why = "The relay has not answered in time."
            raise problem(500, ErrorCode.INTERNAL, why, outcome="unknown") from exc
        finally:
            self._asked.pop(number, None)
        if isinstance(said, m.Error):
            raise ProblemError(of_error(said))
        assert isinstance(said, kind)
        return said

    def leave(self) -> None:
        """Be a user no more; what it holds and waits for is given back."""
        if self.over is None:
            self._end(m.error(ErrorCode.CANCELLED, _ENDED))
            self._peers.gone(self.number, goodbye=True)

    # What `Peers` says

    def send(self, message: m.Message) -> None:
        """Take a message of the relay."""
        answer = self._asked.get(message.id) if message.id is not None else None
        if answer is not None and not isinstance(message, m.Waiting):
            if not answer.done():
                answer.set_result(message)
        elif self._told is not None:
            self._told(message)

    def forward(self, text: bytes) -> None:
        """Take a message that a card client has written."""
        self.send(codec.decode(text))

    def close(self, code: int, reason: str) -> None:
        """Take note that the relay closes on it."""
        if self.over is not None:
            return
        restarts = code == CloseCode.RESTARTING
        self._end(m.error(ErrorCode.SHUTTING_DOWN if restarts else ErrorCode.FORBIDDEN, reason))
        gone = self._peers.gone
        asyncio.get_running_loop().call_soon(lambda: gone(self.number, goodbye=True))

    def _end(self, why: m.Error) -> None:
        self.over = why
        for answer in self._asked.values():
            if not answer.done():
                answer.set_result(why)
        if self._told is not None:
            self._told(why)
