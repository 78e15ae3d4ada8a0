# SPDX-License-Identifier: Apache-2.0
"""What a run does with what its users say."""

from pathlib import Path

import pytest

from tests.soak.ledger import Event, Outcome, Selected, Taken, Told, Troubled
from tests.soak.runs import Sizes
from tests.soak.stand import TRACEBACK, SoakError, Stand, printed, standing
from tests.soak.user import text_of
from tests.support.certificates import Certificates

USER = "user-001"
ANSWERED = Told(USER, 1, ("01",), ("000001019000",))


def hear(stand: Stand, *events: Event) -> None:
    for event in (Selected(USER, "63c3"), Taken(USER, 0), *events):
        stand.hear(text_of(event))


def test_a_command_that_ran_twice_fails_the_run_with_seed_counts_and_trace(
    certificates: Certificates,
) -> None:
    with standing(certificates, "test", "1f", 1) as stand:
        stand.trace.note("cut user connection 1")
        with pytest.raises(SoakError) as failed:
            hear(stand, ANSWERED, Told(USER, 2, ("0001",), ("00000300019000",)))
    text = str(failed.value)
    for part in ("has counted 3, and was to have 2", "seed 1f;", "run twice 1", "cut user conn"):
        assert part in text


@pytest.mark.parametrize(
    "event",
    [
        Troubled(USER, "select", "the network"),
        Told(USER, 2, ("01",), (), Outcome.NOT_EXECUTED),
        Told(USER, 2, ("01",), (), Outcome.UNKNOWN),
        Told(USER, 2, ("01",), (), Outcome.SESSION_LOST),
    ],
)
def test_an_error_that_a_user_sees_fails_a_run_that_is_to_be_flawless(
    certificates: Certificates, event: Event
) -> None:
    with standing(certificates, "test", "1f", 1) as stand:
        hear(stand, ANSWERED, event)
    with standing(certificates, "test", "1f", 1) as stand:
        stand.lossless = stand.flawless = True
        with pytest.raises(SoakError, match="was not to happen"):
            hear(stand, ANSWERED, event)


def test_a_command_that_is_not_answered_fails_a_run_that_is_to_lose_none(
    certificates: Certificates,
) -> None:
    with standing(certificates, "test", "1f", 1) as stand:
        stand.lossless = True
        hear(stand, ANSWERED, Troubled(USER, "connect", "the network"))
        with pytest.raises(SoakError, match="was not to happen"):
            stand.hear(text_of(Told(USER, 2, ("01",), (), Outcome.UNKNOWN)))


def test_all_that_happened_is_written_where_one_asks_for_it(
    certificates: Certificates, tmp_path: Path
) -> None:
    with standing(certificates, "test", "1f", 1, str(tmp_path / "logs")) as stand:
        stand.server().end()
        hear(stand, ANSWERED)
    text = (tmp_path / "logs" / "test-1f.log").read_text()
    assert "[server 1] INFO" in text
    assert "user-001 1+1 answered 000001, then answered" in text


def test_a_user_that_breaks_fails_the_run(certificates: Certificates) -> None:
    with (
        standing(certificates, "test", "1f", 1) as stand,
        pytest.raises(SoakError, match="a user broke: Traceback"),
    ):
        stand.hear("Traceback (most recent call last):")


def test_a_traceback_is_shown_with_what_was_before_it() -> None:
    lines = [*(f"{number}" for number in range(100)), f"ERROR {TRACEBACK}:", "File", "KeyError: 1"]
    found = printed(lines)
    assert found[0] == "90"
    assert found[-1] == "KeyError: 1"
    assert printed(lines[:100]) == []


def test_sizes_are_taken_from_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSRC_SOAK_CUTS", "7")
    monkeypatch.setenv("WSRC_SOAK_SEED", "1f")
    sizes = Sizes.given(cuts=30, users=2)
    assert (sizes.cuts, sizes.users, sizes.seed) == (7, 2, "1f")
    monkeypatch.delenv("WSRC_SOAK_SEED")
    assert Sizes.given().seed != Sizes.given().seed
