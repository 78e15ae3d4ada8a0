# SPDX-License-Identifier: Apache-2.0
"""
Use readers and cards that come and go for some seconds, and fail at the first wrong answer.

Arguments: seconds, a seed, and `library` or a minor version for the scripted client. The card
answers 80 10 xx yy with xxyy octets that follow from these numbers.
"""

import random
import sys
import time
from collections.abc import Callable

from smartcard import scard

from wire_client import CANCELLED, SUCCESS, Line, Reader

MOST_OCTETS = 3000
EXPECTED = {
    0x80100009,  # UNKNOWN_READER
    0x8010000A,  # TIMEOUT
    0x8010000B,  # SHARING_VIOLATION
    0x8010000C,  # NO_SMARTCARD
    0x8010000F,  # PROTO_MISMATCH: reset by another, so no protocol until the reconnect
    0x80100016,  # NOT_TRANSACTED
    0x80100017,  # READER_UNAVAILABLE
    0x8010002E,  # NO_READERS_AVAILABLE
    0x8010002F,  # COMM_DATA_LOST: the card of a sealed session went before its first command came
    0x80100068,  # RESET_CARD
    0x80100069,  # REMOVED_CARD
}


class WrongAnswerError(Exception):
    """The service said what it must not say."""


def checked(code: int, what: str) -> bool:
    """Return whether a call succeeded; it may fail, but only as a card that goes makes it."""
    code &= 0xFFFFFFFF
    if code == SUCCESS:
        return True
    if code not in EXPECTED:
        raise WrongAnswerError(f"{what}: {code:#x}")
    return False


def command(draw: random.Random) -> tuple[bytes, bytes]:
    """Return a command, and what must be the answer."""
    size = draw.choice((0, 1, 254, 255, 256, 257, draw.randrange(MOST_OCTETS)))
    head = size.to_bytes(2)
    expected = bytes((head[0] + head[1] + i) & 0xFF for i in range(size))
    return b"\x80\x10" + head + b"\0\0\0", expected + b"\x90\x00"


def by_library(seconds: float, draw: random.Random) -> int:
    """Use libpcsclite; give how many commands were answered."""
    answered = 0
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    checked(result, "establish")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        result, names = scard.SCardListReaders(context, [])
        if not checked(result, "list"):
            continue
        name = draw.choice(names)
        if draw.random() < 0.3:
            states = [(each, draw.choice((0, 0x22))) for each in names]
            checked(scard.SCardGetStatusChange(context, draw.choice((0, 50)), states)[0], "change")
        share = draw.choice((scard.SCARD_SHARE_SHARED,) * 9 + (scard.SCARD_SHARE_EXCLUSIVE,))
        result, card, protocol = scard.SCardConnect(context, name, share, 3)
        if not checked(result, "connect"):
            continue
        if protocol != 2:
            raise WrongAnswerError(f"protocol {protocol}")
        answered += use_by_library(card, draw)
        checked(scard.SCardDisconnect(card, draw.choice((0, 0, 1, 2))), "disconnect")
    checked(scard.SCardReleaseContext(context), "release")
    return answered


def use_by_library(card: int, draw: random.Random) -> int:
    """Use one handle."""
    answered = 0
    locked = draw.random() < 0.5 and checked(scard.SCardBeginTransaction(card), "begin")
    for _ in range(draw.randrange(6)):
        asked, expected = command(draw)
        result, answer = scard.SCardTransmit(card, scard.SCARD_PCI_T1, list(asked))
        if not checked(result, "transmit"):
            checked(scard.SCardReconnect(card, 2, 3, draw.choice((0, 1)))[0], "reconnect")
            break
        if bytes(answer) != expected:
            raise WrongAnswerError(f"{len(answer)} octets instead of {len(expected)}")
        answered += 1
        checked(scard.SCardStatus(card)[0], "status")
    if locked:
        checked(scard.SCardEndTransaction(card, draw.choice((0, 0, 0, 1))), "end")
    return answered


def by_script(path: str, minor: int, seconds: float, draw: random.Random) -> int:
    """Use the scripted client; give how many commands were answered."""
    answered = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with Line(path, minor) as line:
            line.establish()
            for _ in range(draw.randrange(1, 30)):
                answered += use_by_script(line, draw)
    return answered


def use_by_script(line: Line, draw: random.Random) -> int:
    """Wait for a card, and use one handle."""
    answered = 0
    readers = a_card(line, draw)
    if line.minor >= 5 and not 1 <= line.reader_events() <= 0x7FFF:
        raise WrongAnswerError("reader events")
    present = [each.name for each in readers if each.state & 4]
    if not present:
        return 0
    code, card, _ = line.connect(draw.choice(present))
    if not checked(code, "connect"):
        return 0
    for _ in range(draw.randrange(6)):
        asked, expected = command(draw)
        code, size, answer = line.transmit(card, asked, protocol=2)
        if not checked(code, "transmit"):
            break
        if (size, answer) != (len(expected), expected):
            raise WrongAnswerError(f"{size} octets instead of {len(expected)}")
        answered += 1
        checked(line.status(card), "status")
    checked(line.disconnect(card, draw.choice((0, 0, 1, 2))), "disconnect")
    return answered


def a_card(line: Line, draw: random.Random) -> list[Reader]:
    """Wait a moment for a change, and give the readers."""
    readers = line.begin_wait()
    code = line.event(draw.choice((0, 0.02, 0.1)))
    if code is None:
        code = line.stop_wait()
    if code not in {SUCCESS, CANCELLED}:
        raise WrongAnswerError(f"event {code:#x}")
    return readers


def main() -> None:
    """Print how many commands were answered."""
    seconds, seed, how, path = sys.argv[1:5]
    draw = random.Random(int(seed))
    doing: Callable[[], int] = lambda: by_library(float(seconds), draw)  # noqa: E731 - one of two
    if how != "library":
        doing = lambda: by_script(path, int(how), float(seconds), draw)  # noqa: E731 - the other
    print(doing())


if __name__ == "__main__":
    main()
