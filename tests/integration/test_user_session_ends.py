# SPDX-License-Identifier: Apache-2.0
"""A user client whose session cannot go on says why, and what became of its command."""

import asyncio
import re
import time
from typing import Any

import pytest

from tests.support.scripted_server import fails
from tests.support.wire import (
    READ,
    SELECT,
    SHORT_S,
    begin,
    ended,
    holding,
    r_apdu,
    resumed,
    wired,
)
from tests.support.world import until
from wsrc.errors import (
    ConnectionLostError,
    ErrorCode,
    LocalProtocolError,
    NotExecutedError,
    OutcomeUnknownError,
    SessionLostError,
    WsrcError,
)
from wsrc.user_client.aio import Client


async def test_who_has_a_session_that_is_not_kept_loses_it_and_not_the_client() -> None:
    told: list[WsrcError] = []
    async with holding(granted_s=0.0) as (wire, client, first, mine, _):
        mine.when_over(told.append)
        sent = begin(fails(mine.transmit(READ)))
        await first.hear("c_apdu")
        queued = begin(fails(mine.transmit(READ)))
        first.abort()
        unknown, unsent = await ended(sent), await ended(queued)
        assert isinstance(unknown, OutcomeUnknownError)
        assert isinstance(unsent, NotExecutedError)
        assert unknown.code is unsent.code is ErrorCode.CONNECTION_LOST
        with pytest.raises(SessionLostError, match="Select it again") as caught:
            await mine.transmit(READ)
        assert caught.value.code is ErrorCode.CONNECTION_LOST
        assert [type(each) for each in told] == [SessionLostError]
        listing = begin(client.list_cards())
        peer = await wire.next()
        request = await peer.hear("list_cards")
        await peer.say("list_cards_ack", id=request["id"], cards=[])
        assert await ended(listing) == []
        await mine.detach()


@pytest.mark.parametrize("sent", [True, False])
async def test_a_card_that_is_out_of_reach_for_too_long_is_lost(*, sent: bool) -> None:
    async with holding(SHORT_S, keep_s=SHORT_S) as (wire, client, peer, mine, _):
        asked = begin(fails(mine.transmit(READ))) if sent else None
        if sent:
            await peer.hear("c_apdu")
        wire.shut = True
        peer.abort()
        await until(lambda: wire.broken > 0)
        asked = asked or begin(fails(mine.transmit(READ)))
        error = await ended(asked)
        assert error.code is ErrorCode.CONNECTION_LOST
        lost = SessionLostError | ConnectionLostError
        assert isinstance(error, OutcomeUnknownError if sent else lost)
        later = await fails(mine.transmit(READ))
        assert isinstance(later, lost)
        await until(lambda: _is_lost(client))
        with pytest.raises(ConnectionLostError, match=r"within 0\.2 s"):
            await client.list_cards()


def _is_lost(client: Client) -> bool:
    try:
        client.check()
    except ConnectionLostError:
        return True
    return False


async def test_a_connection_is_tried_until_the_time_is_over() -> None:
    async with wired(keep_s=1.2) as (wire, client, peer):
        wire.shut = True
        peer.abort()
        loop = asyncio.get_running_loop()
        lost = loop.time()
        await until(lambda: wire.broken > 0 and loop.time() > lost + 0.8)
        wire.shut = False
        await wire.next()
        client.check()


