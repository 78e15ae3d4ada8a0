# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.sessions: numbers, what is kept without a server, and how sessions end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.card_bench import (
    ASK_PIN,
    HOLD,
    PIN,
    SECRET,
    Bench,
    attach,
    benched,
    command,
    resume,
    shared,
)
from wsrc.card.slot import Disposition, Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.readers.simulation import Faults


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with benched() as bench:
        yield bench


@pytest.fixture
async def held(bench: Bench) -> Bench:
    """A bench with one session that is kept."""
    ack = await bench.ask(attach(), m.AttachAck)
    assert ack.keep_s == 600.0
    assert ack.features == b""
    return bench


async def verify(bench: Bench, seq: int, session: str = "s1") -> None:
    assert (await bench.ask(command(seq, PIN, session=session), m.RApdu)).sw == "9000"


async def is_verified(bench: Bench, session: str = "next") -> bool:
    """Give the card to somebody else, and ask whether the PIN is verified."""
    await bench.ask(attach(session, insertion=bench.agent.info.insertion), m.AttachAck)
    return (await bench.ask(command(1, session=session), m.RApdu)).sw == "9000"


# Numbers


async def test_a_request_runs_once_and_its_copy_is_given_the_kept_answer(held: Bench) -> None:
    answer = await held.ask(command(1, HOLD, number=7), m.RApdu)
    assert (answer.id, answer.seq, answer.sw) == (7, 1, "9000")
    again = await held.ask(command(1, HOLD, number=8), m.RApdu)
    assert (again.id, again.seq, again.sw) == (8, 1, "9000")
    assert held.gate.count(HOLD) == 1


@pytest.mark.parametrize("wrong", [command(None), command(0), command(1, PIN)])
async def test_what_cannot_be_of_this_session_is_refused(held: Bench, wrong: m.CApdu) -> None:
    await held.ask(command(1), m.RApdu)
    refusal = await held.ask(wrong, m.Error)
    assert refusal.code is ErrorCode.BAD_MESSAGE
    assert (refusal.outcome, refusal.seq) == (Outcome.NOT_EXECUTED, None)


async def test_a_session_that_is_not_kept_needs_no_numbers(bench: Bench) -> None:
    ack = await bench.ask(attach(secret=None), m.AttachAck)
    assert ack.keep_s == 0.0
    for _ in range(2):
        assert (await bench.ask(command(None), m.RApdu)).seq is None
    assert (await bench.ask(command(1), m.RApdu)).seq == 1
    refused = await bench.ask(resume(1), m.Error)
    assert (refused.code, refused.outcome) == (ErrorCode.NO_SUCH_SESSION, None)


async def test_the_card_client_bounds_how_long_a_session_is_kept() -> None:
    async with benched(keep_s=5.0) as bench:
        assert (await bench.ask(attach(), m.AttachAck)).keep_s == 5.0
        assert (await bench.ask(attach("s2", keep_s=-1.0), m.SessionEnded)).session == "s1"
        assert (await bench.hear(m.AttachAck)).keep_s == 0.0


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (command(1, b"\0"), ErrorCode.BAD_APDU),
        (m.EndTransaction(id=1, session="s1", seq=1), ErrorCode.NOT_TRANSACTED),
        (m.Control(id=1, session="s1", seq=1, number=1, data=Octets()), ErrorCode.NOT_SUPPORTED),
    ],
)
async def test_an_error_of_a_request_in_hand_is_kept(
    held: Bench, request_: m.Forwarded, code: ErrorCode
) -> None:
    refused = await held.ask(request_, m.Error)
    assert (refused.code, refused.seq) == (code, 1)
    assert (await held.ask(resume(1), m.Resumed)).answer == refused


async def test_what_is_cancelled_while_it_waits_was_never_in_hand(held: Bench) -> None:
    await held.hold(command(1, HOLD))
    held.agent.request(command(2, number=2))
    held.agent.request(m.Cancel(id=3, target=2, session="s1"))
    refused = await held.hear(m.Error)
    assert (refused.id, refused.code, refused.seq) == (2, ErrorCode.CANCELLED, None)
    assert (await held.hear(m.CancelAck)).cancelled
    held.gate.open()
    assert (await held.hear(m.RApdu)).seq == 1
    assert (await held.ask(resume(2), m.Resumed)).seq == 1


