# SPDX-License-Identifier: Apache-2.0
"""A loop in a thread of its own: what it holds, and that nobody waits for it in vain."""

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from wsrc.errors import ConnectionLostError
from wsrc.user_client import portal as module
from wsrc.user_client.portal import Portal

LIMIT_S = 60.0


@pytest.fixture
def portal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """One that looks for signals so often that no test waits for it."""
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    portal = Portal("portal")
    yield portal
    portal.stop()


class Held:
    """Something that is held, and notes what becomes of it."""

    def __init__(self, *, stuck: bool = False, wrong: Exception | None = None) -> None:
        self.log: list[str] = []
        self.entering = threading.Event()
        self.over = asyncio.Event()
        self._stuck = stuck
        self._wrong = wrong

    @asynccontextmanager
    async def manager(self) -> AsyncGenerator[str]:
        self.entering.set()
        try:
            if self._wrong is not None:
                raise self._wrong
            if self._stuck:
                await asyncio.Event().wait()
            async with asyncio.TaskGroup() as tasks:
                ending = tasks.create_task(self._end())
                yield "it"
                ending.cancel()
        finally:
            self.log.append("left")

    async def _end(self) -> None:
        await self.over.wait()
        raise ConnectionLostError("over")


def test_what_is_held_is_left_in_the_loop_that_is_stopped(portal: Portal) -> None:
    held = Held()
    assert portal.hold(held.manager()) == "it"
    assert held.log == []
    portal.stop()
    assert held.log == ["left"]
    assert not portal.usable


def test_what_entering_raises_is_raised_and_ends_the_loop(portal: Portal) -> None:
    held = Held(wrong=ConnectionLostError("no server"))
    with pytest.raises(ConnectionLostError, match="no server"):
        portal.hold(held.manager())
    assert held.log == ["left"]
    assert not portal.usable


def test_loop_that_is_stopped_gives_up_entering(portal: Portal) -> None:
    held, caught = Held(stuck=True), list[BaseException]()

    def hold() -> None:
        try:
            portal.hold(held.manager())
        except ConnectionLostError as exc:
            caught.append(exc)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.entering.wait(LIMIT_S)
    portal.stop()
    thread.join(LIMIT_S)
    assert [str(exc) for exc in caught] == ["The client was closed by another thread."]
    assert held.log == ["left"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_loop_ends_with_what_it_holds(portal: Portal) -> None:
    held = Held()
    portal.hold(held.manager())
    waiting = portal.submit(asyncio.Event().wait())
    portal.soon(held.over.set)
    portal._thread.join(LIMIT_S)
    assert held.log == ["left"]
    assert waiting.cancelled()
    with pytest.raises(ConnectionLostError, match="closed"):
        portal.call(asyncio.sleep(0))


def test_nobody_waits_for_a_loop_that_ended_before_it_could_begin(portal: Portal) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert go_on.wait(LIMIT_S)

    async def blocking() -> None:
        block()
        assert portal._stopping is not None
        portal._stopping.set()

    running = portal.submit(blocking())
    assert entered.wait(LIMIT_S)
    late, caught = asyncio.Event(), list[BaseException]()

    def call() -> None:
        try:
            portal.call(late.wait())
        except ConnectionLostError as exc:
            caught.append(exc)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert len(caught) == len(threads)
    running.result(LIMIT_S)


def test_loop_can_be_stopped_from_within(portal: Portal) -> None:
    async def stop() -> bool:
        portal.stop()
        return portal.is_own_thread

    assert portal.call(stop())
    assert not portal.is_own_thread
    portal._thread.join(LIMIT_S)
    assert not portal.usable
    portal.soon(lambda: None)
    portal.stop()


def test_ends_a_call_takes_one_hop_and_three_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    portal = Portal("portal")
    portal.call(asyncio.sleep(0))
    loop, hops, turns = portal._loop, list[object](), list[object]()
    assert loop is not None
    hop, soon = loop.call_soon_threadsafe, loop.call_soon

    def count_hop(do: Callable[..., Any], *args: Any) -> Any:
        hops.append(do)
        return hop(do, *args)

    def count_turn(do: Callable[..., Any], *args: Any, **more: Any) -> Any:
        turns.append(do)
        return soon(do, *args, **more)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count_hop)
    monkeypatch.setattr(loop, "call_soon", count_turn)
    for _ in range(10):
        portal.call(asyncio.sleep(0))
    assert len(hops) == 10
    assert len(turns) <= 20
    portal.stop()


def test_ends_what_a_call_raises_is_raised_to_its_caller(portal: Portal) -> None:
    async def wrong() -> None:
        raise ConnectionLostError("no server")

    with pytest.raises(ConnectionLostError, match="no server"):
        portal.call(wrong())
    with pytest.raises(ConnectionLostError, match="no server"):
        portal.submit(wrong()).result(LIMIT_S)
    assert portal.call(asyncio.sleep(0, "next")) == "next"


@pytest.mark.parametrize("_again", range(50))
def test_ends_an_interrupt_while_it_is_waited_cancels_what_goes_on(
    portal: Portal, _again: int
) -> None:
    """Now and then it comes just before the wait begins, when Python does not look for it."""
    begun, given_up = threading.Event(), threading.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    def interrupt(_number: int, _frame: object) -> None:
        raise InterruptedError

    def send() -> None:
        assert begun.wait(LIMIT_S)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    sending = threading.Thread(target=send)
    sending.start()
    try:
        with pytest.raises(InterruptedError):
            portal.call(waits())
    finally:
        sending.join(LIMIT_S)
        signal.signal(signal.SIGUSR1, before)
    assert given_up.wait(LIMIT_S)
    assert portal.call(asyncio.sleep(0, "next")) == "next"


async def later(value: int) -> int:
    await asyncio.sleep(0.001)
    return value


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted in /proc")
def test_what_wakes_threads_is_closed_with_the_loop() -> None:
    gc.collect()
    before = open_descriptors()
    portal = Portal()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda n: portal.call(later(n)), range(40))) == [*range(40)]
    assert open_descriptors() > before
    portal.stop()
    assert open_descriptors() == before


def test_a_thread_may_wait_for_longer_than_it_looks_for_signals(portal: Portal) -> None:
    assert portal.call(asyncio.sleep(2 * module.LOOK_S, "it")) == "it"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_thread_is_woken_where_no_descriptor_is_left(portal: Portal) -> None:
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open("rb") as lowest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest.fileno(), hard))
        try:
            assert [portal.call(later(n)) for n in range(3)] == [0, 1, 2]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_a_call_that_is_broken_off_wakes_nobody_else(portal: Portal) -> None:
    begun, go_on = threading.Event(), asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        with suppress(asyncio.CancelledError):
            await go_on.wait()
        await go_on.wait()

    def break_off(*_: object) -> None:
        raise InterruptedError("broken off")

    def alarm() -> None:
        begun.wait(LIMIT_S)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, break_off)
    thread = threading.Thread(target=alarm)
    try:
        thread.start()
        with pytest.raises(InterruptedError):
            portal.call(stubborn())
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)

    async def end_it() -> int:
        go_on.set()
        return await later(7)

    assert portal.call(end_it()) == 7
    assert [portal.call(later(n)) for n in range(3)] == [0, 1, 2]
