# SPDX-License-Identifier: Apache-2.0
"""Texts on a card: the 7-bit default alphabet (3GPP TS 23.038) and UCS2 (TS 102 221 annex A)."""

from typing import Final

_DEFAULT: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""3GPP TS 23.038 clause 6.2.1."""

_EXTENSION: Final = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}
"""3GPP TS 23.038 clause 6.2.1.1; what it has not is a space and the character itself."""

_ESCAPE: Final = 0x1B
_UNUSED: Final = 0xFF
_UNKNOWN: Final = "\ufffd"

_UCS2, _ONE_BASE, _WHOLE_BASE = 0x80, 0x81, 0x82


def default_alphabet(octets: bytes) -> str:
    """
    Return the text of octets of one character each, up to the first that is unused (FF).

    Octets that are no character become U+FFFD.
    """
    text: list[str] = []
    escaped = False
    for octet in octets:
        if octet == _UNUSED:
            break
        if octet == _ESCAPE and not escaped:
            escaped = True
            continue
        text.append(_EXTENSION.get(octet) or _character(octet) if escaped else _character(octet))
        escaped = False
    return "".join(text)


def alpha_identifier(octets: bytes) -> str:
    """
    Return the text of an alpha field in any coding of ETSI TS 102 221 annex A.

    Any octets are a text; what is no character of it becomes U+FFFD.
    """
    match octets[:1]:
        case b"\x80":
            return _ucs2(octets[1:])
        case b"\x81" if len(octets) >= 3:
            return _based(octets[3 : 3 + octets[1]], octets[2] << 7)
        case b"\x82" if len(octets) >= 4:
            return _based(octets[4 : 4 + octets[1]], int.from_bytes(octets[2:4]))
        case _:
            return default_alphabet(octets)


def utf8(octets: bytes) -> str:
    """Return a text in UTF-8; what is none becomes U+FFFD."""
    return octets.decode("utf-8", "replace")


def _character(octet: int) -> str:
    return _DEFAULT[octet] if octet < len(_DEFAULT) else _UNKNOWN


def _ucs2(octets: bytes) -> str:
    units = [octets[at : at + 2] for at in range(0, len(octets) - len(octets) % 2, 2)]
    used = units[: units.index(b"\xff\xff")] if b"\xff\xff" in units else units
    return b"".join(used).decode("utf-16-be", "replace")


def _based(octets: bytes, base: int) -> str:
    """Characters of the default alphabet, and those that lie a 7-bit offset above a base."""
    text = ""
    for octet in octets:
        code = base + (octet & 0x7F)
        if octet < 0x80:
            text += _character(octet)
        else:
            text += _UNKNOWN if 0xD800 <= code <= 0xDFFF or code > 0xFFFF else chr(code)
    return text
