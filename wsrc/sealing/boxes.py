# SPDX-License-Identifier: Apache-2.0
"""
Boxes: one sealed message each, bound to its session, direction, kind and number.

A number is sealed once. The same again gives the same octets, anything else is refused: two texts
under one nonce would give away both (RFC 5116 section 3.1).
"""

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wsrc.sealing.encoding import MAX_NUMBER, PURPOSE, number, pack
from wsrc.sealing.faults import Fault, SealError
from wsrc.words import Word

MAX_PAD_OCTETS = 4_096
"""Longest step to which the texts of boxes are padded."""

_END, _FILL = b"\x80", b"\x00"
"""Padding of ISO/IEC 7816-4 clause 10.2.3.1."""

_NUMBER_OCTETS, _MOST_KINDS = 8, 32


class Direction(Word):
    """Which way a box goes."""

    REQUESTS = "requests", "From the user to the card host"
    ANSWERS = "answers", "From the card host to the user"


_NONCES = {Direction.REQUESTS: b"\x00\x00\x00\x01", Direction.ANSWERS: b"\x00\x00\x00\x02"}


class Opened(msgspec.Struct, frozen=True):
    """
    What was in a box.

    Attributes:
        text: The message.
        ran: Of a request: the highest number before it that, for all that the user has been told,
            may have run; 0 if none. Of an answer 0.
    """

    text: bytes
    ran: int


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
        self._last: tuple[int, str, bytes, int] = (0, "", b"", 0)
        self._box = b""

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
        last, asked = self._last, (seq, kind, text, ran)
        if asked == last:
            return self._box
        if not last[0] < seq <= MAX_NUMBER:
            why = f"Number {seq} of the session was sealed, or passed, with something else."
            raise SealError(Fault.NUMBER, why)
        nonce, data = self._bound.to(kind, seq)
        text = ran.to_bytes(_NUMBER_OCTETS) + text + _END
        if self._pad_octets > 1:
            text += _FILL * (-len(text) % self._pad_octets)
        self._box = self._aead.encrypt(nonce, text, data)
        self._last = asked
        return self._box


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
        nonce, data = self._bound.to(kind, seq)
        try:
            plain = self._aead.decrypt(nonce, box, data)
        except InvalidTag:
            why = (
                f"The sealed message {seq} of the session was changed on its way, or is another's."
            )
            raise SealError(Fault.BOX, why) from None
        bare = plain if plain.endswith(_END) else plain.rstrip(_FILL)
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
        self._heads: dict[str, bytes] = {}

    def to(self, kind: str, seq: int) -> tuple[bytes, bytes]:
        """
        Return nonce and associated data of a message.

        The nonce has four octets for the direction and eight for the number.
        """
        octets = seq.to_bytes(_NUMBER_OCTETS)
        head = self._heads.get(kind) or self._new(kind)
        return self._nonce + octets, head + octets

    def _new(self, kind: str) -> bytes:
        head = self._head + pack(kind.encode(), number(0))[:-_NUMBER_OCTETS]
        if len(self._heads) < _MOST_KINDS:
            self._heads[kind] = head
        return head
