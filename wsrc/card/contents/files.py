# SPDX-License-Identifier: Apache-2.0
"""
What elementary files hold, as JSON values: TS 102 221 clause 13, 3GPP TS 31.102 clause 4.2.

Each function takes the octets of a transparent file, or the records of another. It returns None
where nothing is stored, and raises a ValueError where what is stored is not as the clause says.
"""

from collections.abc import Sequence
from typing import Any, Final

from wsrc.card import tlv
from wsrc.card.contents import numbers
from wsrc.card.contents.fcp import AID_NAMES
from wsrc.card.contents.services import SERVICES
from wsrc.card.contents.texts import alpha_identifier, utf8
from wsrc.card.identity import iccid_from_ef

_MODES: Final = {
    0x00: "normal",
    0x01: "normal, specific facilities",
    0x02: "maintenance",
    0x04: "cell test",
    0x80: "type approval",
    0x81: "type approval, specific facilities",
}
"""3GPP TS 31.102 clause 4.2.18."""

_LOCATION: Final = {
    0: "updated",
    1: "not updated",
    2: "PLMN not allowed",
    3: "location area not allowed",
}
_EPS: Final = {0: "updated", 1: "not updated", 2: "roaming not allowed"}

_NUMBER_OCTETS: Final = 14
"""Of a record of EF.MSISDN after its alpha identifier (3GPP TS 31.102 clause 4.2.26)."""

_SMSP_OCTETS: Final = 28
"""Of a record of EF.SMSP after its alpha identifier (3GPP TS 31.102 clause 4.2.27)."""


def iccid(octets: bytes) -> str | None:
    """EF.ICCID (ETSI TS 102 221 clause 13.2)."""
    if not octets.rstrip(b"\xff"):
        return None
    found = iccid_from_ef(octets)
    if found is None:
        raise ValueError("there is no ICCID in it")
    return found


def languages(octets: bytes) -> list[str] | None:
    """EF.PL (ETSI TS 102 221 clause 13.3): codes of ISO 639, the preferred first."""
    pairs = [octets[at : at + 2] for at in range(0, len(octets) - 1, 2)]
    used = [pair for pair in pairs if pair != b"\xff\xff"]
    if not all(pair.isalpha() for pair in used):
        raise ValueError("there is a code in it that is no letters")
    return [pair.decode("ascii").lower() for pair in used] or None


