# SPDX-License-Identifier: Apache-2.0
"""wsrc.command_line.reserving: times as people write them."""

from datetime import UTC, datetime, timedelta

import click
import pytest

from wsrc.command_line.reserving import LocalTime


def read(text: str) -> datetime:
    return LocalTime().convert(text, None, None)


def test_a_time_without_an_offset_is_local_and_one_with_is_what_it_says() -> None:
    assert read("2026-01-31T22:00") == datetime(2026, 1, 31, 22).astimezone()
    assert read("2026-01-31 22:00").tzinfo is not None
    assert read("2026-01-31T22:00+01:00") == datetime(2026, 1, 31, 21, tzinfo=UTC)


@pytest.mark.parametrize("text", ["00:00", "9:30", "12:00", "23:59"])
def test_a_time_of_day_is_the_next_one(text: str) -> None:
    before = datetime.now().astimezone()
    found = read(text)
    assert (found.hour, found.minute) == tuple(map(int, text.split(":")))
    assert (found.second, found.microsecond) == (0, 0)
    assert before < found <= before + timedelta(hours=25)


@pytest.mark.parametrize("text", ["24:00", "12:60", "noon", "", "1:1:1", "99999-01-01"])
def test_what_is_no_time_is_said_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no time, such as 22:00, 2026-01-31T22:00"):
        read(text)
