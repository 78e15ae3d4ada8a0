# SPDX-License-Identifier: Apache-2.0
"""
What servers share, in a bucket of NATS.

Who asks is answered from memory. A change is made at the revision that is known, and made again
upon what another server has made meanwhile. An event loop in a thread of its own has the
connection.
"""

# Longer than the aim: each kind of thing that is shared has its reading and its changing.

import asyncio
import logging
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from wsrc.cluster.bucket import Bucket, BucketError, Entry, Limits, StaleError
from wsrc.cluster.names import Names
from wsrc.cluster.nats import Place
from wsrc.errors import ConfigError
from wsrc.protocol.messages import ClientType
from wsrc.relay.effects import Book
from wsrc.relay.kept import Change, Kept
from wsrc.relay.reservations import MOST as MOST_BOOKED, Booking, Numbering
from wsrc.server.shared_mirror import Mirror, node_key, number_of, token_key
from wsrc.server.shared_values import (
    CARD,
    NODE,
    NONCE_OCTETS,
    NOTE,
    TOKEN,
    CardValue,
    NodeValue,
    NoteValue,
    TokenValue,
    Value,
    Vault,
    booked,
)
from wsrc.server.state import NOT_WRITTEN, Stored, Told
from wsrc.server.token_store import MOST, hash_of
from wsrc.tokens import SECRET_OCTETS, made_of

_log = logging.getLogger(__name__)

SETTING: Final = "state"

START_S: Final = 20.0
"""How long it may take at the start until more is known of what is shared, or all."""

_POLL_S: Final = 0.02

CHANGE_S: Final = 12.0
"""How long a change may take, with all that is made meanwhile by others."""

TRIES: Final = 32
"""How often a change is made upon what others have made."""

AT_ONCE: Final = 64
"""Keys that are changed at once."""

MOST_NODES: Final = 1_000
"""Servers that share a state; the numbers of reservations have three digits for them."""

USED_S: Final = 600.0
"""How much later a token must be used than is known for that to be written."""

AGAIN_S: Final = 1.0
"""How long until what could not be written is written again, in seconds."""

R = TypeVar("R")


class Shared(NamedTuple):
    """
    Where a state is shared, by whom, and with which secret.

    Attributes:
        place: Where NATS is.
        names: Of this server.
        replicas: How many servers of NATS keep what is shared.
        secret: What all servers that share it have.
        epoch: Returns seconds since 1970.
    """

    place: Place
    names: Names
    replicas: int
    secret: bytes
    epoch: Callable[[], float]


