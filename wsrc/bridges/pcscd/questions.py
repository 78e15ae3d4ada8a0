# SPDX-License-Identifier: Apache-2.0
"""
What programs ask of the reader itself, by CONTROL and by attributes.

Control codes become numbers and attributes become names here, as all platforms know them. What
programs ask again and again is answered without asking the reader's host.
"""

from collections.abc import Callable

from wsrc import __version__
from wsrc.bridges.pcscd.reader import Reader
from wsrc.bridges.pcscd.requests import Control, Refused, SetAttribute
from wsrc.bridges.pcscd.source import Ask, Failure, Steps
from wsrc.bridges.pcscd.turns import Turns
from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.card.pcsc_numbers import (
    GET_FEATURE_REQUEST,
    Code,
    attribute_name,
    control_number,
    platform_features,
)

VENDOR = b"WSRC\0"
"""Text in attributes ends with a NUL, as that of libccid does: programs print it as it comes."""


def control(turns: Turns, reader: Reader, asked: Control) -> Steps[bytes]:
    """
    Ask the reader; return its answer.

    Features are asked for once while the card is ours. While it is not they are none: programs
    that list readers ask all of them, and nobody's card is to be taken for that.

    Raises:
        Refused: If it is no control code of the program's platform.
    """
    number = control_number(asked.code, windows=asked.windows)
    if number is None:
        raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)
    if number == GET_FEATURE_REQUEST:
        features = yield from _features(turns, reader)
        return platform_features(features, windows=asked.windows)
    return (yield from turns.with_reader(reader, lambda s: Ask(s.control, (number, asked.octets))))


def _features(turns: Turns, reader: Reader) -> Steps[bytes]:
    if reader.session is None:
        return b""
    if reader.features is None:
        reader.features = yield from turns.with_reader(
            reader, lambda s: Ask(s.control, (GET_FEATURE_REQUEST, b"")), settled=False
        )
    return reader.features


def name_of(number: int) -> str:
    """
    Return the name of an attribute.

    Raises:
        Refused: If it has none, as those that are a vendor's own.
    """
    name = attribute_name(number)
    if name is None:
        raise Refused(Code.SCARD_E_UNSUPPORTED_FEATURE)
    return name


def read(turns: Turns, reader: Reader, name: str) -> Steps[bytes]:
    """Ask the reader for an attribute; return its value."""
    return (yield from turns.with_reader(reader, lambda s: Ask(s.get_attribute, (name,))))


def write(turns: Turns, reader: Reader, asked: SetAttribute) -> Steps[None]:
    """Set an attribute; what cannot be set fails as on pcscd."""
    name = attribute_name(asked.attribute)
    if name is None:
        raise Refused(Code.SCARD_E_NOT_TRANSACTED)
    try:
        yield from turns.with_reader(reader, lambda s: Ask(s.set_attribute, (name, asked.value)))
    except Failure as failure:
        if failure.code is Code.SCARD_E_UNSUPPORTED_FEATURE:
            raise Refused(Code.SCARD_E_NOT_TRANSACTED, failure.reason) from failure
        raise


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
