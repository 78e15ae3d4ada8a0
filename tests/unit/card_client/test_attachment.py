# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.attachment: what a session may ask of its card, and what it is told ahead."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.card_bench import (
    ASK_PIN,
    HOLD,
    Bench,
    attach,
    benched,
    command,
    resume,
)
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.readers.simulation import Faults
from wsrc.settings.load import CardClientSettings

SETTINGS = CardClientSettings(name="bench")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with benched() as bench:
        yield bench


@pytest.fixture
async def held(bench: Bench) -> Bench:
    """A bench with one session that is kept."""
    ack = await bench.ask(attach(), m.AttachAck)
    assert ack.keep_s == 600.0
    return bench


@pytest.mark.parametrize("raw", [True, False])
async def test_what_t0_announces_is_read_ahead_for_who_asks_for_tpdus(
    bench: Bench, raw: bool
) -> None:
    await bench.ask(attach(raw_tpdu=raw, look_ahead=True), m.AttachAck)
    select = "00a40004023f00" if raw else "00a40004023f0000"
    answer = await bench.ask(command(1, bytes.fromhex(select)), m.RApdu)
    assert answer.sw.startswith("61" if raw else "90")
    assert (answer.ahead is not None) == raw


@pytest.mark.parametrize("count", [0, m.MAX_BATCH + 1])
async def test_a_batch_of_a_wrong_length_is_not_begun(held: Bench, count: int) -> None:
    steps = (m.Step(command=ASK_PIN),) * count
    refused = await held.ask(m.Batch(id=1, session="s1", seq=1, steps=steps), m.Error)
    assert (refused.code, refused.outcome) == (ErrorCode.BAD_APDU, Outcome.NOT_EXECUTED)
    assert f"1 to {m.MAX_BATCH} commands, not {count}" in refused.message


async def test_the_longest_batch_runs(held: Bench) -> None:
    steps = (m.Step(command=ASK_PIN),) * m.MAX_BATCH
    ran = await held.ask(m.Batch(id=1, session="s1", seq=1, steps=steps), m.BatchResp)
    assert (len(ran.results), ran.error) == (m.MAX_BATCH, None)


