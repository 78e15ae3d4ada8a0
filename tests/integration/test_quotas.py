# SPDX-License-Identifier: Apache-2.0
"""What one address and one principal may use of a server, and what is told of it (issue 13)."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.innocent import (
    ANOTHER,
    ATTACKER,
    Innocent,
    attackers,
    client_hello,
    half_open,
    innocent,
    tls_to,
    told,
)
from tests.support.pki import Pair, Pki, settings_of
from tests.support.raw_peer import (
    LIMIT_S,
    LOOPS,
    UPGRADE,
    LoopFactory,
    RawPeer,
    frame,
    raw_peer,
    run,
    text,
)
from tests.support.world import World, running, until
from wsrc.certs.making import Kind
from wsrc.errors import ConfigError, ConnectionLostError, ErrorCode
from wsrc.net.dial import dial
from wsrc.net.tls import client_context
from wsrc.server.app import App, serve
from wsrc.server.limits import HANDSHAKES_BURST_S, TOLD_BURST
from wsrc.settings.load import ServerSettings

OURS = ("127.0.0.1/32", "::1/128")
"""Loopback, without the addresses that attack."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@asynccontextmanager
async def attacked(
    certificates: Certificates, **settings: Any
) -> AsyncGenerator[tuple[World, Innocent]]:
    """Run a server with a limit for addresses, and a session of another address."""
    given = {"unlimited_from": OURS, "hello_s": 8.0} | settings
    async with running(certificates, **given) as world, innocent(world) as session:
        yield world, session


def upgrade_from(world: World, source: str = ATTACKER) -> str:
    """Connect and ask for a WebSocket; return the head of the answer. This waits."""
    with tls_to(world.app.user_port, world.ca, source) as one:
        one.sendall(UPGRADE)
        answer = b""
        while b"\r\n\r\n" not in answer and (part := one.recv(4096)):
            answer += part
        return answer.decode()


def headers_of(answer: str) -> dict[str, str]:
    """Return the headers of an answer, in lower case."""
    return {name.lower(): value for name, value in re.findall(r"(?m)^([\w-]+): (.*?)\r$", answer)}


async def knock(world: World, source: str = ATTACKER) -> tuple[int, dict[str, str]]:
    """Ask for a WebSocket from an address; return status and headers, 0 of no answer."""
    try:
        answer = await asyncio.to_thread(upgrade_from, world, source)
    except OSError:
        return 0, {}
    return (int(answer.split()[1]) if answer else 0), headers_of(answer)


