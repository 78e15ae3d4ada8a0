# SPDX-License-Identifier: Apache-2.0
"""
What the machine asks of whoever has the cards, and how failures become PC/SC codes.

What a program asks is done in steps: a generator that yields what it needs of the outside, and is
sent what came of it, or has a `Failure` thrown into it; it returns what the program is given.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Final, Protocol, TypeVar

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

MAX_NAME_OCTETS: Final = 127
"""Longest name of a reader; on the socket a NUL follows it."""

T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True):
    """
    One reader and its card as the source sees them now.

    `name` is unique and stable, at most `MAX_NAME_OCTETS` of ASCII. `event_count` grows with each
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
        """Send a TPDU (T=0) or an APDU (T=1); return what the card answers."""
        ...

    def reset(self, kind: ResetKind) -> bytes | Awaitable[bytes]:
        """Reset the card; return its ATR."""
        ...

    def control(self, number: int, octets: bytes) -> bytes | Awaitable[bytes]:
        """Send a control code to the reader, by a number that all platforms know."""
        ...

    def get_attribute(self, name: str) -> bytes | Awaitable[bytes]:
        """Return an attribute of the reader by a name of `wsrc.card.pcsc_numbers.ATTRIBUTES`."""
        ...

    def set_attribute(self, name: str, value: bytes) -> Awaitable[None] | None:
        """Set an attribute of the reader."""
        ...

    def when_over(self, tell: Callable[[WsrcError], None]) -> None:
        """Call `tell`, once, with why the card stopped being ours, unless it is closed."""
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


class Park(msgspec.Struct, frozen=True):
    """Go on when something was let go of, or at a time; the time is sent."""

    until: float | None = None


class Open(msgspec.Struct, frozen=True):
    """Make the card of a reader ours, or the reader alone; the session is sent."""

    reader: bytes
    direct: bool = False


class Ask(msgspec.Struct, frozen=True):
    """Call a method of a `Session`; what it returns is sent."""

    method: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


Need = Park | Open | Ask
Steps = Generator[Need, Any, T]


class Failure(Exception):  # noqa: N818 - it is what becomes of a request, not a mistake
    """
    What a program is told of an exchange that failed.

    Args:
        code: The answer to the request.
        sticky: What every handle of the card is told until it reconnects, where the session is
            over; else None.
        reason: The sentence that belongs to it, if any.
    """

    def __init__(self, code: Code, sticky: Code | None = None, reason: str = "") -> None:
        super().__init__(reason or code.name)
        self.code = code
        self.sticky = sticky
        self.reason = reason


def failure_of(exc: WsrcError) -> Failure:
    """Return the PC/SC codes for an error of the card, the session or the connection."""
    code, sticky = _codes_of(exc)
    return Failure(code, sticky, str(exc))


_Codes = tuple[Code, Code | None]


def _codes_of(exc: WsrcError) -> _Codes:
    match exc:
        case CardError():
            return _card_failed(exc)
        case OutcomeUnknownError():
            return _unknown(exc)
        case SessionLostError() | NotExecutedError():
            return _session_over(exc)
        case ConnectionLostError():
            return Code.SCARD_E_READER_UNAVAILABLE, Code.SCARD_W_RESET_CARD
        case _:
            code = exc.code
            if code is ErrorCode.NO_SUCH_CARD:
                return Code.SCARD_E_READER_UNAVAILABLE, None
            return _code_of(code), None


def _card_failed(exc: CardError) -> _Codes:
    """Only an exchange that failed by itself leaves the session as it is."""
    code = _code_of(exc.code)
    if exc.code in {ErrorCode.CARD_TRANSMISSION_ERROR, ErrorCode.READER_IN_USE}:
        return code, None
    return code, _ENDS.get(exc.code, Code.SCARD_W_RESET_CARD)


def _unknown(exc: OutcomeUnknownError) -> _Codes:
    if exc.code in OUT_OF_REACH:
        return Code.SCARD_E_COMM_DATA_LOST, Code.SCARD_W_RESET_CARD
    if exc.code in _ENDS:
        return Code.SCARD_E_COMM_DATA_LOST, _ENDS[exc.code]
    return _code_of(exc.code), None


def _session_over(exc: SessionLostError | NotExecutedError) -> _Codes:
    if exc.code in OUT_OF_REACH:
        return Code.SCARD_E_READER_UNAVAILABLE, Code.SCARD_W_RESET_CARD
    sticky = _ENDS.get(exc.code)
    if sticky is None and isinstance(exc, SessionLostError):
        sticky = Code.SCARD_W_RESET_CARD
    return sticky or _code_of(exc.code), sticky


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