def applications(records: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """EF.DIR (ETSI TS 102 221 clause 13.1)."""
    found: list[dict[str, Any]] = []
    for record in records:
        template = tlv.find(record.rstrip(b"\xff") or b"\0", 0x61)
        template = template if template is not None else tlv.find(record, 0x61)
        aid = tlv.find(template, 0x4F) if template is not None else None
        if template is None or aid is None:
            if record.rstrip(b"\xff"):
                raise ValueError("there is a record in it without an application template")
            continue
        label = tlv.find(template, 0x50)
        name = next((name for begin, name in AID_NAMES.items() if aid.startswith(begin)), None)
        text = utf8(label) if label is not None else None
        found.append({"aid": aid.hex(), "label": text, "application": name})
    return found or None


def provider(octets: bytes) -> dict[str, Any] | None:
    """EF.SPN (3GPP TS 31.102 clause 4.2.12)."""
    name = alpha_identifier(octets[1:])
    if not name:
        return None
    shown = octets[0]
    return {"name": name, "show_plmn_at_home": bool(shown & 1), "show_abroad": not shown & 2}


def administrative(octets: bytes) -> dict[str, Any]:
    """EF.AD (3GPP TS 31.102 clause 4.2.18)."""
    if len(octets) < 3:
        raise ValueError("it has fewer than 3 octets")
    digits = octets[3] & 0x0F if len(octets) > 3 else None
    return {
        "mode": _MODES.get(octets[0], f"{octets[0]:02X}"),
        "ciphering_indicator": bool(octets[2] & 1),
        "mnc_digits": digits if digits in {2, 3} else None,
    }


def services(octets: bytes) -> dict[str, str]:
    """EF.UST (3GPP TS 31.102 clause 4.2.8): services that are there, by number."""
    there = (8 * at + bit + 1 for at, octet in enumerate(octets) for bit in range(8)
             if octet >> bit & 1)  # fmt: skip
    return {str(number): SERVICES.get(number, "") for number in there}


def access_classes(octets: bytes) -> list[int]:
    """EF.ACC (3GPP TS 31.102 clause 4.2.15)."""
    if len(octets) != 2:
        raise ValueError("it has not 2 octets")
    classes = int.from_bytes(octets)
    return [number for number in range(16) if classes >> number & 1]


def networks(octets: bytes) -> list[str] | None:
    """EF.FPLMN (3GPP TS 31.102 clause 4.2.16)."""
    found = [numbers.network(each) for each in _pieces(octets, 3)]
    return [each for each in found if each is not None] or None


def selector(octets: bytes) -> list[dict[str, Any]] | None:
    """EF.PLMNwAcT and its sisters (3GPP TS 31.102 clause 4.2.5)."""
    found: list[dict[str, Any]] = []
    for each in _pieces(octets, 5):
        plmn = numbers.network(each[:3])
        if plmn is not None:
            found.append({"plmn": plmn, "access": _access(int.from_bytes(each[3:]))})
    return found or None


def search_period(octets: bytes) -> dict[str, int] | None:
    """EF.HPPLMN (3GPP TS 31.102 clause 4.2.6): 0 means that the phone does not search."""
    if len(octets) != 1:
        raise ValueError("it has not 1 octet")
    return {"units": octets[0], "minutes": 6 * octets[0]} if octets != b"\xff" else None


def location(octets: bytes) -> dict[str, Any]:
    """EF.LOCI (3GPP TS 31.102 clause 4.2.17)."""
    if len(octets) < 11:
        raise ValueError("it has fewer than 11 octets")
    return {
        "tmsi": _or_none(octets[:4]),
        "plmn": numbers.network(octets[4:7]),
        "lac": octets[7:9].hex(),
        "status": _LOCATION.get(octets[10] & 7, "reserved"),
    }


def eps_location(octets: bytes) -> dict[str, Any]:
    """EF.EPSLOCI (3GPP TS 31.102 clause 4.2.91)."""
    if len(octets) < 18:
        raise ValueError("it has fewer than 18 octets")
    return {
        "guti": _or_none(octets[:12]),
        "plmn": numbers.network(octets[13:16]),
        "tac": octets[16:18].hex(),
        "status": _EPS.get(octets[18] & 7, "reserved") if len(octets) > 18 else None,
    }


def group(octets: bytes) -> str | None:
    """EF.GID1, EF.GID2 (3GPP TS 31.102 clauses 4.2.10, 4.2.11), filler left out."""
    return octets.rstrip(b"\xff").hex() or None


def subscriber_numbers(records: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """EF.MSISDN (3GPP TS 31.102 clause 4.2.26)."""
    found: list[dict[str, Any]] = []
    for record in records:
        if len(record) < _NUMBER_OCTETS:
            raise ValueError("its records have fewer than 14 octets")
        tail = record[-_NUMBER_OCTETS:]
        number = numbers.dialled(_counted(tail))
        name = alpha_identifier(record[:-_NUMBER_OCTETS]) or None
        if number is not None or name is not None:
            found.append({"number": number, "name": name})
    return found or None


def message_parameters(records: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """EF.SMSP (3GPP TS 31.102 clause 4.2.27); what a bit says is absent is null."""
    found: list[dict[str, Any]] = []
    for record in records:
        if len(record) < _SMSP_OCTETS:
            raise ValueError("its records have fewer than 28 octets")
        tail, name = record[-_SMSP_OCTETS:], alpha_identifier(record[:-_SMSP_OCTETS])
        absent = tail[0]
        if absent & 0x1F == 0x1F and not name:
            continue
        found.append(
            {
                "name": name or None,
                "service_centre": None if absent & 2 else numbers.dialled(_counted(tail[13:25])),
                "destination": None if absent & 1 else _destination(tail[1:13]),
                "protocol": None if absent & 4 else tail[25],
                "coding": None if absent & 8 else tail[26],
                "validity": None if absent & 16 else tail[27],
            }
        )
    return found or None


def emergency_numbers(records: Sequence[bytes]) -> list[dict[str, Any]] | None:
    """EF.ECC (3GPP TS 31.102 clause 4.2.21)."""
    found: list[dict[str, Any]] = []
    for record in records:
        number = numbers.digits_only(record[:3])
        if number is not None:
            name = alpha_identifier(record[3:-1]) or None
            category = record[-1] if len(record) > 3 else None
            found.append({"number": number, "name": name, "category": category})
    return found or None


def emergency_numbers_gsm(octets: bytes) -> list[dict[str, Any]] | None:
    """EF.ECC of a SIM (3GPP TS 51.011 clause 10.3.27)."""
    found = (numbers.digits_only(each) for each in _pieces(octets, 3))
    return [
        {"number": number, "name": None, "category": None} for number in found if number
    ] or None


def _access(bits: int) -> list[str]:
    """Access technologies (3GPP TS 31.102 clause 4.2.5): b8 of the first octet is 8000."""
    found = ["UTRAN"] if bits & 0x8000 else []
    if bits & 0x4000:
        found.append(
            {0x2000: "E-UTRAN WB-S1", 0x1000: "E-UTRAN NB-S1"}.get(bits & 0x3000, "E-UTRAN")
        )
    found += ["NG-RAN"] if bits & 0x0800 else []
    if bits & 0x0080:
        found.append("EC-GSM-IoT" if bits & 0x000C == 0x0008 else "GSM")
    named = ((0x0040, "GSM COMPACT"), (0x0020, "cdma2000 HRPD"), (0x0010, "cdma2000 1xRTT"))
    return found + [name for bit, name in named if bits & bit]


def _pieces(octets: bytes, size: int) -> list[bytes]:
    return [octets[at : at + size] for at in range(0, len(octets) - size + 1, size)]


def _or_none(octets: bytes) -> str | None:
    return octets.hex() if octets.strip(b"\xff") else None


def _counted(octets: bytes) -> bytes:
    """Return what the first octet counts."""
    return b"" if octets[0] == 0xFF else octets[1 : 1 + octets[0]]


def _destination(octets: bytes) -> str | None:
    """TP-DA (3GPP TS 23.040 clause 9.1.2.5), whose length counts digits."""
    return numbers.dialled(octets[1:]) if octets[0] != 0xFF else None
