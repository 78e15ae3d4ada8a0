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

_END, _FILL, _LAST = b"\x80", b"\x00", 0x80
"""Padding of ISO/IEC 7816-4 clause 10.2.3.1."""

_NUMBER_OCTETS, _MOST_KINDS = 8, 32


class Direction(Word):
    """Which way a box goes."""

    REQUESTS = "requests", "From the user to the card host"
    ANSWERS = "answers", "From the card host to the user"


_NONCES = {Direction.REQUESTS: b"\x00\x00\x00\x01", Direction.ANSWERS: b"\x00\x00\x00\x02"}


class Opened(msgspec.Struct, frozen=True, gc=False):
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
        pad_octets: A text is padded to a multiple of so many, 1 to 4,096.
    """

    def __init__(self, key: bytes, direction: Direction, session: str, pad_octets: int = 1) -> None:
        self._encrypt = AESGCM(key).encrypt
        self._nonce, self._heads = _NONCES[direction], _Heads(direction, session)
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
        last = self._last
        if not last[0] < seq <= MAX_NUMBER:
            if last == (seq, kind, text, ran):
                return self._box
            why = f"Number {seq} of the session was sealed, or passed, with something else."
            raise SealError(Fault.NUMBER, why)
        octets, plain = seq.to_bytes(_NUMBER_OCTETS), ran.to_bytes(_NUMBER_OCTETS) + text + _END
        if self._pad_octets > 1:
            plain += _FILL * (-len(plain) % self._pad_octets)
        self._box = self._encrypt(self._nonce + octets, plain, self._heads[kind] + octets)
        self._last = seq, kind, text, ran
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
        self._decrypt = AESGCM(key).decrypt
        self._nonce, self._heads = _NONCES[direction], _Heads(direction, session)

    def open(self, kind: str, seq: int, box: bytes) -> Opened:
        """
        Open a box.

        Raises:
            SealError: If it is not this session's, in this direction, of this kind and number.
        """
        if not 1 <= seq <= MAX_NUMBER:
            raise SealError(Fault.BOX, f"Number {seq} is none that a sealed message can have.")
        octets = seq.to_bytes(_NUMBER_OCTETS)
        try:
            plain = self._decrypt(self._nonce + octets, box, self._heads[kind] + octets)
        except InvalidTag:
            why = (
                f"The sealed message {seq} of the session was changed on its way, or is another's."
            )
            raise SealError(Fault.BOX, why) from None
        if len(plain) <= _NUMBER_OCTETS or plain[-1] != _LAST:
            plain = _bare(plain, seq)
        return Opened(plain[_NUMBER_OCTETS:-1], int.from_bytes(plain[:_NUMBER_OCTETS]))


def _bare(padded: bytes, seq: int) -> bytes:
    """Return the plain text of a message without what fills it up."""
    plain = padded.rstrip(_FILL)
    if len(plain) <= _NUMBER_OCTETS or not plain.endswith(_END):
        raise SealError(Fault.BOX, f"The sealed message {seq} of the session has no end.")
    return plain


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


class _Heads(dict[str, bytes]):
    """Begins the associated data of the boxes of one direction of a session, by kind."""

    def __init__(self, direction: Direction, session: str) -> None:
        super().__init__()
        self._head = pack(PURPOSE + b"box", session.encode(), direction.encode())

    def __missing__(self, kind: str) -> bytes:
        head = self._head + pack(kind.encode(), number(0))[:-_NUMBER_OCTETS]
        if len(self) < _MOST_KINDS:
            self[kind] = head
        return head
