# SPDX-License-Identifier: Apache-2.0
"""One name for several servers, some of which are not there."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.soak.balancer import Balancer
from tests.soak.cutting import Leg
from tests.support.proxy import listening

LIMIT_S = 20.0


@asynccontextmanager
async def server(answer: bytes) -> AsyncGenerator[int]:
    """Serve on a free port: answer a line, or nothing."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if answer:
            writer.write(answer)
        else:
            await ended.wait()
        writer.close()

    made = await asyncio.start_server(serve, "localhost", 0)
    async with made:
        try:
            yield made.sockets[0].getsockname()[1]
        finally:
            ended.set()


def balancer(*ports: int) -> Balancer:
    made = Balancer(Leg("user", "1f", 10_000), lambda _: None, answer_s=0.1)
    made.places, made.calm = [("localhost", port) for port in ports], True
    return made


async def asked(port: int) -> bytes:
    """Return what is answered to a line, nothing where the connection ends."""
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection("localhost", port)
        writer.write(b"who?\n")
        try:
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def test_each_connection_goes_to_a_server_that_is_there() -> None:
    async with server(b"a") as a, server(b"b") as b, listening(balancer(1, a, b)) as name:
        answers = [await asked(name.port) for _ in range(20)]
    assert set(answers) == {b"a", b"b"}


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with server(b"") as silent, listening(balancer(silent)) as name:
        assert await asked(name.port) == b""


async def test_without_any_server_a_connection_ends() -> None:
    async with listening(balancer()) as name:
        assert await asked(name.port) == b""
