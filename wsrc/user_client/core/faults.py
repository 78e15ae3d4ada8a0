# SPDX-License-Identifier: Apache-2.0
"""Errors as they come from the server, and the exceptions that a program is given for them."""

from collections.abc import Callable

from wsrc import errors as e
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.sealing.faults import Fault, SealError
from wsrc.user_client.naming import describe

Build = Callable[[m.Error, Outcome], e.WsrcError]


def from_error(error: m.Error, *, command: bool) -> e.WsrcError:
    """
    Return the exception for an `error`.

    Args:
        error: The answer to a request.
        command: Whether the request was one that a card runs. If so, and the error says nothing
            about the outcome, the outcome is unknown; else nothing was run.
    """
    default = Outcome.UNKNOWN if command else Outcome.NOT_EXECUTED
    code = error.code or ErrorCode.INTERNAL
    build = TABLE.get(code, _base)
    fault = build(error, error.outcome or default)
    fault.code = code
    fault.retry_after_s = error.retry_after_s
    return fault


def _unless_in_doubt(kind: Callable[[str], e.WsrcError]) -> Build:
    """Return an error of this kind where the card provably did not run the command."""

    def build(error: m.Error, outcome: Outcome) -> e.WsrcError:
        in_doubt = outcome is Outcome.UNKNOWN
        return e.OutcomeUnknownError(error.message) if in_doubt else kind(error.message)

    return build


_base = _unless_in_doubt(e.WsrcError)
_session_over = _unless_in_doubt(e.SessionLostError)
_interrupted = _unless_in_doubt(e.NotExecutedError)


def _ours(error: m.Error, _outcome: Outcome) -> e.WsrcError:
    """Return our fault, which no card saw unless the error says so."""
    if error.outcome is Outcome.UNKNOWN:
        return e.OutcomeUnknownError(error.message)
    return e.LocalProtocolError(error.message)


def _refused(error: m.Error, _outcome: Outcome) -> e.WsrcError:
    return e.RefusedError(error.code or ErrorCode.INTERNAL, error.message)


_forbidden = _unless_in_doubt(lambda sentence: e.RefusedError(ErrorCode.FORBIDDEN, sentence))


def _ambiguous(error: m.Error, _outcome: Outcome) -> e.WsrcError:
    return e.AmbiguousCardError(error.message, tuple(describe(card) for card in error.candidates))


def _busy(error: m.Error, _outcome: Outcome) -> e.WsrcError:
    lease = error.lease
    if lease is None:
        return e.CardBusyError(error.message)
    return e.CardBusyError(error.message, lease.holder, lease.since, lease.until)


def _card(kind: type[e.CardError]) -> Build:
    def build(error: m.Error, outcome: Outcome) -> e.WsrcError:
        return kind(error.message, outcome)

    return build


def _sealed(error: m.Error, outcome: Outcome) -> e.WsrcError:
    if outcome is Outcome.UNKNOWN:
        return e.OutcomeUnknownError(error.message)
    assert error.code is not None
    return SealError(Fault(error.code.value), error.message)


def _stopping(error: m.Error, outcome: Outcome) -> e.WsrcError:
    if error.outcome is None:
        return _refused(error, outcome)
    return _interrupted(error, outcome)


TABLE: dict[ErrorCode, Build] = {
    ErrorCode.BAD_MESSAGE: _ours,
    ErrorCode.UNKNOWN_MESSAGE: _ours,
    ErrorCode.UNEXPECTED_MESSAGE: _ours,
    ErrorCode.BAD_HEX: lambda error, _: e.BadHexError(error.message),
    ErrorCode.BAD_APDU: lambda error, _: e.BadApduError(error.message),
    ErrorCode.NOT_SUPPORTED: _refused,
    ErrorCode.TOO_MANY: _refused,
    ErrorCode.HELLO_TIMEOUT: _refused,
    ErrorCode.NOTHING_SELECTED: _refused,
    ErrorCode.REQUEST_IN_FLIGHT: _refused,
    ErrorCode.PROTOCOL_MISMATCH: _refused,
    ErrorCode.GUARDED: lambda error, _: e.GuardedError(error.message),
    ErrorCode.NOT_TRANSACTED: _refused,
    ErrorCode.NOT_KEPT: _refused,
    ErrorCode.CARD_WAS_RESET: _card(e.CardWasResetError),
    ErrorCode.FORBIDDEN: _forbidden,
    ErrorCode.NO_SUCH_CARD: lambda error, _: e.NoSuchCardError(error.message),
    ErrorCode.AMBIGUOUS: _ambiguous,
    ErrorCode.CARD_BUSY: _busy,
    ErrorCode.NO_SUCH_SESSION: _session_over,
    ErrorCode.LEASE_EXPIRED: _session_over,
    ErrorCode.REVOKED: _session_over,
    ErrorCode.RESERVED: _refused,
    ErrorCode.NO_SUCH_RESERVATION: _refused,
    ErrorCode.DRAINING: _refused,
    ErrorCode.NO_SUCH_PEER: _refused,
    ErrorCode.RESUMED_ELSEWHERE: _session_over,
    ErrorCode.CONNECTION_LOST: _interrupted,
    ErrorCode.CANCELLED: _interrupted,
    ErrorCode.CARD_CLIENT_GONE: _interrupted,
    ErrorCode.COMMAND_TIMEOUT: _interrupted,
    ErrorCode.SHUTTING_DOWN: _stopping,
    ErrorCode.CARD_NOT_PRESENT: _card(e.CardNotPresentError),
    ErrorCode.CARD_UNRESPONSIVE: _card(e.CardUnresponsiveError),
    ErrorCode.CARD_TRANSMISSION_ERROR: _card(e.CardTransmissionError),
    ErrorCode.READER_UNAVAILABLE: _card(e.ReaderUnavailableError),
    ErrorCode.READER_IN_USE: _card(e.ReaderInUseError),
    ErrorCode.INTERNAL: _base,
    **dict.fromkeys((ErrorCode(fault.value) for fault in Fault), _sealed),
}
"""How each code becomes an exception; a code that is not here becomes a plain `WsrcError`."""
