# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.refusals: one line of a kind a minute, however many there are."""

import logging

from wsrc.server.limits import Limit
from wsrc.server.refusals import MAX_KINDS, MAX_OF_ONE, TELL_S, WHAT_OF, Digest

INFO, WARNING = logging.INFO, logging.WARNING


def test_13_the_first_of_a_kind_is_written_and_the_others_counted() -> None:
    digest = Digest()
    assert digest.note("a", INFO, "one", 0.0)
    assert not digest.note("a", INFO, "two", 1.0)
    assert not digest.note("a", WARNING, "three", 2.0)
    assert digest.note("b", INFO, "else", 3.0)
    assert digest.deadline() == TELL_S
    assert digest.due(TELL_S - 1) == []
    (line,) = digest.due(TELL_S)
    assert line == (WARNING, "three (2 more like it since the line before)")


def test_13_a_flood_has_one_line_a_minute() -> None:
    digest, written, now = Digest(), 0, 0.0
    for second in range(600):
        now = float(second)
        written += sum(digest.note("flood", INFO, "again", now) for _ in range(50))
        written += len(digest.due(now))
    assert written == 600 / TELL_S


def test_13_what_ended_is_forgotten() -> None:
    digest = Digest()
    assert digest.note("a", INFO, "one", 0.0)
    assert digest.due(TELL_S) == []
    assert digest.deadline() is None
    assert digest.note("a", INFO, "one", TELL_S)


def test_13_a_scan_from_many_addresses_does_not_fill_a_log_or_the_memory() -> None:
    digest = Digest()
    written = sum(digest.note("scan", INFO, f"from {n}", 0.0, str(n)) for n in range(100_000))
    assert written == MAX_KINDS + 1
    assert len(digest._kinds) == MAX_KINDS + 1
    (line,) = digest.due(TELL_S)
    assert line[1] == f"from 99999 ({100_000 - MAX_KINDS - 1} others since the line before)"


def test_13_one_that_is_refused_for_many_reasons_hides_nothing_of_another() -> None:
    digest = Digest()
    written = sum(digest.note(f"why {n}", INFO, "noise", 0.0, "noisy") for n in range(10_000))
    assert written == MAX_OF_ONE + 1
    assert digest.note("why 1", INFO, "of another", 1.0, "another")
    assert digest.note("why 10001", INFO, "of a third", 1.0, "a third")
    digest.due(3 * TELL_S)
    digest.due(6 * TELL_S)
    assert not digest._of
    assert digest.note("why 1", INFO, "noise", 6 * TELL_S, "noisy")


def test_13_each_limit_says_what_becomes_of_who_reaches_it() -> None:
    assert set(WHAT_OF) == set(Limit)
    assert all("{}" in sentence for sentence in WHAT_OF.values())
