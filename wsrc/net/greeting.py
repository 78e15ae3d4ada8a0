# SPDX-License-Identifier: Apache-2.0
"""The greeting with which both clients begin a conversation."""

import asyncio

from wsrc.errors import ConnectionLostError, ErrorCode, RefusedError, RemoteProtocolError
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, tag_of
from wsrc.protocol.conversation import CloseCode


async def greet(link: Link, hello: m.Hello, limit_s: float, server: str) -> m.HelloAck:
    """
    Send `hello`, before anything else can be sent, and return the answer.

    From then on the link sends no message that is longer than the server takes.

    Args:
        link: A connection on which nothing was sent yet.
        hello: Who we are.
        limit_s: How long the server may take.
        server: How sentences name it, such as its URL.

    Raises:
        ConnectionLostError: If there is no answer within `limit_s`, or no connection any more.
        RemoteProtocolError: If anything but an answer to `hello` comes.
        RefusedError: If the server refuses us, with its code and sentence; or if it speaks the
            first form only, with the code `not_supported`.
    """
    link.send(hello)
    return await answer_to(hello, link, limit_s, server)


async def answer_to(hello: m.Hello, link: Link, limit_s: float, server: str) -> m.HelloAck:
    """
    Return the answer to a `hello` that was sent; as `greet`.

    Requests may have followed it where the server chose our subprotocol: see `Link.agreed`.
    """
    try:
        return await _answer_to(hello, link, limit_s, server)
    except RemoteProtocolError as exc:
        link.close(exc.close_code, str(exc))
        raise
    except (ConnectionLostError, RefusedError):
        link.close(CloseCode.POLICY, "There is no hello_ack.")  # to try again is no goodbye
        raise


async def _answer_to(hello: m.Hello, link: Link, limit_s: float, server: str) -> m.HelloAck:
    try:
        async with asyncio.timeout(limit_s):
            answer, _ = await link.receive()
    except TimeoutError:
        raise ConnectionLostError(
            f"{server} took the connection but did not answer hello within {limit_s:g} s; is it "
            f"the port of a WSRC server for {hello.client_type} clients?"
        ) from None
    except ConnectionLostError as exc:
        raise ConnectionLostError(f"{server} refused us: {exc}.") from exc
    except UnreadableError as exc:
        raise RemoteProtocolError(f"{server} does not speak WSRC: {exc}") from exc
    ack = _checked(answer, server)
    if ack.limits is not None and ack.limits.message_octets is not None:
        link.longest = ack.limits.message_octets
    return ack


def _checked(answer: m.Message, server: str) -> m.HelloAck:
    match answer:
        case m.HelloAck(version=None):
            raise RefusedError(
                ErrorCode.NOT_SUPPORTED,
                f"{server} speaks the first form of the protocol only, which has no sessions; this "
                f"program needs version {m.VERSION}.",
            )
        case m.HelloAck():
            return answer
        case m.Error():
            refused = RefusedError(answer.code or ErrorCode.INTERNAL, answer.message)
            refused.retry_after_s = answer.retry_after_s
            raise refused
        case _:
            why = f"{server} answered hello with {tag_of(answer)}; it must be hello_ack."
            raise RemoteProtocolError(why)
