# SPDX-License-Identifier: Apache-2.0
"""A user client whose connections are cut goes on where it was."""

import asyncio

import pytest

from tests.support.scripted_server import LIMIT_S, Peer, fails
from tests.support.wire import (
    GET_RESPONSE,
    READ,
    SELECT,
    SHORT_S,
    begin,
    ended,
    grant,
    holding,
    r_apdu,
    resumed,
    wired,
)
from wsrc.card.apdu import Response
from wsrc.errors import (
    ConnectionLostError,
    NotExecutedError,
    OutcomeUnknownError,
)
from wsrc.octets import Octets
from wsrc.protocol.messages import Step
from wsrc.user_client.aio import Card


async def test_what_is_asked_for_and_how_it_is_resumed() -> None:
    async with holding(keep_s=20.0) as (wire, _, first, mine, asked):
        assert (asked["keep_s"], len(asked["secret"])) == (20.0, 64)
        sent = begin(mine.transmit(READ))
        command = await first.hear("c_apdu")
        assert command["seq"] == 1
        first.abort()
        answer = r_apdu(command, "0102", "6282")
        peer, resume = await resumed(wire, 1, answer=answer)
        assert await ended(sent) == Response(b"\1\2", 0x6282)
        fields = {"secret": asked["secret"], "host": "bench", "reader": "reader-1", "seq": 1}
        assert resume | fields == resume
        sent = begin(mine.transmit(READ))
        command = await peer.hear("c_apdu")
        assert command["seq"] == 2
        await peer.say(**r_apdu(command))
        await ended(sent)


async def test_what_never_ran_is_sent_again_under_another_number() -> None:
    async with holding() as (wire, _, first, mine, _):
        peer = first
        sent = begin(mine.transmit(READ))
        command = await peer.hear("c_apdu")
        for seq in (2, 3):
            peer.abort()
            peer, resume = await resumed(wire, 0)
            assert resume["seq"] == seq - 1
            again = await peer.hear("c_apdu")
            assert (again["seq"], again["command"]) == (seq, command["command"])
        await peer.say(**r_apdu(again))
        assert (await ended(sent)).sw == 0x9000


async def test_the_connection_may_be_cut_between_resume_and_its_answer() -> None:
    async with holding() as (wire, _, first, mine, _):
        peer = first
        sent = begin(mine.transmit(READ))
        command = await peer.hear("c_apdu")
        for _ in range(3):
            peer.abort()
            peer = await wire.next()
            assert (await peer.hear("resume"))["seq"] == 1
        peer.abort()
        await resumed(wire, 1, answer=r_apdu(command, "07"))
        assert (await ended(sent)).data == b"\7"


async def test_an_answer_that_follows_resumed_is_taken() -> None:
    async with holding() as (wire, _, first, mine, _):
        sent = begin(mine.transmit(READ))
        command = await first.hear("c_apdu")
        first.abort()
        peer, _ = await resumed(wire, 1)
        await peer.say(**r_apdu(command, "05"))
        assert (await ended(sent)).data == b"\5"


