# SPDX-License-Identifier: Apache-2.0
"""
Attributes, control codes and states: what PC/SC numbers, and what it is called on the wire.

Messages carry names, and of a control code the number that all platforms agree on. Only a card
host and a socket that a PC/SC program connects to need the numbers (PC/SC part 3 clause 3.1.4).
"""

from collections.abc import Mapping
from typing import Final

from wsrc.slot import CardStatus

_VENDOR, _COMMUNICATIONS, _PROTOCOL, _POWER = 0x0001, 0x0002, 0x0003, 0x0004
_SECURITY, _MECHANICAL, _DEFINED, _IFD, _ICC = 0x0005, 0x0006, 0x0007, 0x0008, 0x0009
_SYSTEM = 0x7FFF

_TAGS: Final[Mapping[int, Mapping[str, int]]] = {
    _VENDOR: {
        "vendor_name": 0x0100,
        "vendor_ifd_type": 0x0101,
        "vendor_ifd_version": 0x0102,
        "vendor_ifd_serial_no": 0x0103,
    },
    _COMMUNICATIONS: {"channel_id": 0x0110},
    _PROTOCOL: {
        "async_protocol_types": 0x0120,
        "default_clk": 0x0121,
        "max_clk": 0x0122,
        "default_data_rate": 0x0123,
        "max_data_rate": 0x0124,
        "max_ifsd": 0x0125,
        "sync_protocol_types": 0x0126,
    },
    _POWER: {"power_mgmt_support": 0x0131},
    _SECURITY: {"user_to_card_auth_device": 0x0140, "user_auth_input_device": 0x0142},
    _MECHANICAL: {"characteristics": 0x0150},
    _DEFINED: {
        "esc_reset": 0xA000,
        "esc_cancel": 0xA003,
        "esc_authrequest": 0xA005,
        "maxinput": 0xA007,
    },
    _IFD: {
        "current_protocol_type": 0x0201,
        "current_clk": 0x0202,
        "current_f": 0x0203,
        "current_d": 0x0204,
        "current_n": 0x0205,
        "current_w": 0x0206,
        "current_ifsc": 0x0207,
        "current_ifsd": 0x0208,
        "current_bwt": 0x0209,
        "current_cwt": 0x020A,
        "current_ebc_encoding": 0x020B,
        "extended_bwt": 0x020C,
    },
    _ICC: {
        "icc_presence": 0x0300,
        "icc_interface_status": 0x0301,
        "current_io_state": 0x0302,
        "atr_string": 0x0303,
        "icc_type_per_atr": 0x0304,
    },
    _SYSTEM: {
        "device_unit": 0x0001,
        "device_in_use": 0x0002,
        "device_friendly_name": 0x0003,
        "device_system_name": 0x0004,
        "device_friendly_name_wide": 0x0005,
        "device_system_name_wide": 0x0006,
        "supress_t1_ifs_request": 0x0007,
    },
}

ATTRIBUTES: Final[Mapping[str, int]] = {
    name: class_ << 16 | tag for class_, tags in _TAGS.items() for name, tag in tags.items()
}
"""The number of each attribute, by its name on the wire."""

_NAMES: Final = {number: name for name, number in ATTRIBUTES.items()}

CONTROL_NUMBER_MAX: Final = 0xFFFF_FFFF - 0x4200_0000
"""Largest number of a control code that has a form on pcsc-lite."""

GET_FEATURE_REQUEST: Final = 3400
"""Control number that asks a reader for its features (PC/SC part 10 clause 2.2)."""

_UNIX_CONTROL, _WINDOWS_CONTROL, _WINDOWS_NUMBERS = 0x4200_0000, 0x0031_0000, 0x1000

_STATUS_BITS: Final = {
    0x01: CardStatus.UNKNOWN,
    0x02: CardStatus.ABSENT,
    0x04: CardStatus.PRESENT,
    0x08: CardStatus.SWALLOWED,
    0x10: CardStatus.POWERED,
    0x20: CardStatus.NEGOTIABLE,
    0x40: CardStatus.SPECIFIC,
}

_FEATURE_OCTETS: Final = 6


def attribute_name(number: int) -> str | None:
    """Give the name of an attribute; 1 to 7 are system attributes without their class."""
    return _NAMES.get(number | _SYSTEM << 16 if 1 <= number <= 7 else number)


def control_code(number: int, *, windows: bool) -> int | None:
    """Give a platform's code for a control number; None where the platform has none."""
    if windows:
        return _WINDOWS_CONTROL | number << 2 if 0 <= number < _WINDOWS_NUMBERS else None
    return _UNIX_CONTROL + number if 0 <= number <= CONTROL_NUMBER_MAX else None


def control_number(code: int, *, windows: bool) -> int | None:
    """Give the number for a platform's control code; None where it is no such code."""
    if windows:
        low = code - _WINDOWS_CONTROL
        return low >> 2 if low % 4 == 0 and 0 <= low >> 2 < _WINDOWS_NUMBERS else None
    return code - _UNIX_CONTROL if code >= _UNIX_CONTROL else None


def neutral_features(octets: bytes, *, windows: bool) -> bytes:
    """
    Give the answer to `GET_FEATURE_REQUEST` with control numbers in place of control codes.

    A feature whose code has no number cannot be asked for elsewhere and is left out; so is what
    is no feature of one tag octet, the length 4 and a code (PC/SC part 10 clause 2.2).
    """
    neutral = b""
    for at in range(0, len(octets) - _FEATURE_OCTETS + 1, _FEATURE_OCTETS):
        number = control_number(int.from_bytes(octets[at + 2 : at + 6]), windows=windows)
        if octets[at + 1] == 4 and number is not None:
            neutral += octets[at : at + 2] + number.to_bytes(4)
    return neutral


def platform_features(neutral: bytes, *, windows: bool) -> bytes:
    """Give what `neutral_features` made with a platform's control codes; others are left out."""
    octets = b""
    for at in range(0, len(neutral) - _FEATURE_OCTETS + 1, _FEATURE_OCTETS):
        code = control_code(int.from_bytes(neutral[at + 2 : at + 6]), windows=windows)
        if neutral[at + 1] == 4 and code is not None:
            octets += neutral[at : at + 2] + code.to_bytes(4)
    return octets


def card_status(state: int, *, windows: bool) -> tuple[CardStatus, ...]:
    """Give the names of what SCardStatus says: a mask on pcsc-lite, an ordinal on Windows."""
    if windows:
        ordered = tuple(_STATUS_BITS.values())
        return (ordered[state],) if 0 <= state < len(ordered) else (CardStatus.UNKNOWN,)
    return tuple(name for bit, name in _STATUS_BITS.items() if state & bit)