async def test_ends_a_batch_takes_one_hop_to_the_thread_and_back(
    held: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    hops: list[object] = []
    back = loop.call_soon_threadsafe

    def count(callback: Any, *args: Any) -> asyncio.Handle:
        hops.append(callback)
        return back(callback, *args)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    for number, length in enumerate((1, 100), start=1):
        hops.clear()
        steps = (m.Step(command=ASK_PIN),) * length
        ran = await held.ask(m.Batch(id=number, session="s1", seq=number, steps=steps), m.BatchResp)
        assert len(ran.results) == length
        assert len(hops) == 1


async def test_ends_what_a_batch_did_before_its_reader_hung_is_told(held: Bench) -> None:
    held.agent._sessions._settings = msgspec.structs.replace(SETTINGS, command_s=0.1)
    held.gate.shut()
    commands = (ASK_PIN, HOLD, ASK_PIN)
    steps = tuple(m.Step(command=each) for each in commands)
    ran = await held.ask(m.Batch(id=1, session="s1", seq=1, steps=steps), m.BatchResp)
    assert len(ran.results) == 1
    assert ran.error is not None
    assert (ran.error.code, ran.error.outcome) == (ErrorCode.CARD_UNRESPONSIVE, Outcome.UNKNOWN)


READ_AHEAD: dict[str, Any] = {"read_ahead": True, "share": Share.EXCLUSIVE}
SELECT_ICCID = "00a40004022fe200"


async def ahead_of(bench: Bench, seq: int, text: str, used: int = 0) -> list[str]:
    """Send a command, and return what was read ahead of it."""
    asked = msgspec.structs.replace(command(seq, bytes.fromhex(text)), used_ahead=used)
    answer = await bench.ask(asked, m.RApdu)
    assert {each.sw for each in answer.read_ahead} <= {"9000", "6c0a"}
    return [each.command.hex() for each in answer.read_ahead]


@pytest.fixture
async def reading() -> AsyncIterator[Bench]:
    """A bench that takes its time to read ahead."""
    async with benched(read_ahead_s=30.0) as bench:
        yield bench


async def test_a_file_is_read_ahead_as_the_program_was_seen_to_read(reading: Bench) -> None:
    await reading.ask(attach(**READ_AHEAD), m.AttachAck)
    assert await ahead_of(reading, 1, SELECT_ICCID) == ["00b0000000", "00b000000a"]
    assert await ahead_of(reading, 2, SELECT_ICCID, used=3) == ["00b0000000", "00b000000a"]
    assert await ahead_of(reading, 3, SELECT_ICCID, used=1) == ["00b0000000"]
    assert await ahead_of(reading, 4, SELECT_ICCID, used=0) == ["00b0000000"]
    assert await ahead_of(reading, 5, "00b000000a") == []
    assert await ahead_of(reading, 6, SELECT_ICCID) == ["00b000000a"]


@pytest.mark.parametrize(
    "fields",
    [{"read_ahead": False}, {"read_ahead": True, "share": Share.SHARED}, {"raw_tpdu": True}],
    ids=["not asked for", "shared", "what waits would be lost"],
)
async def test_nothing_is_read_ahead(reading: Bench, fields: dict[str, Any]) -> None:
    await reading.ask(attach(**READ_AHEAD | fields), m.AttachAck)
    select = SELECT_ICCID[:-2] if "raw_tpdu" in fields else SELECT_ICCID
    assert await ahead_of(reading, 1, select) == []


async def test_with_tpdus_a_file_is_read_ahead_after_its_description(reading: Bench) -> None:
    await reading.ask(attach(raw_tpdu=True, look_ahead=True, **READ_AHEAD), m.AttachAck)
    assert await ahead_of(reading, 1, SELECT_ICCID[:-2]) == ["00b0000000", "00b000000a"]


async def test_a_copy_of_a_request_gets_what_was_read_and_the_card_is_not_asked(
    reading: Bench,
) -> None:
    await reading.ask(attach(**READ_AHEAD), m.AttachAck)
    first = await ahead_of(reading, 1, SELECT_ICCID)
    asked = len(reading.gate.commands)
    assert await ahead_of(reading, 1, SELECT_ICCID) == first
    resumed = await reading.ask(resume(1), m.Resumed)
    assert isinstance(resumed.answer, m.RApdu)
    assert [each.command.hex() for each in resumed.answer.read_ahead] == first
    assert len(reading.gate.commands) == asked


async def test_nothing_is_read_ahead_without_time_for_it() -> None:
    async with benched(read_ahead_s=0.0) as bench:
        await bench.ask(attach(**READ_AHEAD), m.AttachAck)
        assert await ahead_of(bench, 1, SELECT_ICCID) == []


async def test_who_waits_for_the_card_does_not_wait_for_what_is_read_ahead(
    reading: Bench,
) -> None:
    await reading.ask(attach(**READ_AHEAD), m.AttachAck)
    await reading.hold(command(1, HOLD))
    reading.agent.request(command(2, bytes.fromhex(SELECT_ICCID), number=2))
    reading.agent.request(m.Detach(id=3, session="s1"))
    reading.gate.open()
    await reading.hear(m.RApdu)
    assert (await reading.hear(m.RApdu)).read_ahead == ()
    await reading.hear(m.DetachAck)


async def test_a_card_that_goes_while_it_is_read_ahead_answers_first(reading: Bench) -> None:
    await reading.ask(attach(**READ_AHEAD), m.AttachAck)
    reading.card.faults = Faults(dies_at=2, only="00b000000a")
    answer = await reading.ask(command(1, bytes.fromhex(SELECT_ICCID)), m.RApdu)
    assert [each.command.hex() for each in answer.read_ahead] == ["00b0000000"]
    ended = await reading.hear(m.SessionEnded)
    assert (ended.code, ended.seq) == (ErrorCode.CARD_NOT_PRESENT, 1)
