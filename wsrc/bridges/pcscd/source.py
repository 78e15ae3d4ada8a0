# SPDX-License-Identifier: Apache-2.0
"""What the pcscd socket asks of whoever has the cards, and how failures become PC/SC codes."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from wsrc.card.pcsc_numbers import Code
from wsrc.card.slot import CardProtocol, ResetKind
from wsrc.errors import (
    CardError,
    ConnectionLostError,
    ErrorCode,
    NotExecutedError,
    OutcomeUnknownError,
    SessionLostError,
    WsrcError,
)


class Seen(msgspec.Struct, frozen=True):
    """
    One reader and its card as the source sees them now.

    `name` is unique and stable, at most 127 octets of UTF-8. `event_count` grows with each
    insertion and each removal, so that one card in place of another is seen. A reader that is out
    of reach is `unavailable` and shows no card. `others` tells how many others use the card, and
    is -1 where one of them excludes us.
    """

    name: bytes
    present: bool = False
    mute: bool = False
    atr: bytes = b""
    protocol: CardProtocol | None = None
    event_count: int = 0
    unavailable: bool = False
    others: int = 0


class Session(Protocol):
    """
    A card of ours, or a reader alone.

    What is answered at once is given as it is, all else as an awaitable.
    """

    @property
    def atr(self) -> bytes:
        """ATR of the latest reset."""
        ...

    @property
    def protocol(self) -> CardProtocol | None:
        """Protocol in force, where it is known."""
        ...

    def transmit(self, octets: bytes) -> bytes | Awaitable[bytes]:
        """Send a TPDU (T=0) or an APDU (T=1) and give what the card answers."""
        ...

    def reset(self, kind: ResetKind) -> bytes | Awaitable[bytes]:
        """Reset the card and give its ATR."""
        ...

    def control(self, number: int, octets: bytes) -> bytes | Awaitable[bytes]:
        """Ask something of the reader itself, by a number that all platforms know."""
        ...

    def get_attribute(self, name: str) -> bytes | Awaitable[bytes]:
        """Return an attribute of the reader by a name of `wsrc.card.pcsc_numbers.ATTRIBUTES`."""
        ...

    def set_attribute(self, name: str, value: bytes) -> Awaitable[None] | None:
        """Set an attribute of the reader."""
        ...

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Have `tell` called, once, with why the card stopped being ours, unless it is closed."""
        ...

    def close(self) -> Awaitable[None] | None:
        """Give the card back; never raises but for cancellation."""
        ...


class CardSource(Protocol):
    """Where readers and cards are."""

    @property
    def reachable(self) -> bool:
        """Whether cards answer now, as far as is known."""
        ...

    async def run(self, report: Callable[[Sequence[Seen]], None]) -> None:
        """Report all readers whenever one changed, until cancelled."""
        ...

    def open(self, name: bytes, *, direct: bool = False) -> Session | Awaitable[Session]:
        """
        Make the card of a reader ours, freshly reset; or the reader alone, with or without card.

        Raises:
            WsrcError: If that cannot be.
        """
        ...


class Failure(Exception):  # noqa: N818 - it is what becomes of a request, not a mistake
    """
    What a program is told of an exchange that failed.

    Args:
        code: The answer to the request.
        sticky: What every handle of the card is told until it reconnects, where the session is
            over; else None.
    """

    def __init__(self, code: Code, sticky: Code | None = None) -> None:
        super().__init__(code.name)
        self.code = code
        self.sticky = sticky


def failure_of(exc: WsrcError) -> Failure:
    """Return the PC/SC codes for an error of the card, the session or the connection."""
    match exc:
        case CardError():
            return _card_failed(exc)
        case OutcomeUnknownError():
            return _unknown(exc)
        case SessionLostError() | NotExecutedError():
            return _session_over(exc)
        case ConnectionLostError():
            return Failure(Code.SCARD_E_READER_UNAVAILABLE, Code.SCARD_W_RESET_CARD)
        case _:
            code = exc.code
            if code is ErrorCode.NO_SUCH_CARD:
                return Failure(Code.SCARD_E_READER_UNAVAILABLE)
            return Failure(_code_of(code))


def _card_failed(exc: CardError) -> Failure:
    """Only an exchange that failed by itself leaves the session as it is."""
    code = _code_of(exc.code)
    if exc.code in {ErrorCode.CARD_TRANSMISSION_ERROR, ErrorCode.READER_IN_USE}:
        return Failure(code)
    return Failure(code, _ENDS.get(exc.code, Code.SCARD_W_RESET_CARD))


def _unknown(exc: OutcomeUnknownError) -> Failure:
    if exc.code in OUT_OF_REACH:
        return Failure(Code.SCARD_E_COMM_DATA_LOST, Code.SCARD_W_RESET_CARD)
    if exc.code in _ENDS:
        return Failure(Code.SCARD_E_COMM_DATA_LOST, _ENDS[exc.code])
    return Failure(_code_of(exc.code))


def _session_over(exc: SessionLostError | NotExecutedError) -> Failure:
    if exc.code in OUT_OF_REACH:
        return Failure(Code.SCARD_E_READER_UNAVAILABLE, Code.SCARD_W_RESET_CARD)
    sticky = _ENDS.get(exc.code)
    if sticky is None and isinstance(exc, SessionLostError):
        sticky = Code.SCARD_W_RESET_CARD
    return Failure(sticky or _code_of(exc.code), sticky)


def _code_of(code: ErrorCode) -> Code:
    return Code.__members__.get(code.pcsc, Code.SCARD_F_INTERNAL_ERROR)


_ENDS = {
    ErrorCode.NO_SUCH_SESSION: Code.SCARD_W_RESET_CARD,
    ErrorCode.LEASE_EXPIRED: Code.SCARD_W_RESET_CARD,
    ErrorCode.CARD_NOT_PRESENT: Code.SCARD_W_REMOVED_CARD,
}
"""Codes that say that a session is over, and what the handles are told of it."""

OUT_OF_REACH = {
    ErrorCode.CARD_CLIENT_GONE,
    ErrorCode.CONNECTION_LOST,
    ErrorCode.READER_UNAVAILABLE,
    ErrorCode.SHUTTING_DOWN,
}
"""Codes that say that a session is over as its card is out of reach; it is reset meanwhile."""
