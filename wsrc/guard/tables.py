# SPDX-License-Identifier: Apache-2.0
"""What the owner of a card host may write of its guard: profiles, what is allowed, tables."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from wsrc.errors import BadHexError
from wsrc.octets import from_person
from wsrc.words import Word


class Profile(Word):
    """What is refused of all that a user may send."""

    FULL = "full", "Nothing is refused"
    LAST_TRY = "last-try", "What may spend the last try of a PIN or a key, and nothing else"
    NO_KEY_MANAGEMENT = (
        "no-key-management",
        "As `last-try`; and what loads, replaces or deletes keys, applications, files or profiles",
    )
    NO_PIN = "no-pin", "As `last-try`; and whatever presents a PIN or a key"
    READ_ONLY = "read-only", "All but what selects and reads"


class Allowed(Word):
    """What is let pass despite a profile."""

    PIN_LAST_TRY = "pin-last-try", "The last try of a PIN or a key may be spent"
    VENDOR_CODES = (
        "vendor-codes",
        "Control codes, and commands of class FF, that may hide a command of the card",
    )


Profiles = tuple[Literal["full", "last-try", "no-key-management", "no-pin", "read-only"], ...]
Allowing = tuple[Literal["pin-last-try", "vendor-codes"], ...]

ALLOW: Final = "allow"
REFUSE: Final = "refuse"
ERROR: Final = "error"

_MAX_DATA: Final = 64
"""Octets of data that a pattern may have; the rest of a data field is not looked at."""

_PATTERN = re.compile(r"(?:[0-9a-f][0-9a-fx]|x[0-9a-fx])*")


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[guard]]` of the settings file: which cards, and what is otherwise for them."""

    cards: Annotated[
        str,
        Meta(description="Label, ICCID, EID, ATR, or id or name of the reader; `*` is any text."),
    ] = "*"
    profile: Annotated[
        Profiles | None, Meta(description="Profiles of these cards, in place of `guard_profile`.")
    ] = None
    allow: Annotated[
        Allowing | None,
        Meta(description="What is allowed for these cards, in place of `guard_allow`."),
    ] = None
    match: Annotated[
        str,
        Meta(description="CLA INS P1 P2 of the commands that `answer` is for; `x` is any digit."),
    ] = ""
    data: Annotated[
        str, Meta(description="What their data begin with; `x` is any digit, 64 octets at most.")
    ] = ""
    aid: Annotated[
        str, Meta(description="What the AID begins with that is selected on their channel.")
    ] = ""
    answer: Annotated[
        str,
        Meta(description="`allow`; `refuse`, as `guard_answer` has it; `error`; or a status word."),
    ] = REFUSE

    @property
    def is_rule(self) -> bool:
        """Whether it says something of single commands."""
        return bool(self.match or self.data or self.aid)


class Digits(NamedTuple):
    """A pattern of hexadecimal digits, each of which may stand for any."""

    mask: bytes
    value: bytes

    def begins(self, octets: bytes) -> bool:
        """Return whether octets begin as the pattern has it."""
        return len(octets) >= len(self.mask) and all(
            octet & mask == value
            for octet, mask, value in zip(octets, self.mask, self.value, strict=False)
        )

    def may_begin(self, octets: bytes) -> bool:
        """Return whether octets, or what they are the beginning of, begin so."""
        size = len(octets)
        return Digits(self.mask[:size], self.value[:size]).begins(octets)


def digits(text: str) -> Digits:
    """
    Read a pattern: pairs of hexadecimal digits or `x`, with or without spaces.

    Raises:
        ValueError: If it is not.
    """
    packed = re.sub(r"[\s:]+", "", text).lower()
    if len(packed) % 2 or not _PATTERN.fullmatch(packed):
        raise ValueError(f"{text[:40]!r} is not pairs of hexadecimal digits, or x for any digit")
    mask = "".join("0" if digit == "x" else "f" for digit in packed)
    return Digits(bytes.fromhex(mask), bytes.fromhex(packed.replace("x", "0")))


def patterns(table: Table) -> tuple[Digits, Digits, Digits]:
    """
    Return the patterns of header, data and AID of a table that is a rule.

    Raises:
        ValueError: If one is no pattern, or the answer is none.
    """
    header = digits(table.match or "xx xx xx xx")
    if len(header.mask) != 4:
        raise ValueError(f"match: {table.match[:40]!r} is not CLA INS P1 P2, four octets")
    data, aid = digits(table.data), digits(table.aid)
    if len(data.mask) > _MAX_DATA or len(aid.mask) > 16:
        raise ValueError(f"data has at most {_MAX_DATA} octets, and an AID at most 16")
    check_answer(table.answer, (ALLOW, REFUSE, ERROR))
    return header, data, aid


def check_answer(answer: str, words: Sequence[str]) -> None:
    """
    Check what a refused command is to be answered with.

    Raises:
        ValueError: If it is neither one of the words nor a status word that refuses.
    """
    try:
        sw = from_person(answer).hex()
        refuses = (
            len(sw) == len(answer) == 4 and sw[0] in "69" and sw[:2] not in {"61", "90", "91", "9f"}
        )
    except BadHexError:
        refuses = False
    if answer not in words and not refuses:
        raise ValueError(
            f"{answer[:20]!r} is neither {', '.join(words)} nor a status word such as 6985"
        )


def check(tables: Sequence[Table]) -> None:
    """
    Check tables of a settings file.

    Raises:
        ValueError: If one cannot work, or says nothing.
    """
    for number, table in enumerate(tables, start=1):
        try:
            _check(table)
        except ValueError as exc:
            raise ValueError(f"table {number}: {exc}") from exc


def _check(table: Table) -> None:
    if table.is_rule:
        patterns(table)
    elif table.profile is None and table.allow is None:
        raise ValueError("it has neither match, data or aid nor profile or allow")
    check_profiles(table.profile or ())


def check_profiles(profiles: Sequence[str]) -> None:
    """
    Check that profiles can be together.

    Raises:
        ValueError: If `full` is among others.
    """
    if Profile.FULL in profiles and len(profiles) > 1:
        raise ValueError("full refuses nothing; it stands alone")
