# SPDX-License-Identifier: Apache-2.0
"""Datagrams of a road, and the items that come of them."""

import pytest
from hypothesis import given, strategies as st

from wsrc.cluster.arrivals import Arrivals
from wsrc.cluster.datagrams import (
    BARE,
    DATA,
    HEAD,
    MAX_GAPS,
    MAX_ITEM_OCTETS,
    MAX_WHY,
    MORE,
    PART,
    BrokenError,
    Gap,
    bare,
    packed,
    read_bare,
    shown,
)

ROOMY = 1_000, 10**6


def data(number: int, parts: bytes) -> bytes:
    return HEAD.pack(DATA, number, 0) + parts


def part(octets: bytes, *, more: bool = False) -> bytes:
    return PART.pack(len(octets) | (MORE if more else 0)) + octets


@given(
    st.lists(st.binary(max_size=50), max_size=20),
    st.integers(1, 30),
    st.integers(1, 30),
    st.randoms(),
)
def test_items_come_as_they_were_sent_in_whatever_order_their_datagrams_come(
    items: list[bytes], most: int, shared: int, order: object
) -> None:
    made = list(packed(items, most, min(shared, most)))
    assert sum(count for _, count in made) == len(items)
    datagrams = [data(n, parts) for n, (parts, _) in enumerate(made, 1)]
    shuffled = list(enumerate(datagrams, 1))
    order.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis draws a Random
    come, got = Arrivals(ROOMY), list[bytes]()
    for number, text in shuffled:
        assert not come.has(number)
        if number == come.taken + 1:
            got += come.next(text)
        else:
            come.early(number, text)
        assert come.has(number)
    assert got == items
    assert come.taken == come.highest == len(datagrams)
    assert not come.gaps()


def test_short_items_share_a_datagram_and_long_ones_have_several() -> None:
    items = [bytes(10)] * 100 + [bytes(2_500)]
    sizes = [(len(parts), count) for parts, count in packed(items, 1_000, 700)]
    assert sizes == [(700, 50), (700, 50), (1_004, 0), (1_004, 0), (504, 1)]


def test_gaps_say_what_is_missing() -> None:
    come = Arrivals(ROOMY)
    come.next(data(1, part(b"")))
    assert not come.has_gaps
    assert come.early(4, data(4, part(b"")))
    assert not come.early(5, data(5, part(b"")))
    assert not come.early(3, data(3, part(b"")))
    assert come.early(9, data(9, part(b"")))
    come.highest = 12
    assert come.has_gaps
    assert come.gaps() == [Gap(0, 1), Gap(4, 3), Gap(8, 3)]


def test_of_many_gaps_the_first_are_said_and_of_a_long_one_the_beginning() -> None:
    come = Arrivals(ROOMY)
    for number in range(2, 400, 2):
        come.early(number, data(number, b""))
    assert come.gaps() == [Gap(n, 1) for n in range(0, 2 * MAX_GAPS, 2)]
    come = Arrivals(ROOMY)
    come.highest = 10**12
    assert come.gaps() == [Gap(0, 2**16 - 1)]


def test_what_is_kept_before_its_turn_has_a_bound() -> None:
    come = Arrivals((10, 100))
    for number in range(2, 100):
        come.early(number, data(number, part(b"")))
    kept = [number for number in range(2, 100) if come.has(number)]
    assert kept == [2, 3, 4, 5]
    come = Arrivals((10, 10_000))
    for number in range(2, 100):
        come.early(number, data(number, part(b"")))
    assert [number for number in range(2, 100) if come.has(number)] == list(range(2, 11))


def test_the_room_of_what_was_taken_is_there_again() -> None:
    come = Arrivals((10, 50))
    for turn in range(20):
        number = 2 * turn + 1
        come.early(number + 1, data(number + 1, part(b"1234567890")))
        assert come.next(data(number, part(b""))) == [b"", b"1234567890"]


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        (b"\0", "no length"),
        (b"\0\0\0", "no length"),
        (PART.pack(1), "shorter than it says"),
        (PART.pack(5) + b"1234", "shorter than it says"),
        (PART.pack(MORE | 5) + b"1234", "shorter than it says"),
        (part(b"") + b"\0", "no length"),
    ],
)
def test_what_is_no_data_is_said_to_be_none(parts: bytes, why: str) -> None:
    with pytest.raises(BrokenError, match=why):
        Arrivals(ROOMY).next(data(1, parts))


def test_an_item_without_an_end_is_not_collected_for_ever() -> None:
    come = Arrivals(ROOMY)
    half = part(bytes(MAX_ITEM_OCTETS // 2), more=True)
    assert come.next(data(1, half)) == []
    assert come.next(data(2, half)) == []
    with pytest.raises(BrokenError, match="longer than one may be"):
        come.next(data(3, part(b"x")))


def test_an_item_may_have_2_mib_and_another_follows() -> None:
    come, item = Arrivals(ROOMY), bytes(MAX_ITEM_OCTETS)
    got = list[bytes]()
    sent = packed([item, item, b"x"], 512 * 2**10, 64 * 2**10)
    for number, (parts, _) in enumerate(sent, 1):
        got += come.next(data(number, parts))
    assert got == [item, item, b"x"]


def test_what_is_bare_says_ways_and_gaps() -> None:
    gaps = [Gap(0, 1), Gap(70_000, 65_535)]
    text = bare(7, 5, 3, gaps)
    assert HEAD.unpack_from(text) == (BARE, 7, 5)
    assert read_bare(text) == (3, gaps)
    for length in range(HEAD.size, len(text)):
        with pytest.raises(BrokenError, match="too short"):
            read_bare(text[:length])


def test_what_another_node_says_is_shown_without_what_a_terminal_obeys() -> None:
    assert shown(b"fine\x1b[2J\n\xff") == "fine?[2J?�"
    assert len(shown(bytes(10_000))) == MAX_WHY
