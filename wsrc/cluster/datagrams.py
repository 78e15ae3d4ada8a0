# SPDX-License-Identifier: Apache-2.0
"""
What is in a datagram of a road, once it is opened; all numbers have the highest octet first.

    1 octet   what it is: `DATA`, `BARE` or `FAREWELL`
    8 octets  a number
    8 octets  acknowledgement: the number up to which all data of the other end has come
    n octets  more

*Data* has its own number, from 1 on, and then parts of items, each behind its length in four
octets, whose highest bit says that more of the item follows in the next datagram.

What is *bare* has the highest number of data that was sent, then the ways over which its sender
hears the other (one octet), and the gaps in what has come: how many (one octet), and of each how
far behind the acknowledgement it begins (four octets) and how long it is (two).

A *farewell* has the same number, and a sentence in UTF-8. What begins otherwise is of a later
version, and only acknowledges.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

DATA, BARE, FAREWELL = 1, 2, 3
"""What a datagram is."""

HEAD, PART = struct.Struct(">BQQ"), struct.Struct(">I")
"""What each datagram begins with, and each part of an item."""

MORE = 1 << 31
"""Bit of the length of a part whose item goes on."""

MAX_ITEM_OCTETS = 2 * 2**20
"""Octets of an item."""

MAX_GAPS = 64
"""Gaps that one datagram names."""

MAX_WHY = 300
"""Octets of the sentence of a farewell that are read."""

_BARE, _GAP = struct.Struct(">BB"), struct.Struct(">IH")


class BrokenError(Exception):
    """The other end does not keep to the rules of a road; the text is a clause."""


class Gap(NamedTuple):
    """Data that has not come: so far behind the acknowledgement, and so many datagrams."""

    behind: int
    length: int


def bare(number: int, acked: int, heard: int, gaps: Sequence[Gap]) -> bytes:
    """Return what is bare; `heard` has the bits of the ways over which the other is heard."""
    head = HEAD.pack(BARE, number, acked) + _BARE.pack(heard, len(gaps))
    return head + b"".join([_GAP.pack(*gap) for gap in gaps]) if gaps else head


def read_bare(text: bytes) -> tuple[int, list[Gap]]:
    """
    Return the ways over which the other hears us, and the gaps in what has come there.

    Raises:
        BrokenError: If it is too short.
    """
    try:
        heard, count = _BARE.unpack_from(text, HEAD.size)
        begin = HEAD.size + _BARE.size
        ends = range(begin, begin + count * _GAP.size, _GAP.size)
        return heard, [Gap(*_GAP.unpack_from(text, at)) for at in ends]
    except struct.error:
        raise BrokenError("an acknowledgement is too short") from None


def farewell(number: int, acked: int, why: str) -> bytes:
    """Return a farewell."""
    return HEAD.pack(FAREWELL, number, acked) + why.encode()


def shown(octets: bytes) -> str:
    """Return a text of the other node as it can be shown, shortened."""
    text = octets[:MAX_WHY].decode(errors="replace")
    return "".join(each if each.isprintable() else "?" for each in text)


def packed(items: Sequence[bytes], most: int, shared: int) -> Iterator[tuple[bytes, int]]:
    """
    Yield the parts of each datagram that items become, and how many items end in it.

    Args:
        items: What is sent.
        most: Octets of an item in a datagram.
        shared: Octets up to which items share a datagram; no more than `most`.
    """
    parts: list[bytes] = []
    size = count = 0
    for item in items:
        if parts and size + len(item) > shared:
            yield b"".join(parts), count
            parts, size, count = [], 0, 0
        begin, length = 0, len(item)
        while length - begin > most:
            yield PART.pack(most | MORE) + item[begin : begin + most], 0
            begin += most
        rest = item[begin:] if begin else item
        parts += (PART.pack(length - begin), rest)
        size += len(rest) + PART.size
        count += 1
    if parts:
        yield b"".join(parts), count
