# SPDX-License-Identifier: Apache-2.0
"""What a reader says of itself without asking its host: attributes, and features by CONTROL."""

from collections.abc import Callable

from wsrc import __version__
from wsrc.apdu import MAX_COMMAND_OCTETS
from wsrc.user_client.pcscd_table import Reader, Refused
from wsrc.user_client.pcscd_wire import (
    Code,
)

VENDOR = b"WSRC"
GET_FEATURE_REQUEST = 0x42000000 + 3400
"""CM_IOCTL_GET_FEATURE_REQUEST (PC/SC part 10, clause 2.2)."""

_ALIAS = 0x7FFF0000
"""Class of the system attributes; programs built with another table say 0."""


def get_attribute(reader: Reader, number: int) -> bytes:
    """
    Give the value of an attribute.

    Raises:
        Refused: If this is none that the socket knows.
    """
    if 1 <= number <= 7:
        number |= _ALIAS
    read = _ATTRIBUTES.get(number)
    value = read(reader) if read is not None else None
    if value is None:
        raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)
    return value


def control(reader: Reader, code: int, octets: bytes) -> bytes:
    """
    Carry out what a program asks of the reader itself.

    There are no features: no PIN pad, no escape commands. What the reader's host could do of it
    belongs here.

    Raises:
        Refused: If it is anything but the question for the features.
    """
    del reader, octets
    if code == GET_FEATURE_REQUEST:
        return b""
    raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)


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
