# SPDX-License-Identifier: Apache-2.0
"""Servers that reserve cards by what each knows, late or not: no card is ever given twice."""

import itertools
from typing import Any

import msgspec
from hypothesis import given, settings, strategies as st

from wsrc.cluster.bucket import Entry
from wsrc.relay.effects import Book
from wsrc.relay.reservations import Booking, Numbering
from wsrc.server.shared_mirror import Mirror
from wsrc.server.shared_values import CARD, CardValue, Vault, booked

NOW = 1_800_000_000.0
VAULT = Vault(b"secret" * 8, "wsrc-c")
CARDS = ("iccid 1", "iccid 2")
NODES = 3

_times = st.tuples(st.integers(0, 6), st.integers(1, 3))
_steps = st.one_of(
    st.tuples(st.just("hear"), st.integers(0, NODES - 1), st.integers(1, 4)),
    st.tuples(st.just("reserve"), st.integers(0, NODES - 1), st.sampled_from(CARDS), _times),
    st.tuples(st.just("cancel"), st.integers(0, NODES - 1), st.integers(0, 9)),
    st.tuples(st.just("move"), st.integers(0, NODES - 1), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("link"), st.integers(0, NODES - 1), st.integers(0, 9)),
)


class Node:
    """A server, and up to which revision it was told."""

    def __init__(self, place: int, log: list[Entry]) -> None:
        self.mirror = Mirror(VAULT, lambda before, now: None)
        self.numbering = Numbering(1_000, place)
        self.log = log
        self.heard = 0
        self.last = 0

    def hear(self, count: int) -> None:
        for entry in self.log[self.heard : self.heard + count]:
            self.mirror.take(entry)
            self.heard += 1
        cards = self.mirror.every(CardValue)
        self.last = max([self.last, *(card.last for card in cards)])

    def known(self) -> list[Booking]:
        return sorted(
            (each for card in CARDS for each in self.mirror.bookings(card)),
            key=lambda each: each.number,
        )

    def change(self, identity: str, *changes: Book) -> bool:
        """Make changes as a server does: at the revision that is known, or upon the newest."""
        key = VAULT.key(CARD, identity)
        while True:
            at = {c.booking.number: self.mirror.where(c.booking.number) for c in changes}
            moves = {n: where[0] for n, where in at.items() if where and where[1] != key}
            made = booked(self.mirror.card(identity), changes, moves, NOW)
            held = self.mirror.held(key)
            newest = max((e.revision for e in self.log if e.key == key), default=0)
            if newest != held.revision:
                self.hear(len(self.log))
                continue
            if made.card != held.value and (held.value is not None or made.card.placed):
                revision = len(self.log) + 1
                octets = VAULT.seal(key, made.card, revision.to_bytes(12, "big"))
                self.log.append(Entry(key, octets, revision))
                self.mirror.take(self.log[-1])
            return not made.refused


class Servers:
    """All servers, and what their users were told."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.nodes = [Node(place, self.log) for place in range(NODES)]
        self.told: dict[int, Booking] = {}
        self.cancelled: set[int] = set()

    def do(self, step: tuple[Any, ...]) -> None:
        node = self.nodes[step[1]]
        match step[0]:
            case "hear":
                node.hear(step[2])
            case "reserve":
                self.reserve(node, step[2], *step[3])
            case _:
                known = node.known()
                if known:
                    self.alter(step, node, known[step[2] % len(known)])

    def reserve(self, node: Node, identity: str, begins: int, for_s: int) -> None:
        number = node.last = node.numbering.after(node.last)
        assert number not in self.told
        begin = NOW + 10.0 * begins
        digest = number.to_bytes(32, "big")
        booking = Booking(number, digest, "o", "ida", identity, begin, begin + 10.0 * for_s)
        if node.change(identity, Book(1, booking)):
            self.told[number] = booking

    def alter(self, step: tuple[Any, ...], node: Node, booking: Booking) -> None:
        if step[0] == "cancel":
            node.change(booking.identity, Book(1, booking, drops=True))
            self.cancelled.add(booking.number)
        elif step[0] == "link":
            linked = msgspec.structs.replace(booking, session=b"s")
            node.change(booking.identity, Book(0, linked))
        else:
            other = CARDS[1 - CARDS.index(booking.identity)]
            moved = msgspec.structs.replace(booking, identity=other)
            node.change(other, Book(0, moved))
            if step[3]:  # else the server dies between the two
                node.change(booking.identity)


@settings(max_examples=300, deadline=None)
@given(st.lists(_steps, max_size=40))
def test_no_two_reservations_of_a_card_overlap_and_none_that_was_told_is_lost(
    steps: list[tuple[Any, ...]],
) -> None:
    servers = Servers()
    for step in steps:
        servers.do(step)
    for node in servers.nodes:
        node.hear(len(servers.log))
    first, *others = [node.known() for node in servers.nodes]
    assert all(other == first for other in others)
    new = Node(7, servers.log)
    new.hear(len(servers.log))
    assert new.known() == first
    numbers = [each.number for each in first]
    assert len(set(numbers)) == len(numbers)
    for card in CARDS:
        kept = sorted((b.begins, b.ends) for b in first if b.identity == card)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(kept))
    assert {*numbers} <= {*servers.told}
    assert {*servers.told} - {*numbers} <= servers.cancelled
