# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.slot_agent: what the server is told while the reader is busy."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from wsrc.card_client.replies import Replies
from wsrc.card_client.slot_agent import SlotAgent
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import CardUnresponsiveError, Outcome
from wsrc.protocol import messages as m
from wsrc.readers.base import Connection, Slot, SlotState
from wsrc.settings.load import CardClientSettings

LIMIT_S = 60.0
SETTINGS = CardClientSettings(name="bench", command_s=10.0)
ATR = bytes.fromhex("3b00")


class StuckReader:
    """A reader that does not come back from the card before it is let go."""

    name = "Stuck"
    stable_id = "serial"
    position = ""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def connect(self, *, share: object) -> Connection:
        self.asked.set()
        assert self.let_go.wait(LIMIT_S)
        raise CardUnresponsiveError("The card gives no ATR.", Outcome.NOT_EXECUTED)

    def close(self) -> None:
        """Hold nothing."""


class Bench:
    """A slot agent that serves a stuck reader, and what it told the server."""

    def __init__(self) -> None:
        self.reader = StuckReader()
        self.told: list[m.ReaderInfo] = []
        self.mute = asyncio.Event()
        replies = Replies(self._send)
        thread = ReaderThread("Stuck", lambda: self.reader)
        self.agent = SlotAgent(SETTINGS, "Stuck", lambda *_: "id", thread, replies)

    def _send(self, message: m.Message) -> None:
        assert isinstance(message, m.ReaderReport)
        self.told.append(message.reader)
        if message.reader.state is m.ReaderState.MUTE:
            self.mute.set()

    def see(self, state: SlotState, count: int) -> None:
        atr = ATR if state is SlotState.PRESENT else b""
        self.agent.slot_changed(Slot("Stuck", state, atr, count))

    @property
    def states(self) -> list[tuple[m.ReaderState, int]]:
        return [(info.state, info.insertion) for info in self.told]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(bench.agent.run())
        try:
            yield bench
        finally:
            bench.reader.let_go.set()
            task.cancel()


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, LIMIT_S)


async def test_a_card_is_told_before_it_is_asked_who_it_is(bench: Bench) -> None:
    bench.see(SlotState.PRESENT, 1)
    assert bench.told == []
    await reached(bench.reader.asked)
    assert bench.states == [(m.ReaderState.IDENTIFYING, 1)]
    assert bench.told[0].reader == "id"
    assert bench.told[0].atr == ATR


async def test_a_card_that_goes_while_it_is_asked_is_told_at_once(bench: Bench) -> None:
    bench.see(SlotState.PRESENT, 1)
    await reached(bench.reader.asked)
    bench.see(SlotState.EMPTY, 2)
    bench.see(SlotState.PRESENT, 3)
    bench.see(SlotState.EMPTY, 4)
    seen = [
        (m.ReaderState.IDENTIFYING, 1),
        (m.ReaderState.EMPTY, 1),
        (m.ReaderState.IDENTIFYING, 2),
        (m.ReaderState.EMPTY, 2),
    ]
    assert bench.states == seen
    bench.reader.asked.clear()
    bench.reader.let_go.set()
    bench.see(SlotState.PRESENT, 5)
    await reached(bench.reader.asked)
    assert bench.states[: len(seen) + 1] == [*seen, (m.ReaderState.IDENTIFYING, 3)]


async def test_what_came_of_a_card_that_is_still_there_counts(bench: Bench) -> None:
    bench.see(SlotState.PRESENT, 1)
    await reached(bench.reader.asked)
    bench.reader.let_go.set()
    async with asyncio.timeout(LIMIT_S):
        await bench.mute.wait()
    assert bench.states[-1] == (m.ReaderState.MUTE, 1)


async def test_an_empty_reader_is_told_and_not_asked(bench: Bench) -> None:
    bench.see(SlotState.EMPTY, 1)
    done = asyncio.Event()
    bench.agent.soon(done.set)
    async with asyncio.timeout(LIMIT_S):
        await done.wait()
    assert bench.states == [(m.ReaderState.EMPTY, 0)]
    assert not bench.reader.asked.is_set()