async def test_one_request_too_many_is_refused_without_a_number(held: Bench) -> None:
    await held.hold(command(1, HOLD))
    for seq in range(2, 66):
        held.agent.request(command(seq))
    refused = await held.ask(command(66, number=66), m.Error)
    assert (refused.id, refused.code, refused.seq) == (66, ErrorCode.TOO_MANY, None)


# Transactions


async def test_a_wait_for_a_transaction_is_no_being_in_hand() -> None:
    async with benched(transaction_wait_s=0.01) as bench:
        for session in ("s1", "s2"):
            await bench.ask(shared(session), m.AttachAck)
        await bench.ask(command(1, session="s2"), m.RApdu)
        begun = m.BeginTransaction(id=1, session="s1", seq=1)
        assert (await bench.ask(begun, m.BeginTransactionAck)).seq == 1
        refused = await bench.ask(command(2, PIN, session="s2"), m.Error)
        assert (refused.code, refused.seq) == (ErrorCode.CARD_BUSY, None)
        again = await bench.ask(command(2, PIN, session="s2"), m.Error)
        assert (again.code, again.outcome) == (ErrorCode.BAD_MESSAGE, Outcome.NOT_EXECUTED)
        assert (await bench.ask(resume(2, "s2"), m.Resumed)).seq == 1


async def test_what_waits_for_a_transaction_is_not_begun_after_resume(bench: Bench) -> None:
    for session in ("s1", "s2"):
        await bench.ask(shared(session), m.AttachAck)
    await bench.ask(m.BeginTransaction(id=1, session="s1", seq=1), m.BeginTransactionAck)
    bench.agent.request(command(1, HOLD, session="s2"))
    assert (await bench.ask(resume(1, "s2"), m.Resumed)).seq == 0
    ended = m.EndTransaction(id=2, session="s1", seq=2)
    assert (await bench.ask(ended, m.EndTransactionAck)).seq == 2
    assert (await bench.ask(command(2, session="s2"), m.RApdu)).seq == 2
    assert bench.gate.count(HOLD) == 0


async def test_a_transaction_whose_reset_fails_ends_with_an_outcome(held: Bench) -> None:
    await held.ask(m.BeginTransaction(id=1, session="s1", seq=1), m.BeginTransactionAck)
    held.card.faults = Faults(mute=True)
    end = m.EndTransaction(id=2, session="s1", seq=2, disposition=Disposition.RESET)
    failed = await held.ask(end, m.Error)
    assert (failed.code, failed.seq) == (ErrorCode.CARD_UNRESPONSIVE, 2)
    ended = await held.hear(m.SessionEnded)
    assert (ended.seq, ended.answer) == (2, failed)


# Without a server


async def test_the_command_that_runs_goes_on_and_its_answer_is_kept(held: Bench) -> None:
    await verify(held, 1)
    await held.hold(command(2, HOLD, number=5))
    held.agent.request(command(3))
    held.agent.connection_lost()
    held.gate.open()
    answer = await held.hear(m.RApdu)
    assert (answer.id, answer.seq) == (5, 2)
    held.agent.connection_back()
    resumed = await held.ask(resume(3), m.Resumed)
    assert (resumed.id, resumed.seq, resumed.answer) == (99, 2, answer)
    assert (await held.ask(command(4), m.RApdu)).sw == "9000"
    assert held.gate.count(HOLD) == 1


async def test_a_session_is_described_to_the_next_server(held: Bench) -> None:
    running = m.RunningSession(
        session="s1",
        reader="id",
        insertion=1,
        holder="user@desk",
        keep_s=600.0,
        instance="u",
    )
    assert held.agent.kept == [running]
    held.agent.connection_lost()
    assert held.agent.kept == [running]


async def test_a_session_with_a_reader_alone_is_kept_whatever_is_in_it(bench: Bench) -> None:
    await bench.ask(attach(share=Share.DIRECT), m.AttachAck)
    bench.source.readers.remove(bench.name)
    bench.source.readers.insert(bench.name)
    while (await bench.hear(m.ReaderReport)).reader.insertion != 2:
        pass
    (running,) = bench.agent.kept
    assert (running.share, running.insertion) == (Share.DIRECT, 2)


