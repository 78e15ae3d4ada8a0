# SPDX-License-Identifier: Apache-2.0
"""wsrc.hold.control: wishes at the socket of a card that is held."""

import asyncio
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from wsrc.errors import CardBusyError, RefusedError, SessionLostError
from wsrc.hold.control import MOST_AT_ONCE, MOST_OCTETS, Answer, Asked, Wish, ask, controlled


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hold-", dir="/tmp") as folder:
        yield Path(folder) / "control"


async def do(asked: Asked) -> Answer:
    if asked.who == "nobody":
        raise CardBusyError("Others share it.")
    return Answer(until=asked.who)


async def said(path: Path, octets: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(octets)
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_wish_is_answered_and_a_refusal_raised(path: Path) -> None:
    async with controlled(path, do):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        answer = await asyncio.to_thread(ask, path, Asked(Wish.LEND, "bob"))
        assert answer == Answer(until="bob")
        with pytest.raises(RefusedError, match="Others share it") as refused:
            await asyncio.to_thread(ask, path, Asked(Wish.LEND, "nobody"))
        assert refused.value.code == "card_busy"


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"wish":"fly"}\n', b"\xff\xfe\n"])
async def test_what_is_no_wish_is_refused(path: Path, line: bytes) -> None:
    async with controlled(path, do):
        answer = msgspec.json.decode(await said(path, line), type=Answer)
        assert answer.code == "bad_message"


async def test_a_line_without_end_is_hung_up_on(path: Path) -> None:
    async with controlled(path, do):
        assert await said(path, b"x" * (2 * MOST_OCTETS + 1)) == b""
        assert await said(path, b'{"wish":"give_back"}\n')


async def test_no_more_than_some_are_heard_at_once(path: Path) -> None:
    async with controlled(path, do):
        silent = [await asyncio.open_unix_connection(path) for _ in range(MOST_AT_ONCE)]
        assert await said(path, b"") == b""
        for _, writer in silent:
            writer.close()


def test_nobody_is_there(path: Path) -> None:
    with pytest.raises(SessionLostError, match="does not answer"):
        ask(path, Asked(Wish.GIVE_BACK))
