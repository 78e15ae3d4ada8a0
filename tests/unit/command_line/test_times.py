# SPDX-License-Identifier: Apache-2.0
"""wsrc.command_line.times: the wire has UTC, people have their own zone."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from wsrc.command_line.times import after, of, shown


@pytest.fixture
def _india(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_india")
def test_a_time_is_shown_with_its_offset_or_in_utc() -> None:
    assert shown("2026-01-31T23:00:00.5Z", utc=False) == "2026-02-01T04:30:00+05:30"
    assert shown("2026-01-31T23:00:00.5Z", utc=True) == "2026-01-31T23:00:00Z"
    assert shown("2026-01-31T23:00:00+01:00", utc=True) == "2026-01-31T22:00:00Z"


@pytest.mark.parametrize("text", ["", "soon", "2026-01-31T23:00:00", "9999-99-99T00:00:00Z"])
def test_what_is_no_time_stays_as_it_is(text: str) -> None:
    assert shown(text, utc=False) == text


@pytest.mark.usefixtures("_india")
def test_the_first_and_the_last_moment_are_times_too() -> None:
    for when in (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)):
        assert of(when, utc=False)


def test_what_is_to_come_is_told_to_the_second() -> None:
    assert datetime.fromisoformat(after(30, utc=True)).tzinfo is UTC
