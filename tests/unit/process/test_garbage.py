# SPDX-License-Identifier: Apache-2.0
"""wsrc.process.garbage: what is old is looked through where nobody waits for it."""

import asyncio
import gc
import weakref

import pytest

from wsrc.process import garbage
from wsrc.process.garbage import DUE, WORTH, Old, kept_small

CALM, BUSY = 0.01, 0.9


def test_b16_it_is_done_in_a_calm_moment_where_there_is_something_to_gain() -> None:
    old = Old(10 * DUE)
    assert not old.due(WORTH - 1, CALM)
    assert not old.due(WORTH, BUSY)
    assert old.due(WORTH, CALM)
    assert not old.due(2 * WORTH - 1, CALM)
    assert old.due(2 * WORTH, CALM)


def test_b16_garbage_has_a_bound_where_there_is_no_calm() -> None:
    old = Old(10 * DUE)
    assert not old.due(DUE - 1, BUSY)
    assert old.due(DUE, BUSY)
    assert not old.due(DUE + WORTH, BUSY)


def test_b18_where_there_is_little_memory_there_is_little_garbage() -> None:
    old = Old(200)
    assert not old.due(49, BUSY)
    assert old.due(50, BUSY)
    assert not old.due(99, CALM)
    assert old.due(100, CALM)


class Knot:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.me = self


async def test_b16_the_old_are_left_alone_until_connections_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(garbage, "EVERY_S", 0.001)
    monkeypatch.setattr(garbage, "IDLE", 2.0)
    generations: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            generations.append(info["generation"])

    before, ended = gc.get_threshold(), 0
    async with kept_small(lambda: ended, 10 * DUE):
        gc.callbacks.append(note)
        try:
            knot = Knot()
            gone = weakref.ref(knot)
            gc.collect(1)
            del knot
            kept = [[n] for n in range(100_000)]
            assert set(generations) == {0, 1}, "the old are looked through for what is new"
            assert len(kept) == 100_000
            assert gone() is not None
            found = asyncio.Event()
            weakref.finalize(gone(), found.set)
            ended = WORTH
            async with asyncio.timeout(30):
                await found.wait()
        finally:
            gc.callbacks.remove(note)
    assert gc.get_threshold() == before
