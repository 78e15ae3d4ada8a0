# SPDX-License-Identifier: Apache-2.0
"""How parts become octets in one way only: each with its length before it."""

from collections.abc import Iterable

NONCE_OCTETS = 32
"""Octets of each nonce: the user's, the card host's, and that of a connection."""

MAX_NUMBER = 2**53 - 1
"""Highest number of a request, and highest counter: what every JSON reader has exactly."""

PURPOSE = b"WSRC seal 1 "
"""Begins the first part of whatever is signed, sealed, derived or authenticated."""


def pack(*parts: bytes) -> bytes:
    """Return each part with its length before it, four octets, the highest first."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def pack_texts(texts: Iterable[str]) -> bytes:
    """Return texts in UTF-8 as parts of one."""
    return pack(*(text.encode() for text in texts))


def number(value: int) -> bytes:
    """Return a number from 0 to `MAX_NUMBER` in eight octets, the highest first."""
    return value.to_bytes(8, "big")
