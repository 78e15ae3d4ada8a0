# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.sight: whether the card in a reader is the one that was dealt with."""

from collections.abc import Iterator

import pytest

from wsrc.card_client.identification import Identification
from wsrc.card_client.sight import Sight
from wsrc.card_client.worker import ReaderThread
from wsrc.readers.base import Slot, SlotState
from wsrc.settings.load import CardClientSettings

DEALT = Slot("reader", SlotState.PRESENT, event_count=1)


@pytest.fixture
def sight() -> Iterator[Sight]:
    thread = ReaderThread("reader", lambda: pytest.fail("The reader is not asked."))
    told: list[object] = []
    yield Sight(Identification(CardClientSettings(), "reader", thread, told.append))
    thread.stop()
    assert told == []


@pytest.mark.parametrize(
    ("slot", "there"),
    [
        (DEALT, True),
        (Slot("reader", SlotState.PRESENT, event_count=3), False),
        (Slot("reader", SlotState.EMPTY, event_count=2), False),
        (Slot("reader", SlotState.MUTE, event_count=1), False),
        (Slot("reader", SlotState.UNAVAILABLE, event_count=1), False),
        (None, False),
    ],
)
def test_a_card_is_there_while_it_answers_and_nobody_took_it_out(
    sight: Sight, slot: Slot | None, *, there: bool
) -> None:
    sight.dealt, sight.slot = DEALT, slot
    assert sight.still_there() is sight.still_there(DEALT.event_count) is there
    assert not sight.still_there(DEALT.event_count - 1)


def test_a_card_that_was_not_dealt_with_is_not_still_there(sight: Sight) -> None:
    sight.slot = DEALT
    assert not sight.still_there()
    assert not sight.still_there(DEALT.event_count)
