# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.ring: what is kept of the changes, and for how long."""

import pytest

from wsrc.card.slot import SlotState
from wsrc.protocol import messages as m
from wsrc.relay.ring import Ring

VIEW = m.ReaderView(number=1, reader="r", name="R", host="h", state=SlotState.EMPTY)


def ring_of(changes: int, capacity: int = 3) -> Ring:
    ring = Ring(capacity)
    for _ in range(changes):
        ring.add(m.Change.CHANGED, VIEW, VIEW)
    return ring


def test_changes_are_numbered_from_1() -> None:
    ring = Ring(2)
    first, second = (ring.add(change, VIEW, None) for change in (m.Change.ADDED,) * 2)
    assert (first.event.seq, second.event.seq, ring.seq) == (1, 2, 2)
    assert first.event.reader == VIEW
    assert first.before is None


def test_the_oldest_are_forgotten() -> None:
    assert [len(ring_of(n)) for n in range(6)] == [0, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("changes", "since", "missed"),
    [
        (0, 0, []),
        (2, 0, [1, 2]),
        (2, 1, [2]),
        (2, 2, []),
        (5, 2, [3, 4, 5]),
        (5, 4, [5]),
        (5, 1, None),
        (5, 0, None),
        (5, 6, None),
        (5, -1, None),
        (0, 1, None),
    ],
)
def test_what_was_missed_is_given_whole_or_not_at_all(
    changes: int, since: int, missed: list[int] | None
) -> None:
    entries = ring_of(changes).since(since)
    assert (entries and [entry.event.seq for entry in entries]) == missed