@pytest.mark.parametrize(
    ("says", "error"),
    [
        ({"seq": 0}, SessionLostError),
        ({"seq": 1}, OutcomeUnknownError),
        ({}, OutcomeUnknownError),
    ],
)
async def test_a_session_that_ended_meanwhile_tells_what_became_of_the_command(
    says: dict[str, Any], error: type[WsrcError]
) -> None:
    async with holding() as (wire, _, first, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        await first.hear("c_apdu")
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        ids = {"id": resume["id"], "session": "s1"}
        fields = {"code": "lease_expired", "message": "It was away for too long."}
        await peer.say("session_ended", **ids, **fields, **says)
        told = await ended(sent)
        assert type(told) is error
        assert told.code is ErrorCode.LEASE_EXPIRED
        with pytest.raises(SessionLostError, match="away for too long"):
            await mine.transmit(READ)
        await mine.detach()


async def test_a_session_that_ended_with_the_answer_gives_it() -> None:
    async with holding() as (wire, _, first, mine, _):
        sent = begin(mine.transmit(READ))
        command = await first.hear("c_apdu")
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        ids = {"id": resume["id"], "session": "s1", "seq": 1, "answer": r_apdu(command, "01")}
        await peer.say("session_ended", **ids, code="card_not_present", message="It is out.")
        assert (await ended(sent)).data == b"\1"
        with pytest.raises(SessionLostError, match="It is out"):
            await mine.transmit(READ)


async def test_a_session_that_nobody_knows_leaves_the_outcome_unknown() -> None:
    async with holding() as (wire, _, first, mine, asked):
        sent = begin(fails(mine.transmit(READ)))
        await first.hear("c_apdu")
        first.abort()
        peer = await wire.next()
        await peer.refuse(await peer.hear("resume"), "no_such_session", outcome="not_executed")
        told = await ended(sent)
        assert isinstance(told, OutcomeUnknownError)
        assert told.code is ErrorCode.NO_SUCH_SESSION
        for secret in (asked["secret"], "s1"):
            assert secret not in f"{told!r} {mine!r} {mine._session!r} {mine._session._end!r}"


async def test_an_answer_that_is_due_after_the_end_is_not_waited_for_without_a_connection() -> None:
    async with holding() as (wire, _, first, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        await first.hear("c_apdu")
        fields = {"code": "lease_expired", "message": "It was not used."}
        await first.say("session_ended", session="s1", **fields)
        await first.say("session_interrupted", session="s1", message="It is away.")
        first.abort()
        assert isinstance(await ended(sent), OutcomeUnknownError)
        with pytest.raises(SessionLostError, match="not used"):
            await mine.transmit(READ)
        await wire.next()
        assert not mine._session._requests.sessions


async def test_what_a_server_about_to_restart_refuses_is_sent_to_the_next() -> None:
    async with holding() as (wire, client, first, mine, _):
        sent, listing = begin(mine.transmit(READ)), begin(client.list_cards())
        for _ in range(2):
            request = await first.hear()
            fields = {"outcome": "not_executed"} if request["msg_type"] == "c_apdu" else {}
            await first.refuse(request, "shutting_down", **fields)
        await first.say("restarting", reconnect_in_s=0.01)
        await first.close(1012, "The server restarts.")
        peer = await wire.next()
        await peer.refuse(await peer.hear("resume"), "shutting_down")
        assert (await peer.hear("list_cards"))["id"]
        await peer.close(1012, "The server restarts.")
        peer, resume = await resumed(wire, 0)
        assert resume["seq"] == 1
        for _ in range(2):
            request = await peer.hear()
            if request["msg_type"] == "c_apdu":
                assert request["seq"] == 2
                await peer.say(**r_apdu(request))
            else:
                await peer.say("list_cards_ack", id=request["id"], cards=[])
        assert (await ended(sent)).sw == 0x9000
        assert await ended(listing) == []


async def test_a_command_that_a_server_refuses_and_then_stays_was_not_executed() -> None:
    async with holding(timeout_s=SHORT_S) as (_, _, peer, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        await peer.refuse(await peer.hear("c_apdu"), "shutting_down", outcome="not_executed")
        assert isinstance(await ended(sent), NotExecutedError)


async def test_a_card_given_back_meanwhile_is_given_back_when_there_is_a_connection() -> None:
    async with holding() as (wire, _, first, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        await first.hear("c_apdu")
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        leaving = begin(mine.detach())
        await asyncio.wait([leaving], timeout=0)
        await peer.say("resumed", id=resume["id"], session="s1", seq=0)
        request = await peer.hear("detach")
        await peer.say("detach_ack", id=request["id"], session="s1")
        await ended(leaving)
        assert isinstance(await ended(sent), NotExecutedError)


async def test_a_card_given_back_without_a_connection_is_given_back_on_the_next() -> None:
    async with holding(timeout_s=SHORT_S) as (wire, _, first, mine, _):
        wire.shut = True
        first.abort()
        await until(lambda: wire.broken > 0)
        await ended(begin(mine.detach()))
        with pytest.raises(SessionLostError, match="given back"):
            await mine.transmit(READ)
        assert mine._session._keep_timer is None
        wire.shut = False
        peer = await wire.next()
        assert (await peer.hear("detach"))["session"] == "s1"
        assert not mine._session._requests.sessions


@pytest.mark.parametrize("seq", [0, 7])
async def test_a_card_that_is_resumed_when_nobody_wants_it_is_given_back(seq: int) -> None:
    async with holding(timeout_s=SHORT_S) as (wire, _, first, mine, _):
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        if not seq:
            await ended(begin(mine.detach()))
        await peer.say("resumed", id=resume["id"], session="s1", seq=seq)
        assert (await peer.hear("detach"))["session"] == "s1"
        with pytest.raises(SessionLostError):
            await mine.transmit(READ)


async def test_the_client_ends_at_once_without_a_connection() -> None:
    async with holding() as (wire, client, peer, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        await peer.hear("c_apdu")
        wire.shut = True
        peer.abort()
        await until(lambda: wire.broken > 0)
        await ended(begin(client.__aexit__(None, None, None)))
        assert isinstance(await ended(sent), OutcomeUnknownError)
        assert mine._session._keep_timer is None
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "connection"]


@pytest.mark.parametrize("code", [1002, 1009])
async def test_a11_a_server_that_cannot_take_a_message_is_not_sent_it_again(code: int) -> None:
    async with holding() as (wire, client, peer, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        await peer.hear("c_apdu")
        listing = begin(fails(client.list_cards()))
        await peer.hear("list_cards")
        await peer.close(code, "No.")
        told = await ended(sent)
        assert isinstance(told, OutcomeUnknownError)
        assert told.code is ErrorCode.CONNECTION_LOST
        assert re.search(rf"{code}.*No\.", str(told))
        assert isinstance(await ended(listing), ConnectionLostError)
        again, _ = await resumed(wire, 1)
        sent = begin(mine.transmit(SELECT))
        command = await again.hear("c_apdu")
        assert command["command"] == SELECT.hex()
        await again.say(**r_apdu(command))
        assert (await ended(sent)).sw == 0x9000


@pytest.mark.parametrize("code", [1002, 1009])
async def test_a11_a_server_that_complains_of_nothing_that_was_asked_is_left(code: int) -> None:
    async with holding() as (wire, _, peer, mine, _):
        await peer.close(code, "No.")
        with pytest.raises(WsrcError, match=rf"{code}.*No\."):
            await mine.transmit(READ)
        assert wire.silent


async def test_a_batch_that_no_message_can_carry_is_not_sent() -> None:
    longest = b"\x80\x00\x00\x00\x00\xff\xff" + bytes(0xFFFF)
    async with holding() as (_, _, peer, mine, _):
        with pytest.raises(LocalProtocolError, match="too long"):
            await mine.batch([longest] * 9)
        sent = begin(mine.transmit(READ))
        await peer.say(**r_apdu(await peer.hear("c_apdu")))
        assert (await ended(sent)).sw == 0x9000


async def test_a_text_that_cannot_be_written_does_no_harm_to_the_rest() -> None:
    async with holding() as (wire, client, first, mine, _):
        with pytest.raises(LocalProtocolError, match="UTF-8"):
            await client.list_cards(label="\ud800")
        with pytest.raises(LocalProtocolError, match="UTF-8"):
            await mine.get_attribute("\ud800")
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        listing = begin(fails(client.list_cards(label="\ud800")))
        asked = begin(fails(mine.get_attribute("\ud800")))
        await asyncio.wait([asked], timeout=0)
        await peer.say("resumed", id=resume["id"], session="s1", seq=0)
        assert isinstance(await ended(listing), LocalProtocolError)
        assert isinstance(await ended(asked), LocalProtocolError)
        sent = begin(mine.transmit(READ))
        await peer.say(**r_apdu(await peer.hear("c_apdu")))
        assert (await ended(sent)).sw == 0x9000


async def test_a_time_that_is_over_when_the_card_goes_out_of_reach_harms_nobody() -> None:
    """A program that was stopped meets with both at once when it wakes."""
    async with holding(timeout_s=SHORT_S) as (_, client, peer, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        command = await peer.hear("c_apdu")
        await peer.say("session_interrupted", session="s1", message="It is away.")
        time.sleep(2 * SHORT_S)  # noqa: ASYNC251 - nothing runs while a program is stopped
        assert isinstance(await ended(sent), OutcomeUnknownError)
        resume = await peer.hear("resume")
        await peer.say(
            "resumed", id=resume["id"], session="s1", seq=1, answer=r_apdu(command, "01")
        )
        sent = begin(mine.transmit(SELECT))
        await peer.say(**r_apdu(await peer.hear("c_apdu"), "02"))
        assert (await ended(sent)).data == b"\2"
        client.check()
