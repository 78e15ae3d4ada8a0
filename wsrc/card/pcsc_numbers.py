# SPDX-License-Identifier: Apache-2.0
"""
What PC/SC numbers: result codes, share modes, dispositions, protocols, attributes, control codes.

Messages carry names, and of a control code the number that all platforms agree on. Only a card
host and a socket that a PC/SC program connects to need the numbers (PC/SC part 3 clause 3.1.4).
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from wsrc.card.slot import CardProtocol, CardStatus


class Code(IntEnum):
    """What a call came to, as pcsc-lite numbers it; see `code_number` and `code_name`."""

    SCARD_S_SUCCESS = 0
    SCARD_F_INTERNAL_ERROR = 0x8010_0001
    SCARD_E_CANCELLED = 0x8010_0002
    SCARD_E_INVALID_HANDLE = 0x8010_0003
    SCARD_E_INVALID_PARAMETER = 0x8010_0004
    SCARD_E_INVALID_TARGET = 0x8010_0005
    SCARD_E_NO_MEMORY = 0x8010_0006
    SCARD_F_WAITED_TOO_LONG = 0x8010_0007
    SCARD_E_INSUFFICIENT_BUFFER = 0x8010_0008
    SCARD_E_UNKNOWN_READER = 0x8010_0009
    SCARD_E_TIMEOUT = 0x8010_000A
    SCARD_E_SHARING_VIOLATION = 0x8010_000B
    SCARD_E_NO_SMARTCARD = 0x8010_000C
    SCARD_E_UNKNOWN_CARD = 0x8010_000D
    SCARD_E_CANT_DISPOSE = 0x8010_000E
    SCARD_E_PROTO_MISMATCH = 0x8010_000F
    SCARD_E_NOT_READY = 0x8010_0010
    SCARD_E_INVALID_VALUE = 0x8010_0011
    SCARD_E_SYSTEM_CANCELLED = 0x8010_0012
    SCARD_F_COMM_ERROR = 0x8010_0013
    SCARD_F_UNKNOWN_ERROR = 0x8010_0014
    SCARD_E_INVALID_ATR = 0x8010_0015
    SCARD_E_NOT_TRANSACTED = 0x8010_0016
    SCARD_E_READER_UNAVAILABLE = 0x8010_0017
    SCARD_P_SHUTDOWN = 0x8010_0018
    SCARD_E_PCI_TOO_SMALL = 0x8010_0019
    SCARD_E_READER_UNSUPPORTED = 0x8010_001A
    SCARD_E_DUPLICATE_READER = 0x8010_001B
    SCARD_E_CARD_UNSUPPORTED = 0x8010_001C
    SCARD_E_NO_SERVICE = 0x8010_001D
    SCARD_E_SERVICE_STOPPED = 0x8010_001E
    SCARD_E_UNSUPPORTED_FEATURE = 0x8010_001F
    SCARD_E_NO_ACCESS = 0x8010_0027
    SCARD_E_NO_READERS_AVAILABLE = 0x8010_002E
    SCARD_E_COMM_DATA_LOST = 0x8010_002F
    SCARD_E_SERVER_TOO_BUSY = 0x8010_0031
    SCARD_W_UNSUPPORTED_CARD = 0x8010_0065
    SCARD_W_UNRESPONSIVE_CARD = 0x8010_0066
    SCARD_W_UNPOWERED_CARD = 0x8010_0067
    SCARD_W_RESET_CARD = 0x8010_0068
    SCARD_W_REMOVED_CARD = 0x8010_0069
    SCARD_W_SECURITY_VIOLATION = 0x8010_006A


_WINDOWS_CODES: Final = {
    "SCARD_E_UNEXPECTED": 0x8010_001F,
    Code.SCARD_E_UNSUPPORTED_FEATURE.name: 0x8010_0022,
}
"""What Windows numbers otherwise; pcsc-lite has no number for UNEXPECTED alone."""

_CODE_NAMES: Final = {int(code): code.name for code in Code}
_WINDOWS_CODE_NAMES: Final = _CODE_NAMES | {number: name for name, number in _WINDOWS_CODES.items()}


class ShareMode(IntEnum):
    """`slot.Share` as SCardConnect is told; any other number is nonsense."""

    EXCLUSIVE = 1
    SHARED = 2
    DIRECT = 3


class Disposition(IntEnum):
    """`slot.Disposition` as SCardDisconnect is told; all but EJECT may be an initialization."""

    LEAVE = 0
    RESET = 1
    UNPOWER = 2
    EJECT = 3


PROTOCOL_T0: Final = 0x0001
PROTOCOL_T1: Final = 0x0002
PROTOCOL_RAW: Final = 0x0004
"""On pcsc-lite; Windows and pyscard's CardConnection have 10000h."""

