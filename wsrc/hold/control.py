# SPDX-License-Identifier: Apache-2.0
"""
The socket of a card that is held: one line of JSON is asked, one line is answered.

It is in a private folder, so that whoever reaches it is its user.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path

import msgspec

from wsrc.errors import ErrorCode, RefusedError, SessionLostError, WsrcError

MOST_OCTETS = 4096
"""Of a line."""

MOST_AT_ONCE = 8
"""Who asks when so many do already is hung up on."""

ASKED_S, ANSWERED_S = 5.0, 60.0
"""How long the line of who asks may take, and the answer."""


class Wish(StrEnum):
    """What can be asked."""

    GIVE_BACK = "give_back"
    ALLOW = "allow"
    LEND = "lend"


class Asked(msgspec.Struct, frozen=True):
    """A wish; `who` is whom the card is shared with, or lent to."""

    wish: Wish
    who: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of it: `until` of a card that is kept for somebody, or `code` and `why` not."""

    until: str | None = None
    code: str | None = None
    why: str | None = None


Do = Callable[[Asked], Awaitable[Answer]]


@asynccontextmanager
async def controlled(path: Path, do: Do) -> AsyncGenerator[None]:
    """Answer at a socket in the block; `do` is called with one wish after the other."""
    turn, now = asyncio.Lock(), set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(now) >= MOST_AT_ONCE:
            writer.close()
            return
        now.add(writer)
        try:
            with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
                async with asyncio.timeout(ASKED_S):
                    line = await reader.readuntil(b"\n")
                async with turn:
                    said = await _done(line, do)
                writer.write(msgspec.json.encode(said) + b"\n")
                async with asyncio.timeout(ASKED_S):
                    await writer.drain()
        finally:
            now.discard(writer)
            writer.close()

    server = await asyncio.start_unix_server(serve, path, limit=MOST_OCTETS)
    os.chmod(path, 0o600)  # noqa: PTH101 - of a socket that was just made
    try:
        yield
    finally:
        server.close()


async def _done(line: bytes, do: Do) -> Answer:
    try:
        return await do(msgspec.json.decode(line, type=Asked))
    except msgspec.DecodeError as exc:
        return Answer(code=ErrorCode.BAD_MESSAGE.value, why=f"The wish cannot be read: {exc}")
    except WsrcError as exc:
        code = exc.code or ErrorCode.NO_SUCH_SESSION
        return Answer(code=code.value, why=str(exc))


def ask(path: Path, asked: Asked) -> Answer:
    """
    Ask at the socket of a card that is held, and return the answer; it blocks.

    Raises:
        RefusedError: If what is asked is refused.
        SessionLostError: If nobody is there.
    """
    try:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.settimeout(ANSWERED_S)
            ours.connect(str(path))
            ours.sendall(msgspec.json.encode(asked) + b"\n")
            with ours.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline(MOST_OCTETS), type=Answer)
    except (OSError, msgspec.DecodeError) as exc:
        raise SessionLostError("`wsrc take`, which holds the card, does not answer.") from exc
    if answer.why is not None:
        codes = {each.value: each for each in ErrorCode}
        raise RefusedError(codes.get(answer.code or "", ErrorCode.NOT_SUPPORTED), answer.why)
    return answer