class SharedState:
    """
    All that servers share; `start` it before it is used.

    Args:
        shared: Where, and by whom.
        limits: Of time.

    Raises:
        ConfigError: If a file that says who this server is cannot be used.
    """

    def __init__(self, shared: Shared, limits: Limits | None = None) -> None:
        self._shared = shared
        self._limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="state", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: list[Told] = []
        self._owed: dict[int, Book] = {}
        self._doubted: set[str] = set()
        """Keys with what may be written yet, long after: writing them anew keeps that out."""

        self._owes = asyncio.Event()
        self._place = -1
        self._bucket: Bucket
        self._mirror: Mirror
        self._said: set[str] = set()
        self._policy_wanted = asyncio.Event()
        self.policy: str | None = None
        """The digest of the policy in force here, empty without one; None before it is told."""

        self.token_changes = 0
        """How often the set of tokens has changed."""

    @property
    def where(self) -> str:
        """Where it is kept, for people."""
        return f"the bucket {self._bucket.name} of NATS"

    @property
    def numbering(self) -> Numbering:
        """Which numbers this server gives to reservations."""
        return Numbering(MOST_NODES, self._place)

    @property
    def up_to_date(self) -> bool:
        """Whether changes of other servers are known, and changes can be made."""
        return self._bucket.whole

    def with_another_policy(self, servers: Iterable[str]) -> list[str]:
        """Return which of these servers have another policy in force than this one."""
        of = {node.name: node.policy for node in self._mirror.every(NodeValue)}
        told = [name for name in servers if of.get(name) is not None]
        return sorted(name for name in told if of[name] != self.policy)

    def start(self, *, joins: bool = True, limit_s: float = START_S) -> None:
        """
        Know all that is shared; a server `joins` those that share it.

        Raises:
            ConfigError: If that cannot be known in time, or has values that are not read.
        """
        self._thread.start()
        try:
            self._run(self._begin(limit_s, joins=joins), None)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave; what is under way is given up."""
        if not self._loop.is_closed():
            if self._thread.is_alive():
                with suppress(TimeoutError):
                    asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CHANGE_S)
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(CHANGE_S)
            if not self._thread.is_alive():
                self._loop.close()

    def follow(self, told: Told) -> None:
        """Have changes told from now on, by the thread of this."""
        self._told.append(told)

    def publish_policy(self, digest: str) -> None:
        """Tell the other servers which policy is in force here, soon: SHA-256 in hexadecimal."""
        self.policy = digest
        self._loop.call_soon_threadsafe(self._policy_wanted.set)

    # Within the thread

    async def _begin(self, limit_s: float, *, joins: bool) -> None:
        shared = self._shared
        vault = Vault(shared.secret, f"wsrc-{shared.names.cluster}")
        self._mirror = Mirror(vault, self._changed)
        what = shared.place, shared.names, shared.replicas, self._took, self._limits
        self._bucket = Bucket(*what)
        self._spawn(self._bucket.run())
        known, due = 0, self._loop.time() + limit_s
        while not self._bucket.whole:
            if self._bucket.known > known:
                known, due = self._bucket.known, self._loop.time() + limit_s
            if self._loop.time() > due:
                raise BucketError(f"What servers share cannot be read. {self._bucket.why}")
            await asyncio.sleep(_POLL_S)
        for key, why in self._mirror.unreadable.items():
            raise BucketError(f"{self.where} has a value, {key}, that {why}. It is left as it is.")
        if joins:
            await self._join()
            self._spawn(self._pay())
            self._spawn(self._tell_policy())

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CHANGE_S)

    def _spawn(self, what: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _took(self, entry: Entry) -> None:
        why = self._mirror.take(entry)
        if why and entry.key not in self._said and len(self._said) < MOST:
            self._said.add(entry.key)
            _log.warning("A value that servers share, %s, is not used: it %s", entry.key, why)

    def _changed(self, before: Value | None, now: Value | None) -> None:
        match now if now is not None else before:
            case TokenValue():
                if before is None or now is None:
                    self.token_changes += 1
            case NoteValue(identity=identity):
                self._tell(identity, self._mirror.note(identity))
            case CardValue(identity=identity):
                self._tell_card(identity)
            case NodeValue() if isinstance(now, NodeValue):
                self._compare(before if isinstance(before, NodeValue) else None, now)
            case _:
                pass

    def _tell_card(self, identity: str) -> None:
        """Tell the reservations of a card, with what is to be written yet."""
        owed = [each for each in self._owed.values() if each.booking.identity == identity]
        value = self._booked(identity, owed)[1]
        placed = value.placed if isinstance(value, CardValue) else ()
        self._tell(identity, tuple(each.booking for each in placed))

    def _tell(self, identity: str, kept: Any) -> None:
        for told in self._told:
            told(identity, kept)

    async def _put(self, key: str, value: Value | None) -> None:
        """Have a key keep a value, upon the revision that is known."""
        held = self._mirror.held(key)
        if held.unreadable:
            raise BucketError(f"{key} of {self.where} {held.unreadable}.")
        if value == held.value and key not in self._doubted:
            return
        octets = None
        if value is not None:
            octets = self._mirror.vault.seal(key, value, secrets.token_bytes(NONCE_OCTETS))
        revision = await self._bucket.put(key, octets, held.revision)
        self._took(Entry(key, octets, revision))
        self._doubted.discard(key)

    async def _change(self, change: Callable[[], tuple[str, Value | None, R]]) -> R:
        """Make a change, which says what a key has by what it has; again if that is no more."""
        for _ in range(TRIES):
            key, value, result = change()
            known = self._mirror.held(key).revision
            try:
                await self._put(key, value)
            except StaleError:
                await self._bucket.look()
                if self._mirror.held(key).revision == known:
                    raise BucketError(
                        f"{self.where} has lost {key}: it was purged, or given less room than it "
                        "needs. What is known stays in force."
                    ) from None
                continue
            return result
        raise BucketError("Others change the same at the same time; try again.")

    # Tokens

    async def look(self) -> None:
        """Wait until all is known that was kept before."""
        await self._bucket.look()

    async def add_token(
        self, name: str, role: ClientType, now: float, expires: float | None
    ) -> str:
        """Make a token; see `Tokens.add`."""
        token = made_of(secrets.token_bytes(SECRET_OCTETS))

        def change() -> tuple[str, Value, str]:
            count = len(self._mirror.every(TokenValue))
            if count >= MOST:
                raise ConfigError("token", f"there are {count} tokens, the most; revoke some")
            number = max(map(number_of, self._mirror.keys(TOKEN)), default=0) + 1
            value = TokenValue(number, hash_of(token), name, role, now, expires)
            return token_key(number), value, token

        return await self._change(change)

    async def tokens(self) -> list[Stored]:
        """Return all tokens, by their numbers."""
        return [value.stored for value in self._tokens()]

    def _tokens(self) -> list[TokenValue]:
        return sorted(self._mirror.every(TokenValue), key=lambda each: each.number)

    async def revoke(self, which: Sequence[str]) -> list[Stored]:
        """Revoke tokens; see `Tokens.revoke`."""
        await self._bucket.look()
        found: dict[int, TokenValue] = {}
        every = self._tokens()
        for text in which:
            of_it = [each for each in every if text in {str(each.number), each.name}]
            if not of_it:
                raise ConfigError("token", f"there is none with the number or name {text!r}")
            found |= {each.number: each for each in of_it}
        for number in found:
            await self._change(partial(_given, token_key(number), None))
        return [each.stored for each in found.values()]

    async def used(self, when: Mapping[int, float]) -> None:
        """Note when tokens were used last; see `Tokens.used`."""
        for number, time in when.items():
            value = self._mirror.held(token_key(number)).value
            if not isinstance(value, TokenValue):
                continue
            if value.used is None or time >= value.used + USED_S:
                with suppress(StaleError):  # another was faster, or revoked it
                    await self._put(token_key(number), msgspec.structs.replace(value, used=time))

    # What users noted, and reservations

    async def noted(self) -> dict[str, Kept]:
        """Return what is kept of cards, by their identities."""
        return {v.identity: Kept(v.tags, v.comment) for v in self._mirror.every(NoteValue)}

    async def note(self, changes: Mapping[int, tuple[str, Change]]) -> dict[int, Kept | str]:
        """Keep changes; see `State.note`."""
        of_card: defaultdict[str, dict[int, Change]] = defaultdict(dict)
        for number, (identity, change) in changes.items():
            of_card[identity][number] = change
        done: dict[int, Kept | str] = {}

        async def note(identity: str, of_it: Mapping[int, Change]) -> None:
            try:
                done.update(await self._change(partial(self._noted, identity, of_it)))
            except BucketError as exc:
                _log.warning("What users note of a card cannot be kept: %s", exc)
                done.update(dict.fromkeys(of_it, NOT_WRITTEN))

        await _all([note(*each) for each in of_card.items()])
        return done

    def _noted(
        self, identity: str, changes: Mapping[int, Change]
    ) -> tuple[str, Value | None, dict[int, Kept | str]]:
        kept, done = self._mirror.note(identity), dict[int, Kept | str]()
        for number, change in changes.items():
            try:
                kept = done[number] = change.of(kept)
            except ValueError as exc:
                done[number] = str(exc)
        value = None if kept.empty else NoteValue(identity, kept.tags, kept.comment)
        return self._mirror.vault.key(NOTE, identity), value, done

    async def booked(self) -> tuple[tuple[Booking, ...], int]:
        """Return all reservations, by their numbers, and the greatest number that one ever had."""
        cards, utc = self._mirror.every(CardValue), self._shared.epoch()
        every = (b for card in cards for b in self._mirror.bookings(card.identity) if b.ends > utc)
        last = max((card.last for card in cards), default=0)
        return tuple(sorted(every, key=lambda each: each.number)), last

    async def book(self, changes: Sequence[Book]) -> Mapping[int, str]:
        """
        Keep reservations; see `State.book`.

        What nobody waits for is kept later if it cannot be now.
        """
        refused: dict[int, str] = {}
        of_card: dict[str, list[Book]] = {}
        for change in changes:
            of_card.setdefault(self._card_of(change), []).append(change)

        async def book(identity: str, of_it: Sequence[Book]) -> None:
            left = {self._where(each) for each in of_it} - {identity}
            try:
                refused.update(await self._change(partial(self._booked, identity, of_it)))
                for other in left:
                    await self._change(partial(self._booked, other, ()))
                if any(not each.number for each in of_it):  # which nobody is told of if refused
                    for each in (*left, identity):
                        self._tell_card(each)
            except BucketError as exc:
                _log.warning("Reservations of a card cannot be kept: %s", exc)
                refused.update({each.number: NOT_WRITTEN for each in of_it if each.number})
                self._owe(of_it, unknown=exc.unknown)

        await _all([book(*each) for each in of_card.items()])
        return refused

    def _where(self, change: Book) -> str:
        """Return the card that a reservation is kept for, which may be another by now."""
        at = self._mirror.where(change.booking.number)
        value = self._mirror.held(at[1]).value if at is not None else None
        return value.identity if isinstance(value, CardValue) else change.booking.identity

    def _card_of(self, change: Book) -> str:
        return self._where(change) if change.drops else change.booking.identity

    def _booked(
        self, identity: str, changes: Sequence[Book]
    ) -> tuple[str, Value | None, dict[int, str]]:
        key, card = self._mirror.vault.key(CARD, identity), self._mirror.card(identity)
        places = {each.booking.number: self._mirror.where(each.booking.number) for each in changes}
        moves = {n: at[0] for n, at in places.items() if at is not None and at[1] != key}
        made = booked(card, changes, moves, self._shared.epoch())
        never = not self._mirror.held(key).revision and not made.card.placed
        return key, None if never else made.card, made.refused

    def _owe(self, changes: Sequence[Book], *, unknown: bool) -> None:
        """Remember what is to be written yet; what was refused and may have been made is struck."""
        for each in changes:
            number = each.booking.number
            if each.number and (each.drops or not unknown):
                continue
            if len(self._owed) < MOST_BOOKED or number in self._owed:
                drops = each.drops or each.number > 0
                self._owed[number] = msgspec.structs.replace(each, number=0, drops=drops)
                self._owes.set()
                if unknown:
                    self._doubted.add(self._mirror.vault.key(CARD, each.booking.identity))

    async def _pay(self) -> None:
        """Write what could not be written, once it can be."""
        while True:
            await self._owes.wait()
            await asyncio.sleep(AGAIN_S)
            if not self._bucket.whole:
                continue
            owed = list(self._owed.values())
            await self.book(owed)
            for each in owed:  # but for what could not be, which is owed anew
                if self._owed.get(each.booking.number) is each:
                    del self._owed[each.booking.number]
            if not self._owed:
                self._owes.clear()

    # Which servers there are

    async def _join(self) -> None:
        """Have a place among the servers that share this."""
        name = self._shared.names.node

        def change() -> tuple[str, Value, int]:
            nodes = {number_of(key): self._mirror.held(key) for key in self._mirror.keys(NODE)}
            for place, held in nodes.items():
                if isinstance(held.value, NodeValue) and held.value.name == name:
                    return node_key(place), held.value, place
            free = next((n for n in range(MOST_NODES) if n not in nodes), None)
            if free is None:
                raise BucketError(f"{MOST_NODES} servers share {self.where} already, the most.")
            return node_key(free), NodeValue(name), free

        self._place = await self._change(change)

    async def _tell_policy(self) -> None:
        """Tell which policy is in force, whenever that is another."""
        name = self._shared.names.node
        while True:
            await self._policy_wanted.wait()
            self._policy_wanted.clear()
            value = NodeValue(name, self.policy or "")
            try:
                await self._change(partial(_given, node_key(self._place), value))
            except BucketError as exc:
                _log.debug("Which policy is in force is not told yet: %s", exc)
                await asyncio.sleep(AGAIN_S)
                self._policy_wanted.set()

    def _compare(self, before: NodeValue | None, now: NodeValue) -> None:
        """Log that another server has another policy by now, or the same."""
        if None in {self.policy, now.policy} or now.name == self._shared.names.node:
            return
        if now.policy != self.policy:
            _log.warning("Server %s has another policy in force than this one", now.name)
        elif before is not None and before.policy not in {None, now.policy}:
            _log.info("Server %s has the same policy in force as this one", now.name)

    # From other threads

    def run(self, what: Coroutine[Any, Any, R]) -> R:
        """
        Do something of this within its thread, and wait for it.

        Raises:
            ConfigError: If it could not be done, or may have been done.
        """
        return self._run(what, CHANGE_S)

    def _run(self, what: Coroutine[Any, Any, R], limit_s: float | None) -> R:
        async def limited() -> R:
            async with asyncio.timeout(limit_s):
                return await what

        try:
            return asyncio.run_coroutine_threadsafe(limited(), self._loop).result()
        except TimeoutError:
            why = "NATS does not answer in time. It may have been done; look before it is repeated"
        except BucketError as exc:
            more = " It may have been done; look before it is repeated." if exc.unknown else ""
            why = f"{exc}{more}"
        raise ConfigError(SETTING, why.rstrip("."))


def _given(key: str, value: Value | None) -> tuple[str, Value | None, None]:
    """Return a change after which a key has a value, whatever it had."""
    return key, value, None


async def _all(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Do all, some at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(work: Coroutine[Any, Any, None]) -> None:
        async with room:
            await work

    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(one(work))
