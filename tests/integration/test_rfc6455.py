# SPDX-License-Identifier: Apache-2.0
"""
The cases of RFC 6455 that either end of a WebSocket has to stand, in whatever pieces they come.

They follow the sections of the Autobahn test suite: 1 lengths, 2 pings and pongs, 3 reserved bits,
4 opcodes, 5 fragments, 6 UTF-8, 7 closing. Messages are echoed, so that order can be seen.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tests.support.raw_peer import LAST, LOOPS, LoopFactory, frame, run, unmasked
from tests.support.served_peer import (
    CLOSE,
    PING,
    PONG,
    Heard,
    next_frame,
    talking,
)
from wsrc.errors import RemoteProtocolError
from wsrc.net.endpoint import Endpoint
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, check_utf8

TEXT, BINARY, MORE = 0x81, 0x82, 0x80
BEGIN, BEGIN_BINARY, GO_ON = 0x01, 0x02, 0x00
Frames = Sequence[tuple[int, bytes]]

HELLO = (TEXT, b"Hello, world!")
GREEK = "Hello-µ@ßöäüàá-UTF-8!!"
BAD = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"
END = (CLOSE, (1000).to_bytes(2))
NORMAL, WRONG, NO_TEXT, NO_UTF8, TOO_LONG = 1000, 1002, 1003, 1007, 1009


def says(*frames: tuple[int, bytes]) -> Frames:
    """Return frames that end with a close frame."""
    return [*frames, END]


def text_in(size: int, payload: bytes) -> Frames:
    """Return a text in fragments of so many octets."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    opcodes = [BEGIN if at == 0 else GO_ON for at in range(len(parts))]
    opcodes[-1] |= LAST
    return list(zip(opcodes, parts, strict=True))


def echoes(*payloads: bytes) -> Frames:
    """Return the frames that carry these texts."""
    return [(TEXT, payload) for payload in payloads]


