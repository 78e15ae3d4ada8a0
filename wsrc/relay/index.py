# SPDX-License-Identifier: Apache-2.0
"""Cards by ICCID, EID, ATR, reader and label: one dictionary look-up each."""

from collections.abc import Callable, Collection, Sequence

from wsrc.protocol.messages import ReaderState
from wsrc.relay.records import Slot
from wsrc.relay.several import Several
from wsrc.selection import KINDS, Key, Selection, lookups, normal

Sees = Callable[[Slot], bool]
"""Tells whether a slot exists for whoever asks."""


def everything(_slot: Slot) -> bool:
    """See any slot."""
    return True


def matches(selection: Selection, slot: Slot) -> bool:
    """Return whether the card in a slot has every key that is asked for."""
    return all(
        any(key in slot.keys for key in lookups(kind, value)) for kind, value in selection.items
    )


def kinds(selection: Selection, slot: Slot) -> set[str]:
    """Return the kinds of name by which a selection finds the card in a slot."""
    keys = (key for kind, value in selection.items for key in lookups(kind, value))
    return {kind.rstrip("~") for kind, text in keys if (kind, text) in slot.keys}


class Index:
    """Slots by key; the cost of a look-up does not depend on how many there are."""

    def __init__(self) -> None:
        self._slots: Several[Key, Slot] = Several()

    def put(self, slot: Slot, keys: tuple[Key, ...]) -> None:
        """File a slot under these keys and no others."""
        if slot.keys == keys:
            return
        for key in slot.keys:
            self._slots.strike(key, slot)
        slot.keys = keys
        for key in keys:
            self._slots.enter(key, slot)

    def find(self, selection: Selection, sees: Sees = everything) -> list[Slot]:
        """
        Return the slots that match all that is asked for, in the order in which they came.

        An exact ICCID hides one that agrees but for the check digit. Slots that are not seen by
        who asks change nothing in what is returned.
        """
        buckets = sorted((self._bucket(k, v, sees) for k, v in selection.items), key=len)
        return _in_all(buckets, sees)

    def under(self, key: Key) -> Collection[Slot]:
        """Return the slots that have a key."""
        return self._slots.under(key)

    def count(self, key: Key) -> int:
        """Count the slots that have a key."""
        return len(self.under(key))

    def _bucket(self, kind: str, value: str, sees: Sees) -> Collection[Slot]:
        if kind == "any":
            found: dict[Slot, None] = {}
            for each in KINDS:
                found.update(dict.fromkeys(self._bucket(each, value, sees)))
            return found
        for key in lookups(kind, value):
            bucket = self._slots.under(key)
            if any(map(sees, bucket)):
                return bucket
        return ()

    def __len__(self) -> int:
        return len(self._slots)


class Places:
    """Readers by id and by name, whether or not a card is in them."""

    def __init__(self) -> None:
        self._slots: Several[Key, Slot] = Several()
        self._keys: dict[Slot, tuple[Key, ...]] = {}

    def put(self, slot: Slot) -> None:
        """File a reader under its id and the name that it has now."""
        self.remove(slot)
        names = (*slot.ids, slot.info.name)
        self._keys[slot] = tuple(dict.fromkeys(("reader", normal("reader", n)) for n in names))
        for key in self._keys[slot]:
            self._slots.enter(key, slot)

    def remove(self, slot: Slot) -> None:
        """Take a reader out."""
        for key in self._keys.pop(slot, ()):
            self._slots.strike(key, slot)

    def keys_of(self, slot: Slot) -> tuple[Key, ...]:
        """Return the keys under which a reader is filed."""
        return self._keys.get(slot, ())

    def under(self, key: Key) -> Collection[Slot]:
        """Return the readers that are filed under a key."""
        return self._slots.under(key)

    def of(self, reader: str) -> list[Slot]:
        """Return the readers with this id."""
        filed = self._slots.under(("reader", normal("reader", reader)))
        return [slot for slot in filed if reader in slot.ids]

    def find(self, selection: Selection, sees: Sees = everything) -> list[Slot]:
        """Return the seen readers that work and are selected by nothing but their id or name."""
        keys = [("reader", normal("reader", value)) for _, value in selection.items]
        if any(kind not in {"reader", "any"} for kind, _ in selection.items):
            return []
        buckets = sorted(map(self._slots.under, keys), key=len)
        found = _in_all(buckets, sees)
        return [slot for slot in found if slot.info.state is not ReaderState.UNAVAILABLE]

    def __len__(self) -> int:
        return len(self._slots)


def _in_all(buckets: Sequence[Collection[Slot]], sees: Sees) -> list[Slot]:
    """Return the slots that are in every bucket, of which the first is the smallest."""
    smallest, *others = buckets
    found = [slot for slot in smallest if sees(slot) and all(slot in other for other in others)]
    return sorted(found, key=lambda slot: slot.number) if len(found) > 1 else found
