# SPDX-License-Identifier: Apache-2.0
"""Answers to reset of simulated cards (ISO/IEC 7816-3 clause 8, ETSI TS 102 221 clause 6.3)."""

from wsrc.readers.base import CardProtocol

_FI_DI = 0x96
"""TA1: Fi 512, Di 32."""

_CLASSES = 0xC7
"""First TA after T=15: clock may stop in either state, classes A, B and C."""

_EUICC = 0x82
"""First TB after T=15: b8 and b2, eUICC functions (ETSI TS 102 221 table 6.7)."""


def uicc_atr(protocol: CardProtocol, channels: int, *, euicc: bool = False) -> bytes:
    """Return the ATR of a UICC that has 1 to 4 logical channels, the basic one included."""
    historical = bytes.fromhex("8031e073fe21") + bytes([_capabilities(channels)]) + b"\x64WSRC"
    global_bytes = bytes([_CLASSES, _EUICC]) if euicc else bytes([_CLASSES])
    t15 = 0x3F if euicc else 0x1F
    if protocol is CardProtocol.T0:
        interface = bytes([_FI_DI, 0x80, t15])
    else:
        interface = bytes([_FI_DI, 0x81, 0xB1, 0xFE, 0x45, t15])
    checked = bytes([0x90 | len(historical)]) + interface + global_bytes + historical
    return b"\x3b" + checked + bytes([_check_octet(checked)])


def gsm_atr() -> bytes:
    """Return the ATR of a GSM SIM: T=0 alone, therefore without TCK."""
    historical = b"SIM"
    return bytes([0x3B, 0x10 | len(historical), _FI_DI]) + historical


def _capabilities(channels: int) -> int:
    """Third software function octet: extended length; channel numbers are assigned by the card."""
    return 0x40 | (0x10 if channels > 1 else 0) | (channels - 1)


def _check_octet(checked: bytes) -> int:
    """Return TCK: with it, the exclusive-or from T0 on is 0 (ISO/IEC 7816-3 clause 8.2.5)."""
    tck = 0
    for octet in checked:
        tck ^= octet
    return tck
