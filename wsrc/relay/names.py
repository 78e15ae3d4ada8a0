# SPDX-License-Identifier: Apache-2.0
"""What card hosts and readers are called on a server: each otherwise, whatever they claim."""

import hashlib
import heapq
import itertools
import re
from dataclasses import dataclass, field

from wsrc.principal import Principal
from wsrc.relay.claims import Remembered
from wsrc.relay.records import Slot
from wsrc.relay.several import Several
from wsrc.selection import normal

MAX_HOST_NAME = 64
"""Characters of a name that a peer chose which are kept, and of one that was given a number."""

MAX_PRINCIPAL = 100
"""Characters of a principal that are shown; a longer one is told from others by a digest."""

MAX_SHOWN = 128
"""Characters of the name of a peer that has a principal."""

MAX_READER_ID = 256
"""Characters of the id of a reader."""

MAX_GAP = 64
"""A number is given to whoever had it only if at most so many are left out below it."""


def printable(name: str | None, most: int = MAX_HOST_NAME) -> str:
    """Return a name that a peer chose, fit for a terminal and a log."""
    name = name or ""
    if not name.isprintable():
        name = "".join(c for c in name if c.isprintable())
    return name[:most].strip()


def written(principal: str) -> str:
    """
    Return how a principal is shown: no other is shown so, and none with parentheses.

    Those are what a name that a peer chose stands in; in a principal they are `%28` and `%29`.
    """
    shown = re.sub(r"[()]|%(?=2[589])", lambda found: f"%{ord(found[0]):02X}", principal)
    if len(shown) < MAX_PRINCIPAL or (len(shown) == MAX_PRINCIPAL and "~" not in shown):
        return shown
    end = hashlib.sha256(principal.encode()).hexdigest()[:16]
    return f"{shown[: MAX_PRINCIPAL - 17]}~{end}"


def shown_name(who: Principal | None, free: str, *, known: bool) -> str:
    """
    Return what others are shown as the name of a peer.

    Args:
        who: Its principal.
        free: The name that it chose, or that stands for none.
        known: Whether peers are told apart by their principals, so that one without any is shown
            by its name in parentheses, which is no principal's.
    """
    if who is None:
        return f"({_inner(free)})" if known else free
    name = written(who.name)
    added = _inner(free)[: MAX_SHOWN - 10 - len(name)]
    return f"{name} ({added})" if added and added != name else name


def _inner(free: str) -> str:
    """Return a name that a peer chose without what would end it early in what is shown."""
    return free.replace("(", "[").replace(")", "]")


@dataclass(slots=True)
class _Numbers:
    """
    Those that `hosts` of one name have, or cannot have; the lowest free one is the next.

    `listed` are those that were free once, some of which are used by now.
    """

    hosts: int = 0
    used: set[int] = field(default_factory=set[int])
    listed: list[int] = field(default_factory=list[int])
    is_listed: set[int] = field(default_factory=set[int])
    highest: int = 0

    def next(self) -> int:
        """Take the lowest number."""
        number = None
        while self.listed and (number is None or number in self.used):
            number = heapq.heappop(self.listed)
            self.is_listed.remove(number)
        if number is None or number in self.used:
            number = self.highest + 1
        self.take(number)
        return number

    def take(self, number: int) -> None:
        """Take a number."""
        for between in range(self.highest + 1, number):
            self._list(between)
        self.highest = max(self.highest, number)
        self.used.add(number)

    def give_back(self, number: int) -> None:
        """Free a number."""
        self.used.remove(number)
        self._list(number)

    def _list(self, number: int) -> None:
        if number not in self.is_listed:
            self.is_listed.add(number)
            heapq.heappush(self.listed, number)


