# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.masks: frames are found in any pieces, and the first wrong one is."""

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from wsrc.net.masks import Checked, Frames

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536)


def framed(size: int, *, masked: bool) -> bytes:
    """Return a frame with a payload that looks like heads of frames."""
    bit = 0x80 if masked else 0
    if size < 126:
        length = bytes([bit | size])
    elif size < 1 << 16:
        length = bytes([bit | 126]) + size.to_bytes(2)
    else:
        length = bytes([bit | 127]) + size.to_bytes(8)
    return (
        b"\x81"
        + length
        + (bytes(4) if masked else b"")
        + b"\x81\x00" * (size // 2)
        + b"x" * (size % 2)
    )


def pieces(octets: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut octets at places."""
    at = 0
    for cut in [*sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]:
        yield octets[at:cut]
        at = cut


@pytest.mark.parametrize("masked", [True, False])
@given(
    sizes=st.lists(st.sampled_from(SIZES[:5]), max_size=4),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
)
def test_e32_the_first_wrong_frame_is_found_in_any_pieces(
    masked: bool, sizes: list[int], cuts: list[int]
) -> None:
    good = b"".join(framed(size, masked=masked) for size in sizes)
    whole = good + framed(3, masked=not masked)
    frames, seen = Frames(masked=masked), 0
    for piece in pieces(whole, cuts):
        at = frames.wrong_at(piece)
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
        frames = Frames(masked=masked)
        whole = one * 2
        for at in range(0, len(whole), step):
            assert frames.wrong_at(whole[at : at + step]) is None


class Reader:
    """Notes what it is fed."""

    def __init__(self, *, broken: bool = False) -> None:
        self.fed = b""
        self.ended = False
        self.wrong: list[BaseException] = []
        self._broken = broken

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.fed += data
        return self._broken, b""

    def feed_eof(self) -> None:
        self.ended = True

    def set_exception(self, exc: BaseException) -> None:
        self.wrong.append(exc)


def test_e32_what_comes_before_a_wrong_frame_is_read_and_nothing_after_it() -> None:
    reader = Reader()
    checked = Checked(reader, reader, masked=True)
    good, wrong = framed(5, masked=True), framed(5, masked=False)
    assert checked.feed_data(good) == (False, b"")
    assert checked.feed_data(good + wrong) == (True, b"")
    assert reader.fed == good * 2
    assert [str(exc) for exc in reader.wrong] == ["A client masks its frames."]
    assert checked.feed_data(good) == (True, good)
    checked.feed_eof()
    assert reader.ended
    assert reader.fed == good * 2


def test_e32_what_is_wrong_before_is_what_is_told() -> None:
    reader = Reader(broken=True)
    checked = Checked(reader, reader, masked=False)
    assert checked.feed_data(framed(5, masked=True)) == (True, b"")
    assert reader.wrong == []
