# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.frames: frames are read in any pieces, as another reader of RFC 6455 reads them."""

import itertools
import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings, strategies as st
from websockets.frames import Close, Frame
from websockets.protocol import Protocol, Side, State

from tests.support.raw_peer import LAST, PING, TEXT, framed
from wsrc.errors import RemoteProtocolError
from wsrc.net.frames import BINARY, CLOSE, PONG, Frames, closing, head_of, masked

LONGEST = 100_000
SIZES = (0, 1, 5, 125, 126, 127, 300, 65_535, 65_536, 70_000)
CONTROL = 8
TOO_LONG, WRONG, NO_UTF8 = 1009, 1002, 1007


class Read(NamedTuple):
    """What was read, and the code and the sentence of what was wrong at the end, if anything."""

    frames: list[tuple[int, bytes]]
    code: int | None
    why: str


def pieces(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return (octets[start:end] for start, end in itertools.pairwise(places))


def read(octets: bytes, cuts: list[int] | None = None, *, is_masked: bool = True) -> Read:
    frames, found = Frames(masked=is_masked, longest=LONGEST), Read([], None, "")
    try:
        for piece in pieces(octets, cuts or []):
            frames.feed(piece, lambda opcode, payload: found.frames.append((opcode, payload)))
    except RemoteProtocolError as exc:
        frames.feed(framed(3, masked=is_masked), lambda *_: pytest.fail("it is over"))
        return Read(found.frames, exc.close_code, str(exc))
    return found


def wire(first: int, payload: bytes, mask: bytes, width: int = 0) -> bytes:
    """Return a frame; `width` is how many octets more its length has than it needs."""
    head = bytearray(head_of(first & 0x0F, len(payload), mask=bool(mask)))
    head[0] = first
    if width and len(payload) < 1 << 16:
        head = bytearray([first, head[1] & 0x80 | (126 if width == 2 else 127)])
        head += len(payload).to_bytes(width)
    return bytes(head) + mask + masked(payload, mask)


masks = st.binary(min_size=4, max_size=4)
sizes = st.one_of(st.integers(0, 130), st.sampled_from(SIZES))
cut_at = st.lists(st.integers(0, 400_000), max_size=12)


@st.composite
def right_streams(draw: st.DrawFn, *, is_masked: bool) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Draw messages in fragments, with control frames among them, and what is to be read."""
    octets, said = b"", []

    def add(first: int, payload: bytes) -> None:
        nonlocal octets
        octets += wire(first, payload, draw(masks) if is_masked else b"")

    for _ in range(draw(st.integers(0, 4))):
        opcode, message = draw(st.sampled_from([TEXT, BINARY])), b""
        parts = draw(st.lists(sizes, min_size=1, max_size=4))
        for at, size in enumerate(parts):
            payload = random.Random(size).randbytes(size)
            if len(message) + size > LONGEST:
                payload = b""
            message += payload
            if draw(st.booleans()):
                control = draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125))
                add(LAST | control[0], control[1])
                said.append(control)
            add((LAST if at == len(parts) - 1 else 0) | (0 if at else opcode), payload)
        said.append((opcode, message))
    return octets, said


@pytest.mark.parametrize("is_masked", [True, False])
@given(data=st.data(), cuts=cut_at)
def test_e32_messages_are_read_wherever_they_are_cut(
    data: st.DataObject, cuts: list[int], is_masked: bool
) -> None:
    octets, said = data.draw(right_streams(is_masked=is_masked))
    assert read(octets, cuts, is_masked=is_masked) == Read(said, None, "")


@st.composite
def any_frame(draw: st.DrawFn, *, is_masked: bool) -> bytes:
    """Draw a frame that is right, or wrong in one of the ways that there are."""
    opcode = draw(st.sampled_from([0, TEXT, BINARY, CLOSE, PING, PONG, 0, TEXT, 3, 7, 11, 15]))
    first = opcode | draw(st.sampled_from([LAST, LAST, 0])) | draw(st.sampled_from([0, 0, 0, 0x40]))
    if opcode == CLOSE:
        code = draw(st.integers(990, 1020) | st.integers(2990, 5010)).to_bytes(2)
        payload = draw(st.sampled_from([b"", b"x", code, code + b"why", code + b"\xff"]))
    else:
        payload = random.Random(0).randbytes(draw(sizes))
    wrongly = draw(st.integers(0, 20)) == 0
    return wire(first, payload, draw(masks) if is_masked is not wrongly else b"")


def as_others_read(octets: bytes, *, is_masked: bool) -> Read | None:
    """
    Read with the protocol of `websockets`, which leaves UTF-8 of texts to its user.

    None is for a close frame amid a message, which it refuses and RFC 6455 section 5.4 does not.
    """
    side = Side.SERVER if is_masked else Side.CLIENT
    protocol = Protocol(side, state=State.OPEN, max_size=LONGEST)
    protocol.receive_data(octets)
    found, message, kind = Read([], None, ""), b"", 0
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        opcode, payload = int(event.opcode), bytes(event.data)
        if opcode < CONTROL:
            kind, message = kind or opcode, message + payload
            if event.fin:
                found.frames.append((kind, message))
                kind, message = 0, b""
        else:
            found.frames.append((opcode, payload))
    failed = protocol.parser_exc
    if failed is None:
        return found
    if str(failed) == "incomplete fragmented message":
        return None
    return found._replace(code=WRONG)


@pytest.mark.parametrize("is_masked", [True, False])
@settings(max_examples=400)
@given(data=st.data(), cuts=cut_at)
def test_e32_right_and_wrong_frames_are_read_as_another_reader_does(
    data: st.DataObject, cuts: list[int], is_masked: bool
) -> None:
    frames = data.draw(st.lists(any_frame(is_masked=is_masked), max_size=6))
    octets = b"".join(frames)
    ours = read(octets, cuts, is_masked=is_masked)
    theirs = as_others_read(octets, is_masked=is_masked)
    if theirs is None:
        assert ours.code is not None or ours.frames[-1][0] == CLOSE
    else:  # of two things that are wrong with a frame each may tell another
        assert ours.frames == theirs.frames
        assert (ours.code is None) is (theirs.code is None)


@given(octets=st.binary(max_size=60), cuts=cut_at)
def test_e32_octets_that_are_no_frames_are_read_the_same_in_pieces(
    octets: bytes, cuts: list[int]
) -> None:
    assert read(octets, cuts) == read(octets)


@pytest.mark.parametrize(
    ("octets", "code", "why"),
    [
        (framed(3, masked=False), WRONG, "A client masks its frames."),
        (wire(0xC1, b"", b"mask"), WRONG, "A frame has a reserved bit, and no"),
        (wire(0x83, b"", b"mask"), WRONG, "There is no frame with opcode 3."),
        (wire(PING, b"", b"mask"), WRONG, "A control frame may not be in fragments."),
        (wire(0x89, b"x" * 126, b"mask"), WRONG, "A control frame may have 125 octets at most."),
        (wire(TEXT, b"", b"mask") * 2, WRONG, "A message begins amid another one."),
        (wire(LAST, b"", b"mask"), WRONG, "A frame goes on with a message that was not begun."),
        (wire(0x88, b"x", b"mask"), WRONG, "Invalid close code: 120"),
        (wire(0x88, b"\x03\xe8\xff", b"mask"), NO_UTF8, "The reason of a close frame is not UTF"),
        (wire(0x81, b"x" * 125, b"mask", 2), WRONG, "The length 125 of a frame is written in more"),
        (wire(0x81, b"x" * 300, b"mask", 8), WRONG, "The length 300 of a frame is written in more"),
        (b"\x81\xff" + (LONGEST + 1).to_bytes(8), TOO_LONG, "A message of 100001 octets is too lo"),
        (b"\x81\xff" + b"\xff" * 8, TOO_LONG, "A message of"),
        (
            wire(TEXT, b"x" * 99_999, b"mask") + b"\x80\x82",
            TOO_LONG,
            "A message of 100001 octets is too long; it may have 100000.",
        ),
    ],
)
def test_e32_what_is_wrong_is_said_as_soon_as_the_head_tells(
    octets: bytes, code: int, why: str
) -> None:
    for cuts in ([], list(range(min(len(octets), 400)))):
        found = read(octets, cuts)
        assert found.code == code
        assert found.why.startswith(why)


def test_e32_a_server_that_masks_is_told_so() -> None:
    found = read(framed(3, masked=True), is_masked=False)
    assert found == Read([], WRONG, "A server does not mask its frames.")


def test_e32_nothing_is_read_after_a_close_frame_or_a_stop() -> None:
    end = wire(0x88, b"\x03\xe8", b"mask")
    assert read(end + b"\xff" * 9) == Read([(CLOSE, b"\x03\xe8")], None, "")
    frames = Frames(masked=True, longest=LONGEST)
    frames.feed(framed(1, masked=True) * 3, lambda *_: frames.stop())
    frames.feed(framed(1, masked=True), lambda *_: pytest.fail("it was stopped"))


def test_e32_a_fault_of_whoever_takes_a_frame_ends_the_reading() -> None:
    frames = Frames(masked=True, longest=LONGEST)

    def fail(opcode: int, payload: bytes) -> None:
        raise ValueError(opcode, payload)

    with pytest.raises(ValueError, match="1"):
        frames.feed(framed(1, masked=True), fail)
    frames.feed(framed(1, masked=True), fail)


@settings(max_examples=50)
@given(
    unfinished=st.lists(sizes, max_size=3),
    part=st.integers(0, 200),
    is_masked=st.booleans(),
    cuts=cut_at,
    data=st.data(),
)
def test_b17_what_is_held_is_known_wherever_it_is_cut(
    unfinished: list[int], part: int, is_masked: bool, cuts: list[int], data: st.DataObject
) -> None:
    octets, _ = data.draw(right_streams(is_masked=is_masked))
    whole = [size for size in unfinished if size < 30_000]
    for at, size in enumerate(whole):
        octets += framed(size, masked=is_masked, opcode=0 if at else TEXT)
    rest = framed(300, masked=is_masked, opcode=0 if whole else TEXT)
    head = len(rest) - 300
    frames = Frames(masked=is_masked, longest=LONGEST)
    for piece in pieces(octets + rest[: head + part], cuts):
        frames.feed(piece, lambda *_: None)
    assert frames.unfinished == sum(whole) + part


def test_b17_fragments_of_an_octet_hold_an_octet_each() -> None:
    count, texts = 100_000, []
    frames = Frames(masked=True, longest=LONGEST)
    octets = wire(TEXT, b"", b"mask") + wire(0, b"x", b"mask") * count
    for at in range(0, len(octets), 4096):
        frames.feed(octets[at : at + 4096], lambda *_: pytest.fail("it is not whole"))
    assert frames.unfinished == count
    frames.feed(wire(LAST, b"", b"mask"), lambda _, payload: texts.append(payload))
    assert (texts, frames.unfinished) == ([b"x" * count], 0)


def test_b17_a_payload_that_comes_octet_by_octet_is_counted() -> None:
    frames = Frames(masked=True, longest=LONGEST)
    for octet in framed(200, masked=True, opcode=TEXT):
        frames.feed(bytes([octet]), lambda *_: None)
    assert frames.unfinished == 200


@given(payload=st.binary(max_size=300), mask=masks)
def test_a_mask_is_put_on_octet_by_octet(payload: bytes, mask: bytes) -> None:
    by_octet = bytes(octet ^ mask[at % 4] for at, octet in enumerate(payload))
    assert masked(payload, mask) == by_octet
    assert masked(payload, b"") == payload


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 200_003])
def test_a_mask_is_put_on_a_long_payload_in_blocks(size: int) -> None:
    payload = random.Random(size).randbytes(size)
    changed = masked(payload, b"\x01\x02\x03\x04")
    assert [changed[at] ^ payload[at] for at in range(65_530, size)] == [
        at % 4 + 1 for at in range(65_530, size)
    ]
    assert masked(changed, b"\x01\x02\x03\x04") == payload


@given(code=st.integers(0, 65_535), reason=st.text(max_size=30))
def test_e32_close_frames_are_taken_as_another_reader_takes_them(code: int, reason: str) -> None:
    payload = code.to_bytes(2) + reason.encode()
    try:
        Close.parse(payload)
    except Exception:  # noqa: BLE001 - whatever it has to say
        with pytest.raises(RemoteProtocolError):
            closing(payload)
    else:
        assert closing(payload) == (code, reason)


def test_e32_a_close_frame_may_have_no_code() -> None:
    assert closing(b"") == (1005, "")
