# SPDX-License-Identifier: Apache-2.0
"""When commands that follow one another are not sent on: after a PIN or a key that was wrong."""

from typing import Final

from wsrc.card.apdu import sw_matches
from wsrc.guard.commands import read

_ANY: Final = "xxxx"

_WRONG: Final = ("63cx", "9804")
"""A try is taken (ISO/IEC 7816-4 clause 5.6, 3GPP TS 51.011 clause 9.4.5)."""

_HEX: Final = "0123456789abcdef"


def _all_but(*patterns: str) -> tuple[str, ...]:
    """Return patterns of all status words but those that begin as these do."""
    known = {pattern.replace("x", "") for pattern in patterns}
    beginnings = {each[:size] for each in known for size in range(len(each))}
    others = (f"{each}{digit}" for each in sorted(beginnings) for digit in _HEX)
    return tuple(each.ljust(4, "x") for each in others if each not in beginnings | known)


_NOT_WRONG: Final = _all_but(*_WRONG)


def was_wrong(command: bytes, sw: int) -> bool:
    """Return whether a command presented a PIN or a key, and the card took a try for it."""
    return read(command).secret is not None and sw_matches(_WRONG, f"{sw:04x}")


def going_on(command: bytes, expect: tuple[str, ...]) -> tuple[str, ...]:
    """
    Return the status words after which the next command is sent, as patterns; none means any.

    A wrong PIN or key is among them only where what is expected names it: `any` does not.

    Args:
        command: Command APDU.
        expect: Patterns of the status words that are expected of it; none means any.
    """
    named = tuple(pattern for pattern in expect if pattern != _ANY)
    if (expect and named == expect) or read(command).secret is None:
        return expect
    return _NOT_WRONG + named
