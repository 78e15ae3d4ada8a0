# SPDX-License-Identifier: Apache-2.0
"""A reader of pcapng files, of IP and UDP in them, and of GSMTAP, by their specifications."""

import struct
from typing import NamedTuple


class Packet(NamedTuple):
    """What a datagram of GSMTAP has."""

    micros: int
    comment: str
    sub_type: int
    payload: bytes


def read_gsmtap(datagram: bytes) -> tuple[int, bytes]:
    """Return sub-type and payload of a datagram of type SIM."""
    version, words, kind = datagram[:3]
    assert (version, words, kind) == (2, 4, 4)
    return datagram[12], datagram[16:]


def read_pcapng(octets: bytes) -> list[Packet]:
    """Return the packets of a file, which may have several sections."""
    packets: list[Packet] = []
    at = 0
    while at < len(octets):
        kind, size = struct.unpack_from("<II", octets, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", octets, at + size - 4) == (size,)
        body = octets[at + 8 : at + size - 4]
        if kind == 0x0A0D0D0A:
            assert struct.unpack_from("<IHH", body) == (0x1A2B3C4D, 1, 0)
        elif kind == 1:
            assert struct.unpack_from("<H", body) == (101,)
        else:
            assert kind == 6
            packets.append(_packet(body))
        at += size
    return packets


def _packet(body: bytes) -> Packet:
    interface, high, low, captured, original = struct.unpack_from("<IIIII", body)
    assert (interface, captured) == (0, original)
    ip = body[20 : 20 + captured]
    options = body[20 + captured + -captured % 4 :]
    code, size = struct.unpack_from("<HH", options)
    assert code == 1
    assert ip[0] == 0x45
    assert struct.unpack(">H", ip[2:4]) == (len(ip),)
    total = sum(struct.unpack(">10H", ip[:20]))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    assert struct.unpack(">HHH", ip[20:26]) == (4729, 4729, len(ip) - 20)
    return Packet(high << 32 | low, options[4 : 4 + size].decode(), *read_gsmtap(ip[28:]))
