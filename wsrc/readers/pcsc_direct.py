# SPDX-License-Identifier: Apache-2.0
"""One PC/SC reader as a handle: what can be asked of it with a card and without one."""

from collections.abc import Callable

from wsrc.card.pcsc_numbers import (
    ATTRIBUTES,
    GET_FEATURE_REQUEST,
    PROTOCOLS,
    Code,
    Disposition,
    card_status,
    control_code,
    neutral_features,
)
from wsrc.errors import CardError, ErrorCode, RefusedError
from wsrc.readers import pcsc_api as api
from wsrc.readers.base import Status


class PcscDirect:
    """A reader held, with or without a card; see `base.Direct`. It is for the reader's thread."""

    def __init__(
        self, reader: str, card: int, scard: api.Scard, let_go: Callable[[], None]
    ) -> None:
        self._reader = reader
        self._card: int | None = card
        self._scard = scard
        self._let_go = let_go

    @property
    def harmless_controls(self) -> frozenset[int]:
        """None: a driver does with a number what it likes."""
        return frozenset()

    def status(self) -> Status:
        """See `base.Direct.status`."""
        code, state, protocol, atr = self._scard.status(self._handle())
        if code != Code.SCARD_S_SUCCESS:
            raise self._failure(code)
        states = card_status(state, windows=api.WINDOWS)
        return Status(states, PROTOCOLS.get(protocol), atr)

    def control(self, number: int, octets: bytes) -> bytes:
        """See `base.Direct.control`."""
        control = control_code(number, windows=api.WINDOWS)
        if control is None:
            raise self._refusal(f"no control number {number}")
        code, answer = self._scard.control(self._handle(), control, octets)
        self._check(code, f"no control number {number}", api.UNSUPPORTED)
        if number == GET_FEATURE_REQUEST:
            return neutral_features(answer, windows=api.WINDOWS)
        return answer

    def get_attribute(self, name: str) -> bytes:
        """See `base.Direct.get_attribute`."""
        code, value = self._scard.get_attribute(self._handle(), self._attribute(name))
        if code in api.NO_ATTRIBUTE and (known := self._known(name)):
            return known
        self._check(code, f"no attribute {name}", api.NO_ATTRIBUTE)
        return value

    def set_attribute(self, name: str, value: bytes) -> None:
        """Set an attribute; errors as `get_attribute`."""
        code = self._scard.set_attribute(self._handle(), self._attribute(name), value)
        self._check(code, f"no attribute {name} that can be set", api.NO_ATTRIBUTE)

    def close(self, *, eject: bool = False) -> None:
        """Power the card off, or push it out, and release the reader; never raises."""
        card, self._card = self._card, None
        if card is not None:
            self._scard.disconnect(card, Disposition.EJECT if eject else Disposition.UNPOWER)
            self._let_go()

    def leave(self) -> None:
        """Release the reader, and leave the card as it is; never raises."""
        card, self._card = self._card, None
        if card is not None:
            self._scard.disconnect(card, Disposition.LEAVE)
            self._let_go()

    def _handle(self) -> int:
        if self._card is None:
            raise api.card_error(Code.SCARD_E_INVALID_HANDLE, self._reader)
        return self._card

    def _attribute(self, name: str) -> int:
        number = ATTRIBUTES.get(name)
        if number is None:
            raise self._refusal(f"no attribute {name[:40]!r}")
        return number

    def _known(self, name: str) -> bytes:
        """Return what PC/SC knows even where it does not give it as an attribute."""
        if name == "atr_string":
            return self._scard.status(self._handle())[3]
        if name in {"device_friendly_name", "device_system_name"}:
            return self._reader.encode() + b"\0"
        return b""

    def _check(self, code: int, lacks: str, unsupported: frozenset[int]) -> None:
        if code in unsupported:
            raise self._refusal(f"{lacks} ({api.error_name(code)})")
        if code != Code.SCARD_S_SUCCESS:
            raise self._failure(code)

    def _refusal(self, lacks: str) -> RefusedError:
        return RefusedError(ErrorCode.NOT_SUPPORTED, f"Reader {self._reader!r} has {lacks}.")

    def _failure(self, code: int) -> CardError:
        return api.card_error(code, self._reader)
