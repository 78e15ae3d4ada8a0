# SPDX-License-Identifier: Apache-2.0
"""What a program is told of what went wrong elsewhere."""

import pytest

from wsrc import errors as e
from wsrc.bridges.pcscd.source import failure_of
from wsrc.card.pcsc_numbers import Code
from wsrc.errors import ErrorCode, Outcome, WsrcError

RESET, REMOVED = Code.SCARD_W_RESET_CARD, Code.SCARD_W_REMOVED_CARD
UNAVAILABLE, LOST = Code.SCARD_E_READER_UNAVAILABLE, Code.SCARD_E_COMM_DATA_LOST


def coded(exc: WsrcError, code: ErrorCode) -> WsrcError:
    exc.code = code
    return exc


@pytest.mark.parametrize(
    ("exc", "code", "sticky"),
    [
        (e.CardBusyError("held"), Code.SCARD_E_SHARING_VIOLATION, None),
        (e.ReaderInUseError("held"), Code.SCARD_E_SHARING_VIOLATION, None),
        (e.NoSuchCardError("gone"), UNAVAILABLE, None),
        (e.AmbiguousCardError("two"), Code[ErrorCode.AMBIGUOUS.pcsc], None),
        (e.ConnectionLostError("cut"), UNAVAILABLE, RESET),
        (e.CardNotPresentError("out"), REMOVED, REMOVED),
        (e.CardUnresponsiveError("mute"), Code.SCARD_W_UNRESPONSIVE_CARD, RESET),
        (e.CardTransmissionError("noise"), Code.SCARD_E_NOT_TRANSACTED, None),
        (e.ReaderUnavailableError("unplugged"), UNAVAILABLE, RESET),
        (e.BadApduError("short"), Code.SCARD_E_INVALID_PARAMETER, None),
        (e.RefusedError(ErrorCode.TOO_MANY, "full"), Code.SCARD_E_SERVER_TOO_BUSY, None),
        (e.RefusedError(ErrorCode.NOT_SUPPORTED, "no"), Code.SCARD_E_UNSUPPORTED_FEATURE, None),
        (e.SessionLostError("over"), RESET, RESET),
        (e.SessionLostError("over", ErrorCode.LEASE_EXPIRED), RESET, RESET),
        (e.SessionLostError("over", ErrorCode.CARD_NOT_PRESENT), REMOVED, REMOVED),
        (e.SessionLostError("over", ErrorCode.CARD_CLIENT_GONE), UNAVAILABLE, RESET),
        (e.SessionLostError("over", ErrorCode.READER_UNAVAILABLE), UNAVAILABLE, RESET),
        (e.SessionLostError("over", ErrorCode.INTERNAL), RESET, RESET),
        (e.NotExecutedError("no turn", ErrorCode.REQUEST_IN_FLIGHT), Code.SCARD_E_NOT_READY, None),
        (e.NotExecutedError("stop", ErrorCode.CANCELLED), Code.SCARD_E_CANCELLED, None),
        (e.NotExecutedError("cut", ErrorCode.CARD_CLIENT_GONE), UNAVAILABLE, RESET),
        (e.NotExecutedError("over"), RESET, RESET),
        (e.OutcomeUnknownError("cut", ErrorCode.CARD_CLIENT_GONE), LOST, RESET),
        (e.OutcomeUnknownError("over", ErrorCode.READER_UNAVAILABLE), LOST, RESET),
        (e.OutcomeUnknownError("over", ErrorCode.CARD_NOT_PRESENT), LOST, REMOVED),
        (e.OutcomeUnknownError("slow"), LOST, None),
        (WsrcError("what"), Code.SCARD_F_INTERNAL_ERROR, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, WsrcError) else None,
)
def test_failure(exc: WsrcError, code: Code, sticky: Code | None) -> None:
    failure = failure_of(exc)
    assert (failure.code, failure.sticky) == (code, sticky)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_of_the_protocol_is_told_somehow(code: ErrorCode) -> None:
    for exc in (
        WsrcError("x"), e.CardError("x", Outcome.UNKNOWN), e.SessionLostError("x"),
        e.OutcomeUnknownError("x"), e.NotExecutedError("x"), e.RefusedError(code, "x"),
    ):  # fmt: skip
        assert failure_of(coded(exc, code)).code in set(Code) - {Code.SCARD_S_SUCCESS}