class HostNames:
    """
    Names of card hosts that are connected.

    The first of a name has it, the others have a number as well. A run of a card client that
    comes back has the name that it had, unless another was given it meanwhile.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, _Numbers] = {}
        self._shown: dict[str, tuple[str, int]] = {}
        self._last: Remembered[str] = Remembered()

    def enter(self, claimed: str, run: str | None, before: str | None) -> str:
        """
        Return what a card host is called from now on.

        Args:
            claimed: What it calls itself.
            run: That of its card client, None if not known.
            before: What a server called it before, in the same run.
        """
        base = normal("host", claimed)
        numbers = self._numbers.setdefault(base, _Numbers())
        number = self._former(claimed, numbers, self._last.get(run or ""))
        number = number or self._former(claimed, numbers, before)
        if number is not None:
            numbers.take(number)
        while number is None or normal("host", _numbered(claimed, number)) in self._shown:
            number = numbers.next()
        numbers.hosts += 1
        shown = _numbered(claimed, number)
        self._shown[normal("host", shown)] = base, number
        if run is not None:
            self._last.put(run, shown)
        return shown

    def leave(self, shown: str) -> None:
        """Free the name of a host that is gone."""
        base, number = self._shown.pop(normal("host", shown))
        numbers = self._numbers[base]
        numbers.give_back(number)
        numbers.hosts -= 1
        if not numbers.hosts:
            del self._numbers[base]

    def _former(self, claimed: str, numbers: _Numbers, name: str | None) -> int | None:
        """Return the number in a name that a host of this name had, if it is near to others."""
        if name is None:
            return None
        found = re.search(r" \(([1-9][0-9]{0,3})\)$", name)
        for number in (1, int(found[1])) if found else (1,):
            if name == _numbered(claimed, number) and number <= numbers.highest + MAX_GAP:
                return number
        return None

    def __len__(self) -> int:
        return len(self._shown) + len(self._numbers)


class ReaderIds:
    """
    Ids of the readers of all card hosts.

    Where `always` is set, each reader that is entered has the name of its host in its id and is
    found by the bare one as well, so that nobody learns from an id of readers that are hidden.

    An id that several readers claim is that of none of them: each has the name of its host in its
    id as well, until it goes. The bare id finds all of them, so that it is refused; when one is
    left, it finds that one only if it was called so before the others came.
    """

    def __init__(self) -> None:
        self._claims: Several[str, Slot] = Several()
        self._shown: dict[str, Slot] = {}
        self._former: set[Slot] = set()
        self.always = False

    def enter(self, slot: Slot) -> Slot | None:
        """Give a reader its id; return the one that is called otherwise because of it, if any."""
        base = _base_of(slot)
        self._claims.enter(normal("reader", base), slot)
        twins = self._claims.under(normal("reader", base))
        if self.always:
            self._call_with_host(slot, base)
            return None
        if len(twins) == 1 and normal("reader", base) not in self._shown:
            self._call(slot, base)
            return None
        self._call(slot, self._qualified(slot))
        if len(twins) == 1:
            return None
        other = next(iter(twins)) if len(twins) == 2 else None
        if other is not None and other.reader == _base_of(other):
            self._former.add(other)
            del self._shown[normal("reader", other.reader)]
            self._call(other, self._qualified(other))
        is_anothers = normal("reader", base) in self._shown
        for twin in (slot, other) if not is_anothers else ():
            if twin is not None:
                twin.ids = twin.reader, base
        return other

    def leave(self, slot: Slot) -> Slot | None:
        """Strike a reader; return the one that is found otherwise because of it, if any."""
        base = normal("reader", _base_of(slot))
        self._claims.strike(base, slot)
        twins = self._claims.under(base)
        del self._shown[normal("reader", slot.reader)]
        self._former.discard(slot)
        if self.always or len(twins) != 1 or (last := next(iter(twins))) in self._former:
            return None
        last.ids = (last.reader,)
        return last

    def _call_with_host(self, slot: Slot, base: str) -> None:
        """Give a reader an id with the name of its host, whatever others are called."""
        named = base.endswith(f"@{slot.peer.name}") and normal("reader", base) not in self._shown
        self._call(slot, base if named else self._qualified(slot))
        slot.ids = tuple(dict.fromkeys((slot.reader, base, slot.info.reader)))

    def _call(self, slot: Slot, reader: str) -> None:
        slot.reader, slot.ids = reader, (reader,)
        self._shown[normal("reader", reader)] = slot

    def _qualified(self, slot: Slot) -> str:
        """Return an id that has the name of the host, and is that of no other reader."""
        base, host = _base_of(slot), slot.peer.name
        ends = (f"@{host} ({number})" for number in itertools.count(slot.number))
        found = (_ending(base, end, MAX_READER_ID) for end in itertools.chain([f"@{host}"], ends))
        return next(each for each in found if self._is_new(normal("reader", each)))

    def _is_new(self, reader: str) -> bool:
        # Where nobody is called as they claim, a claim must not show in what another is called.
        return reader not in self._shown and (self.always or reader not in self._claims)

    def __len__(self) -> int:
        return len(self._claims) + len(self._shown) + len(self._former)


def _base_of(slot: Slot) -> str:
    """Return the id that a reader claims, with the name under which its host is shown."""
    reader, peer = slot.info.reader, slot.peer
    end = f"@{peer.claimed}"
    if peer.claimed and peer.name != peer.claimed and reader.endswith(end):
        return _ending(reader.removesuffix(end), f"@{peer.name}", MAX_READER_ID)
    return reader


def _numbered(claimed: str, number: int) -> str:
    longest = max(len(claimed), MAX_HOST_NAME)
    return claimed if number == 1 else _ending(claimed, f" ({number})", longest)


def _ending(text: str, end: str, longest: int) -> str:
    """Return a text with an end, shortened before it."""
    return text[: longest - len(end)] + end
