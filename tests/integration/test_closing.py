# SPDX-License-Identifier: Apache-2.0
"""How connections end: frames and requests that have no place, and what each close code means."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiohttp.http import WS_KEY

from tests.support.raw_peer import (
    CLOSE,
    LAST,
    LIMIT_S,
    LOOPS,
    TEXT,
    UPGRADE,
    LoopFactory,
    RawPeer,
    frame,
    raw_peer,
    run,
    text,
)
from tests.support.scripted_server import Peer, card, scripted
from tests.support.world import until
from wsrc.errors import (
    ConnectionLostError,
    OutcomeUnknownError,
    RefusedError,
    RemoteProtocolError,
)
from wsrc.net import outbox
from wsrc.net.dial import dial
from wsrc.net.greeting import greet
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import CLOSINGS, CloseCode, Parting
from wsrc.server.app import App, serve
from wsrc.settings.load import ServerSettings
from wsrc.user_client.aio import Client

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)
INFO = {"reader": "r1", "name": "r1", "state": "ready", "insertion": 1, "atr": "3b00"}
FEATURES = ["batch", "cancel", "pcsc", "raw_tpdu", "resume", "share"]
SECRET = "5e" * 16

UNMASKED = bytes([LAST | TEXT, 2]) + b"{}"
BINARY = frame(b"{}", LAST | 2)
LATIN1 = frame(text("list_cards", id=1).replace(b"list_cards", b"l\xfcst"))
LATE_LATIN1 = frame(b'{"msg_type":"list_cards","id":1,"x":"\xc3', TEXT) + frame(b'("}', LAST)
IN_A_FIELD = frame(b'{"msg_type":"list_cards","id":1,"unknown":"\xff"}')


# What RFC 6455 says of frames


@pytest.fixture
def deaf_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who broke the protocol is not listened to, so a server waits in vain for its last word."""
    monkeypatch.setattr(outbox, "LAST_S", 0.05)


@pytest.mark.usefixtures("deaf_to_the_end")
@LOOPS
@pytest.mark.parametrize("role", ["user", "card"])
def test_e32_a_server_closes_at_a_frame_without_a_mask(
    loop_factory: LoopFactory, role: str
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app:
            port = app.user_port if role == "user" else app.card_port
            async with raw_peer(port, hello=role) as peer:
                for octet in UNMASKED:
                    peer.write(bytes([octet]))
                    await asyncio.sleep(0)
                await peer.gone()
                assert peer.close_code == CloseCode.PROTOCOL_ERROR

    run(loop_factory, main())


@pytest.mark.usefixtures("deaf_to_the_end")
@LOOPS
def test_e32_a_frame_without_a_mask_is_seen_beside_right_ones(
    loop_factory: LoopFactory,
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as user:
            user.write(frame(text("list_cards", id=1)) + UNMASKED)
            await user.gone()
            assert user.close_code == CloseCode.PROTOCOL_ERROR

    run(loop_factory, main())


@pytest.mark.usefixtures("deaf_to_the_end")
@LOOPS
@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (BINARY, CloseCode.NO_TEXT),
        (LATIN1, CloseCode.INVALID_TEXT),
        (LATE_LATIN1, CloseCode.INVALID_TEXT),
        (IN_A_FIELD, CloseCode.INVALID_TEXT),
        (frame(b"{}"), CloseCode.PROTOCOL_ERROR),
    ],
    ids=["binary", "latin-1", "in pieces", "in a field nobody reads", "no message"],
)
def test_e32_a_server_says_by_the_code_what_was_wrong_with_a_message(
    loop_factory: LoopFactory, octets: bytes, code: CloseCode
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as user:
            user.write(octets)
            assert (await user.hear("error"))["code"] == "bad_message"
            await user.gone()
            assert user.close_code == code

    run(loop_factory, main())


@asynccontextmanager
async def server_of_frames(octets: bytes) -> AsyncGenerator[tuple[str, "asyncio.Future[int]"]]:
    """Serve one client these octets as the answer to its first; the future is its close code."""
    code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0].encode()
        accept = base64.b64encode(hashlib.sha1(key + WS_KEY).digest()).decode()
        upgraded = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{upgraded}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        while not code.done():
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            size = int.from_bytes(await reader.readexactly(2)) if size == 126 else size
            mask = await reader.readexactly(4)
            payload = bytes(o ^ mask[n % 4] for n, o in enumerate(await reader.readexactly(size)))
            if first & 15 == CLOSE:
                code.set_result(int.from_bytes(payload[:2]))
            elif first & 15 == TEXT and json.loads(payload)["msg_type"] == "hello":
                writer.write(octets)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"ws://localhost:{server.sockets[0].getsockname()[1]}/", code


