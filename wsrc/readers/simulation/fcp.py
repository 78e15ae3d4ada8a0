# SPDX-License-Identifier: Apache-2.0
"""FCP templates: what SELECT and STATUS say of a file (ETSI TS 102 221 clause 11.1.1.3)."""

from wsrc.card import tlv
from wsrc.readers.simulation.filesystem import Access, AnyFile, Directory, Ef, Records, Transparent
from wsrc.readers.simulation.pins import ADM1, PIN1

_INCREASE = b"\x32"
_CODING = 0x21
_READ, _UPDATE = 0x01, 0x02
_CHANGE_CHILDREN = 0x07


def fcp_template(file: AnyFile, *, pin1_enabled: bool) -> bytes:
    """Return the FCP template, tag 62."""
    if isinstance(file, Directory):
        return tlv.encode(0x62, _directory(file, pin1_enabled=pin1_enabled))
    return tlv.encode(0x62, _elementary(file))


def _directory(file: Directory, *, pin1_enabled: bool) -> bytes:
    name = tlv.encode(0x84, file.aid) if file.aid else b""
    characteristics = tlv.encode(0xA5, tlv.encode(0x80, b"\x71"))
    status = bytes([0x80 if pin1_enabled else 0x00])
    pins = tlv.encode(0x90, status) + tlv.encode(0x83, bytes([PIN1]))
    return (
        tlv.encode(0x82, bytes([0x78, _CODING]))
        + tlv.encode(0x83, file.file_id.to_bytes(2))
        + name
        + characteristics
        + _life_cycle(file)
        + tlv.encode(0xAB, _rule(_CHANGE_CHILDREN, file.update))
        + tlv.encode(0xC6, pins)
    )


def _elementary(file: Ef) -> bytes:
    return (
        tlv.encode(0x82, _descriptor(file))
        + tlv.encode(0x83, file.file_id.to_bytes(2))
        + _life_cycle(file)
        + tlv.encode(0xAB, _rules(file))
        + tlv.encode(0x80, _size(file).to_bytes(2))
        + tlv.encode(0x88, bytes([file.sfi << 3]) if file.sfi else b"")
    )


def _descriptor(file: Ef) -> bytes:
    """File descriptor (ETSI TS 102 221 table 11.5): structure, then record length and number."""
    if isinstance(file, Transparent):
        return bytes([0x41, _CODING])
    structure = 0x46 if file.cyclic else 0x42
    return bytes([structure, _CODING]) + file.record_octets.to_bytes(2) + bytes([len(file.records)])


def _size(file: Ef) -> int:
    if isinstance(file, Transparent):
        return len(file.content)
    return file.record_octets * len(file.records)


def _life_cycle(file: AnyFile) -> bytes:
    return tlv.encode(0x8A, b"\x04" if file.deactivated else b"\x05")


def _rules(file: Ef) -> bytes:
    rules = _rule(_READ, file.read) + _rule(_UPDATE, file.update)
    if isinstance(file, Records) and file.cyclic:
        rules += tlv.encode(0x84, _INCREASE) + _condition(file.increase)
    return rules


def _rule(access_mode: int, access: Access) -> bytes:
    """Access rule in expanded format (ISO/IEC 7816-4 clause 5.4.3.2)."""
    return tlv.encode(0x80, bytes([access_mode])) + _condition(access)


def _condition(access: Access) -> bytes:
    match access:
        case Access.ALWAYS:
            return tlv.encode(0x90, b"")
        case Access.NEVER:
            return tlv.encode(0x97, b"")
        case Access.PIN1 | Access.ADM:
            key = PIN1 if access is Access.PIN1 else ADM1
            reference = tlv.encode(0x83, bytes([key])) + tlv.encode(0x95, b"\x08")
            return tlv.encode(0xA4, reference)
