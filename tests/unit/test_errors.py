# SPDX-License-Identifier: Apache-2.0
"""wsrc.errors: codes, and the PC/SC errors that stand for them."""

import pytest

from wsrc.card.pcsc_numbers import Code
from wsrc.errors import ErrorCode, Outcome


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_has_the_name_of_a_pcsc_error(code: ErrorCode) -> None:
    assert code.pcsc in Code.__members__


def test_e31_a_code_of_a_later_version_is_kept_as_text_and_is_no_code_of_this_one() -> None:
    code = ErrorCode("of_tomorrow")
    assert (code, code.value, code.known) == ("of_tomorrow", "of_tomorrow", False)
    assert code not in tuple(ErrorCode)
    assert code.pcsc == ErrorCode.INTERNAL.pcsc
    assert ErrorCode.CANCELLED.known


def test_e31_an_outcome_of_a_later_version_promises_nothing() -> None:
    assert Outcome("half_executed") is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("code", "pcsc"),
    [
        (ErrorCode.CARD_BUSY, "SCARD_E_SHARING_VIOLATION"),
        (ErrorCode.CARD_CLIENT_GONE, "SCARD_E_READER_UNAVAILABLE"),
        (ErrorCode.COMMAND_TIMEOUT, "SCARD_E_COMM_DATA_LOST"),
        (ErrorCode.LEASE_EXPIRED, "SCARD_W_RESET_CARD"),
        (ErrorCode.TOO_MANY, "SCARD_E_SERVER_TOO_BUSY"),
    ],
)
def test_what_only_a_relay_can_say_is_told_as_programs_expect_it(
    code: ErrorCode, pcsc: str
) -> None:
    """SCARD_F_COMM_ERROR would tell a program that its PC/SC service is gone."""
    assert code.pcsc == pcsc
