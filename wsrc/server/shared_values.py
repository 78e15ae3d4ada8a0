# SPDX-License-Identifier: Apache-2.0
"""
What servers share, as it is kept where neither they alone write nor they alone read.

A key is a kind and a number or a digest; a value is sealed with a key that only these servers have,
together with its name: who keeps it learns how much there is and when it changes, and can put back
an earlier value, but make none.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wsrc.protocol.messages import ClientType
from wsrc.relay.effects import Book
from wsrc.relay.kept import NO_TAGS
from wsrc.relay.reservations import GRACE_S, Booking
from wsrc.sealing.encoding import MAX_NUMBER
from wsrc.server.state import Stored

VERSION: Final = 1
"""First octet of a value; a later one is left alone."""

NONCE_OCTETS: Final = 12

TOKEN, NOTE, CARD, NODE = "token", "note", "card", "node"
"""Kinds of keys: by number a token and a server, by digest what users noted and reservations."""

MOST_OF_CARD: Final = 500
"""Reservations of one card."""

_DIGITS: Final = 32

_LATER = "was made by a later version of wsrc-server; use that version"
_OTHER = "was made with another state_key, or was changed; give all servers the same"

Number = Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]


class TokenValue(msgspec.Struct, frozen=True):
    """A token, as `Stored` has it."""

    number: Number
    hash: bytes
    name: str
    role: ClientType
    made: float
    expires: float | None = None
    used: float | None = None

    @property
    def stored(self) -> Stored:
        """The same, for the server."""
        return Stored(*msgspec.structs.astuple(self))


class NoteValue(msgspec.Struct, frozen=True):
    """What users noted of a card."""

    identity: str
    tags: Mapping[str, str] = NO_TAGS
    comment: str = ""


class Placed(msgspec.Struct, frozen=True):
    """A reservation, and how often it has come to another card: of two the last one counts."""

    booking: Booking
    moves: int = 0


class CardValue(msgspec.Struct, frozen=True):
    """The reservations of a card, and the greatest number that one of them ever had."""

    identity: str
    last: Number = 0
    placed: tuple[Placed, ...] = ()


class NodeValue(msgspec.Struct, frozen=True):
    """
    A server, and the SHA-256 of its policy in hexadecimal digits.

    That is empty without one, and None before the server has told it.
    """

    name: str
    policy: str | None = None


Value = TokenValue | NoteValue | CardValue | NodeValue

KINDS: Final[Mapping[type[Value], str]] = {
    TokenValue: TOKEN,
    NoteValue: NOTE,
    CardValue: CARD,
    NodeValue: NODE,
}
"""The kind of the keys of each kind of values."""

_TYPES = {kind: value for value, kind in KINDS.items()}


class UnreadableError(Exception):
    """A value that is not read, and so not changed; the text says why."""


class Vault:
    """
    Seals and opens values.

    Args:
        secret: What all servers of a cluster have, and nobody else.
        bucket: Name of where values are kept.
    """

    def __init__(self, secret: bytes, bucket: str) -> None:
        made = HKDF(SHA256(), 64, None, b"WSRC state " + bucket.encode()).derive(secret)
        self._seals = AESGCM(made[:32])
        self._names = made[32:]

    def key(self, kind: str, name: str) -> str:
        """Return the key of what is kept of a card under its identity."""
        digest = hmac.digest(self._names, f"{kind} {name}".encode(), hashlib.sha256).hex()
        return f"{kind}.{digest[:_DIGITS]}"

    def seal(self, key: str, value: Value, nonce: bytes) -> bytes:
        """Return a value as it is kept under a key; no two have the same nonce."""
        text = msgspec.msgpack.encode(value)
        return bytes([VERSION]) + nonce + self._seals.encrypt(nonce, text, key.encode())

    def open(self, key: str, octets: bytes) -> Value:
        """
        Return what is kept under a key.

        Raises:
            UnreadableError: If it was made by a later version, or with another secret.
        """
        kind = _TYPES.get(key.partition(".")[0])
        if kind is None or octets[:1] != bytes([VERSION]):
            raise UnreadableError(_LATER)
        nonce, sealed = octets[1 : 1 + NONCE_OCTETS], octets[1 + NONCE_OCTETS :]
        try:
            text = self._seals.decrypt(nonce, sealed, key.encode())
        except (InvalidTag, ValueError) as exc:
            raise UnreadableError(_OTHER) from exc
        try:
            return msgspec.msgpack.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise UnreadableError(_LATER) from exc


class Bookings(NamedTuple):
    """The reservations of a card after changes, and why some were not made, by their numbers."""

    card: CardValue
    refused: dict[int, str]


def booked(
    card: CardValue, changes: Iterable[Book], moves: Mapping[int, int], utc: float
) -> Bookings:
    """
    Make changes of reservations of one card, each as far as what is kept by now allows it.

    No two of a card overlap but those that gave way. One that was struck meanwhile is not brought
    back by a change of it. One that is over by our clock is kept for `GRACE_S`, for other clocks.

    Args:
        card: What is kept.
        changes: Of reservations of this card.
        moves: How often those came to another card that are of another one now, by their numbers.
        utc: Seconds since 1970.
    """
    placed = {p.booking.number: p for p in card.placed if p.booking.ends + GRACE_S > utc}
    refused: dict[int, str] = {}
    last = card.last
    for change in changes:
        booking, why = change.booking, ""
        before = placed.get(booking.number)
        if change.drops:
            if change.number or booking.ends > utc:
                placed.pop(booking.number, None)
        elif before is not None or booking.number in moves or change.number:
            why = _why_not(placed, booking)
            if not why:
                at = before.moves if before is not None else moves.get(booking.number, -1) + 1
                placed[booking.number] = Placed(booking, at)
                last = max(last, booking.number)
        if why:
            refused[change.number] = why
    return Bookings(CardValue(card.identity, last, tuple(placed.values())), refused)


def _why_not(placed: Mapping[int, Placed], booking: Booking) -> str:
    others = [p.booking for n, p in placed.items() if n != booking.number]
    if len(others) >= MOST_OF_CARD:
        return f"This card has {len(others)} reservations, the most; cancel some."
    for each in others:
        apart = each.ends <= booking.begins or booking.ends <= each.begins
        if not (apart or each.gave_way or booking.gave_way):
            return "Another server reserved this card for that time a moment ago."
    return ""
