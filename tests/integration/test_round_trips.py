# SPDX-License-Identifier: Apache-2.0
"""What a client waits for before it goes on; a server that waits as well would stop both."""

# Longer than the aim: a script of a server for each answer that is not waited for.

import asyncio
import json
import re
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.typing import Subprotocol

from tests.support.certificates import Certificates
from tests.support.scripted_server import (
    HELLO_ACK,
    LIMIT_S,
    Peer,
    card,
    fails,
    give_card,
    reader_of,
    scripted,
    take_back,
)
from wsrc import aio, blocking
from wsrc.bridges.remote.cards import RemoteCards, clients
from wsrc.card.slot import Disposition
from wsrc.errors import (
    ConnectionLostError,
    ErrorCode,
    RefusedError,
    RemoteProtocolError,
    SessionLostError,
)
from wsrc.net.tls import server_context
from wsrc.protocol.conversation import SUBPROTOCOL
from wsrc.protocol.messages import MAX_PAGES
from wsrc.server.app import serve as serve_app
from wsrc.settings.load import ServerSettings, UserSettings
from wsrc.user_client.core import connection

READ = bytes.fromhex("00b0000000")
GREETED_LATE: dict[str, Any] = {"greet": False, "subprotocol": SUBPROTOCOL}
REFUSAL = {"msg_type": "error", "code": "too_many", "message": "Full."}


async def late(peer: Peer) -> dict[str, Any]:
    """Answer hello when the first request has come, and return that."""
    await peer.hear("hello")
    request = await peer.hear()
    await peer.say(**HELLO_ACK)
    return request


async def test_j1_the_first_request_follows_hello_at_once_where_the_server_is_of_this_form() -> (
    None
):
    async def script(peer: Peer) -> None:
        await peer.give(await late(peer), "s1", card())
        await take_back(peer)

    async with scripted(script, **GREETED_LATE) as url, aio.Client(url) as client:
        names = [client.server]
        async with client.select(label="blue"):
            names.append(client.server)
    assert names == ["", "scripted"]


async def test_j1_a_blocking_client_asks_at_once_as_well() -> None:
    async def script(peer: Peer) -> None:
        request = await late(peer)
        await peer.say("list_cards_ack", id=request["id"], cards=[card()])

    def listed(url: str) -> int:
        with blocking.Client(url) as client:
            return len(client.list_cards())

    async with scripted(script, **GREETED_LATE) as url:
        assert await asyncio.to_thread(listed, url) == 1


async def test_j1_nothing_follows_hello_where_the_server_may_be_of_the_first_form() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.hear()
        await peer.say(**HELLO_ACK)
        await give_card(peer)
        await take_back(peer)

    async with (
        scripted(script, greet=False) as url,
        aio.Client(url) as client,
        client.select(label="blue"),
    ):
        pass


async def test_j1_open_waits_for_the_answer_to_hello() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        await peer.say(**HELLO_ACK)

    async with scripted(script, **GREETED_LATE) as url:
        client = await aio.Client(url).open()
        assert client.server == await client.greeted() == "scripted"
        await client.close()


