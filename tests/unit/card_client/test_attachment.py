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
)
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
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
