# SPDX-License-Identifier: Apache-2.0
"""The account finds what it is there to find."""

from tests.soak.ledger import Event, Given, Ledger, Outcome, Selected, Taken, Told, Troubled


def answers(*totals: int) -> tuple[str, ...]:
    return tuple(f"{total:06x}019000" for total in totals)


def told(number: int, *totals: int, asked: int = 1, rest: Outcome = Outcome.ANSWERED) -> Told:
    return Told("u", number, ("01",) * asked, answers(*totals), rest)


def account(*events: Event) -> Ledger:
    ledger = Ledger()
    for event in (Selected("u", "63c3"), Taken("u", 0), *events):
        ledger.take(event)
    return ledger


def test_all_is_well_where_the_card_counted_what_was_answered() -> None:
    ledger = account(
        told(1, 1),
        told(2, 2, 3, 4, asked=3),
        told(5, rest=Outcome.UNKNOWN),
        told(6, 6),
        told(7, rest=Outcome.UNKNOWN),
        Given("u"),
        Troubled("u", "select", "the network"),
        Taken("u", 6),
        told(8, 7, asked=4, rest=Outcome.NOT_EXECUTED),
        told(12, rest=Outcome.SESSION_LOST),
        Taken("u", 7),
    )
    assert not ledger.faults
    assert ledger.outcomes == {
        Outcome.ANSWERED: 6,
        Outcome.UNKNOWN: 2,
        Outcome.NOT_EXECUTED: 3,
        Outcome.SESSION_LOST: 1,
    }
    assert (ledger.batches, ledger.leases, ledger.troubles) == (2, 1, 1)


def test_a_command_that_ran_twice_shows_in_the_next_answer() -> None:
    ledger = account(told(1, 1), told(2, 3))
    assert (ledger.ran_twice, ledger.misreported) == (1, 0)
    assert ledger.faults == ["u: command 2: the card has counted 3, and was to have 2"]


def test_a_command_that_ran_twice_shows_in_the_next_session() -> None:
    assert account(told(1, 1), Taken("u", 2)).ran_twice == 1


def test_an_unknown_command_ran_once_at_most() -> None:
    ledger = account(told(1, rest=Outcome.UNKNOWN), told(2, 3))
    assert (ledger.ran_twice, ledger.misreported) == (1, 0)


def test_a_command_that_ran_and_was_said_not_to_have_run_is_misreported() -> None:
    for rest in (Outcome.NOT_EXECUTED, Outcome.SESSION_LOST):
        ledger = account(told(1, rest=rest), Taken("u", 1))
        assert (ledger.ran_twice, ledger.misreported) == (0, 1)
        assert ledger.faults


def test_an_answer_to_what_did_not_run_is_misreported() -> None:
    ledger = account(told(1, 1), told(2, 1), told(3, 2))
    assert (ledger.ran_twice, ledger.misreported) == (0, 1)
    ledger = account(told(1, 1), Taken("u", 0))
    assert (ledger.ran_twice, ledger.misreported) == (0, 1)


def test_the_answer_of_another_command_is_misreported() -> None:
    ledger = account(Told("u", 1, ("0001",), answers(1)))
    assert ledger.faults == ["u: command 1 added 0001 and was answered 000001019000"]


def test_a_command_without_the_pin_is_misreported() -> None:
    assert account(Told("u", 1, ("01",), ("6982",))).misreported == 1


def test_a_batch_with_fewer_answers_than_commands_says_why() -> None:
    assert account(told(1, 1, asked=2)).misreported == 1


def test_a_pin_that_outlives_its_session_is_found() -> None:
    ledger = account(Selected("u", "9000"))
    assert (ledger.pin_kept, len(ledger.faults)) == (1, 1)