async def test_a_batch_is_not_broken_off(held: Bench) -> None:
    steps = tuple(m.Step(command=octets) for octets in (HOLD, ASK_PIN, ASK_PIN))
    await held.hold(m.Batch(id=1, session="s1", seq=1, steps=steps))
    held.agent.connection_lost()
    held.gate.open()
    assert len((await held.hear(m.BatchResp)).results) == 3
    resumed = await held.ask(resume(1), m.Resumed)
    assert isinstance(resumed.answer, m.BatchResp)
    assert len(resumed.answer.results) == 3


async def test_a_session_that_is_not_kept_ends_with_its_server(bench: Bench) -> None:
    await bench.ask(attach(keep_s=0.0), m.AttachAck)
    assert (await bench.ask(command(None, PIN), m.RApdu)).sw == "9000"
    steps = (m.Step(command=HOLD), m.Step(command=ASK_PIN))
    await bench.hold(m.Batch(id=1, session="s1", steps=steps))
    bench.agent.connection_lost()
    bench.agent.connection_back()
    assert bench.agent.kept == []
    bench.gate.open()
    assert len((await bench.hear(m.BatchResp)).results) == 1
    assert not await is_verified(bench)


async def test_who_is_kept_goes_on_without_those_who_are_not(bench: Bench) -> None:
    await bench.ask(shared("s1"), m.AttachAck)
    await bench.ask(shared("s2", keep_s=0.0), m.AttachAck)
    bench.agent.connection_lost()
    await bench.settled()
    assert [running.session for running in bench.agent.kept] == ["s1"]
    assert (await bench.ask(resume(0), m.Resumed)).seq == 0
    assert (await bench.ask(command(1), m.Error)).code is ErrorCode.CARD_WAS_RESET
    assert (await bench.ask(m.Reconnect(id=1, session="s1", seq=2), m.ReconnectAck)).seq == 2
    assert (await bench.ask(command(3), m.RApdu)).sw == "63c3"
    refused = await bench.ask(command(1, session="s2"), m.Error)
    assert refused.code is ErrorCode.NO_SUCH_SESSION


async def test_a_session_that_began_while_the_server_went_is_not_kept(held: Bench) -> None:
    await held.hold(command(1, HOLD))
    held.agent.request(m.Detach(session="s1"))
    held.agent.request(attach("s2"))
    held.agent.connection_lost()
    assert held.agent.kept == []
    held.gate.open()
    await held.hear(m.RApdu)
    assert (await held.hear(m.DetachAck)).session == "s1"
    await held.settled()
    assert not held.agent.knows("s2")
    assert not await is_verified(held)


async def test_a_session_whose_begin_nobody_heard_of_is_ended(bench: Bench) -> None:
    bench.agent.request(attach())
    await begun(bench)
    bench.agent.connection_lost()
    bench.agent.connection_back()
    assert bench.agent.kept == []
    await bench.settled()
    assert not bench.agent.in_session
    assert bench.agent.kept == []
    assert not [message for message in bench.said if isinstance(message, m.AttachAck)]
    assert not await is_verified(bench)