def unmasked(payload: bytes, opcode: int = LAST | TEXT) -> bytes:
    return bytes([opcode, len(payload)]) + payload


@LOOPS
@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(text("hello_ack", version=1)), CloseCode.PROTOCOL_ERROR),
        (unmasked(b"{}", LAST | 2), CloseCode.NO_TEXT),
        (unmasked(b'{"msg_type":"hello_ack","version":1,"x":"\xff"}'), CloseCode.INVALID_TEXT),
        (unmasked(text("list_cards_ack", cards=[])), CloseCode.PROTOCOL_ERROR),
        (unmasked(text("error", message="Full.", code="too_many")), CloseCode.POLICY),
    ],
    ids=["masked", "binary", "not UTF-8", "no answer to hello", "refused"],
)
def test_e32_a_client_says_by_the_code_what_was_wrong_with_an_answer(
    loop_factory: LoopFactory, octets: bytes, code: CloseCode
) -> None:
    """It never is a goodbye: its sessions wait at the server."""

    async def main() -> None:
        hello = m.Hello(client_type=m.ClientType.USER, version=1)
        async with server_of_frames(octets) as (url, closed):
            with pytest.raises((RemoteProtocolError, ConnectionLostError, RefusedError)):
                async with dial(url, None, connect_s=5.0, ping_s=5.0) as link:
                    await greet(link, hello, 5.0, "the server")
            assert await closed == code

    run(loop_factory, main())


@LOOPS
def test_e32_a_client_that_is_not_answered_in_time_does_not_say_goodbye(
    loop_factory: LoopFactory,
) -> None:
    async def main() -> None:
        hello = m.Hello(client_type=m.ClientType.USER, version=1)
        async with server_of_frames(b"") as (url, closed):
            with pytest.raises(ConnectionLostError, match="did not answer hello"):
                async with dial(url, None, connect_s=5.0, ping_s=5.0) as link:
                    await greet(link, hello, 0.01, "the server")
            assert await closed == CloseCode.POLICY

    run(loop_factory, main())


# What HTTP says of requests


