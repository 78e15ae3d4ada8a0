# SPDX-License-Identifier: Apache-2.0
"""Exchanges as packets: GSMTAP as Wireshark reads it, and pcapng files; values to octets."""

import struct
from enum import IntEnum
from typing import Final

from wsrc.card.apdu import parse_command
from wsrc.errors import BadApduError

PORT: Final = 4729
"""UDP port of GSMTAP."""

MAX_PAYLOAD: Final = 65_000
"""Octets of one packet; what is longer is cut off."""

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_RAW_IP: Final = 101
"""LINKTYPE_RAW: each packet begins with an IP header."""

_COMMENT: Final = 1
_LOOPBACK: Final = bytes((127, 0, 0, 1))


class Kind(IntEnum):
    """What a packet has: the sub-type of GSMTAP's type SIM."""

    APDU = 0
    ATR = 1


def apdu_payload(command: bytes, answer: bytes) -> bytes:
    """
    Return an exchange as Wireshark reads it: as T=0 has it, with the answer behind the data.

    A command has its P3 always, and no Le behind its data; P3 is 0 of one that wants more than 256
    octets. Data that are longer stay as they are, and are not understood by Wireshark.
    """
    try:
        parsed = parse_command(command)
    except BadApduError:
        return command + answer
    if len(parsed.data) > 255:
        return command + answer
    if parsed.data:
        return parsed.header + bytes([len(parsed.data)]) + parsed.data + answer
    return parsed.header + bytes([parsed.ne & 0xFF]) + answer


def gsmtap(kind: Kind, payload: bytes) -> bytes:
    """Return the datagram for an exchange or an ATR (libosmocore's gsmtap.h, version 2)."""
    header = struct.pack(">BBBBHBBIBBBB", 2, 4, 4, 0, 0, 0, 0, 0, kind, 0, 0, 0)
    return header + payload[:MAX_PAYLOAD]


def section() -> bytes:
    """Return what a pcapng file begins with; it may stand in the midst of one as well."""
    begin = _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    return begin + _block(_INTERFACE, struct.pack("<HHI", _RAW_IP, 0, 0))


def packet(when: float, datagram: bytes, comment: str) -> bytes:
    """
    Return a datagram in a pcapng file, sent from this host to itself.

    Args:
        when: Seconds since 1970 in UTC.
        datagram: As of `gsmtap`.
        comment: What is shown with it.
    """
    octets = _ip(datagram)
    micros = int(when * 1_000_000)
    head = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(octets), len(octets))
    text = comment.encode(errors="replace")[:1000]
    options = struct.pack("<HH", _COMMENT, len(text)) + _padded(text) + bytes(4)
    return _block(_PACKET, head + _padded(octets) + options)


def _ip(datagram: bytes) -> bytes:
    """Return an IPv4 packet with UDP (RFC 791, RFC 768), whose checksum is left out."""
    udp = struct.pack(">HHHH", PORT, PORT, 8 + len(datagram), 0) + datagram
    addresses = _LOOPBACK + _LOOPBACK
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0x4000, 64, 17, 0) + addresses
    total = sum(struct.unpack(">10H", head))
    checksum = ~(total % 0xFFFF) & 0xFFFF
    return head[:10] + struct.pack(">H", checksum) + head[12:] + udp


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
