# SPDX-License-Identifier: Apache-2.0
"""What SELECT and STATUS say of a file: FCP (ETSI TS 102 221 clause 11.1.1.3) and its 2G form."""

from typing import Final, NamedTuple

from wsrc.card import tlv
from wsrc.card.contents.tree import Known, Names

_EF_STRUCTURES: Final = {1: "transparent", 2: "linear fixed", 6: "cyclic"}
_BER_TLV: Final = 0x39

_LIFE_CYCLE: Final = {
    0x00: "no information",
    0x01: "creation",
    0x03: "initialisation",
    0x04: "operational, deactivated",
    0x05: "operational, activated",
    0x06: "operational, deactivated",
    0x07: "operational, activated",
}

KEY_NAMES: Final = {
    0x01: "PIN of application 1",
    0x0A: "ADM1",
    0x0B: "ADM2",
    0x0C: "ADM3",
    0x0D: "ADM4",
    0x0E: "ADM5",
    0x11: "universal PIN",
    0x81: "second PIN of application 1",
    **{0x01 + n: f"PIN of application {n + 1}" for n in range(1, 8)},
    **{0x81 + n: f"second PIN of application {n + 1}" for n in range(1, 8)},
    **{0x8A + n: f"ADM{n + 6}" for n in range(5)},
}
"""Key references (ETSI TS 102 221 table 9.3)."""


class File(NamedTuple):
    """
    What must be known of an EF to read it.

    `record_octets` is 0 of a transparent one, whose size is `octets`.
    """

    octets: int
    record_octets: int = 0
    records: int = 0


class PinStatus(NamedTuple):
    """A key reference of the current directory, and whether it is asked for."""

    reference: int
    enabled: bool


def file_of(fcp: bytes) -> File | None:
    """Return what an FCP template says of an EF; None where it describes none."""
    template = tlv.find(fcp, 0x62)
    descriptor = tlv.find(template, 0x82) if template is not None else None
    if template is None or not descriptor or descriptor[0] & 0x38 == 0x38:
        return None
    size = int.from_bytes(tlv.find(template, 0x80) or b"")
    if len(descriptor) < 5:
        return File(size) if descriptor[0] & 7 == 1 else None
    return File(size, int.from_bytes(descriptor[2:4]), descriptor[4])


