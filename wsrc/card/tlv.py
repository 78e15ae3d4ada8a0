# SPDX-License-Identifier: Apache-2.0
"""BER-TLV data objects (ISO/IEC 7816-4 clause 5.2.2, ITU-T X.690)."""

from collections.abc import Iterator


def encode(tag: int, value: bytes) -> bytes:
    """Encode one data object; `tag` is its octets as a number, such as 0xBF3E."""
    octets = tag.to_bytes((tag.bit_length() + 7) // 8 or 1)
    size = len(value)
    if size < 0x80:
        return octets + bytes([size]) + value
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return octets + bytes([0x80 | len(length)]) + length + value


def decode(data: bytes) -> Iterator[tuple[int, bytes]]:
    """
    Yield tag and value of each data object in turn.

    Raises:
        ValueError: If a tag or a length runs past the end, or a length is indefinite.
    """
    at = 0
    while at < len(data):
        tag, at = _tag(data, at)
        size, at = _length(data, at)
        if at + size > len(data):
            raise ValueError(f"data object {tag:X} runs past the end")
        yield tag, data[at : at + size]
        at += size


def find(data: bytes, *path: int) -> bytes | None:
    """Return the value at the end of a path of tags, or None where it is absent or malformed."""
    value: bytes | None = data
    for wanted in path:
        if value is None:
            return None
        try:
            value = next((v for tag, v in decode(value) if tag == wanted), None)
        except ValueError:
            return None
    return value


def _tag(data: bytes, at: int) -> tuple[int, int]:
    tag = data[at]
    at += 1
    if tag & 0x1F == 0x1F:
        while True:
            if at >= len(data):
                raise ValueError("the tag runs past the end")
            tag = tag << 8 | data[at]
            at += 1
            if not tag & 0x80:
                break
    return tag, at


def _length(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        raise ValueError("the length is missing")
    first = data[at]
    at += 1
    if first < 0x80:
        return first, at
    count = first & 0x7F
    if count == 0 or count > 4 or at + count > len(data):
        raise ValueError("the length is malformed")
    return int.from_bytes(data[at : at + count]), at + count
