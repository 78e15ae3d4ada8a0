# SPDX-License-Identifier: Apache-2.0
"""Requests to pcscd as octets, and what they ask for."""

import struct

from wsrc.bridges.pcscd import wire

APDU = bytes.fromhex("00a40004023f00")


def framed(command: int, body: bytes = b"", payload: bytes = b"") -> bytes:
    return struct.pack("=II", len(body), command) + body + payload


def transmit(octets: bytes, claimed: int | None = None) -> bytes:
    size = len(octets) if claimed is None else claimed
    return framed(0x09, struct.pack("=iIIIIIII", 7, 1, 16, size, 2, 8, 264, 0), octets)


REQUESTS = [
    (framed(0x01, struct.pack("=III", 2, 0, 0)), wire.EstablishContext(2)),
    (framed(0x02, struct.pack("=II", 9, 0)), wire.ReleaseContext(9)),
    (
        framed(0x04, struct.pack("=I128sIIiII", 9, b"Reader\0rest", 2, 3, 0, 0, 0)),
        wire.Connect(9, b"Reader", 2, 3),
    ),
    (framed(0x05, struct.pack("=iIIIII", 7, 2, 3, 1, 0, 0)), wire.Reconnect(7, 2, 3, 1)),
    (framed(0x06, struct.pack("=iII", 7, 2, 0)), wire.Disconnect(7, 2)),
    (framed(0x07, struct.pack("=iI", 7, 0)), wire.Begin(7)),
    (framed(0x08, struct.pack("=iII", 7, 1, 0)), wire.End(7, 1)),
    (transmit(APDU), wire.Transmit(7, 1, (16, 2, 8), 264, APDU)),
    (transmit(b""), wire.Transmit(7, 1, (16, 2, 8), 264, b"")),
    (
        framed(0x0A, struct.pack("=iIIIII", 7, 0x42000D48, 2, 264, 0, 0), b"ab"),
        wire.Control(7, 0x42000D48, 264, b"ab"),
    ),
    (framed(0x0B, struct.pack("=iI", 7, 0)), wire.Status(7)),
    (framed(0x0D, struct.pack("=iI", 9, 0)), wire.Cancel(9)),
    (
        framed(0x0F, struct.pack("=iI264sII", 7, 0x90303, b"", 264, 0)),
        wire.GetAttribute(7, 0x90303, 264),
    ),
    (
        framed(0x10, struct.pack("=iI264sII", 7, 0x90303, b"abc", 2, 0)),
        wire.SetAttribute(7, 0x90303, b"ab"),
    ),
    (framed(0x11, struct.pack("=iiI", 4, 6, 0)), wire.Version(4, 6)),
    (framed(0x12), wire.GetReaders()),
    (framed(0x13), wire.Wait()),
    (framed(0x14), wire.StopWaiting()),
    (framed(0x15), wire.GetReaderEvents()),
    (framed(0x16), wire.GetTableSize()),
    (framed(0x17), wire.GetTable()),
]
