# SPDX-License-Identifier: Apache-2.0
"""Attributes of a reader that programs ask for again and again, without asking its host."""

from collections.abc import Callable

from wsrc import __version__
from wsrc.apdu import MAX_COMMAND_OCTETS
from wsrc.user_client.pcscd_table import Reader, Refused
from wsrc.user_client.pcscd_wire import (
    Code,
)

VENDOR = b"WSRC"
_ALIAS = 0x7FFF0000
"""Class of the system attributes; programs built with another table say 0."""


def is_known(number: int) -> bool:
    """Tell whether the value of an attribute is never asked for."""
    return _full(number) in _ATTRIBUTES


def known_attribute(reader: Reader, number: int) -> bytes:
    """
    Give the value of an attribute that is known here.

    Raises:
        Refused: If the reader has none now.
    """
    value = _ATTRIBUTES[_full(number)](reader)
    if value is None:
        raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)
    return value


def _full(number: int) -> int:
    return number | _ALIAS if 1 <= number <= 7 else number


def _number(value: int) -> bytes:
    """Give a number as programs of this machine read it."""
    return value.to_bytes(4, "little")


def _version(_: Reader) -> bytes:
    major, minor, *_rest = (*__version__.split("."), "0", "0")
    return bytes((0, 0, int(minor), int(major)))


def _name(reader: Reader) -> bytes:
    return reader.name + b"\0"


_ATTRIBUTES: dict[int, Callable[[Reader], bytes | None]] = {
    0x00010100: lambda _: VENDOR,
    0x00010101: lambda _: VENDOR,
    0x00010102: _version,
    0x0007A007: lambda _: _number(MAX_COMMAND_OCTETS),
    0x00080201: lambda reader: _number(reader.protocol) if reader.protocol else None,
    0x00090300: lambda reader: bytes((2 if reader.seen.present else 0,)),
    0x00090301: lambda reader: bytes((int(reader.seen.present),)),
    0x00090303: lambda reader: reader.seen.atr if reader.seen.present else None,
    0x7FFF0003: _name,
    0x7FFF0004: _name,
}
"""
VENDOR_NAME, VENDOR_IFD_TYPE, VENDOR_IFD_VERSION, MAXINPUT, CURRENT_PROTOCOL_TYPE, ICC_PRESENCE,
ICC_INTERFACE_STATUS, ATR_STRING, DEVICE_FRIENDLY_NAME, DEVICE_SYSTEM_NAME.
"""
