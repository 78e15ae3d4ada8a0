# SPDX-License-Identifier: Apache-2.0
"""Texts of files and of standard input: UTF-8, or what a byte order mark says."""

import codecs
import io
from pathlib import Path
from typing import Protocol, runtime_checkable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What editors and shells of Windows write before a text; UTF-32 is not among them."""


def encoding_of(start: bytes) -> str:
    """Return the encoding of a text that begins with these octets."""
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")


def decode(octets: bytes, errors: str = "strict") -> str:
    """
    Return the text without its mark, with line ends as Python has them.

    Raises:
        UnicodeDecodeError: If it is no text in its encoding, and `errors` is "strict".
    """
    return io.TextIOWrapper(io.BytesIO(octets), encoding_of(octets), errors).read()


def read_text(path: Path) -> str:
    """
    Return the text of a file.

    Raises:
        OSError: If it cannot be read.
        UnicodeDecodeError: If it is no text in its encoding.
    """
    return decode(path.read_bytes())


def heed_mark(stream: object) -> None:
    """Have a stream that nothing was read from decode as its mark says; it waits for the first."""
    octets: object = getattr(stream, "buffer", None)
    if isinstance(stream, io.TextIOWrapper) and isinstance(octets, _Peeking):
        start = octets.peek(4)
        if encoding_of(start) != "utf-8":
            stream.reconfigure(encoding=encoding_of(start))


@runtime_checkable
class _Peeking(Protocol):
    """What a stream of octets must know to be looked into."""

    def peek(self, size: int, /) -> bytes:
        """Return what is there, without taking it."""
        ...
