# SPDX-License-Identifier: Apache-2.0
"""The rules of a card: which commands a table of the owner's is for."""

from collections.abc import Sequence
from typing import NamedTuple

from wsrc.guard.commands import CHAINED, PSEUDO, Seen
from wsrc.guard.tables import ALLOW, Digits, Table, patterns
from wsrc.guard.tries import Where


class Rule(NamedTuple):
    """
    What is answered to some commands.

    A rule that refuses holds where a command may be meant; one that allows, where nothing else
    can be.
    """

    number: int
    header: Digits
    data: Digits
    aid: Digits
    answer: str

    def holds(self, seen: Seen, readings: Sequence[bytes], where: Where) -> bool:
        """Return whether the rule is for a command, whose data are one of `readings`."""
        allows = self.answer == ALLOW
        among = all if allows else any
        if not any(self.header.begins(header) for header in _headers(seen)):
            return False
        if self.data.mask and not among(self.data.begins(each) for each in readings):
            return False
        if not self.aid.mask:
            return True
        return self.aid.begins(where.aid) if allows else self.aid.may_begin(where.aid)


def _headers(seen: Seen) -> list[bytes]:
    """Return the header as it is, and with the class of the basic channel."""
    tail = bytes((seen.ins, seen.p1, seen.p2))
    classes = [seen.cla] if seen.cla == PSEUDO else [seen.cla, seen.cla & ~CHAINED, seen.base]
    return [bytes([cla]) + tail for cla in classes]


def rule_of(table: Table, number: int) -> Rule:
    """
    Return the rule of a table that is one; `number` is its place in the file, from 1.

    Raises:
        ValueError: If a pattern or the answer is none.
    """
    header, data, aid = patterns(table)
    # An odd instruction is the even one with other data, and is looked up as that.
    even = b"\xff\xfe\xff\xff"
    mask = bytes(map(int.__and__, header.mask, even))
    value = bytes(map(int.__and__, header.value, even))
    return Rule(number, Digits(mask, value), data, aid, table.answer.lower())
