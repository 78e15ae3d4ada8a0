# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.http.problems: every error of the protocol has a status."""

from http import HTTPStatus

import pytest

from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.server.http.problems import of_error, status_of

OURS = {
    ErrorCode.INTERNAL,
    ErrorCode.HELLO_TIMEOUT,
    ErrorCode.CONNECTION_LOST,
    *(code for code in ErrorCode if code.startswith("seal_") and code != "seal_required"),
}
"""Codes that no user over HTTP is told, but by a bug: what is served over HTTP is not sealed."""


@pytest.mark.parametrize("code", ErrorCode)
def test_each_code_has_a_status(code: ErrorCode) -> None:
    assert (status_of(code) == 500) == (code in OURS)
    HTTPStatus(status_of(code))


def test_a_code_of_a_later_version_is_a_fault() -> None:
    assert status_of(ErrorCode("of_later")) == 500


def test_an_error_keeps_what_a_program_needs() -> None:
    lease = m.LeaseInfo(holder="ann", since="2026-01-01T00:00:00Z")
    fields = {"outcome": Outcome.NOT_EXECUTED, "retry_after_s": 2.0, "lease": lease}
    told = of_error(m.error(ErrorCode.CARD_BUSY, "The card is ann's.", **fields))
    assert (told.type, told.status, told.code) == ("urn:wsrc:card_busy", 409, "card_busy")
    assert (told.outcome, told.retry_after_s, told.lease) == ("not_executed", 2.0, lease)
    assert told.pcsc == "SCARD_E_SHARING_VIOLATION"
