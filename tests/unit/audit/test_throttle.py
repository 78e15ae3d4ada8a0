# SPDX-License-Identifier: Apache-2.0
"""What anybody can cause at will does not fill a log, and is counted (issue 13, 4)."""

from hypothesis import given, strategies as st

from wsrc.audit.throttle import BURST, MAX_CAUSES, OWN, OWN_AGAIN_S, Throttle


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


def test_13_whoever_causes_many_hides_nothing_of_what_another_does() -> None:
    throttle = Throttle()
    for second in range(600):
        told = [throttle.take(float(second), "noisy") for _ in range(1_000)]
        assert sum(each is not None for each in told) <= BURST + OWN
        if second % 120 == 60:
            assert throttle.take(float(second), f"quiet {second}") is not None
    assert throttle.take(600.0, "quiet 60") is not None


def test_13_a_scan_from_many_gets_no_more_than_so_many_lines_and_is_not_remembered() -> None:
    throttle = Throttle()
    told = sum(throttle.take(0.0, n) is not None for n in range(100_000))
    assert told == BURST + MAX_CAUSES
    assert len(throttle) == MAX_CAUSES
    assert throttle.take(0.0, "late") is None
    later = OWN * OWN_AGAIN_S
    told = sum(throttle.take(later, n) is not None for n in range(1_000_000, 1_100_000))
    assert told == BURST + MAX_CAUSES
    assert len(throttle) == MAX_CAUSES
