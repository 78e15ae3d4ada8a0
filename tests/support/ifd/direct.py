# SPDX-License-Identifier: Apache-2.0
"""What a program of the same host sees of a card: PC/SC called as pyscard has it."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from smartcard import scard  # noqa: TID251 - the reference that ours is compared with

from wsrc.card.pcsc_numbers import PROTOCOL_ANY

SHARED, DIRECT, UNPOWER = 2, 3, 2


class Seen(NamedTuple):
    """
    A card as a program finds it.

    `code` is of connecting; without success there is no more. An answer is a result code, or the
    octets of the response.
    """

    code: int
    protocol: int = 0
    atr: bytes = b""
    answers: tuple[int | bytes, ...] = ()


@contextlib.contextmanager
def connected(reader: str, share: int = SHARED, protocols: int = PROTOCOL_ANY) -> Iterator[int]:
    """Return a handle; a connection that fails is an AssertionError."""
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    assert code == 0
    try:
        code, card, _ = scard.SCardConnect(context, reader, share, protocols)
        assert code == 0, f"{code & 0xFFFFFFFF:08X}"
        yield card
        scard.SCardDisconnect(card, UNPOWER)
    finally:
        scard.SCardReleaseContext(context)


def ask(reader: str, commands: Sequence[str], protocols: int = PROTOCOL_ANY) -> Seen:
    """Connect to a card, freshly powered, and send it commands as they are."""
    code, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    assert code == 0
    try:
        code, card, protocol = scard.SCardConnect(context, reader, SHARED, protocols)
        if code:
            return Seen(code & 0xFFFF_FFFF)
        _, _, _, _, atr = scard.SCardStatus(card)
        answers = tuple(_transmit(card, protocol, command) for command in commands)
        scard.SCardDisconnect(card, UNPOWER)
    finally:
        scard.SCardReleaseContext(context)
    return Seen(0, protocol, bytes(atr), answers)


def _transmit(card: int, protocol: int, command: str) -> int | bytes:
    code, answer = scard.SCardTransmit(card, protocol, list(bytes.fromhex(command)))
    return code & 0xFFFF_FFFF or bytes(answer)
