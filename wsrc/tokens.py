# SPDX-License-Identifier: Apache-2.0
"""What a token looks like: a prefix, 256 random bits and a check, so that scanners find it."""

import re
import zlib

PREFIX = "wsrc_"

SECRET_OCTETS = 32
"""Octets of a token that nobody can guess."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_DIGITS, _CHECK_DIGITS = 43, 6
"""Digits to base 62 that 256 and 32 bits need."""

PATTERN = rf"{PREFIX}[0-9A-Za-z]{{{_SECRET_DIGITS + _CHECK_DIGITS}}}"
"""Regular expression for secret scanners; `is_token` also looks at the check."""

_FORM = re.compile(PATTERN)

_PART = re.compile(rf"({PREFIX})[0-9A-Za-z]{{16,}}")
"""A token, or as much of one as could be guessed to its end."""


def made_of(secret: bytes) -> str:
    """
    Return the token of a secret.

    Args:
        secret: `SECRET_OCTETS` that were drawn at random.
    """
    assert len(secret) == SECRET_OCTETS
    digits = _in_digits(int.from_bytes(secret), _SECRET_DIGITS)
    return f"{PREFIX}{digits}{_check(digits)}"


def is_token(text: str) -> bool:
    """Return whether a text is a whole token, with its check: CRC-32 of the digits before it."""
    if _FORM.fullmatch(text) is None:
        return False
    digits = text.removeprefix(PREFIX)
    return _check(digits[:_SECRET_DIGITS]) == digits[_SECRET_DIGITS:]


def without_tokens(text: str) -> str:
    """Return a text with the prefix alone of each token in it, whole or cut off."""
    return _PART.sub(r"\1…", text) if PREFIX in text else text


def _check(digits: str) -> str:
    return _in_digits(zlib.crc32(digits.encode()), _CHECK_DIGITS)


def _in_digits(number: int, count: int) -> str:
    digits = ""
    for _ in range(count):
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
