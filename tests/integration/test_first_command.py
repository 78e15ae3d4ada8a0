# SPDX-License-Identifier: Apache-2.0
"""
`select(first=…)` without a seal: the first command travels in the select.

Its outcome stays known. Where a seal is asked for it is sent once there is a key to seal it to.
"""

import asyncio
from typing import Any

import pytest

from tests.support.scripted_server import (
    HELLO_ACK,
    Peer,
    Script,
    card,
    fails,
    in_thread,
    scripted,
    take_back,
)
from wsrc import aio, blocking
from wsrc.errors import (
    BadApduError,
    CardBusyError,
    ErrorCode,
    LocalProtocolError,
    NotExecutedError,
    OutcomeUnknownError,
    RefusedError,
    SessionLostError,
    WsrcError,
)
from wsrc.protocol.messages import Step

READ, OTHER = bytes.fromhex("00b0000000"), bytes.fromhex("00b0000100")


def grants(request: dict[str, Any], session: str = "s1", **fields: Any) -> dict[str, Any]:
    """Return the answer to a select."""
    given = card()
    return {
        "msg_type": "select_card_ack",
        "id": request["id"],
        "session": session,
        "identities": given["identities"],
        "card": given,
        "keep_s": request.get("keep_s", 0),
        **fields,
    }


def answers(request: dict[str, Any], sw: str = "9000", session: str = "s1") -> dict[str, Any]:
    """Return the answer to what followed a select."""
    then = request["then"]
    ids = {"id": then["id"], "seq": then["seq"], "session": session}
    return {"msg_type": "r_apdu", **ids, "response": "0102", "sw": sw}


async def taken(peer: Peer) -> dict[str, Any]:
    """Give a card and take what follows; return the select."""
    request = await peer.hear("select_card")
    then = request["then"]
    assert (then["msg_type"], then["seq"]) == ("c_apdu", 1)
    assert then["id"] != request["id"]
    await peer.say(**grants(request, then=True))
    return request


async def sent_anew(peer: Peer, command: bytes = READ, session: str = "s1") -> None:
    """Answer a command that is sent as any other."""
    request = await peer.hear("c_apdu")
    assert request["command"] == command.hex()
    assert request["session"] == session
    ids = {key: request[key] for key in ("id", "seq", "session")}
    await peer.say("r_apdu", **ids, response="", sw="9000")


async def test_the_first_command_is_sent_once_and_answered() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(**answers(await taken(peer), "6282"))
        await sent_anew(peer, OTHER)
        await take_back(peer)

    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        assert (await mine.transmit(READ)).sw == 0x6282
        assert (await mine.transmit(OTHER)).sw == 0x9000


async def test_a_batch_can_be_first() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.hear("select_card")
        then = request["then"]
        assert [each["command"] for each in then["steps"]] == [READ.hex(), OTHER.hex()]
        await peer.say(**grants(request, then=True))
        ids = {"id": then["id"], "seq": 1, "session": "s1"}
        await peer.say("batch_resp", **ids, results=[{"response": "", "sw": "6A82"}], stopped=0)
        await take_back(peer)

    steps = [Step(command=READ, expect=("9000",)), OTHER]  # type: ignore[arg-type]  # octets
    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=steps) as mine,
    ):
        assert (await mine.batch(steps)).stopped == 0


def test_a_blocking_client_sends_its_first_command_along() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(**answers(await taken(peer)))
        await take_back(peer)

    with (
        in_thread(script) as url,
        blocking.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        assert mine.transmit(READ).data == b"\1\2"


async def test_a_server_that_does_not_take_it_is_sent_it_as_any_other() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(**grants(await peer.hear("select_card")))
        await sent_anew(peer, OTHER)
        await take_back(peer)

    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        assert (await mine.transmit(OTHER)).sw == 0x9000


async def test_what_is_asked_first_must_be_what_was_sent() -> None:
    async def script(peer: Peer) -> None:
        await peer.say(**answers(await taken(peer)))
        await take_back(peer)

    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        for wrong in (mine.transmit(OTHER), mine.batch([READ]), mine.begin(), mine.reset()):
            assert isinstance(await fails(wrong), LocalProtocolError)
        assert (await mine.transmit(READ)).sw == 0x9000


@pytest.mark.parametrize("first", [b"\0", [], [b"\0"], "00b0000000", 5])
async def test_what_is_no_command_is_not_sent(first: Any) -> None:
    async def script(peer: Peer) -> None:
        del peer

    async with scripted(script) as url, aio.Client(url, seal="off") as client:
        with pytest.raises((BadApduError, LocalProtocolError)):
            client.select(label="blue", first=first)


async def test_the_server_refuses_the_card_and_nothing_is_in_doubt() -> None:
    async def script(peer: Peer) -> None:
        await peer.refuse(await peer.hear("select_card"), "card_busy")

    async with scripted(script) as url, aio.Client(url, seal="off") as client:
        assert type(await fails(client.select(label="blue", first=READ))) is CardBusyError


async def test_a_refusal_of_the_first_command_is_its_own() -> None:
    async def script(peer: Peer) -> None:
        then = (await taken(peer))["then"]
        ids = {"id": then["id"], "session": "s1", "outcome": "not_executed"}
        await peer.say("error", **ids, code="not_supported", message="No.")
        await take_back(peer)

    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        refused = await fails(mine.transmit(READ))
        assert isinstance(refused, RefusedError)
        assert refused.code is ErrorCode.NOT_SUPPORTED


async def test_who_waits_for_the_card_sends_it_afterwards_even_on_another_connection() -> None:
    connections: list[int] = []

    async def script(peer: Peer) -> None:
        connections.append(1)
        request = await peer.hear("select_card")
        if len(connections) == 1:
            assert "then" in request
            await peer.say("waiting", id=request["id"], position=1)
            peer.abort()
            return
        assert "then" not in request
        await peer.say(**grants(request))
        await sent_anew(peer)
        await take_back(peer)

    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", wait_s=60, first=READ) as mine,
    ):
        assert (await mine.transmit(READ)).sw == 0x9000


