# SPDX-License-Identifier: Apache-2.0
"""How many tries of a PIN or a key are left, as far as the answers of its card tell."""

from collections import OrderedDict
from typing import Final, NamedTuple

from wsrc.guard.commands import Secret

MAX_SECRETS: Final = 256
"""PINs and keys of one card that are remembered."""

MAX_CARDS: Final = 64
"""Cards of one reader whose PINs are remembered."""

_GSM_TRIES: Final = {Secret.PIN: 3, Secret.UNBLOCK: 10}
"""Tries of a CHV and of an UNBLOCK CHV (3GPP TS 51.011 clauses 8.9 and 8.13)."""

LOCAL: Final = 0x80
"""Bit of a key reference that belongs to an application (ETSI TS 102 221 table 9.3)."""


class Where(NamedTuple):
    """
    Which application has a key: its AID as it was selected, and whether that one it is.

    It is not `certain` after a file was selected: another directory may have keys of its own.
    """

    aid: bytes = b""
    certain: bool = False


class Tries:
    """
    What one card was heard to say of its PINs and keys.

    A key whose reference is global is the same in all applications. One that is local is that of
    each application that may be meant: AIDs are selected in part, and a reference 00 means the
    key that the application has.
    """

    def __init__(self) -> None:
        self._left: dict[tuple[bytes, Secret, int], int] = {}

    def known(self, where: Where, secret: Secret, reference: int) -> int | None:
        """Return how many tries are left at least for all that is known; None of no key."""
        found = [
            left
            for (aid, kind, each), left in self._left.items()
            if kind is secret and _may_be(each, reference) and _overlap(where, aid, each)
        ]
        return min(found, default=None)

    def learn(self, where: Where, secret: Secret, reference: int, sw: int) -> None:
        """Take what the card answered to a presentation, or to a question, that it refused."""
        key = _key(where, secret, reference)
        before = self._left.get(key)
        left: int | None = None
        if sw & 0xFFF0 == 0x63C0:
            left = sw & 0xF
        elif sw in {0x6983, 0x9840}:
            left = 0
        elif sw == 0x9804 and secret in _GSM_TRIES:
            left = max(0, (_GSM_TRIES[secret] if before is None else before) - 1)
        elif sw == 0x6300 and before is not None:
            left = max(0, before - 1)
        if left is not None:
            self._put(key, left)

    def lost(self, where: Where, secret: Secret, reference: int) -> None:
        """Note a presentation whose answer is not known."""
        self.learn(where, secret, reference, 0x6300)

    def verified(self, where: Where, secret: Secret, reference: int) -> None:
        """Note that a presentation was right: the counter is full, whatever that is."""
        self._left.pop(_key(where, secret, reference), None)
        if secret is Secret.UNBLOCK:
            self._left.pop(_key(where, Secret.PIN, reference), None)

    def _put(self, key: tuple[bytes, Secret, int], left: int) -> None:
        if len(self._left) >= MAX_SECRETS and key not in self._left:
            del self._left[max(self._left, key=self._left.__getitem__)]
        self._left[key] = left


class Memory:
    """
    The `Tries` of cards, by a name of each: as many as the latest ones used.

    What is known of a card outlives resets and sessions, as its counters do.
    """

    def __init__(self) -> None:
        self._cards: OrderedDict[str, Tries] = OrderedDict()

    def of(self, card: str) -> Tries:
        """Return what is known of a card."""
        tries = self._cards.setdefault(card, Tries())
        self._cards.move_to_end(card)
        if len(self._cards) > MAX_CARDS:
            self._cards.popitem(last=False)
        return tries


def _key(where: Where, secret: Secret, reference: int) -> tuple[bytes, Secret, int]:
    reference &= LOCAL | 0x1F
    of_all = not reference & LOCAL and reference
    return (b"" if of_all or not where.certain else where.aid), secret, reference


def _may_be(known: int, asked: int) -> bool:
    asked &= LOCAL | 0x1F
    return known == asked or not known or not asked


def _overlap(where: Where, aid: bytes, reference: int) -> bool:
    if not reference & LOCAL and reference:
        return True
    return not where.certain or aid.startswith(where.aid) or where.aid.startswith(aid)
