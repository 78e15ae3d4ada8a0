# SPDX-License-Identifier: Apache-2.0
"""The thread of a reader: calls that hang, and what becomes of what they held."""

import asyncio
import threading

import pytest

from tests.support.world import LIMIT_S, until
from wsrc.card_client.worker import ReaderThread, Steps
from wsrc.errors import CardUnresponsiveError
from wsrc.readers.base import Connection


class HeldReader:
    """A reader that notes whether it was let go of."""

    name = stable_id = "reader"
    position = ""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def connect(self) -> Connection:
        raise NotImplementedError

    def close(self) -> None:
        self.closed.set()


async def test_a_reader_whose_call_hung_is_let_go_of_when_the_call_ends() -> None:
    opened: list[HeldReader] = []
    go_on = threading.Event()

    def open_reader() -> HeldReader:
        opened.append(HeldReader())
        return opened[-1]

    thread = ReaderThread("reader", open_reader)
    with pytest.raises(CardUnresponsiveError):
        await thread.with_reader(lambda _: go_on.wait(LIMIT_S), 0.01)
    assert await thread.with_reader(lambda reader: reader.name, LIMIT_S) == "reader"
    first, second = opened
    assert not first.closed.is_set()
    go_on.set()
    await until(first.closed.is_set)
    thread.stop()
    await until(second.closed.is_set)


class Scripted(Steps):
    """Steps of which a test says how long the latest lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.lasting = 0.0
        self.asked = threading.Event()

    def lasts_s(self) -> float:
        self.asked.set()
        return self.lasting


async def test_ends_each_step_of_a_call_has_the_whole_limit() -> None:
    go_on, steps = threading.Event(), Scripted()
    thread = ReaderThread("reader", HeldReader)

    def several() -> str:
        assert steps.asked.wait(LIMIT_S)
        assert go_on.wait(LIMIT_S)
        return "done"

    async with asyncio.TaskGroup() as tasks:
        calling = tasks.create_task(thread.call(several, 0.01, steps=steps))
        await until(steps.asked.is_set)
        assert not calling.done()
        go_on.set()
        assert await calling == "done"
    thread.stop()


async def test_ends_a_step_that_lasts_too_long_ends_the_call() -> None:
    go_on, steps, late = threading.Event(), Scripted(), list[object]()
    steps.lasting = 1.0
    thread = ReaderThread("reader", HeldReader)
    with pytest.raises(CardUnresponsiveError):
        await thread.call(lambda: go_on.wait(LIMIT_S), 0.01, late.append, steps)
    go_on.set()
    await until(lambda: late == [True])
    thread.stop()


async def test_ends_a_prompt_reader_runs_a_command_in_the_loop_unless_its_thread_is_busy() -> None:
    prompt, go_on = True, threading.Event()
    thread = ReaderThread("reader", HeldReader, lambda: prompt)
    here, ident = threading.get_ident(), threading.get_ident
    assert await thread.command(ident, LIMIT_S, print) == here
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(thread.call(lambda: go_on.wait(LIMIT_S), LIMIT_S))
        await asyncio.sleep(0)
        waiting = tasks.create_task(thread.command(ident, LIMIT_S, print))
        await asyncio.sleep(0)
        assert not waiting.done()
        go_on.set()
        assert await running
        assert await waiting != here
    prompt = False
    assert await thread.command(ident, LIMIT_S, print) != here
    thread.stop()


async def test_ends_a_reader_that_is_never_called_has_no_thread() -> None:
    before = set(threading.enumerate())
    thread = ReaderThread("reader", HeldReader)
    assert set(threading.enumerate()) <= before
    thread.stop()