async def test_an_answer_that_does_not_follow_is_not_waited_for_for_ever() -> None:
    async with holding(timeout_s=SHORT_S) as (wire, _, peer, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        await peer.hear("c_apdu")
        peer.abort()
        await resumed(wire, 1)
        assert isinstance(await ended(sent), OutcomeUnknownError)


async def test_an_answer_of_before_is_not_given_to_the_next_command() -> None:
    async with holding() as (wire, _, peer, mine, _):
        sent = begin(mine.transmit(READ))
        first = await peer.hear("c_apdu")
        await peer.say("session_interrupted", session="s1", message="It is away.")
        resume = await peer.hear("resume")
        await peer.say("resumed", id=resume["id"], session="s1", seq=1, answer=r_apdu(first))
        await ended(sent)
        sent = begin(mine.transmit(SELECT))
        second = await peer.hear("c_apdu")
        late = {"code": "no_such_session", "message": "Late.", "outcome": "not_executed"}
        await peer.say("error", id=first["id"], session="s1", **late)
        await peer.say(**r_apdu(first, "01"))
        await peer.say(**r_apdu(second, "02"))
        assert (await ended(sent)).data == b"\2"
    assert wire.silent


async def test_a_kept_answer_to_something_else_is_not_given_to_a_command() -> None:
    async with holding() as (wire, _, peer, mine, _):
        sent = begin(fails(mine.transmit(READ)))
        command = await peer.hear("c_apdu")
        peer.abort()
        wrong = r_apdu(command) | {"msg_type": "reset_resp", "atr": "3b00"}
        await resumed(wire, 1, answer=wrong)
        assert isinstance(await ended(sent), OutcomeUnknownError)


async def test_who_waits_for_a_turn_waits_longer_while_the_card_is_out_of_reach() -> None:
    async with holding(timeout_s=SHORT_S) as (wire, client, first, mine, _):
        one = begin(mine.transmit(READ))
        command = await first.hear("c_apdu")
        two = begin(mine.transmit(SELECT))
        first.abort()
        peer = await wire.next()
        three = begin(mine.transmit(SELECT))
        resume = await peer.hear("resume")
        assert isinstance(await fails(client.list_cards()), ConnectionLostError)
        answer = r_apdu(command, "01")
        await peer.say("resumed", id=resume["id"], session="s1", seq=1, answer=answer)
        assert (await peer.hear())["msg_type"] == "list_cards"
        assert (await peer.hear())["msg_type"] == "cancel"
        for _ in range(2):
            await peer.say(**r_apdu(await peer.hear("c_apdu"), "02"))
        assert [(await ended(each)).data for each in (one, two, three)] == [
            b"\1",
            b"\2",
            b"\2",
        ]


async def test_a_hundred_who_wait_meanwhile_are_served_in_their_order() -> None:
    commands = [bytes((0x80, number, 0, 0)) for number in range(100)]
    async with holding() as (wire, _, first, mine, _):
        one = begin(mine.transmit(READ))
        await first.hear("c_apdu")
        first.abort()
        others = [begin(mine.transmit(command)) for command in commands]
        peer, _ = await resumed(wire, 0)
        for command in (READ, *commands):
            asked = await peer.hear("c_apdu")
            assert asked["command"] == command.hex()
            await peer.say(**r_apdu(asked, command[1:2].hex()))
        assert (await ended(one)).data == b"\xb0"
        assert [(await ended(each)).data for each in others] == [c[1:2] for c in commands]


@pytest.mark.parametrize("began", [False, True])
async def test_who_is_cancelled_meanwhile_has_nothing_sent_again(*, began: bool) -> None:
    async with holding() as (wire, _, first, mine, _):
        sent = begin(mine.transmit(READ))
        command = await first.hear("c_apdu")
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        sent.cancel()
        await asyncio.wait([sent], timeout=LIMIT_S)
        assert sent.cancelled()
        kept = {"answer": r_apdu(command)} if began else {}
        await peer.say("resumed", id=resume["id"], session="s1", seq=int(began), **kept)
        sent = begin(mine.transmit(SELECT))
        command = await peer.hear("c_apdu")
        assert (command["command"], command["seq"]) == (SELECT.hex(), 2)
        await peer.say(**r_apdu(command))
        await ended(sent)


async def test_a_batch_that_is_cancelled_meanwhile_and_still_runs_is_stopped() -> None:
    async with holding() as (wire, _, first, mine, _):
        sent = begin(mine.batch([READ, READ]))
        batch = await first.hear("batch")
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        sent.cancel()
        await asyncio.wait([sent], timeout=LIMIT_S)
        await peer.say("resumed", id=resume["id"], session="s1", seq=batch["seq"])
        again = await peer.hear("batch")
        assert (again["seq"], again["steps"]) == (batch["seq"], batch["steps"])
        cancel = await peer.hear("cancel")
        assert (cancel["target"], cancel["session"]) == (again["id"], "s1")


async def test_what_was_asked_meanwhile_and_cancelled_is_not_sent() -> None:
    async with holding() as (wire, _, first, mine, _):
        first.abort()
        peer = await wire.next()
        resume = await peer.hear("resume")
        sent = begin(mine.transmit(READ))
        await asyncio.wait([sent], timeout=0)
        sent.cancel()
        await peer.say("resumed", id=resume["id"], session="s1", seq=0)
        sent = begin(mine.transmit(SELECT))
        command = await peer.hear("c_apdu")
        assert command["command"] == SELECT.hex()
        await peer.say(**r_apdu(command))
        await ended(sent)


async def test_a_batch_has_all_its_results_after_resume() -> None:
    async with holding() as (wire, _, peer, mine, _):
        step = Step(command=Octets(SELECT), expect=("9000",))
        sent = begin(mine.batch([step, READ]))
        batch = await peer.hear("batch")
        peer.abort()
        results = [{"response": "", "sw": "9000"}, {"response": "0a", "sw": "9000"}]
        answer = {"msg_type": "batch_resp", "id": 1, "seq": 1, "session": "s1", "results": results}
        await resumed(wire, batch["seq"], answer=answer)
        assert await ended(sent) == (((b"", 0x9000), (b"\n", 0x9000)), None, None)


async def test_what_was_fetched_ahead_is_there_after_resume() -> None:
    async with holding(raw_tpdu=True) as (wire, _, first, mine, _):
        sent = begin(mine.transmit(SELECT))
        command = await first.hear("c_apdu")
        first.abort()
        ahead = {"response": "01020304", "sw": "9000"}
        answer = r_apdu(command, "", "6104") | {"ahead": ahead}
        peer, _ = await resumed(wire, 1, answer=answer)
        assert (await ended(sent)).sw == 0x6104
        assert await mine.transmit(GET_RESPONSE) == (bytes((1, 2, 3, 4)), 0x9000)
        sent = begin(mine.transmit(READ))
        assert (await peer.hear("c_apdu"))["seq"] == 2
        sent.cancel()


async def test_a_select_whose_answer_was_lost_is_asked_again() -> None:
    async with wired() as (wire, client, first):
        selecting = begin(client.select(any="x").__aenter__())
        once = await first.hear("select_card")
        first.abort()
        peer = await wire.next()
        again = await peer.hear("select_card")
        renewed = {name: again[name] for name in ("id", "wait_s", "waited_s")}
        assert once | renewed == again
        assert (once["wait_s"], again["wait_s"]) == (0.0, 30.0)
        assert again["waited_s"] > 0
        await grant(peer, again, 30.0)
        mine: Card = await ended(selecting)
        assert mine.session == "s1"


async def test_a_wait_goes_on_for_what_is_left_of_it() -> None:
    async with wired() as (wire, client, first):
        selecting = begin(client.select(any="x", wait_s=100).__aenter__())
        peer = first
        for _ in range(2):
            asked = await peer.hear("select_card")
            await peer.say("waiting", id=asked["id"], position=1)
            peer.abort()
            peer = await wire.next()
        asked = await peer.hear("select_card")
        assert asked["wait_s"] + asked["waited_s"] == pytest.approx(100)
        assert 0 < asked["waited_s"] < LIMIT_S
        await grant(peer, asked, 30.0)
        await ended(selecting)


async def unwanted(first: Peer, mine: Card) -> None:
    """Begin a transaction that its asker has given up, whose end is asked for and lost."""
    beginning = begin(mine.begin())
    asked = await first.hear("begin_transaction")
    beginning.cancel()
    await first.hear("cancel")
    ids = {"session": "s1", "seq": 1}
    await first.say("begin_transaction_ack", id=asked["id"], **ids)
    assert (await first.hear("end_transaction"))["seq"] == 2
    beginning.cancel()
    first.abort()
    await asyncio.wait([beginning], timeout=LIMIT_S)
    assert beginning.cancelled()


@pytest.mark.parametrize("ended_before", [True, False])
async def test_a_transaction_that_nobody_wants_is_ended_though_its_end_was_lost(
    *, ended_before: bool
) -> None:
    async with holding() as (wire, _, first, mine, _):
        await unwanted(first, mine)
        ack = {"msg_type": "end_transaction_ack", "id": 1, "session": "s1", "seq": 2}
        kept = {"answer": ack} if ended_before else {}
        peer, _ = await resumed(wire, 1 + ended_before, **kept)
        sent = begin(mine.transmit(READ))
        request = await peer.hear()
        if not ended_before:
            assert request["msg_type"] == "end_transaction"
            ids = {"id": request["id"], "session": "s1", "seq": request["seq"]}
            await peer.say("end_transaction_ack", **ids)
            request = await peer.hear()
        assert request["msg_type"] == "c_apdu"
        await peer.say(**r_apdu(request))
        assert (await ended(sent)).sw == 0x9000


async def test_where_a_transaction_may_not_have_ended_nothing_is_sent() -> None:
    async with holding() as (wire, _, first, mine, _):
        await unwanted(first, mine)
        peer, _ = await resumed(wire, 1)
        sent = begin(fails(mine.transmit(READ)))
        request = await peer.hear("end_transaction")
        lost = {"code": "command_timeout", "message": "It took too long.", "outcome": "unknown"}
        await peer.say("error", id=request["id"], session="s1", **lost)
        assert isinstance(await ended(sent), NotExecutedError)
        sent = begin(mine.transmit(READ))
        await peer.refuse(await peer.hear("end_transaction"), "not_transacted", session="s1")
        await peer.say(**r_apdu(await peer.hear("c_apdu")))
        assert (await ended(sent)).sw == 0x9000


async def test_a_request_with_many_octets_is_sent_as_it_is() -> None:
    octets = b"\x5a" * 70_000
    async with holding() as (_, _, peer, mine, _):
        asking = begin(mine.control(1, octets))
        asked = await peer.hear("control")
        assert (asked["number"], asked["data"]) == (1, octets.hex())
        ids = {key: asked[key] for key in ("id", "session", "seq")}
        await peer.say("control_ack", **ids, response="0102")
        assert await ended(asking) == b"\1\2"
