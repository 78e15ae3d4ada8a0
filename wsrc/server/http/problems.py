# SPDX-License-Identifier: Apache-2.0
"""Errors as RFC 9457 has them, with the codes of the protocol."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from wsrc.errors import ErrorCode, WsrcError
from wsrc.protocol import messages as m
from wsrc.server.http.values import Problem

_STATUS: Final[Mapping[ErrorCode, int]] = {
    ErrorCode.BAD_MESSAGE: 400,
    ErrorCode.BAD_HEX: 400,
    ErrorCode.BAD_APDU: 400,
    ErrorCode.UNKNOWN_MESSAGE: 400,
    ErrorCode.NOTHING_SELECTED: 400,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.GUARDED: 403,
    ErrorCode.SEAL_REQUIRED: 403,
    ErrorCode.NO_SUCH_CARD: 404,
    ErrorCode.NO_SUCH_SESSION: 404,
    ErrorCode.NO_SUCH_PEER: 404,
    ErrorCode.UNEXPECTED_MESSAGE: 409,
    ErrorCode.AMBIGUOUS: 409,
    ErrorCode.CARD_BUSY: 409,
    ErrorCode.REQUEST_IN_FLIGHT: 409,
    ErrorCode.CANCELLED: 409,
    ErrorCode.READER_IN_USE: 409,
    ErrorCode.PROTOCOL_MISMATCH: 409,
    ErrorCode.CARD_WAS_RESET: 409,
    ErrorCode.NOT_TRANSACTED: 409,
    ErrorCode.RESUMED_ELSEWHERE: 409,
    ErrorCode.LEASE_EXPIRED: 410,
    ErrorCode.REVOKED: 410,
    ErrorCode.NOT_SUPPORTED: 422,
    ErrorCode.TOO_MANY: 429,
    ErrorCode.CARD_NOT_PRESENT: 502,
    ErrorCode.CARD_UNRESPONSIVE: 502,
    ErrorCode.CARD_TRANSMISSION_ERROR: 502,
    ErrorCode.READER_UNAVAILABLE: 502,
    ErrorCode.CARD_CLIENT_GONE: 502,
    ErrorCode.NOT_KEPT: 503,
    ErrorCode.SHUTTING_DOWN: 503,
    ErrorCode.DRAINING: 503,
    ErrorCode.COMMAND_TIMEOUT: 504,
}
"""The HTTP status of each code; of any other it is 500."""


class ProblemError(WsrcError):
    """A request is answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def problem(  # noqa: PLR0913 - the fields of RFC 9457, and ours
    status: int,
    code: str,
    detail: str,
    *,
    retry_after_s: float | None = None,
    outcome: str | None = None,
    pcsc: str | None = None,
) -> ProblemError:
    """Return why a request is refused, to be raised."""
    return ProblemError(
        Problem(
            type=f"urn:wsrc:{code}",
            title=_title(status),
            status=status,
            detail=detail,
            code=code,
            outcome=outcome,
            pcsc=pcsc,
            retry_after_s=retry_after_s,
        )
    )


def of_error(error: m.Error) -> Problem:
    """Return an error of the protocol as a problem."""
    code = error.code or ErrorCode.INTERNAL
    status = status_of(code)
    return Problem(
        type=f"urn:wsrc:{code}",
        title=_title(status),
        status=status,
        detail=error.message,
        code=str(code),
        outcome=str(error.outcome) if error.outcome is not None else None,
        pcsc=error.pcsc,
        retry_after_s=error.retry_after_s,
        lease=error.lease,
        candidates=tuple(card.reader or "" for card in error.candidates),
    )


def status_of(code: ErrorCode) -> int:
    """Return the HTTP status of a code of the protocol."""
    return _STATUS.get(code, 500)


def statuses() -> frozenset[int]:
    """Return every status that a code of the protocol has."""
    return frozenset(_STATUS.values()) | {500}


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
