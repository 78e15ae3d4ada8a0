# SPDX-License-Identifier: Apache-2.0
"""
Boxes: one sealed message each, bound to its session, direction, kind and number.

A number is sealed once. The same again gives the same octets, anything else is refused: two texts
under one nonce would give away both (RFC 5116 section 3.1).
"""

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wsrc.sealing.encoding import MAX_NUMBER, PURPOSE, number, pack
from wsrc.sealing.faults import Fault, SealError
from wsrc.words import Word

MAX_PAD_OCTETS = 4_096
"""Longest step to which the texts of boxes are padded."""

_END, _FILL = b"\x80", b"\x00"


class Direction(Word):
    """Which way a box goes."""

    REQUESTS = "requests", "From the user to the card host"
    ANSWERS = "answers", "From the card host to the user"


_NONCES = {Direction.REQUESTS: b"\x00\x00\x00\x01", Direction.ANSWERS: b"\x00\x00\x00\x02"}


class Opened(NamedTuple):
    """
    What was in a box.

    Attributes:
        text: The message.
        ran: Of a request: the highest number before it that, for all that the user has been told,
            may have run; 0 if none. Of an answer 0.
    """

    text: bytes
    ran: int


class _Kept(NamedTuple):
    """What was sealed last."""

    number: int
    kind: str
    text: bytes
    ran: int
    box: bytes


class Sealer:
    """
    Seals what one end says.

    Args:
        key: Of this direction.
        direction: Which way.
        session: Name of the session.
        pad_octets: A text is padded to a multiple of so many, 1 to `MAX_PAD_OCTETS`.
    """

    def __init__(self, key: bytes, direction: Direction, session: str, pad_octets: int = 1) -> None:
        self._aead = AESGCM(key)
        self._bound = _Bound(direction, session)
        self._pad_octets = pad_octets
        self._kept = _Kept(0, "", b"", 0, b"")

    def seal(self, kind: str, seq: int, text: bytes, ran: int = 0) -> bytes:
        """
        Seal a message.

        Args:
            kind: Its `msg_type`.
            seq: Number of its request, 1 or higher; none below that of the last message.
            text: The message.
            ran: See `Opened`.

        Raises:
            SealError: If the number was used for another message, or is below one that was.
        """
        kept = self._kept
        if seq == kept.number and (kind, text, ran) == kept[1:4]:
            return kept.box
        if not kept.number < seq <= MAX_NUMBER:
            why = f"Number {seq} of the session was sealed, or passed, with something else."
            raise SealError(Fault.NUMBER, why)
        plain = _padded(number(ran) + text, self._pad_octets)
        box = self._aead.encrypt(self._bound.nonce(seq), plain, self._bound.to(kind, seq))
        self._kept = _Kept(seq, kind, text, ran, box)
        return box


class Opener:
    """
    Opens what the other end has sealed; which numbers it takes is not its business.

    Args:
        key: Of this direction.
        direction: Which way.
        session: Name of the session.
    """

    def __init__(self, key: bytes, direction: Direction, session: str) -> None:
        self._aead = AESGCM(key)
        self._bound = _Bound(direction, session)

    def open(self, kind: str, seq: int, box: bytes) -> Opened:
        """
        Open a box.

        Raises:
            SealError: If it is not this session's, in this direction, of this kind and number.
        """
        if not 1 <= seq <= MAX_NUMBER:
            raise SealError(Fault.BOX, f"Number {seq} is none that a sealed message can have.")
        try:
            plain = self._aead.decrypt(self._bound.nonce(seq), box, self._bound.to(kind, seq))
        except InvalidTag:
            why = (
                f"The sealed message {seq} of the session was changed on its way, or is another's."
            )
            raise SealError(Fault.BOX, why) from None
        bare = plain.rstrip(_FILL)
        if len(bare) < 9 or not bare.endswith(_END):
            raise SealError(Fault.BOX, f"The sealed message {seq} of the session has no end.")
        return Opened(bare[8:-1], int.from_bytes(bare[:8]))


def check_order(seq: int, ran: int, taken: int) -> None:
    """
    Check at the card host that the user knows of all that has run.

    Args:
        seq: Number of a request that is new.
        ran: What the user says in it; see `Opened`.
        taken: Number of the request that was taken in hand last.

    Raises:
        SealError: If a request has run, or may have, of which the user was told that it had not.
    """
    if taken > ran:
        why = (
            f"Request {taken} was begun, though its user was told that it was not: the server may "
            f"have said so. Request {seq} is not begun."
        )
        raise SealError(Fault.ORDER, why)


class _Bound:
    """What the boxes of one direction of a session are bound to."""

    def __init__(self, direction: Direction, session: str) -> None:
        self._nonce = _NONCES[direction]
        self._head = pack(PURPOSE + b"box", session.encode(), direction.encode())

    def nonce(self, seq: int) -> bytes:
        """Return the nonce of a number: four octets for the direction, eight for the number."""
        return self._nonce + number(seq)

    def to(self, kind: str, seq: int) -> bytes:
        """Return the associated data of a message."""
        return self._head + pack(kind.encode(), number(seq))


def _padded(text: bytes, step: int) -> bytes:
    """Pad a text with 80h and then 00h to a multiple of a step (ISO/IEC 7816-4 clause 10.2.3.1)."""
    text += _END
    return text + _FILL * (-len(text) % step)
