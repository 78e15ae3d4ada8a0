# SPDX-License-Identifier: Apache-2.0
"""Octets of a WebSocket, cut anywhere, as a server and as a client read them."""

from tests.support.raw_peer import PING, TEXT, frame
from wsrc.errors import RemoteProtocolError
from wsrc.net.frames import CLOSE, Frames

_LONGEST = 700

SEEDS = [
    bytes([cut, kind]) + octets
    for kind in (0, 1)
    for cut in (0, 3)
    for octets in (
        frame(b"{}", TEXT),
        frame(b"a", 0x01) + frame(b"b", 0x00) + frame(b"!", 0x80 | PING) + frame(b"c", 0x80),
        frame(b"x" * 200) + frame(b"\x03\xe8bye", 0x88),
        frame(b"\x03\xe8", 0x88) + frame(b"{}"),
        b"\x81\x02{}\x81\x7e\0\x80" + b"y" * 128,
        b"\x01\x01a\x80\x01b\x88\x02\x03\xe8",
    )
]
WORDS = [b"\x7e\0\x7e", b"\x7f\0\0\0\0\0\1\0\0", b"\x7f\xff" + b"\xff" * 7, b"\x81\x80\0\0\0\0"]
SHARE = 16


def one(data: bytes) -> None:
    """What is read does not depend on where it is cut, and never grows beyond a message."""
    if len(data) < 2:
        return
    size, masked, octets = data[0], bool(data[1] & 1), data[2:]
    whole = _read(masked, octets, len(octets) or 1)
    cut = _read(masked, octets, size or 1)
    assert cut[0] == whole[0]
    assert (cut[1] is None) == (whole[1] is None)
    if cut[1] is not None and whole[1] is not None:
        assert cut[1].close_code == whole[1].close_code


def _read(
    masked: bool, octets: bytes, size: int
) -> tuple[list[tuple[int, bytes]], RemoteProtocolError | None]:
    frames = Frames(masked=masked, longest=_LONGEST)
    taken: list[tuple[int, bytes]] = []
    try:
        for at in range(0, len(octets), size):
            frames.feed(octets[at : at + size], lambda kind, each: taken.append((kind, each)))
            assert frames.unfinished <= _LONGEST + 125
    except RemoteProtocolError as exc:
        frames.feed(b"\x81\x80\0\0\0\0", lambda *_: _fail("after an error"))
        return taken, exc
    assert all(len(each) <= _LONGEST for _, each in taken)
    assert [kind for kind, _ in taken[:-1] if kind == CLOSE] == [], "read beyond a close frame"
    return taken, None


def _fail(why: str) -> None:
    raise AssertionError(why)