@pytest.mark.parametrize(
    ("answer", "kind", "match"),
    [
        (REFUSAL, RefusedError, "Full"),
        ({"msg_type": "hello_ack"}, RefusedError, "first form of the protocol only"),
        ({"msg_type": "detach_ack", "session": "s1"}, RemoteProtocolError, "detach_ack"),
        (None, ConnectionLostError, "refused us: closed by the peer .1013.: Later"),
    ],
)
async def test_j1_what_the_server_has_against_us_is_raised_by_all_that_is_asked(
    answer: dict[str, Any] | None, kind: type[Exception], match: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        await peer.hear("list_cards")
        if answer is None:
            await peer.close(1013, "Later.")
        else:
            await peer.say(**answer)

    async with scripted(script, **GREETED_LATE) as url, aio.Client(url) as client:
        for _ in range(2):
            error = await fails(client.list_cards())
            assert isinstance(error, kind)
            assert re.search(match, str(error))
            assert answer is not REFUSAL or error.code is ErrorCode.TOO_MANY
        with pytest.raises(kind, match=match):
            await client.greeted()


async def test_j1_a_client_that_was_refused_can_be_opened_again() -> None:
    refused: list[int] = []

    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        if not refused:
            refused.append(1)
            await peer.say(**REFUSAL)
            return
        await peer.say(**HELLO_ACK)

    async with scripted(script, **GREETED_LATE) as url:
        client = aio.Client(url)
        with pytest.raises(RefusedError, match="Full"):
            await client.open()
        await client.open()
        assert client.server == "scripted"
        await client.close()


async def test_j1_a_client_that_is_closed_before_it_is_greeted_says_so() -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        await peer.hear("list_cards")
        asked.set()

    async with scripted(script, **GREETED_LATE) as url:
        client = aio.Client(url)
        async with client, asyncio.TaskGroup() as tasks:
            listing = tasks.create_task(fails(client.list_cards()))
            async with asyncio.timeout(LIMIT_S):
                await asked.wait()
            await client.close()
        lost = listing.result()
        assert isinstance(lost, ConnectionLostError)
        assert "is closed" in str(lost)


def pages_of(request: dict[str, Any], numbers: list[int], **fields: Any) -> dict[str, Any]:
    cards = [card(number) for number in numbers]
    return {"msg_type": "list_cards_ack", "id": request["id"], "cards": cards, **fields}


async def test_j5_a_list_is_asked_for_once_and_comes_in_a_row_of_pages() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("list_cards")
        assert request["pages"] == MAX_PAGES
        await peer.say(**pages_of(request, [1, 2], next=2, more=True))
        await peer.say(**pages_of(request, [3], next=3, more=True))
        await peer.say(**pages_of(request, [4], next=9))
        request = await peer.hear("list_cards")
        assert (request["after"], request["pages"]) == (9, MAX_PAGES)
        await peer.say(**pages_of(request, [5]))

    async with scripted(script) as url, aio.Client(url) as client:
        found = await client.list_cards()
    assert [each.reader for each in found] == [f"reader-{n}" for n in range(1, 6)]


async def test_j5_a_server_that_knows_no_pages_is_asked_page_by_page() -> None:
    async def script(peer: Peer) -> None:
        for after, fields in ((0, {"next": 1}), (1, {"next": 2}), (2, {})):
            request = await peer.hear("list_cards")
            assert request.get("after", 0) == after
            await peer.say(**pages_of(request, [after + 1], **fields))

    async with scripted(script) as url, aio.Client(url) as client:
        assert len(await client.list_cards()) == 3


async def test_j5_a_list_that_is_cut_off_goes_on_at_its_next_page() -> None:
    seen: list[int] = []

    async def script(peer: Peer) -> None:
        request = await peer.hear("list_cards")
        seen.append(request.get("after", 0))
        if len(seen) == 1:
            await peer.say(**pages_of(request, [1], next=7, more=True))
            peer.abort()
            return
        await peer.say(**pages_of(request, [2]))

    async with scripted(script) as url, aio.Client(url) as client:
        assert len(await client.list_cards()) == 2
    assert seen == [0, 7]


@pytest.mark.parametrize(
    "fields", [{"next": 0, "more": True}, {"more": True}], ids=["circle", "no end"]
)
async def test_j5_pages_that_do_not_advance_are_not_waited_for(fields: dict[str, Any]) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("list_cards")
        await peer.say(**pages_of(request, [1], **fields))

    async with scripted(script) as url, aio.Client(url) as client:
        with pytest.raises(RemoteProtocolError, match="does not advance"):
            await client.list_cards()


async def heard_until_closed(peer: Peer) -> list[str]:
    """Return the types of messages until the client closes."""
    heard: list[str] = []
    with suppress(ConnectionClosed):
        while True:
            heard.append((await peer.hear())["msg_type"])
    return heard


async def test_j1_a_card_is_given_back_together_with_the_goodbye() -> None:
    heard: list[str] = []

    async def script(peer: Peer) -> None:
        await give_card(peer)
        heard.extend(await heard_until_closed(peer))

    async with scripted(script) as url, aio.Client(url) as client:
        mine = await client.select(label="blue")
        await mine.detach(wait=False)
        with pytest.raises(SessionLostError):
            await mine.transmit(READ)
    assert heard == ["detach"]


async def test_j1_a_goodbye_that_was_not_answered_is_said_again_on_another_connection() -> None:
    heard: list[list[str]] = []

    async def script(peer: Peer) -> None:
        if not heard:
            await give_card(peer)
            assert (await peer.hear("detach"))["session"] == "s1"
            heard.append(["lost"])
            peer.abort()
            return
        detach = await peer.hear("detach")
        assert (detach["session"], detach["disposition"]) == ("s1", "leave")
        heard.append(await heard_until_closed(peer))

    async with scripted(script) as url, aio.Client(url) as client:
        mine = await client.select(label="blue")
        await mine.detach(wait=False, disposition=Disposition.LEAVE)
    assert heard == [["lost"], []]


async def test_j1_a_card_that_cannot_be_given_back_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "PART_S", 0.3)
    beginnings: list[int] = []

    async def script(peer: Peer) -> None:
        beginnings.append(1)
        if len(beginnings) == 1:
            await give_card(peer)
            await peer.hear("detach")
        peer.abort()

    async with scripted(script) as url, aio.Client(url) as client:
        mine = await client.select(label="blue")
        await mine.detach(wait=False)
    assert len(beginnings) > 1
    assert "has not confirmed that the card was given back; it may keep it for 30 s" in caplog.text


