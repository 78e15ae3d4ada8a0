# SPDX-License-Identifier: Apache-2.0
"""Rulings of a policy in sentences."""

from collections.abc import Sequence
from typing import Final

from wsrc.policy.machine import Ground, Miss, Quota, Ruling

MOST: Final = 3
"""Lines that are named of each sort."""


def why(ruling: Ruling) -> str:
    """Return by which lines something is allowed, or why it is not."""
    if ruling.open:
        return "there is no policy"
    if ruling.grounds:
        return _some([_ground(each) for each in ruling.grounds])
    if not ruling.misses:
        return "no line gives it"
    meant = [miss for miss in ruling.misses if miss.meant]
    if meant:
        return _some([_miss(each) for each in meant])
    return f"{_lines([miss.line for miss in ruling.misses])} for others"


def quota_text(quota: Quota) -> str:
    """Return what somebody may reserve, in words."""
    most, longest = quota.reservations, quota.reserve_s
    return (
        f"{'as many' if most is None else most} reservations"
        f"{' as the server allows' if most is None else ' at a time'}, "
        f"each {'as long as any' if longest is None else f'of at most {longest:g} s'}, "
        f"with a priority of at most {quota.priority}"
    )


def _some(parts: Sequence[str]) -> str:
    more = len(parts) - MOST
    return "; ".join(parts[:MOST]) + (f"; and {more} more" if more > 0 else "")


def _ground(ground: Ground) -> str:
    needs = f", if {_and(ground.unknown)} fits" if ground.unknown else ""
    if len(ground.unknown) > 1:
        needs = f", if {_and(ground.unknown)} fit"
    return f"line {ground.line} for {' > '.join(ground.way)}{needs}"


def _miss(miss: Miss) -> str:
    return f"line {miss.line} is for cards with another {_and(miss.misfits, 'or')}"


def _lines(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]} is"
    shown = ", ".join(map(str, numbers[:MOST]))
    return f"lines {shown}{' and more' if len(numbers) > MOST else ''} are"


def _and(words: Sequence[str], word: str = "and") -> str:
    return f" {word} ".join(filter(None, (", ".join(words[:-1]), words[-1])))