async def asked(port: int, head: bytes) -> tuple[int, dict[str, str]]:
    """Return the status and the headers of the answer to an HTTP request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    first, *rest = answer.strip().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in rest)


@LOOPS
def test_e32_who_does_not_speak_websocket_13_is_told_what_is_spoken(
    loop_factory: LoopFactory,
) -> None:
    plain = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    old = UPGRADE.replace(b"Version: 13", b"Version: 8")
    none = UPGRADE.replace(b"Sec-WebSocket-Version: 13\r\n", b"")

    async def main() -> None:
        async with serve(PLAIN) as app:
            for head in (plain, old, none):
                status, headers = await asked(app.user_port, head)
                assert status == 426
                assert headers["Sec-WebSocket-Version"] == "13"
                assert (headers["Upgrade"], headers["Connection"]) == ("websocket", "Upgrade")

    run(loop_factory, main())


@LOOPS
def test_e32_other_methods_are_not_allowed(loop_factory: LoopFactory) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app:
            for method in (b"POST", b"PUT", b"DELETE", b"OPTIONS"):
                status, headers = await asked(app.card_port, UPGRADE.replace(b"GET", method))
                assert status == 405
                assert set(headers["Allow"].split(",")) == {"GET", "HEAD"}
            assert (await asked(app.user_port, UPGRADE.replace(b"/ ", b"/x ", 1)))[0] == 404
            without_key = UPGRADE.replace(b"Sec-WebSocket-Key", b"X-Key")
            assert (await asked(app.user_port, without_key))[0] == 400

    run(loop_factory, main())


# What a code means for the sessions of who sends it


async def ended(peer: RawPeer, code: CloseCode) -> None:
    """End a connection as a code has it."""
    match code:
        case CloseCode.ABNORMAL:
            peer.abort()
        case CloseCode.NONE:
            peer.close()
        case _:
            peer.close(code, "x")
    await peer.gone()


async def serve_cards(host: RawPeer) -> None:
    """Answer as a card client, until it is over."""
    while True:
        asked = await host.hear()
        session = {"session": asked.get("session")}
        match asked["msg_type"]:
            case "attach":
                host.say("attach_ack", **session, atr="3b00", keep_s=asked["keep_s"])
            case "detach":
                host.say("detach_ack", **session)


@asynccontextmanager
async def a_session(app: App) -> AsyncGenerator[tuple[RawPeer, RawPeer, str]]:
    """Yield a card client, a user who has its card, and their session, which can be resumed."""
    async with (
        raw_peer(app.card_port, hello="card", readers=[INFO], features=FEATURES) as host,
        raw_peer(app.user_port, instance="u") as user,
    ):
        user.say("select_card", id=1, any="r1", secret=SECRET, keep_s=60)
        attach = await host.hear("attach")
        host.say("attach_ack", session=attach["session"], atr="3b00", keep_s=60)
        granted = await user.hear("select_card_ack")
        assert granted["keep_s"] == 60.0
        yield host, user, granted["session"]


def test_e32_the_table_has_every_code() -> None:
    assert set(CLOSINGS) == set(CloseCode)


@LOOPS
@pytest.mark.parametrize("code", list(CloseCode), ids=lambda code: code.name)
def test_e32_a_users_sessions_end_at_once_only_where_the_code_is_a_goodbye(
    loop_factory: LoopFactory, code: CloseCode
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, a_session(app) as (host, user, session):
            await ended(user, code)
            await until(lambda: app.counts["peers"] == 1)
            if CLOSINGS[code].parting is Parting.GOODBYE:
                assert (await host.hear("detach"))["session"] == session
                return
            async with raw_peer(app.user_port) as back:
                back.say("resume", id=5, session=session, secret=SECRET)
                resume = await host.hear()
                assert resume["msg_type"] == "resume"
                host.say("resumed", id=resume["id"], session=session, seq=0)
                await back.hear("resumed")

    run(loop_factory, main())


@LOOPS
@pytest.mark.parametrize("code", list(CloseCode), ids=lambda code: code.name)
def test_e32_a_card_clients_sessions_end_at_once_only_where_the_code_is_a_goodbye(
    loop_factory: LoopFactory, code: CloseCode
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, a_session(app) as (host, user, session):
            user.say("c_apdu", id=2, session=session, seq=1, command="00a40000")
            await host.hear("c_apdu")
            await ended(host, code)
            told = await user.hear()
            if CLOSINGS[code].parting is not Parting.GOODBYE:
                assert (told["msg_type"], told["session"]) == ("session_interrupted", session)
                return
            assert (told["id"], told["code"]) == (2, "card_client_gone")
            assert told["outcome"] == "unknown"
            over = await user.hear("session_ended")
            assert (over["session"], over["code"]) == (session, "card_client_gone")
            user.say("resume", id=3, session=session, secret=SECRET, seq=1)
            refused = await user.hear("error")
            assert (refused["id"], refused["code"]) == (3, "card_client_gone")

    run(loop_factory, main())


# What a code means for what a user client had sent


async def open_card(peer: Peer) -> None:
    asked = await peer.hear("select_card")
    await peer.give(asked, "s1", card(1))


@pytest.mark.parametrize(
    "code",
    [c for c in CloseCode if c not in {CloseCode.NONE, CloseCode.ABNORMAL}],
    ids=lambda code: code.name,
)
async def test_e32_a_user_client_is_in_doubt_and_connects_again(code: CloseCode) -> None:
    connections = 0
    again = asyncio.Event()

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await open_card(peer)
            await peer.hear("c_apdu")
            await peer.close(code, "x")
        else:
            again.set()

    async with (
        asyncio.timeout(LIMIT_S),
        scripted(script) as url,
        Client(url, keep_s=5.0) as client,
        client.select(any="1") as mine,
    ):
        with pytest.raises(OutcomeUnknownError):
            await mine.transmit(bytes.fromhex("00a40000"))
        await again.wait()


@pytest.mark.parametrize("code", [CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_TEXT])
async def test_e32_a_user_client_that_sent_nothing_does_not_say_it_again(code: CloseCode) -> None:
    assert CLOSINGS[code].parting is Parting.COMPLAINT
    connections = 0

    async def script(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.close(code, "x")

    async with (
        asyncio.timeout(LIMIT_S),
        scripted(script) as url,
        Client(url, keep_s=5.0) as client,
    ):
        task = client._connection._task
        assert task is not None
        await asyncio.wait([task])
        with pytest.raises(ConnectionLostError, match="closed by the peer"):
            await client.list_cards()
    assert connections == 1