async def test_j1_an_answer_that_comes_in_time_is_enough() -> None:
    connections: list[int] = []

    async def script(peer: Peer) -> None:
        connections.append(1)
        await give_card(peer)
        await take_back(peer)
        request = await peer.hear("list_cards")
        await peer.say(**pages_of(request, [1]))
        peer.abort()

    async with scripted(script) as url, aio.Client(url) as client:
        mine = await client.select(label="blue")
        await mine.detach(wait=False)
        assert len(await client.list_cards()) == 1
    assert connections == [1]


async def test_j4_what_was_given_back_unheard_is_given_back_first_on_the_next_connection() -> None:
    connections: list[int] = []

    async def script(peer: Peer) -> None:
        connections.append(1)
        if len(connections) == 1:
            await give_card(peer)
            await peer.hear("detach")
            peer.abort()
            return
        await take_back(peer)
        await give_card(peer, "s2")
        await take_back(peer)

    async with scripted(script) as url, aio.Client(url) as client:
        mine = await client.select(label="blue")
        await mine.detach(wait=False)
        async with client.select(label="blue") as mine:
            assert mine.session == "s2"
    assert len(connections) == 2


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
async def test_j4_features_of_a_reader_that_its_host_told_are_not_asked_for(*, told: bool) -> None:
    features = {"features": "060400330006"} if told else {}
    asked: list[int] = []

    async def script(peer: Peer) -> None:
        request = await peer.hear("watch_readers")
        readers = [reader_of(1, card())]
        fields = {"instance": "run", "seq": 0, "readers": readers}
        await peer.say("watch_readers_ack", id=request["id"], **fields)
        request = await peer.hear("select_card")
        ids = {"id": request["id"], "session": "s1", "identities": card()["identities"]}
        await peer.say("select_card_ack", **ids, card=card(), **features)
        while (request := await peer.hear())["msg_type"] == "control":
            asked.append(request["number"])
            ids = {"id": request["id"], "session": "s1"}
            await peer.say("control_ack", **ids, response="060400330006")

    async with scripted(script) as url, asyncio.TaskGroup() as tasks:
        source = RemoteCards(clients(UserSettings(server_url=url)), [], lambda _: None)
        running = tasks.create_task(source.run(lambda _: None))
        await source.begun()
        session = await source.open(source.places[0].seen.name)
        assert await session.control(3400, b"") == bytes.fromhex("060400330006")
        assert await session.control(3401, b"") == bytes.fromhex("060400330006")
        await session.close()
        running.cancel()
    assert asked == ([3401] if told else [3400, 3401])


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
async def test_j5_who_has_no_card_does_not_wait_for_the_answer_to_a_goodbye(
    tls: bool, certificates: Certificates
) -> None:
    codes: list[int] = []
    gone = asyncio.Event()

    async def serve_list(socket: ServerConnection) -> None:
        peer = Peer(socket)
        await peer.hear("hello")
        await peer.say(**HELLO_ACK)
        await peer.say(**pages_of(await peer.hear("list_cards"), [1]))
        await socket.wait_closed()
        assert socket.close_code is not None
        codes.append(socket.close_code)
        gone.set()

    context = server_context(certificates.cert, certificates.key) if tls else None
    async with serve(serve_list, "127.0.0.1", 0, ssl=context) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        url = f"{'wss' if tls else 'ws'}://localhost:{port}"
        async with aio.Client(url, ca=certificates.ca if tls else None) as client:
            assert len(await client.list_cards()) == 1
        async with asyncio.timeout(LIMIT_S):
            await gone.wait()
    assert codes == [1000]


async def test_j1_a_server_that_refuses_hello_acts_on_nothing_that_followed_it() -> None:
    settings = ServerSettings(user_port=0, card_port=0, no_tls=True)
    hello = {"msg_type": "hello", "id": 1, "client_type": "card", "version": 1}
    asked = {"msg_type": "list_cards", "id": 2}
    heard: list[dict[str, Any]] = []
    async with (
        serve_app(settings) as app,
        connect(f"ws://127.0.0.1:{app.user_port}", subprotocols=[Subprotocol(SUBPROTOCOL)]) as user,
    ):
        await user.send(json.dumps(hello))
        await user.send(json.dumps(asked))
        with suppress(ConnectionClosedError):
            while True:
                heard.append(json.loads(await user.recv()))
    assert [message["msg_type"] for message in heard] == ["error"]
    assert user.close_code == 1002


async def test_j1_a_server_answers_what_followed_hello_in_its_order() -> None:
    settings = ServerSettings(user_port=0, card_port=0, no_tls=True)
    hello = {"msg_type": "hello", "id": 1, "client_type": "user", "version": 1}
    async with (
        serve_app(settings) as app,
        connect(f"ws://127.0.0.1:{app.user_port}", subprotocols=[Subprotocol(SUBPROTOCOL)]) as user,
    ):
        for message in (hello, {"msg_type": "list_cards", "id": 2, "pages": 8}):
            await user.send(json.dumps(message))
        heard = [json.loads(await user.recv()) for _ in range(2)]
    assert [message["msg_type"] for message in heard] == ["hello_ack", "list_cards_ack"]