@LOOPS
def test_13_one_address_has_so_many_connections_and_is_told(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    most = 6

    async def main() -> None:
        async with attacked(certificates, max_connections_per_address=most) as (world, session):
            with attackers(world.app.user_port, most):
                await until(lambda: half_open(world) == most)
                status, headers = await knock(world)
                assert (status, headers["wsrc-reason"]) == (429, "address-connections")
                assert int(headers["retry-after"]) > 0
                with attackers(world.app.card_port, 50, client_hello()):
                    await until(lambda: world.app.bitten["max_connections_per_address"] == 51)
                    assert half_open(world) <= most + TOLD_BURST
                    await session.works()
                    await session.others_get_in()
                    assert (await knock(world, ANOTHER))[0] == 101
            await until(lambda: half_open(world) == 0)
            assert (await knock(world))[0] == 101

    run(loop_factory, main())
    what = "^max_connections_per_address is reached: a connection from 127.0.0.2 is refused"
    assert told(caplog, what) == (2, 51)


@LOOPS
def test_13_one_address_begins_so_many_handshakes_a_second_and_is_told(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    rate = 0.1
    burst = int(rate * HANDSHAKES_BURST_S)

    async def main() -> None:
        async with attacked(certificates, handshakes_per_s=rate) as (world, session):
            for _ in range(burst):
                assert (await knock(world))[0] == 101
            status, headers = await knock(world)
            assert (status, headers["wsrc-reason"]) == (429, "too-fast")
            assert 0 < int(headers["retry-after"]) <= 10
            with attackers(world.app.user_port, 200, client_hello()):
                await until(lambda: world.app.bitten["handshakes_per_s"] >= 200)
                await session.works()
                await session.others_get_in()
            assert (await knock(world, ANOTHER))[0] == 101

    run(loop_factory, main())
    lines, times = told(caplog, "^handshakes_per_s is reached: a connection from 127.0.0.2 is ref")
    assert lines == 2
    assert times >= 200


@LOOPS
def test_13_a_full_server_says_so_and_logs_it_once(
    loop_factory: LoopFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with attacked(certificates, max_peers=3) as (world, session), world.client():
            for _ in range(5):
                status, headers = await knock(world)
                assert (status, headers["wsrc-reason"]) == (503, "full")
                assert headers["retry-after"] == "5"
            await session.works()
            assert world.app.bitten == {"max_peers": 5}

    run(loop_factory, main())
    assert told(caplog, "^max_peers is reached: a connection from 127.0.0.2 is ref") == (2, 5)
    assert told(caplog, "is refused: HTTP status 503") == (0, 0)


async def refusal(app: App, pki: Pki, pair: Pair) -> ConnectionLostError:
    """Connect as a user and be refused."""
    with pytest.raises(ConnectionLostError) as caught:
        async with shown(app, pki, pair):
            pass
    return caught.value


def shown(app: App, pki: Pki, pair: Pair) -> Any:
    """Connect as a user with a certificate."""
    tls = client_context(pki.folder.ca, *pair)
    url = f"wss://localhost:{app.user_port}"
    return dial(url, tls, connect_s=LIMIT_S, ping_s=LIMIT_S)


@LOOPS
def test_13_a_principal_has_so_many_connections_wherever_it_is(
    loop_factory: LoopFactory, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"busy-{loop_factory.__module__}"
    busy, other = pki.client(name), pki.client(f"other-{loop_factory.__module__}")

    async def main() -> None:
        async with serve(settings_of(pki, max_connections_per_principal=2)) as app:
            async with shown(app, pki, busy), AsyncExitStack() as stack:
                await stack.enter_async_context(shown(app, pki, busy))
                for _ in range(3):
                    told = await refusal(app, pki, busy)
                    assert "as many connections with these credentials as it takes" in str(told)
                    assert told.retry_after_s == 5.0
                async with shown(app, pki, other):
                    pass
                await stack.aclose()
                await until(lambda: app.counts["peers"] == 1)
                async with shown(app, pki, busy):
                    pass
            assert app.bitten == {"max_connections_per_principal": 3}

    run(loop_factory, main())
    what = f"^max_connections_per_principal is reached: a connection of {name} is refused"
    assert told(caplog, what) == (2, 3)


@LOOPS
def test_13_wrong_credentials_are_slowed_down_and_right_ones_are_not(
    loop_factory: LoopFactory, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    loop = loop_factory.__module__
    wrong, right = pki.client(f"host-{loop}", Kind.CARD_HOST), pki.client(f"user-{loop}")

    async def main() -> None:
        limits = {"wrong_credentials_per_min": 3.0, "unlimited_from": ()}
        async with serve(settings_of(pki, **limits)) as app:
            for _ in range(3):
                assert "other kind of client" in str(await refusal(app, pki, wrong))
            for _ in range(4):
                told = await refusal(app, pki, wrong)
                assert "too many wrong credentials came from this address" in str(told)
                assert told.retry_after_s is not None
                assert 0 < told.retry_after_s <= 20
            async with shown(app, pki, right):
                pass
            assert app.bitten == {"wrong_credentials_per_min": 4}

    run(loop_factory, main())
    what = "^wrong_credentials_per_min is reached: wrong credentials from 127.0.0.1 are"
    assert told(caplog, what) == (2, 4)


async def answer(peer: RawPeer, slowed: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the next answer; what a peer is told of a limit is noted."""
    while True:
        message = await peer.hear()
        if message.get("id") is not None:
            return message
        slowed.append(message)


@LOOPS
@pytest.mark.parametrize(
    ("limit", "messages", "octets"), [("requests_per_s", 65, 10), ("octets_per_s", 34, 9_000)]
)
def test_13_what_comes_too_fast_is_read_later_and_told_once(
    loop_factory: LoopFactory,
    limit: str,
    messages: int,
    octets: int,
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    Over two connections of one address; all is answered in the end.

    They send so much more than may come at once that a busy machine does not make up for it.
    """
    rate = 20.0 if limit == "requests_per_s" else 100_000.0

    async def main() -> None:
        given = {"no_tls": True, "unlimited_from": (), limit: rate}
        async with running(certificates, **given) as world, AsyncExitStack() as stack:
            port = world.app.user_port
            pair = [raw_peer(port, source=ATTACKER) for _ in range(2)]
            peers = [await stack.enter_async_context(each) for each in pair]
            slowed: dict[RawPeer, list[dict[str, Any]]] = {peer: [] for peer in peers}
            for peer in peers:
                for number in range(messages):
                    peer.say("cancel", id=number + 1, target=0, x="y" * octets)
            for number in range(messages):
                for peer in peers:
                    assert (await answer(peer, slowed[peer]))["id"] == number + 1
            assert max(map(len, slowed.values())) == 1
            errors = [error for each in slowed.values() for error in each]
            for error in errors:
                assert error["code"] == ErrorCode.TOO_MANY
                assert error["retry_after_s"] > 0
                assert limit in error["message"]
            assert world.app.bitten == {limit: len(errors)}

    run(loop_factory, main())
    lines, times = told(caplog, rf"^{limit} is reached: what user client \d+ sends is read later")
    assert lines == times
    assert 1 <= times <= 2


@LOOPS
def test_13_a_flood_of_requests_of_one_address_leaves_a_session_alone(
    loop_factory: LoopFactory, certificates: Certificates
) -> None:
    async def main() -> None:
        async with attacked(certificates, requests_per_s=50.0) as (world, session):
            tls = client_context(world.ca)
            async with raw_peer(world.app.user_port, tls=tls, source=ATTACKER) as peer:
                peer.write(frame(text("list_cards", id=1)) * 400)
                await until(lambda: world.app.bitten.get("requests_per_s", 0) == 1)
                for _ in range(20):
                    await session.works()

    run(loop_factory, main())


async def test_13_a_card_client_that_is_slowed_down_says_so(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with running(certificates, unlimited_from=(), octets_per_s=100.0) as world:
        await world.host_without_waiting(None, "bench")
        await until(lambda: "The server says: More comes from this client than" in caplog.text)
        assert world.app.bitten["octets_per_s"] == 1


@pytest.mark.parametrize("networks", [("loopback",), ("10.0.0.1/8",)])
def test_13_a_network_that_is_none_is_refused(networks: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="write a network as") as caught:
        ServerSettings(no_tls=True, unlimited_from=networks)
    assert caught.value.setting == "unlimited_from"


async def test_13_behind_a_proxy_of_this_host_no_address_is_limited() -> None:
    settings = ServerSettings(
        user_port=0, card_port=0, no_tls=True,
        max_connections_per_address=1, handshakes_per_s=0.01, requests_per_s=1.0,
    )  # fmt: skip
    async with serve(settings) as app, AsyncExitStack() as stack:
        url = f"ws://127.0.0.1:{app.user_port}"
        for _ in range(10):
            await stack.enter_async_context(dial(url, None, connect_s=LIMIT_S, ping_s=LIMIT_S))
        assert app.bitten == {}
