# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.heads: frames are found in any pieces, the first wrong one is, and all is counted."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings, strategies as st

from tests.support.raw_peer import LAST, PING, TEXT, frame, framed
from wsrc.net.heads import Heads

SIZES = (0, 1, 5, 125, 126, 127, 300, 65_535, 65_536, 70_000)


def pieces(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return (octets[start:end] for start, end in itertools.pairwise(places))


@pytest.mark.parametrize("masked", [True, False])
@given(
    sizes=st.lists(st.sampled_from(SIZES[:7]), max_size=4),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
)
def test_e32_the_first_wrong_frame_is_found_in_any_pieces(
    masked: bool, sizes: list[int], cuts: list[int]
) -> None:
    good = b"".join(framed(size, masked=masked) for size in sizes)
    whole = good + framed(3, masked=not masked)
    heads, seen = Heads(masked=masked), 0
    for piece in pieces(whole, cuts):
        at = heads.wrong_at(piece)
        if at is not None:
            assert seen + at == len(good) or (at == 0 and len(good) < seen < len(good) + 2)
            return
        seen += len(piece)
    raise AssertionError("it was not found")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [True, False])
def test_e32_right_frames_of_any_length_pass(size: int, masked: bool) -> None:
    one = framed(size, masked=masked)
    for step in (1, 7, len(one) * 2):
        heads = Heads(masked=masked)
        whole = one * 2
        for at in range(0, len(whole), step):
            assert heads.wrong_at(whole[at : at + step]) is None


@settings(max_examples=50)
@given(
    messages=st.lists(st.lists(st.sampled_from(SIZES), min_size=1, max_size=4), max_size=4),
    unfinished=st.lists(st.sampled_from(SIZES), max_size=3),
    ping=st.booleans(),
    masked=st.booleans(),
    cuts=st.lists(st.integers(0, 400_000), max_size=20),
)
def test_b17_what_is_held_is_known_wherever_it_is_cut(
    messages: list[list[int]], unfinished: list[int], ping: bool, masked: bool, cuts: list[int]
) -> None:
    stream, held = b"", 0
    for sizes in messages:
        for at, size in enumerate(sizes):
            last = LAST if at == len(sizes) - 1 else 0
            stream += framed(size, masked=masked, opcode=last | (TEXT if at == 0 else 0))
            stream += framed(4, masked=masked, opcode=LAST | PING) if ping else b""
        held += sum(sizes)
    for at, size in enumerate(unfinished):
        stream += framed(size, masked=masked, opcode=TEXT if at == 0 else 0)
    heads = Heads(masked=masked)
    for piece in pieces(stream, cuts):
        assert heads.wrong_at(piece) is None
        assert heads.octets <= len(stream)
    assert heads.octets == held + sum(unfinished)
    for sizes in messages:
        heads.taken(sum(sizes))
    assert heads.octets == sum(unfinished)


def test_b17_octets_that_come_one_by_one_are_counted() -> None:
    heads = Heads(masked=True)
    for octet in frame(bytes(200), TEXT):
        heads.wrong_at(bytes([octet]))
    assert heads.octets == 200
    heads.wrong_at(frame(b"", LAST))
    heads.taken(200)
    assert heads.octets == 0


def test_b17_a_length_that_nobody_can_send_does_no_harm() -> None:
    heads = Heads(masked=True)
    heads.wrong_at(bytes([LAST | TEXT, 0xFF]) + b"\xff" * 8 + bytes(4) + bytes(50))
    assert heads.octets == 50
    heads.taken(1000)
    assert heads.octets == 0
