# SPDX-License-Identifier: Apache-2.0
"""What comes for a session while its command runs, as session.json has it: copies, ends, resume."""

from collections.abc import AsyncIterator

import pytest

from tests.support.card_bench import HOLD, Bench, attach, benched, command, resume
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.protocol import messages as m

READ = Octets.fromhex("00b000000a")


@pytest.fixture
async def running() -> AsyncIterator[Bench]:
    """A bench with one session that is kept, whose request 1 runs."""
    async with benched() as bench:
        await bench.ask(attach(), m.AttachAck)
        await bench.hold(command(1, HOLD, number=1))
        yield bench


async def test_a_copy_of_the_request_that_runs_is_answered_when_it_has_run(running: Bench) -> None:
    running.agent.request(command(1, HOLD, number=2))
    running.gate.open()
    answers = [await running.hear(m.RApdu) for _ in range(2)]
    assert [(each.id, each.seq) for each in answers] == [(1, 1), (2, 1)]


async def test_what_is_sent_again_after_resume_is_answered_under_both_ids(running: Bench) -> None:
    running.agent.request(command(1, HOLD, number=2))
    running.agent.connection_lost()
    running.agent.connection_back()
    assert (await running.ask(resume(1), m.Resumed)).answer is None
    running.agent.request(command(1, HOLD, number=9))
    running.gate.open()
    answers = [await running.hear(m.RApdu) for _ in range(2)]
    assert [(each.id, each.seq) for each in answers] == [(1, 1), (9, 1)]
    await running.settled()
    assert running.said == []


async def test_a_batch_that_was_sent_again_is_cancelled_under_its_new_id() -> None:
    async with benched() as bench:
        await bench.ask(attach(), m.AttachAck)
        steps = (m.Step(command=HOLD), m.Step(command=READ))
        batch = m.Batch(id=1, session="s1", seq=1, steps=steps)
        await bench.hold(batch)
        bench.agent.connection_lost()
        bench.agent.connection_back()
        await bench.ask(resume(1), m.Resumed)
        bench.agent.request(m.Batch(id=9, session="s1", seq=1, steps=steps))
        cancel = m.Cancel(id=10, target=9, session="s1")
        assert (await bench.ask(cancel, m.CancelAck)).cancelled
        bench.gate.open()
        answers = [await bench.hear(m.BatchResp) for _ in range(2)]
        assert [(each.id, len(each.results)) for each in answers] == [(1, 1), (9, 1)]


async def test_resume_is_answered_after_a_detach_that_waits(running: Bench) -> None:
    running.agent.request(m.Detach(session="s1"))
    running.agent.request(resume(1))
    running.gate.open()
    assert (await running.hear(m.RApdu)).id == 1
    await running.hear(m.DetachAck)
    said = await running.hear(m.SessionEnded)
    assert (said.id, said.code, said.seq) == (99, ErrorCode.NO_SUCH_SESSION, 1)
    assert said.answer is not None


async def test_a_command_that_runs_when_the_time_is_over_is_finished_first() -> None:
    async with benched(keep_s=0.01) as bench:
        await bench.ask(attach(), m.AttachAck)
        await bench.hold(command(1, HOLD, number=1))
        bench.agent.connection_lost()
        assert bench.agent.kept
        assert bench.agent.info.state is m.ReaderState.READY
        bench.gate.open()
        assert (await bench.hear(m.RApdu)).id == 1
        said = await bench.hear(m.SessionEnded)
        assert (said.code, said.seq) == (ErrorCode.LEASE_EXPIRED, 1)
        assert said.answer is not None
