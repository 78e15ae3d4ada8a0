# SPDX-License-Identifier: Apache-2.0
"""What an answer to reset says of a card (ISO/IEC 7816-3 clause 8)."""

from collections.abc import Iterator
from typing import NamedTuple


class AtrFacts(NamedTuple):
    """
    Some of what an ATR tells.

    `euicc` is whether it announces eUICC functions (ETSI TS 102 221 table 6.7).
    """

    protocols: tuple[str, ...]
    historical: bytes
    euicc: bool


def read_atr(atr: bytes) -> AtrFacts | None:
    """Read an ATR; None where it ends too early."""
    if len(atr) < 2:
        return None
    try:
        levels = list(_levels(atr))
    except IndexError:
        return None
    offered = [number for number, _, _ in levels if number not in {None, 15}]
    end = levels[-1][2]
    historical = atr[end : end + (atr[1] & 0x0F)]
    if len(historical) < atr[1] & 0x0F:
        return None
    global_tb = next((tb for number, tb, _ in levels if number == 15), None)
    return AtrFacts(
        tuple(f"T={number}" for number in dict.fromkeys(offered)) or ("T=0",),
        historical,
        global_tb is not None and global_tb & 0x82 == 0x82,
    )


def _levels(atr: bytes) -> Iterator[tuple[int | None, int | None, int]]:
    """Give of each level of interface bytes its T, its TB and where it ends."""
    number: int | None = None
    present, at = atr[1] >> 4, 2
    while True:
        tb = atr[at + (present & 1)] if present & 2 else None
        at += (present & 7).bit_count()
        if not present & 8:
            yield number, tb, at
            return
        yield number, tb, at + 1
        number, present = atr[at] & 0x0F, atr[at] >> 4
        at += 1