CASES: dict[str, tuple[Frames, Frames, int]] = {
    **{
        f"1.1 {size}": (says((TEXT, b"*" * size)), echoes(b"*" * size), NORMAL)
        for size in (0, 125, 126, 127, 128, 65_535, 65_536)
    },
    **{
        f"1.2 binary {size}": ([(BINARY, b"\xfe" * size)], [], NO_TEXT)
        for size in (0, 125, 126, 65_536)
    },
    "2.1": (says((PING, b"")), [(PONG, b"")], NORMAL),
    "2.3 binary": (says((PING, b"\0\xff\xfe\xfd")), [(PONG, b"\0\xff\xfe\xfd")], NORMAL),
    "2.4 longest": (says((PING, b"\xfe" * 125)), [(PONG, b"\xfe" * 125)], NORMAL),
    "2.5 too long": ([(PING, b"\xfe" * 126)], [], WRONG),
    "2.7 unasked": (says((PONG, b"")), [], NORMAL),
    "2.8 unasked": (says((PONG, b"unasked")), [], NORMAL),
    "2.9 unasked, then asked": (says((PONG, b"no"), (PING, b"yes")), [(PONG, b"yes")], NORMAL),
    "2.10 ten": (
        says(*[(PING, b"%d" % n) for n in range(10)]),
        [(PONG, b"%d" % n) for n in range(10)],
        NORMAL,
    ),
    **{
        f"3 reserved bits {bits}": (
            [HELLO, (TEXT | bits << 4, b"x"), (PING, b"")],
            [HELLO],
            WRONG,
        )
        for bits in range(1, 8)
    },
    "3.7 reserved bit of a close frame": ([(CLOSE | 0x30, b"")], [], WRONG),
    "3.7 reserved bit of a ping": ([(PING | 0x20, b"")], [], WRONG),
    **{
        f"4 opcode {opcode}": ([HELLO, (MORE | opcode, b"x"), (PING, b"")], [HELLO], WRONG)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "5.1 a ping in pieces": ([(0x09, b"a"), (MORE, b"b")], [], WRONG),
    "5.2 a pong in pieces": ([(0x0A, b"a"), (MORE, b"b")], [], WRONG),
    "5.2 a close frame in pieces": ([(0x08, b"\x03"), (MORE, b"\xe8")], [], WRONG),
    "5.3": (says((BEGIN, b"a"), (MORE, b"b")), echoes(b"ab"), NORMAL),
    "5.6 a ping between": (
        says((BEGIN, b"a"), (PING, b"?"), (MORE, b"b")),
        [(PONG, b"?"), (TEXT, b"ab")],
        NORMAL,
    ),
    "5.9 nothing to go on with": ([(MORE, b"a"), HELLO], [], WRONG),
    "5.12 nothing to go on with, and more": ([(GO_ON, b"a"), HELLO], [], WRONG),
    "5.15 after a message": (
        [(BEGIN, b"a"), (MORE, b"b"), (GO_ON, b"c"), (TEXT, b"d")],
        echoes(b"ab"),
        WRONG,
    ),
    "5.18 begun anew": ([(BEGIN, b"a"), (TEXT, b"b")], [], WRONG),
    "5.18 begun anew in pieces": ([(BEGIN, b"a"), (BEGIN, b"b")], [], WRONG),
    "5.18 begun anew after nothing": ([(BEGIN, b""), (TEXT, b"b")], [], WRONG),
    "5.18 binary begun amid a text": ([(BEGIN, b"a"), (BINARY, b"b")], [], WRONG),
    "5.18 binary begun after nothing": ([(BEGIN, b""), (BINARY, b"b")], [], WRONG),
    "5.19": (
        says(
            (BEGIN, b"1"), (GO_ON, b"2"), (PING, b"one"), (GO_ON, b"3"), (GO_ON, b"4"),
            (PING, b"two"), (MORE, b"5"),
        ),
        [(PONG, b"one"), (PONG, b"two"), (TEXT, b"12345")],
        NORMAL,
    ),
    "5.20 pieces of a binary message": ([(BEGIN_BINARY, b"a"), (MORE, b"b")], [], NO_TEXT),
    "6.1 nothing": (says((TEXT, b"")), echoes(b""), NORMAL),
    "6.1 nothing in pieces": (says((BEGIN, b""), (GO_ON, b""), (MORE, b"")), echoes(b""), NORMAL),
    "6.1 something amid nothing": (
        says((BEGIN, b""), (GO_ON, b"middle"), (MORE, b"")),
        echoes(b"middle"),
        NORMAL,
    ),
    "6.2": (says((TEXT, GREEK.encode())), echoes(GREEK.encode()), NORMAL),
    "6.2 octets": (says(*text_in(1, GREEK.encode())), echoes(GREEK.encode()), NORMAL),
    "6.3": ([(TEXT, BAD)], [], NO_UTF8),
    "6.3 octets": (text_in(1, BAD), [], NO_UTF8),
    **{
        f"6 wrong {bad.hex()}": ([(TEXT, bad)], [], NO_UTF8)
        for bad in (
            b"\xce", b"\x80", b"\xbf", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xfe",
            b"\xff", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80",
        )
    },
    **{
        f"6 right {ord(good):x}": (says((TEXT, good.encode())), echoes(good.encode()), NORMAL)
        for good in "\0\x7f\x80\u07ff\u0800\ud7ff\ue000\ufffd\ufffe\uffff\U00010000\U0010ffff"
    },
    "7.1.1": ([HELLO, END], [HELLO], NORMAL),
    "7.1.2 twice": ([END, END], [], NORMAL),
    "7.1.3 a ping after it": ([END, (PING, b"?")], [], NORMAL),
    "7.1.4 a text after it": ([END, HELLO], [], NORMAL),
    "7.1.5 amid a message": ([(BEGIN, b"a"), END, (MORE, b"b")], [], NORMAL),
    "7.1.6 after a long message": (
        [(TEXT, b"*" * (256 << 10)), HELLO, END, (PING, b"")],
        [(TEXT, b"*" * (256 << 10)), HELLO],
        NORMAL,
    ),
    "7.1 wrong frames after it": ([END, (0xFF, b"x" * 126)], [], NORMAL),
    "7.3.1 no code": ([(CLOSE, b"")], [], NORMAL),
    "7.3.2 half a code": ([(CLOSE, b"a")], [], WRONG),
    "7.3.4 a reason": ([(CLOSE, b"\x03\xe8Done.")], [], NORMAL),
    "7.3.5 the longest reason": ([(CLOSE, b"\x03\xe8" + b"*" * 123)], [], NORMAL),
    "7.3.6 too long a reason": ([(CLOSE, b"\x03\xe8" + b"*" * 124)], [], WRONG),
    "7.5.1": ([(CLOSE, b"\x03\xe8" + BAD)], [], NO_UTF8),
    **{
        f"7.7 {code}": ([(CLOSE, code.to_bytes(2))], [], code)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
    **{
        f"7.9 {code}": ([(CLOSE, code.to_bytes(2))], [], WRONG)
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
    "the longest": (
        says((TEXT, b"*" * MAX_MESSAGE_OCTETS)),
        echoes(b"*" * MAX_MESSAGE_OCTETS),
        NORMAL,
    ),
    "too long": ([(TEXT, b"*" * (MAX_MESSAGE_OCTETS + 1))], [], TOO_LONG),
    "the longest in pieces": (
        says(*text_in(60_000, b"*" * MAX_MESSAGE_OCTETS)),
        echoes(b"*" * MAX_MESSAGE_OCTETS),
        NORMAL,
    ),
    "too long in pieces": (text_in(60_000, b"*" * (MAX_MESSAGE_OCTETS + 1)), [], TOO_LONG),
}  # fmt: skip


class Echo(Heard):
    """A speaker that sends back what it is told, as far as the server takes it."""

    def __init__(self, served: Endpoint) -> None:
        super().__init__()
        self._served = served

    def text(self, text: bytes) -> None:
        """Send it back."""
        if self._served.closing:
            return
        try:
            check_utf8(text)
        except RemoteProtocolError as exc:
            self._served.close(exc.close_code, str(exc))
            return
        self._served.forward(text)

    def binary(self, octets: bytes) -> None:
        """Refuse it."""
        self._served.close(NO_TEXT, "no")


async def _case(
    frames: Frames, answers: Frames, code: int, chop: int | None, *, is_client: bool = False
) -> None:
    octets = b"".join(
        unmasked(frame(payload, opcode)) if is_client else frame(payload, opcode)
        for opcode, payload in frames
    )
    async with talking(is_client=is_client) as (served, _, reader, writer):
        served.listen(Echo(served))
        if chop is None:
            writer.write(octets)
        else:
            for at in range(0, len(octets), chop):
                served.feed(octets[at : at + chop])
        for answer in answers:
            assert await next_frame(reader, is_masked=is_client) == answer
        first, payload = await next_frame(reader, is_masked=is_client)
        assert (first, int.from_bytes(payload[:2])) == (CLOSE, code)
        writer.write_eof()
        with suppress(ConnectionError):
            assert await reader.read() == b"", "nothing comes after a close frame"


@LOOPS
@pytest.mark.parametrize("is_client", [False, True], ids=["server", "client"])
@pytest.mark.parametrize("case", CASES)
def test_a_case_of_rfc_6455(loop_factory: LoopFactory, case: str, is_client: bool) -> None:
    run(loop_factory, _case(*CASES[case], None, is_client=is_client))


@pytest.mark.parametrize("chop", [1, 3])
@pytest.mark.parametrize("case", [c for c, (sent, *_) in CASES.items() if len(sent) < 99])
async def test_a_case_of_rfc_6455_in_pieces(case: str, chop: int) -> None:
    sent, answers, code = CASES[case]
    if sum(len(payload) for _, payload in sent) > 70_000:
        chop = 1021
    async with asyncio.timeout(20):
        await _case(sent, answers, code, chop)