async def begun(bench: Bench) -> None:
    """Let the agent go on until the card is being reset."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert bench.agent.knows("s1")
    assert not bench.agent.in_session


# Too late


async def test_a_session_is_given_up_after_its_time() -> None:
    async with benched(keep_s=0.02) as bench:
        await bench.ask(attach(), m.AttachAck)
        await verify(bench, 1)
        bench.agent.connection_lost()
        ended = await bench.hear(m.SessionEnded)
        assert (ended.code, ended.seq) == (ErrorCode.LEASE_EXPIRED, 1)
        told = await bench.ask(resume(1), m.SessionEnded)
        assert (told.id, told.answer) == (99, ended.answer)
        assert not await is_verified(bench)


async def test_a_server_that_comes_back_in_time_stops_the_clock(held: Bench) -> None:
    held.agent.connection_lost()
    held.agent.connection_lost()
    held.agent.connection_back()
    await held.settled()
    assert (await held.ask(command(1), m.RApdu)).seq == 1


async def test_a_wrong_secret_and_no_session_are_the_same(held: Bench) -> None:
    wrong = await held.ask(resume(0, secret="00"), m.Error)
    unknown = await held.ask(resume(0, session="s1 "), m.Error)
    assert wrong.code is ErrorCode.NO_SUCH_SESSION
    assert (wrong.message, wrong.code, wrong.seq) == (unknown.message, unknown.code, unknown.seq)
    assert SECRET not in wrong.message
    assert (await held.ask(command(1), m.RApdu)).seq == 1
    await held.ask(m.Detach(session="s1", code=ErrorCode.LEASE_EXPIRED), m.DetachAck)
    too_late = await held.ask(resume(0, secret="00"), m.Error)
    assert too_late.message == wrong.message
    told = await held.ask(resume(1), m.SessionEnded)
    assert (told.code, told.seq) == (ErrorCode.LEASE_EXPIRED, 1)


async def test_a_session_that_was_given_back_is_remembered_too(held: Bench) -> None:
    await held.ask(m.Detach(session="s1"), m.DetachAck)
    told = await held.ask(resume(0), m.SessionEnded)
    assert (told.code, told.seq) == (ErrorCode.NO_SUCH_SESSION, 0)


async def test_another_session_ends_the_one_that_is_kept(held: Bench) -> None:
    await verify(held, 1)
    held.agent.connection_lost()
    held.agent.connection_back()
    ended = await held.ask(attach("s2"), m.SessionEnded)
    assert (ended.session, ended.seq) == ("s1", 1)
    await held.hear(m.AttachAck)
    assert (await held.ask(command(1, session="s2"), m.RApdu)).sw == "63c3"
    assert (await held.ask(resume(1), m.SessionEnded)).code is ErrorCode.NO_SUCH_SESSION


async def test_a_card_pulled_while_there_is_no_server_ends_its_session(held: Bench) -> None:
    answer = await held.ask(command(1), m.RApdu)
    held.agent.connection_lost()
    held.source.readers.remove(held.name)
    await held.hear(m.SessionEnded)
    held.source.readers.insert(held.name)
    await held.ready()
    told = await held.ask(resume(1), m.SessionEnded)
    assert (told.code, told.seq, told.answer) == (ErrorCode.CARD_NOT_PRESENT, 1, answer)
    assert not await is_verified(held)


async def test_a_command_whose_card_is_pulled_has_an_outcome(held: Bench) -> None:
    await held.hold(command(1, HOLD))
    held.source.readers.remove(held.name)
    held.gate.open()
    failed = await held.hear(m.Error)
    assert (failed.code, failed.seq) == (ErrorCode.CARD_NOT_PRESENT, 1)
    ended = await held.hear(m.SessionEnded)
    assert (ended.seq, ended.answer) == (1, failed)


async def test_what_waits_when_a_session_ends_was_not_executed(held: Bench) -> None:
    held.card.faults = Faults(dies_at=1, only=HOLD.hex()[:10])
    await held.hold(command(1, HOLD))
    held.agent.request(command(2, number=2))
    held.gate.open()
    assert (await held.hear(m.Error)).seq == 1
    refused = await held.hear(m.Error)
    assert (refused.id, refused.seq, refused.outcome) == (2, None, Outcome.NOT_EXECUTED)
    assert (await held.hear(m.SessionEnded)).seq == 1


async def test_sessions_can_be_ended_at_once_while_a_command_runs(held: Bench) -> None:
    await held.hold(command(1, HOLD))
    held.agent.request(resume(1))
    assert (await held.hear(m.Resumed)).answer is None
    for request in (command(1, HOLD), m.Detach(session="s1"), resume(1)):
        held.agent.request(request)
    held.agent.end_sessions(ErrorCode.READER_UNAVAILABLE, "The reader was unplugged.")
    ended = await held.hear(m.SessionEnded)
    assert (ended.id, ended.seq, ended.answer) == (None, 1, None)
    told = await held.hear(m.SessionEnded)
    assert (told.id, told.code, told.seq) == (99, ErrorCode.READER_UNAVAILABLE, 1)
