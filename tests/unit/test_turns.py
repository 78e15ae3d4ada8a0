# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.turns: who floods waits for others, counted in turns of the loop."""

import asyncio
import itertools
import time
from collections import Counter

import pytest
import uvloop

from wsrc.server.limits import Budget
from wsrc.server.turns import (
    BURST_S,
    FRAME_S,
    LINE_SHARE,
    REST_TURNS,
    SLICE_S,
    Line,
    Share,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Flood:
    """A peer whose next frame is always there."""

    def __init__(self, line: Line, done: Counter[str], name: str) -> None:
        self.share = Share(line, self.go_on)
        self.done = done
        self.name = name
        self.ended = False
        if self.share.next():
            self.go_on()

    def go_on(self) -> None:
        while not self.ended:
            self.done[self.name] += 1
            self.share.done(0)
            if not self.share.next():
                return


async def test_b16_a_peer_gives_way_after_so_many_frames() -> None:
    line = Line(asyncio.get_running_loop(), Clock())
    done: Counter[str] = Counter()
    flood = Flood(line, done, "one")
    assert 0 < done["one"] <= BURST_S / FRAME_S + 1 <= 50, "a millisecond of the server's time"
    flood.ended = True


async def test_b16_in_a_turn_of_the_loop_one_of_those_who_flood_goes_on() -> None:
    """The clock stands still, so that nobody's allowance is filled up."""
    clock = Clock()
    line = Line(asyncio.get_running_loop(), clock)
    done: Counter[str] = Counter()
    floods = [Flood(line, done, f"peer {n}") for n in range(50)]
    for _ in range(200):
        before = done.total()
        clock.now += 1.0
        await asyncio.sleep(0)
        assert done.total() - before <= SLICE_S / FRAME_S + 1 + BURST_S / FRAME_S
    fewest, most = min(done.values()), max(done.values())
    assert most - fewest <= 2 * (BURST_S / FRAME_S + 1)
    for each in floods:
        each.ended = True


async def test_b16_who_asks_little_does_not_stand_in_the_line() -> None:
    clock = Clock()
    line = Line(asyncio.get_running_loop(), clock)
    done = Counter[str]()
    floods = [Flood(line, done, f"{n}") for n in range(5)]
    share = Share(line, lambda: pytest.fail("it did not wait"))
    for _ in range(1000):
        clock.now += 0.01
        assert share.next()
        share.done(2)
    for each in floods:
        each.ended = True


async def test_b16_a_pause_between_two_frames_is_not_charged() -> None:
    clock = Clock()
    share = Share(Line(asyncio.get_running_loop(), clock), lambda: pytest.fail("it did not wait"))
    share.done(0)
    clock.now += 60.0
    assert share.next()


def test_b16_what_is_done_in_one_turn_of_uvloop_takes_time() -> None:
    """Its clock stands still amid a turn."""

    async def spend() -> float:
        line = Line(asyncio.get_running_loop())
        share = Share(line, lambda: None)
        until = time.monotonic() + 2 * BURST_S
        while time.monotonic() < until:
            pass
        share.done(0)
        return share._left_s

    assert uvloop.run(spend()) <= -BURST_S


async def test_b16_those_whose_rest_ends_in_one_turn_go_on_one_a_turn() -> None:
    clock = Clock()
    line = Line(asyncio.get_running_loop(), clock)
    gone_on: list[int] = []
    shares = [Share(line, lambda n=n: gone_on.append(n)) for n in range(20)]  # type: ignore[misc]
    for share in shares:
        share.stand()
    for turn in range(20):
        assert gone_on == list(range(turn))
        await asyncio.sleep(0)


async def test_b16_the_line_as_a_whole_has_its_part_of_the_time() -> None:
    clock = Clock()
    line = Line(asyncio.get_running_loop(), clock)
    line.charge(0.010)
    assert line._free_at == clock.now + 0.010 / LINE_SHARE
    line.charge(0.010)
    assert line._free_at == clock.now + 0.020 / LINE_SHARE


async def test_b16_a_fault_of_one_in_the_line_does_not_stop_it() -> None:
    loop = asyncio.get_running_loop()
    line, told = Line(loop), asyncio.Event()
    faults: list[str] = []
    loop.set_exception_handler(lambda _, context: faults.append(str(context.get("exception"))))

    def fail() -> None:
        raise ValueError("mine")

    line.stand(fail)
    line.stand(told.set)
    async with asyncio.timeout(10):
        await told.wait()
    assert faults == ["mine"]


def test_b16_what_is_costly_has_a_budget_for_each_second() -> None:
    budget = Budget(rate=10.0, burst=5.0)
    assert [budget.take(100.0) for _ in range(5)] == [0.0] * 5
    assert budget.take(100.0) == 0.1
    assert budget.take(100.1) == pytest.approx(0.1)
    assert budget.take(200.0) == 0.0


async def test_b16_after_a_step_of_a_new_connection_some_turns_are_of_others() -> None:
    """The step is the beginning of work that is not known yet, such as a TLS handshake."""
    line = Line(asyncio.get_running_loop(), Clock())
    begun: list[int] = []
    turn = 0

    async def begin() -> None:
        await line.wait(rest=True)
        begun.append(turn)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(begin())
        while len(begun) < 5:
            await asyncio.sleep(0)
            turn += 1
    apart = [after - before for before, after in itertools.pairwise(begun)]
    assert min(apart) > REST_TURNS


def test_j5_a_request_that_counts_as_several_takes_as_much_of_a_budget() -> None:
    budget = Budget(rate=10.0, burst=8.0)
    assert budget.take(100.0, 8) == 0.0
    assert budget.take(100.0, 4) == pytest.approx(0.4)
