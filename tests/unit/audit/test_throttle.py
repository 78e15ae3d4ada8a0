# SPDX-License-Identifier: Apache-2.0
"""What anybody can cause at will does not fill a log, and is counted (issue 13, 4)."""

from hypothesis import given, strategies as st

from wsrc.audit.throttle import Throttle


def test_13_after_a_burst_so_many_a_second_are_told() -> None:
    throttle = Throttle(rate=10, burst=100)
    assert [throttle.take(0.0) for _ in range(100)] == [0] * 100
    assert [throttle.take(0.0) for _ in range(50)] == [None] * 50
    assert throttle.take(0.1) == 50
    assert throttle.take(0.1) is None
    assert throttle.take(1000.0) == 1


@given(st.lists(st.floats(0, 5), max_size=300))
def test_13_all_are_told_or_counted(pauses: list[float]) -> None:
    throttle, now, told, counted = Throttle(rate=2, burst=3), 0.0, 0, 0
    for pause in pauses:
        now += pause
        more = throttle.take(now)
        if more is not None:
            told, counted = told + 1, counted + more
    last = throttle.take(now + 10) or 0
    assert told + counted + last == len(pauses)
