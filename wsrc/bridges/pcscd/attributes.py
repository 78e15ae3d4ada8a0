# SPDX-License-Identifier: Apache-2.0
"""Attributes of a reader that programs ask for again and again, without asking its host."""

from collections.abc import Callable

from wsrc import __version__
from wsrc.bridges.pcscd.reader import Reader, Refused
from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.card.pcsc_numbers import Code

VENDOR = b"WSRC"


def is_known(name: str) -> bool:
    """Return whether the value of an attribute of `pcsc_numbers.ATTRIBUTES` is never asked for."""
    return name in _ATTRIBUTES


def known_attribute(reader: Reader, name: str) -> bytes:
    """
    Return the value of an attribute that is known here.

    Raises:
        Refused: If the reader has none now.
    """
    value = _ATTRIBUTES[name](reader)
    if value is None:
        raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)
    return value


def _number(value: int) -> bytes:
    """Return a number as programs of this machine read it."""
    return value.to_bytes(4, "little")


def _version(_: Reader) -> bytes:
    major, minor, *_rest = (*__version__.split("."), "0", "0")
    return bytes((0, 0, int(minor), int(major)))


def _name(reader: Reader) -> bytes:
    return reader.name + b"\0"


_ATTRIBUTES: dict[str, Callable[[Reader], bytes | None]] = {
    "vendor_name": lambda _: VENDOR,
    "vendor_ifd_type": lambda _: VENDOR,
    "vendor_ifd_version": _version,
    "maxinput": lambda _: _number(MAX_COMMAND_OCTETS),
    "current_protocol_type": lambda reader: _number(reader.protocol) if reader.protocol else None,
    "icc_presence": lambda reader: bytes((2 if reader.seen.present else 0,)),
    "icc_interface_status": lambda reader: bytes((int(reader.seen.present),)),
    "atr_string": lambda reader: reader.seen.atr if reader.seen.present else None,
    "device_friendly_name": _name,
    "device_system_name": _name,
}
