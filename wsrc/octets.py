# SPDX-License-Identifier: Apache-2.0
"""Octet strings and their hexadecimal form."""

import re

from wsrc.errors import BadHexError

BytesLike = bytes | bytearray | memoryview
"""Types that octets are read from."""

_SPACE = re.compile(r"[\s:]+")


class Octets(bytes):
    """Octets that are lower-case hexadecimal digits wherever they are text."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.hex()

    def __repr__(self) -> str:
        return f"Octets({self.hex()!r})"


def from_wire(text: str) -> Octets:
    """
    Read the form that messages carry: pairs of hexadecimal digits of either case, nothing else.

    Raises:
        BadHexError: If the number of digits is odd or a character is no hexadecimal digit.
    """
    try:
        octets = bytes.fromhex(text)
    except ValueError as exc:
        raise BadHexError(_explain(text)) from exc
    if 2 * len(octets) != len(text):
        raise BadHexError(_explain(text))
    return Octets(octets)


def from_person(text: str) -> Octets:
    """
    Read what a person types: white space and colons may stand between the pairs.

    Raises:
        BadHexError: If the number of digits is odd or a character is no hexadecimal digit.
    """
    return from_wire(_SPACE.sub("", text))


def _explain(text: str) -> str:
    """Return what is wrong without repeating the text, which may carry a PIN."""
    bad = next((i for i, c in enumerate(text) if c not in "0123456789abcdefABCDEF"), None)
    if bad is not None:
        return f"character {bad + 1} of {len(text)} is not a hexadecimal digit"
    return f"{len(text)} hexadecimal digits are not a whole number of octets"