PROTOCOL_T15: Final = 0x0008
PROTOCOL_ANY: Final = PROTOCOL_T0 | PROTOCOL_T1
PROTOCOL_ANY_OLD: Final = 0x1000
"""What the first programs for pcsc-lite say for `PROTOCOL_ANY`."""

PROTOCOLS: Final[Mapping[int, CardProtocol]] = {
    PROTOCOL_T0: CardProtocol.T0,
    PROTOCOL_T1: CardProtocol.T1,
}
"""The protocols that cards here have, by their masks."""

PROTOCOL_MASKS: Final = {protocol: mask for mask, protocol in PROTOCOLS.items()}


class StatusBit(IntEnum):
    """`slot.CardStatus` as SCardStatus of pcsc-lite says it; Windows has ordinals instead."""

    UNKNOWN = 0x01
    ABSENT = 0x02
    PRESENT = 0x04
    SWALLOWED = 0x08
    POWERED = 0x10
    NEGOTIABLE = 0x20
    SPECIFIC = 0x40


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

_FEATURE_OCTETS: Final = 6


def code_number(code: Code, *, windows: bool) -> int:
    """Return a platform's number of a result code."""
    return _WINDOWS_CODES.get(code.name, code) if windows else code


def code_name(number: int, *, windows: bool) -> str | None:
    """Return the PC/SC name of a platform's number of a result code; None where it has none."""
    return (_WINDOWS_CODE_NAMES if windows else _CODE_NAMES).get(number)


def attribute_name(number: int) -> str | None:
    """Return the name of an attribute; 1 to 7 are system attributes without their class."""
    return _NAMES.get(number | _SYSTEM << 16 if 1 <= number <= 7 else number)


def control_code(number: int, *, windows: bool) -> int | None:
    """Return a platform's code for a control number; None where the platform has none."""
    if windows:
        return _WINDOWS_CONTROL | number << 2 if 0 <= number < _WINDOWS_NUMBERS else None
    return _UNIX_CONTROL + number if 0 <= number <= CONTROL_NUMBER_MAX else None


def control_number(code: int, *, windows: bool) -> int | None:
    """Return the number for a platform's control code; None where it is no such code."""
    if windows:
        low = code - _WINDOWS_CONTROL
        return low >> 2 if low % 4 == 0 and 0 <= low >> 2 < _WINDOWS_NUMBERS else None
    return code - _UNIX_CONTROL if code >= _UNIX_CONTROL else None


def neutral_features(octets: bytes, *, windows: bool) -> bytes:
    """
    Return the answer to `GET_FEATURE_REQUEST` with control numbers in place of control codes.

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
    """Return what `neutral_features` made with a platform's control codes; others are left out."""
    octets = b""
    for at in range(0, len(neutral) - _FEATURE_OCTETS + 1, _FEATURE_OCTETS):
        code = control_code(int.from_bytes(neutral[at + 2 : at + 6]), windows=windows)
        if neutral[at + 1] == 4 and code is not None:
            octets += neutral[at : at + 2] + code.to_bytes(4)
    return octets


def card_status(state: int, *, windows: bool) -> tuple[CardStatus, ...]:
    """Return the names of what SCardStatus says: a mask on pcsc-lite, an ordinal on Windows."""
    if windows:
        ordered = tuple(StatusBit)
        known = 0 <= state < len(ordered)
        return (CardStatus[ordered[state].name] if known else CardStatus.UNKNOWN,)
    return tuple(CardStatus[bit.name] for bit in StatusBit if state & bit)
