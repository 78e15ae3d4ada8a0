# SPDX-License-Identifier: Apache-2.0
"""
Which users see which readers: those for whom the same rules of the policy are see the same.

What is done at a change of a reader is done once for all of them, and what one audience is shown
tells nothing of readers that only another sees: neither numbers of readers nor of changes.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence

from wsrc.policy.machine import OPEN, Policy
from wsrc.protocol import messages as m
from wsrc.relay.audience import Audience
from wsrc.relay.effects import Effect
from wsrc.relay.free import Free
from wsrc.relay.index import Places
from wsrc.relay.readers import Readers, Watcher
from wsrc.relay.records import Slot, UserPeer
from wsrc.relay.ring import Ring
from wsrc.relay.shelves import Shelves

MAX_IDLE = 16
"""Audiences without a user that are kept, for watchers who come back."""

AT_ONCE = 64
"""Readers that are looked at in one turn for users for whom something is new."""


class Audiences:
    """
    All audiences, and the readers of each.

    Args:
        instance: Name of this run of the server, which no other run has.
        capacity: Changes that are kept of each for watchers that come back.
        slots: All slots of the relay, by number.
        places: Has the names of readers.
        view_of: Describes a slot as it is now.
    """

    def __init__(
        self,
        instance: str,
        capacity: int,
        slots: dict[int, Slot],
        places: Places,
        view_of: Callable[[Slot], m.ReaderView],
    ) -> None:
        self.policy: Policy = OPEN
        self._instance = instance
        self._capacity = capacity
        self._slots = slots
        self._places = places
        self._view_of = view_of
        self.moves = 0
        """How often a user was moved."""

        self._made = 0
        self._readers: dict[Audience, Readers] = {}
        self._users: dict[Audience, set[int]] = {}
        self._idle: dict[Audience, None] = {}
        self._by_party: dict[Hashable, Audience] = {}
        self._moved: dict[tuple[Audience, Hashable], Audience] = {}
        self._marked: dict[int, Slot] = {}
        self._all: tuple[Slot, ...] = ()
        self._made_for(None)

    def set_policy(self, policy: Policy) -> None:
        """Take another policy; those who are here already are moved one by one, by `move`."""
        self.policy = policy
        self._by_party.clear()
        self._moved.clear()
        for audience in list(self._idle):
            self._drop(audience)

    def all_moved(self) -> None:
        """Forget who was moved where, for there is nobody left to be moved."""
        self._moved.clear()

    def join(self, user: UserPeer) -> Readers | None:
        """Enter a user; return the readers if they are new, and some are to be looked at yet."""
        party = self.policy.party(user.principal)
        audience = self._by_party.get(party)
        new = audience is None
        if audience is None:
            audience = self._made_for(user)
        self._enter(user, audience)
        readers = self._readers[audience]
        return readers if new and readers.is_behind else None

    def move(self, user: UserPeer) -> Readers | None:
        """
        Enter a user under the policy that is in force now.

        Returns:
            The readers that are to be looked at again, where they are new. Whoever watched them
            until now sees the difference as changes.
        """
        before = user.audience
        assert before is not None
        self.moves += 1
        party = self.policy.party(user.principal)
        audience, made = self._moved.get((before, party)), None
        if audience is None:
            audience = Audience(self.policy, user.principal, party)
            made = self._readers[before].for_others(audience, self._new_instance())
            made.look_at_all(self._every())
            self._add(audience, made)
            self._moved[before, party] = audience
            self._by_party.setdefault(party, audience)
        watcher = self._readers[before].watchers.get(user.number)
        self.leave(user)
        self._enter(user, audience)
        if watcher is not None:
            self._readers[audience].watchers[user.number] = watcher
        return made

    def leave(self, user: UserPeer) -> None:
        """Strike a user, who watches no more; of too many audiences without users, forget one."""
        audience = user.audience
        if audience is None:
            return
        user.audience = None
        self._readers[audience].forget(user)
        users = self._users[audience]
        users.discard(user.number)
        if users:
            return
        self._idle[audience] = None
        if not self.is_current(audience):
            self._drop(audience)
        elif len(self._idle) > MAX_IDLE:
            self._drop(next(iter(self._idle)))

    def is_current(self, audience: Audience | None) -> bool:
        """Return whether the policy of an audience is in force."""
        return audience is None or audience.policy is self.policy

    def in_order(self, user: UserPeer, slots: Iterable[Slot]) -> list[Slot]:
        """Return readers that a user sees in the order in which it came to see them."""
        return sorted(slots, key=self.of(user).place_of)

    def of(self, user: UserPeer) -> Readers:
        """Return the readers that a user sees, who has said hello."""
        assert user.audience is not None
        return self._readers[user.audience]

    def free_of(self, audience: Audience | None) -> Free:
        """Return the free cards that an audience sees."""
        readers = self._readers.get(audience) if audience is not None else None
        return readers.free if readers is not None else Free()

    def is_behind(self, audience: Audience | None) -> bool:
        """Return whether some of the readers of an audience are to be looked at yet."""
        readers = self._readers.get(audience) if audience is not None else None
        return readers is not None and readers.is_behind

    def mark(self, slot: Slot) -> None:
        """Note that a slot may look different, or be gone."""
        self._marked[slot.number] = slot

    def settle(self) -> list[Effect]:
        """Enter every change since the last call, and return what watchers get."""
        if not self._marked:
            return []
        marked, self._marked = list(self._marked.values()), {}
        effects = [each for readers in self._readers.values() for each in readers.settle(marked)]
        gone = [slot for slot in marked if self._slots.get(slot.number) is not slot]
        for audience in self._readers if gone else ():
            for slot in gone:
                audience.forget(slot)
        return effects

    @property
    def watchers(self) -> dict[int, Watcher]:
        """All who watch readers, by the numbers of their connections."""
        all_readers = self._readers.values()
        return {user: each for readers in all_readers for user, each in readers.watchers.items()}

    def __len__(self) -> int:
        return sum(map(len, self._readers.values()))

    def _every(self) -> Sequence[Slot]:
        """Return all slots that there are now; audiences in a row share it."""
        last = self._slots.get(next(reversed(self._slots), 0))
        if len(self._all) != len(self._slots) or self._all[-1:] != ((last,) if last else ()):
            self._all = tuple(self._slots.values())
        return self._all

    def _made_for(self, user: UserPeer | None) -> Audience:
        who = user.principal if user is not None else None
        audience = Audience(self.policy, who, self.policy.party(who))
        shelves, ring = Shelves(self._places), Ring(self._capacity)
        instance = self._new_instance()
        readers = Readers(audience, instance, shelves, ring, self._slots, self._view_of)
        readers.look_at_all(self._every())
        readers.go_on(AT_ONCE)
        self._add(audience, readers)
        self._by_party[audience.party] = audience
        return audience

    def _add(self, audience: Audience, readers: Readers) -> None:
        self._readers[audience] = readers
        self._users[audience] = set()
        self._idle[audience] = None

    def _enter(self, user: UserPeer, audience: Audience) -> None:
        user.audience = audience
        self._idle.pop(audience, None)
        self._users[audience].add(user.number)

    def _drop(self, audience: Audience) -> None:
        del self._readers[audience], self._users[audience], self._idle[audience]
        audience.forget_all()  # now, and not that of all at once where they are forgotten
        if self._by_party.get(audience.party) is audience:
            del self._by_party[audience.party]

    def _new_instance(self) -> str:
        """Return the name of the run for one audience more; that of the first is the server's."""
        self._made += 1
        if self._made == 1:
            return self._instance
        return hashlib.sha256(f"{self._instance} {self._made}".encode()).hexdigest()[:32]