async def test_a_select_whose_answer_was_lost_leaves_the_first_command_in_doubt() -> None:
    connections: list[int] = []

    async def script(peer: Peer) -> None:
        connections.append(1)
        request = await peer.hear("select_card")
        if len(connections) == 1:
            peer.abort()
            return
        assert "then" not in request
        await peer.say(**grants(request))
        await sent_anew(peer, OTHER)
        await take_back(peer)

    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        assert isinstance(await fails(mine.transmit(READ)), OutcomeUnknownError)
        assert (await mine.transmit(OTHER)).sw == 0x9000


async def refused_later(peer: Peer) -> None:
    await peer.refuse(await peer.hear("select_card"), "card_busy")


async def cut_off(peer: Peer) -> None:
    await peer.hear("select_card")
    peer.abort()


async def complained_of(peer: Peer) -> None:
    await peer.hear("select_card")
    await peer.close(1002, "No.")


async def misread(peer: Peer) -> None:
    request = await peer.hear("select_card")
    await peer.say("list_cards_ack", id=request["id"], cards=[])


@pytest.mark.parametrize(
    ("scripts", "keep_s"),
    [
        ([cut_off], 0.0),
        ([cut_off, refused_later], 30.0),
        ([complained_of], 30.0),
        ([misread], 0.0),
    ],
    ids=["lost", "refused after a loss", "complaint", "another answer"],
)
async def test_a_select_that_fails_otherwise_says_that_the_command_is_in_doubt(
    scripts: list[Script], keep_s: float
) -> None:
    left = list(scripts)

    async def script(peer: Peer) -> None:
        await left.pop(0)(peer)

    async with scripted(script) as url, aio.Client(url, seal="off", keep_s=keep_s) as client:
        failed = await fails(client.select(label="blue", first=READ))
    assert type(failed) is OutcomeUnknownError
    assert "was sent together with select_card" in str(failed)


async def test_a_select_that_was_never_sent_leaves_nothing_in_doubt() -> None:
    async def script(peer: Peer) -> None:
        peer.abort()

    async with scripted(script) as url, aio.Client(url, seal="off", keep_s=0) as client:
        with pytest.raises(WsrcError):
            await client.list_cards()
        failed = await fails(client.select(label="blue", first=READ))
    assert not isinstance(failed, OutcomeUnknownError)


async def test_the_first_command_is_resumed_as_any_other() -> None:
    connections: list[int] = []

    async def script(peer: Peer) -> None:
        connections.append(1)
        if len(connections) == 1:
            await taken(peer)
            peer.abort()
            return
        resume = await peer.hear("resume")
        assert resume["seq"] == 1
        answer = {"msg_type": "r_apdu", "seq": 1, "session": "s1", "response": "07", "sw": "9000"}
        ids = {"id": resume["id"], "session": "s1"}
        await peer.say("resumed", **ids, seq=1, answer=answer)
        await take_back(peer)

    async with (
        scripted(script) as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        assert (await mine.transmit(READ)).data == b"\7"


async def test_a_session_that_ends_before_the_first_command_is_asked_for_tells_its_outcome() -> (
    None
):
    async def script(peer: Peer) -> None:
        request = await taken(peer)
        answer = answers(request)
        del answer["id"]
        ended = {"code": "card_not_present", "message": "It went."}
        await peer.say("session_ended", session="s1", seq=1, answer=answer, **ended)

    async with scripted(script) as url, aio.Client(url, seal="off") as client:
        mine = await client.select(label="blue", first=READ)
        over = asyncio.Event()
        mine.when_over(lambda _: over.set())
        async with asyncio.timeout(10):
            await over.wait()
        assert (await mine.transmit(READ)).data == b"\1\2"
        assert isinstance(await fails(mine.transmit(OTHER)), SessionLostError)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("unknown", OutcomeUnknownError), ("not_executed", NotExecutedError)],
)
async def test_who_asks_after_the_card_was_given_back_is_told_what_became_of_it(
    outcome: str, kind: type[WsrcError]
) -> None:
    async def script(peer: Peer) -> None:
        request = await taken(peer)
        if outcome == "not_executed":
            ids = {"id": request["then"]["id"], "session": "s1", "outcome": outcome}
            await peer.say("error", **ids, code="cancelled", message="No.")
        await take_back(peer)

    async with scripted(script) as url, aio.Client(url, seal="off") as client:
        mine = await client.select(label="blue", first=READ)
        if outcome == "not_executed":
            assert isinstance(await fails(mine.transmit(READ)), kind)
            await mine.detach()
            return
        await mine.detach()
        assert isinstance(await fails(mine.transmit(READ)), kind)


async def test_the_first_command_follows_hello_too() -> None:
    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        request = await peer.hear("select_card")
        await peer.say(**HELLO_ACK)
        await peer.say(**grants(request, then=True))
        await peer.say(**answers(request))
        await take_back(peer)

    async with (
        scripted(script, greet=False, subprotocol="wsrc.v1") as url,
        aio.Client(url, seal="off") as client,
        client.select(label="blue", first=READ) as mine,
    ):
        assert (await mine.transmit(READ)).sw == 0x9000
