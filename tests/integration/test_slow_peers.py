# SPDX-License-Identifier: Apache-2.0
"""Peers that connect and take their time: at TCP, TLS, HTTP and hello (issue 13)."""

import asyncio
import logging
import socket
import ssl
from contextlib import suppress

import pytest

from tests.support.certificates import Certificates
from tests.support.innocent import (
    ANOTHER,
    ATTACKER,
    attackers,
    client_hello,
    door_of,
    half_open,
    innocent,
    tls_to,
    told,
)
from tests.support.raw_peer import LOOPS, UPGRADE, LoopFactory, run
from tests.support.world import World, running, until
from wsrc.net.answers import REASON, Reason
from wsrc.server.connection import MAX_HEAD_OCTETS
from wsrc.server.door import MAX_LEAVING, STALLED_S

MANY = 40
HELLO_S = 3.0


@LOOPS
@pytest.mark.parametrize(
    "said", [b"", client_hello()[:100], client_hello()[:3]], ids=["TCP", "TLS", "TLS head"]
)
def test_13_slow_loris_at_tcp_and_tls_keeps_nobody_out(
    loop_factory: LoopFactory,
    said: bytes,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with running(certificates, hello_s=HELLO_S) as world, innocent(world) as session:
            for port in (world.app.user_port, world.app.card_port):
                with attackers(port, MANY, said):
                    await until(lambda: half_open(world) == MANY)
                    await session.works()
                    await session.others_get_in()
                    await until(lambda: half_open(world) == 0)

    run(loop_factory, main())
    lines, times = told(caplog, rf"from {ATTACKER} is refused: it did not begin TLS in time")
    assert (lines, times) == (2, 2 * MANY)


@LOOPS
def test_13_slow_loris_at_http_keeps_nobody_out(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """A request whose header comes an octet at a time."""
    caplog.set_level(logging.INFO)
    count = 20

    async def main() -> None:
        async with running(certificates, hello_s=HELLO_S) as world, innocent(world) as session:
            port, ca = world.app.user_port, world.ca
            async with asyncio.TaskGroup() as tasks:
                opening = [
                    tasks.create_task(asyncio.to_thread(tls_to, port, ca)) for _ in range(count)
                ]
            slow = [each.result() for each in opening]
            assert half_open(world) == count
            octets = iter(UPGRADE[:-2])
            while half_open(world):
                octet = bytes([next(octets, ord("x"))])
                for each in slow:
                    with suppress(OSError):
                        each.send(octet)
                await session.works()
                await asyncio.sleep(0.02)
            await session.others_get_in()
            for each in slow:
                each.close()

    run(loop_factory, main())
    lines, times = told(caplog, "is refused: it did not become a WebSocket in time")
    assert (lines, times) == (2, count)


@LOOPS
def test_13_slow_loris_at_hello_keeps_nobody_out(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    """WebSockets that are open, and over which nothing is said."""
    count = 20

    async def main() -> None:
        async with running(certificates, hello_s=HELLO_S) as world, innocent(world) as session:
            before = world.counts["peers"]
            silent = []
            for _ in range(count):
                one = await asyncio.to_thread(tls_to, world.app.user_port, world.ca)
                one.sendall(UPGRADE)
                silent.append(one)
            await until(lambda: world.counts["peers"] == before + count)
            await session.works()
            await session.others_get_in()
            await until(lambda: world.counts["peers"] == before)
            for one in silent:
                said = await asyncio.to_thread(read_all, one, (1008).to_bytes(2))
                assert b"hello_timeout" in said

    run(loop_factory, main())


def read_all(one: ssl.SSLSocket, last: bytes | None = None) -> bytes:
    """Read until the other end closes, or sends these octets."""
    octets = b""
    with suppress(ConnectionError, ssl.SSLError), one:
        while (last is None or last not in octets) and (part := one.recv(4096)):
            octets += part
    assert last is None or last in octets
    return octets


@LOOPS
def test_13_who_is_slow_makes_room_for_others(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Those go who come from where the most do, and not a slow one from elsewhere."""
    caplog.set_level(logging.INFO)
    most = 10

    async def main() -> None:
        settings = {"hello_s": 15.0, "max_half_open": most}
        async with running(certificates, **settings) as world, innocent(world) as session:
            port = world.app.user_port
            with attackers(port, 1, source=ANOTHER), attackers(port, 3 * most, client_hello()[:9]):
                for _ in range(5):
                    await session.others_get_in()
                    await session.works()
                    assert half_open(world) <= most
                groups = [each.group for each in door_of(world).connections if not each.upgraded]
                assert ANOTHER in groups
                assert world.app.bitten["max_half_open"] >= 2 * most

    run(loop_factory, main())
    assert told(caplog, "^max_half_open is reached: a connection from 127.0.0.2 that")[0] == 2
    assert told(caplog, "No connection is accepted for now")[0] <= 2


@LOOPS
@pytest.mark.parametrize("tls", [True, False])
def test_13_who_makes_room_at_http_is_told_to_come_again(
    loop_factory: LoopFactory,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    *,
    tls: bool,
) -> None:
    caplog.set_level(logging.INFO)
    most = 5

    def slow(world: World) -> socket.socket:
        port = world.app.user_port
        one = tls_to(port, world.ca) if tls else socket.create_connection(("localhost", port), 5)
        one.sendall(UPGRADE[:-2])
        return one

    async def main() -> None:
        settings = {"hello_s": 15.0, "max_half_open": most, "no_tls": not tls}
        async with running(certificates, **settings) as world:
            there = [await asyncio.to_thread(slow, world) for _ in range(most)]
            await until(lambda: half_open(world) == most)
            await asyncio.sleep(STALLED_S)
            door = door_of(world)
            for count in range(1, most):
                there.append(await asyncio.to_thread(slow, world))
                answer = await asyncio.to_thread(read_all, there[count - 1])
                head = answer.decode().splitlines()
                assert head[0].startswith("HTTP/1.1 503 ")
                assert "Retry-After: 5" in head
                assert f"{REASON}: {Reason.FULL}" in head
                assert half_open(world) <= most
                assert world.app.bitten["max_half_open"] == count
            await until(lambda: door._leaving == 0)
            for one in there:
                one.close()

    run(loop_factory, main())
    assert told(caplog, "^max_half_open is reached: a connection from")[1] == most - 1


def test_13_who_makes_room_and_does_not_listen_is_broken_off(certificates: Certificates) -> None:
    async def main() -> None:
        async with running(certificates, max_half_open=2 * MANY, no_tls=True) as world:
            port, door = world.app.user_port, door_of(world)
            deaf = [
                await asyncio.to_thread(socket.create_connection, ("localhost", port), 5)
                for _ in range(MANY)
            ]
            await until(lambda: half_open(world) == MANY)
            for each in list(door.connections):
                door._take_leave_of(each)
                assert door._leaving <= MAX_LEAVING
            assert half_open(world) == 0
            await until(lambda: door._leaving == 0)
            for each in deaf:
                each.close()

    asyncio.run(main())


@LOOPS
def test_13_a_request_that_does_not_end_is_refused_and_not_kept(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Header after header, each of them a right one."""
    caplog.set_level(logging.INFO)

    async def main() -> None:
        async with running(certificates) as world, innocent(world) as session:
            one = await asyncio.to_thread(tls_to, world.app.user_port, world.ca)
            answer = await asyncio.to_thread(send_headers, one)
            assert answer.startswith(b"HTTP/1.1 431 ")
            await until(lambda: half_open(world) == 0)
            await session.works()

    run(loop_factory, main())
    assert told(caplog, f"from {ATTACKER} is refused: its request is too long") == (1, 1)


def send_headers(one: ssl.SSLSocket) -> bytes:
    """Send headers until the server has enough of them."""
    field = b"X-%d: " + b"y" * 1000 + b"\r\n"
    one.sendall(UPGRADE[:-2])
    with suppress(ConnectionError, ssl.SSLError):
        for number in range(MAX_HEAD_OCTETS // len(field) + 2):
            one.sendall(field % number)
    return read_all(one)


@LOOPS
def test_13_who_is_dropped_leaves_no_descriptor(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    async def main() -> None:
        async with running(certificates, hello_s=0.3) as world:
            before = descriptors()
            for said in (b"", client_hello()[:100], b"\x16"):
                with attackers(world.app.user_port, MANY, said):
                    await until(lambda: half_open(world) == MANY)
                    await until(lambda: half_open(world) == 0)
            await until(lambda: descriptors() <= before)

    run(loop_factory, main())


def descriptors() -> int:
    """Count the sockets of this process."""
    found = 0
    for number in range(1024):
        with suppress(OSError), socket.socket(fileno=number) as one:
            one.detach()
            found += 1
    return found
