# SPDX-License-Identifier: Apache-2.0
"""What a WebSocket holds of a peer's messages, counted from its octets."""

import itertools

from hypothesis import given, settings, strategies as st

from tests.support.raw_peer import LAST, PING, TEXT, frame
from wsrc.net.incoming import Incoming

SIZES = st.sampled_from([0, 1, 5, 125, 126, 127, 300, 65_535, 65_536, 70_000])


def unmasked(octets: bytes) -> bytes:
    """Return a frame without its mask, which peers should not send."""
    at = 2 + {126: 2, 127: 8}.get(octets[1] & 0x7F, 0)
    return bytes([octets[0], octets[1] & 0x7F]) + octets[2:at] + octets[at + 4 :]


@settings(max_examples=50)
@given(
    messages=st.lists(
        st.tuples(st.lists(SIZES, min_size=1, max_size=4), st.booleans()), max_size=4
    ),
    unfinished=st.lists(SIZES, max_size=3),
    ping=st.booleans(),
    cuts=st.lists(st.integers(0, 400_000), max_size=20),
)
def test_b17_what_is_held_is_known_wherever_it_is_cut(
    messages: list[tuple[list[int], bool]], unfinished: list[int], ping: bool, cuts: list[int]
) -> None:
    stream, held = b"", 0
    for sizes, masked in messages:
        for at, size in enumerate(sizes):
            last = LAST if at == len(sizes) - 1 else 0
            piece = frame(bytes(size), last | (TEXT if at == 0 else 0))
            stream += piece if masked else unmasked(piece)
            stream += frame(b"ping", LAST | PING) if ping else b""
        held += sum(sizes)
    for at, size in enumerate(unfinished):
        stream += frame(bytes(size), TEXT if at == 0 else 0)
    incoming = Incoming()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in itertools.pairwise(places):
        incoming.feed(stream[start:end], len(stream) - end)
        assert incoming.octets <= len(stream)
    assert incoming.octets == held + sum(unfinished)
    for sizes, _ in messages:
        incoming.taken(sum(sizes))
    assert incoming.octets == sum(unfinished)


def test_b17_octets_that_come_one_by_one_are_counted() -> None:
    incoming = Incoming()
    told: list[int] = []
    incoming.tell = lambda: told.append(incoming.octets)
    for octet in frame(bytes(200), TEXT):
        incoming.feed(bytes([octet]))
    assert told[-1] == incoming.octets == 200
    incoming.feed(frame(b"", LAST), rest=7)
    assert told[-1] == 207
    incoming.feed(b"")
    incoming.taken(200)
    assert told[-1] == 0


def test_b17_a_length_that_nobody_can_send_does_no_harm() -> None:
    incoming = Incoming()
    incoming.feed(bytes([LAST | TEXT, 0xFF]) + b"\xff" * 8 + bytes(4) + bytes(50))
    assert incoming.octets == 50
    incoming.taken(1000)
    assert incoming.octets == 0
