# SPDX-License-Identifier: Apache-2.0
"""Errors of the server as exceptions, and their exit statuses."""

import pytest

from wsrc import errors as e
from wsrc.command_line.invocation import Exit, exit_status
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.user_client.core.faults import TABLE, from_error

INFO = m.CardInfo(
    remote_addr=("bench", 0),
    identities=m.Identities(atr="3b00", iccid="8986"),
    state=m.CardState.READY,
    reader="r1",
)


def test_every_code_has_its_exception() -> None:
    assert set(TABLE) == set(ErrorCode)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_code_and_sentence_are_kept(code: ErrorCode) -> None:
    fault = from_error(m.error(code, "So it is."), command=False)
    assert (fault.code, str(fault)) == (code, "So it is.")


def test_an_error_without_a_code_is_a_plain_one() -> None:
    fault = from_error(m.Error(message="So it is."), command=False)
    assert type(fault) is e.WsrcError
    assert exit_status(fault) is Exit.REFUSED


@pytest.mark.parametrize(
    ("code", "outcome", "command", "kind", "status"),
    [
        ("no_such_session", "not_executed", True, e.SessionLostError, 4),
        ("no_such_session", None, False, e.SessionLostError, 4),
        ("lease_expired", "unknown", True, e.OutcomeUnknownError, 6),
        ("lease_expired", "not_executed", True, e.SessionLostError, 4),
        ("command_timeout", "unknown", True, e.OutcomeUnknownError, 6),
        ("command_timeout", None, True, e.OutcomeUnknownError, 6),
        ("command_timeout", None, False, e.NotExecutedError, 4),
        ("card_client_gone", "not_executed", True, e.NotExecutedError, 4),
        ("card_client_gone", None, True, e.OutcomeUnknownError, 6),
        ("cancelled", "not_executed", True, e.NotExecutedError, 4),
        ("shutting_down", None, False, e.RefusedError, 3),
        ("shutting_down", "unknown", True, e.OutcomeUnknownError, 6),
        ("internal", "unknown", True, e.OutcomeUnknownError, 6),
        ("internal", None, True, e.OutcomeUnknownError, 6),
        ("internal", None, False, e.WsrcError, 3),
        ("request_in_flight", "not_executed", True, e.RefusedError, 3),
        ("nothing_selected", None, False, e.RefusedError, 2),
        ("bad_apdu", "not_executed", True, e.BadApduError, 2),
        ("bad_hex", None, True, e.BadHexError, 2),
        ("unexpected_message", None, True, e.LocalProtocolError, 2),
        ("no_such_card", None, False, e.NoSuchCardError, 3),
    ],
)
def test_the_outcome_decides_between_lost_unknown_and_not_executed(
    code: str, outcome: str | None, command: bool, kind: type[e.WsrcError], status: int
) -> None:
    told = m.Error(
        message="No.", code=ErrorCode(code), outcome=Outcome(outcome) if outcome else None
    )
    fault = from_error(told, command=command)
    assert type(fault) is kind
    assert exit_status(fault) == status


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("card_not_present", e.CardNotPresentError),
        ("card_unresponsive", e.CardUnresponsiveError),
        ("card_transmission_error", e.CardTransmissionError),
        ("reader_unavailable", e.ReaderUnavailableError),
        ("reader_in_use", e.ReaderInUseError),
    ],
)
def test_errors_of_a_card_say_whether_it_may_have_run_the_command(
    code: str, kind: type[e.CardError]
) -> None:
    for outcome, command, expected, status in (
        (None, True, Outcome.UNKNOWN, 6),
        (None, False, Outcome.NOT_EXECUTED, 4),
        (Outcome.NOT_EXECUTED, True, Outcome.NOT_EXECUTED, 4),
    ):
        told = m.Error(message="No.", code=ErrorCode(code), outcome=outcome)
        fault = from_error(told, command=command)
        assert type(fault) is kind
        assert isinstance(fault, e.CardError)
        assert (fault.outcome, exit_status(fault)) == (expected, status)


def test_a_busy_card_without_a_lease_has_no_holder() -> None:
    fault = from_error(m.error(ErrorCode.CARD_BUSY, "It is being reset."), command=False)
    assert isinstance(fault, e.CardBusyError)
    assert (fault.holder, fault.since, fault.until) == ("", "", None)


def test_candidates_are_described() -> None:
    told = m.error(ErrorCode.AMBIGUOUS, "Two.", candidates=(INFO,))
    fault = from_error(told, command=False)
    assert isinstance(fault, e.AmbiguousCardError)
    assert fault.candidates == ("ICCID 8986, in reader r1 on bench",)


def test_every_exit_status_has_a_meaning() -> None:
    assert all(each.meaning for each in Exit)
    assert exit_status(e.ConnectionLostError("x")) is Exit.CONNECTION
    assert exit_status(e.RemoteProtocolError("x")) is Exit.CONNECTION
    assert exit_status(e.ConfigError("x", "y")) is Exit.USAGE


def test_e31_an_error_of_a_later_version_keeps_its_code_and_its_sentence() -> None:
    error = m.Error(message="It rains on the reader.", code=ErrorCode("rain"))
    told = from_error(error, command=False)
    assert (type(told), told.code, str(told)) == (e.WsrcError, "rain", "It rains on the reader.")
    in_doubt = from_error(error, command=True)
    assert (type(in_doubt), in_doubt.code) == (e.OutcomeUnknownError, "rain")
