# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.attachment: what a session may ask of its card, and what it is told ahead."""

from collections.abc import AsyncIterator

import pytest

from tests.support.card_bench import (
    ASK_PIN,
    Bench,
    attach,
    benched,
    command,
)
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m


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
