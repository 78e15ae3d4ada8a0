# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.timers."""

from wsrc.relay.timers import Timers


def test_the_earliest_deadline_comes_first() -> None:
    timers: Timers[str] = Timers()
    timers.set("late", 5.0)
    timers.set("early", 1.0)
    assert timers.next() == 1.0
    assert timers.pop(0.5) is None
    assert timers.pop(9.0) == "early"
    assert timers.pop(9.0) == "late"
    assert timers.pop(9.0) is None
    assert timers.next() is None


def test_a_deadline_that_is_set_again_moves() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.set("a", 3.0)
    assert len(timers) == 1
    assert timers.pop(2.0) is None
    assert timers.pop(3.0) == "a"


def test_a_deadline_that_is_cleared_never_comes() -> None:
    timers: Timers[str] = Timers()
    timers.set("a", 1.0)
    timers.clear("a")
    timers.clear("never set")
    assert timers.next() is None
    assert len(timers) == 0


def test_what_was_cleared_takes_no_room() -> None:
    timers: Timers[int] = Timers()
    timers.set(-1, 9.0)
    for n in range(1000):
        timers.set(n, 5.0)
        timers.clear(n)
    assert len(timers._heap) <= 65
    assert timers.pop(9.0) == -1


def test_what_is_set_is_not_sorted_again_for_each_that_is_cleared() -> None:
    timers: Timers[int] = Timers()
    for n in range(1000):
        timers.set(n, float(n))
    heap = timers._heap
    for n in range(700):
        timers.clear(n)
    assert timers._heap is heap
    assert timers.next() == 700.0
