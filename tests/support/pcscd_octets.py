# SPDX-License-Identifier: Apache-2.0
"""Requests to pcscd as octets, and what they ask for."""

import struct

from wsrc.bridges.pcscd import requests as asks

APDU = bytes.fromhex("00a40004023f00")


def framed(command: int, body: bytes = b"", payload: bytes = b"") -> bytes:
    return struct.pack("=II", len(body), command) + body + payload


def transmit(octets: bytes, claimed: int | None = None) -> bytes:
    size = len(octets) if claimed is None else claimed
    return framed(0x09, struct.pack("=iIIIIIII", 7, 1, 16, size, 2, 8, 264, 0), octets)


REQUESTS = [
    (framed(0x01, struct.pack("=III", 2, 0, 0)), asks.EstablishContext(2)),
    (framed(0x02, struct.pack("=II", 9, 0)), asks.ReleaseContext(9)),
    (
        framed(0x04, struct.pack("=I128sIIiII", 9, b"Reader\0rest", 2, 3, 0, 0, 0)),
        asks.Connect(9, b"Reader", 2, 3),
    ),
    (framed(0x05, struct.pack("=iIIIII", 7, 2, 3, 1, 0, 0)), asks.Reconnect(7, 2, 3, 1)),
    (framed(0x06, struct.pack("=iII", 7, 2, 0)), asks.Disconnect(7, 2)),
    (framed(0x07, struct.pack("=iI", 7, 0)), asks.Begin(7)),
    (framed(0x08, struct.pack("=iII", 7, 1, 0)), asks.End(7, 1)),
    (transmit(APDU), asks.Transmit(7, 1, APDU, (16, 2, 8), 264)),
    (transmit(b""), asks.Transmit(7, 1, b"", (16, 2, 8), 264)),
    (
        framed(0x0A, struct.pack("=iIIIII", 7, 0x42000D48, 2, 264, 0, 0), b"ab"),
        asks.Control(7, 0x42000D48, b"ab", 264),
    ),
    (framed(0x0B, struct.pack("=iI", 7, 0)), asks.Status(7)),
    (framed(0x0D, struct.pack("=iI", 9, 0)), asks.Cancel(9)),
    (
        framed(0x0F, struct.pack("=iI264sII", 7, 0x90303, b"", 264, 0)),
        asks.GetAttribute(7, 0x90303, 264),
    ),
    (
        framed(0x10, struct.pack("=iI264sII", 7, 0x90303, b"abc", 2, 0)),
        asks.SetAttribute(7, 0x90303, b"ab"),
    ),
    (framed(0x11, struct.pack("=iiI", 4, 6, 0)), asks.Version(4, 6)),
    (framed(0x12), asks.GetReaders()),
    (framed(0x13), asks.Wait()),
    (framed(0x14), asks.StopWaiting()),
    (framed(0x15), asks.GetReaderEvents()),
    (framed(0x16), asks.GetTableSize()),
    (framed(0x17), asks.GetTable()),
]
