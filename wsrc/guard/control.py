# SPDX-License-Identifier: Apache-2.0
"""Which control codes of a reader make it give its card a command (PC/SC part 10)."""

from typing import Final, NamedTuple

from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST
from wsrc.guard.commands import Seen, read

_FIRST: Final = 0x0033_0000
"""Control number of feature n in the driver of pcsc-lite, where the reader was not asked: + n."""

_LAST_FEATURE: Final = 0x20

_DATA: Final = {0x01: 19, 0x06: 19, 0x03: 24, 0x07: 24}
"""
Where the command stands in what the features VERIFY and MODIFY PIN, START and DIRECT, are given
(part 10 clauses 2.5.2 and 2.5.3); four octets before it have its length.
"""

_HARMLESS: Final = frozenset({0x02, 0x04, 0x05, 0x0A, 0x0B, 0x0C, 0x0F, 0x10, 0x11, 0x12})
"""Features that ask the reader, its keys or its display, and no card; 02 and 04 end 01 and 03."""


class Asked(NamedTuple):
    """A control code: harmless, or with the command that the card is given, if that is known."""

    harmless: bool
    seen: Seen | None = None


def asked(number: int, octets: bytes, features: bytes) -> Asked:
    """
    Return what a control code does.

    Args:
        number: The same on every platform.
        octets: What the reader is given.
        features: What the reader answers to GET_FEATURE_REQUEST, with numbers.
    """
    if number == GET_FEATURE_REQUEST:
        return Asked(harmless=True)
    meanings = {tag for tag, each in _features(features) if each == number}
    if not meanings and 0 < number - _FIRST <= _LAST_FEATURE:
        meanings = {number - _FIRST}
    if meanings and meanings <= _HARMLESS:
        return Asked(harmless=True)
    places = {_DATA[tag] for tag in meanings if tag in _DATA}
    if len(places) != 1 or not meanings <= _DATA.keys():
        return Asked(harmless=False)
    (place,) = places
    command = octets[place:]
    size = int.from_bytes(octets[place - 4 : place], "little")
    if len(command) < 4 or len(command) != size:
        return Asked(harmless=False)
    return Asked(harmless=False, seen=read(command)._replace(empty=False))


def _features(octets: bytes) -> list[tuple[int, int]]:
    whole = range(0, len(octets) - 5, 6)
    return [(octets[at], int.from_bytes(octets[at + 2 : at + 6])) for at in whole]