def file_of_gsm(answer: bytes) -> File | None:
    """Return what the answer to SELECT of class A0 says of an EF (3GPP TS 51.011 clause 9.2.1)."""
    if len(answer) < 14 or answer[6] != 0x04:
        return None
    size, structure = int.from_bytes(answer[2:4]), answer[13]
    if structure == 0:
        return File(size)
    if len(answer) < 15 or not answer[14]:
        return None
    return File(size, answer[14], min(size // answer[14], 255))


def pins_of(fcp: bytes) -> list[PinStatus]:
    """Return the key references of the PIN status template (TS 102 221 clause 11.1.1.4.10)."""
    template = tlv.find(fcp, 0x62, 0xC6)
    if template is None:
        return []
    enabled, usage, found = b"", b"\x08", list[PinStatus]()
    try:
        for tag, value in tlv.decode(template):
            if tag == 0x90:
                enabled = value
            elif tag == 0x95:
                usage = value
            elif tag == 0x83 and len(value) == 1:
                number = len(found)
                octet = enabled[number // 8] if number // 8 < len(enabled) else 0
                used = bool(octet >> 7 - number % 8 & 1)
                # Of the universal PIN the usage qualifier says whether it is used.
                universal = value[0] == 0x11
                found.append(PinStatus(value[0], used and (not universal or usage != b"\x00")))
    except ValueError:
        return found
    return found


def key_name(reference: int) -> str:
    """Return what a key reference is called (ETSI TS 102 221 table 9.3)."""
    return KEY_NAMES.get(reference, f"key {reference:02X}")


def _descriptor(value: bytes) -> str | None:
    first = value[0]
    if first & 0x3F == _BER_TLV:
        kind = "EF of data objects"
    elif first & 0x38 == 0x38:
        kind = "DF or ADF"
    else:
        structure = _EF_STRUCTURES.get(first & 7)
        if structure is None:
            return None
        kind = f"{'internal' if first & 0x38 == 0x08 else 'working'} EF, {structure}"
    shareable = ", shareable" if first & 0x40 else ""
    if len(value) >= 5:
        return f"{kind}{shareable}, {value[4]} records of {int.from_bytes(value[2:4])} octets"
    return kind + shareable


def _life_cycle(value: bytes) -> str | None:
    state = value[0]
    return "terminated" if 0x0C <= state <= 0x0F else _LIFE_CYCLE.get(state)


def _octets(value: bytes) -> str:
    return f"{int.from_bytes(value)} octets"


def _sfi(value: bytes) -> str:
    return f"SFI {value[0] >> 3:02X}" if value else "no SFI"


def _characteristics(value: bytes) -> str:
    """Return what is said of stopping the clock (ETSI TS 102 221 table 11.4)."""
    level = {0x04: "high", 0x08: "low"}.get(value[0] & 0x0C)
    if value[0] & 1:
        return f"clock stop allowed{f', {level} level preferred' if level else ''}"
    return f"clock stop not allowed{f' unless at {level} level' if level else ''}"


def _rule_reference(value: bytes) -> str | None:
    if len(value) == 3:
        return f"EF.ARR {value[:2].hex().upper()}, record {value[2]}"
    return None


def _key(value: bytes) -> str:
    return key_name(value[0])


def _aid(value: bytes) -> str | None:
    return next((name for aid, name in AID_NAMES.items() if value.startswith(aid)), None)


AID_NAMES: Final = {
    bytes.fromhex(aid): name
    for aid, name in (
        ("a0000000871002", "USIM"),
        ("a0000000871004", "ISIM"),
        ("a0000003431002", "CSIM"),
        ("a0000000090001", "GSM SIM (TS 51.011)"),
        ("a0000005591010ffffffff8900000100", "ISD-R"),
        ("a0000005591010ffffffff8900000200", "ECASD"),
        ("a0000005591010ffffffff89", "eUICC"),
        ("a000000151000000", "issuer security domain"),
        ("a00000015141434c00", "ARA-M"),
        ("a000000308", "PIV"),
        ("d27600012401", "OpenPGP"),
    )
}
"""Beginnings of AIDs (ETSI TS 101 220 annex D and E, SGP.02 annex H), the longest first of two."""

_PROPRIETARY: Final[Names] = {
    0x80: Known("UICC characteristics", _characteristics),
    0x81: Known("application power consumption"),
    0x82: Known("minimum application clock frequency"),
    0x83: Known("available memory", _octets),
    0x84: Known("file details"),
    0x85: Known("reserved file size", _octets),
    0x86: Known("maximum file size", _octets),
    0x87: Known("supported system commands"),
    0x88: Known("environmental conditions"),
}

_PINS: Final[Names] = {
    0x90: Known("enabled"),
    0x95: Known("usage qualifier"),
    0x83: Known("key reference", _key),
}

_CONDITIONS: Final[Names] = {
    0x80: Known("access mode"),
    0x84: Known("instruction"),
    0x90: Known("always"),
    0x97: Known("never"),
    0xA4: Known("control reference", inside=_PINS),
    0xA0: Known("any of", inside={0xA4: Known("control reference", inside=_PINS)}),
    0xAF: Known("all of", inside={0xA4: Known("control reference", inside=_PINS)}),
}

FCP: Final[Names] = {
    0x80: Known("file size", _octets),
    0x81: Known("total file size", _octets),
    0x82: Known("file descriptor", _descriptor),
    0x83: Known("file identifier"),
    0x84: Known("DF name (AID)", _aid),
    0x88: Known("short file identifier", _sfi),
    0x8A: Known("life cycle", _life_cycle),
    0x8B: Known("security attributes, referenced", _rule_reference),
    0x8C: Known("security attributes, compact"),
    0xA5: Known("proprietary", inside=_PROPRIETARY),
    0xAB: Known("security attributes, expanded", inside=_CONDITIONS),
    0xC6: Known("PIN status", inside=_PINS),
}
"""ETSI TS 102 221 clause 11.1.1.4."""
