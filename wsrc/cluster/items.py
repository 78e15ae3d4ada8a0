# SPDX-License-Identifier: Apache-2.0
"""
What nodes say to each other over a road, as MessagePack.

A user's node speaks for each of its users: `link` is the number of that user there, which no other
has as long as that run of the node lasts.
"""

from typing import Final

import msgspec

from wsrc.errors import RemoteProtocolError

TAKES: Final = "takes"
"""What a node says in its greeting that knows `Takes`."""


class _Item(msgspec.Struct, frozen=True, array_like=True):
    """An item; fields that a later version adds come last and have a default."""


class Arrive(_Item, frozen=True, tag=1):
    """
    A user of the node wants something of a card here.

    Attributes:
        link: The user, from now until `Leave` or `Dismiss`.
        name: Of the principal, if it has one.
        groups: Of the principal.
        account: Among whose cards its own are counted, if anybody's.
        address: Where it is.
        hello: The `hello` that it said to its node.
        nonce: What its node gave it, for which it proves that a session is its own.
        age_s: How long ago it connected to its node, in seconds.
    """

    link: int
    name: str | None
    groups: tuple[str, ...]
    account: str | None
    address: str
    hello: bytes
    nonce: bytes
    age_s: float = 0.0


class Leave(_Item, frozen=True, tag=2):
    """A user is gone from its node."""

    link: int
    goodbye: bool


class Say(_Item, frozen=True, tag=3):
    """What a user says, as it came."""

    link: int
    text: bytes


class Tell(_Item, frozen=True, tag=4):
    """What a user is told; its node looks at it."""

    link: int
    text: bytes


class Pass(_Item, frozen=True, tag=5):
    """What a user is told that is nothing to its node: the answer to a command."""

    link: int
    text: bytes


class Dismiss(_Item, frozen=True, tag=6):
    """The relay closes on a user, who is none of it from now on."""

    link: int
    code: int
    reason: str


class Has(_Item, frozen=True, tag=7):
    """
    A card or host is here that was asked for by this number.

    Attributes:
        number: Of the question.
        key: What stands for the key that was asked for, as in subjects; who asked compares it, for
            anybody can ask in its name.
        twins: Other nodes that have another card of that number.
    """

    number: int
    key: str
    twins: tuple[str, ...] = ()


class Look(_Item, frozen=True, tag=8):
    """How many cards here does a request of a user mean? Answered by `Found`."""

    link: int
    number: int
    text: bytes


class Found(_Item, frozen=True, tag=9):
    """
    How many cards are meant, as far as the user sees them.

    Attributes:
        number: Of the `Look`.
        cards: Those that match.
        free: Those of them that could be had at once.
        candidates: A `list_cards_ack` with up to 10 of those that match.
    """

    number: int
    cards: int
    free: int
    candidates: bytes = b""


class Over(_Item, frozen=True, tag=10):
    """A user has given back a session that was interrupted, wherever its card comes up."""

    link: int
    session: str


class Takes(_Item, frozen=True, tag=11):
    """The node takes clients, who reach it at this host; at an empty one it takes none any more."""

    host: str


class Same(_Item, frozen=True, tag=20):
    """
    A card of a number is here that the other node has as well, or is here no more.

    Attributes:
        key: What stands for the number, as in subjects.
        hosts: The card hosts that have one here; none where none has any more.
    """

    key: str
    hosts: tuple[str, ...]


class Shown(_Item, frozen=True, tag=21):
    """
    The certificates that the node has by now, instead of those that it has greeted with.

    Attributes:
        chain: In DER, its own first.
        signature: By the key of its own, of what `greeting` says.
    """

    chain: tuple[bytes, ...]
    signature: bytes


class At(_Item, frozen=True, tag=22):
    """Where the node can be reached without NATS: a URL."""

    url: str


Knowledge = Has | At | Shown | Same | Look | Found | Takes
"""What a node says of itself and its cards."""

Item = Over | Arrive | Leave | Say | Tell | Pass | Dismiss | Knowledge

FEATURES: Final = frozenset({TAKES})
"""What a node can do besides what version 1 is."""

_encoder = msgspec.msgpack.Encoder()
_decoder: "msgspec.msgpack.Decoder[Item]" = msgspec.msgpack.Decoder(Item)


def encode(item: Item) -> bytes:
    """Return the octets of an item."""
    return _encoder.encode(item)


def decode(octets: bytes) -> Item:
    """
    Read an item.

    Raises:
        RemoteProtocolError: If it is none.
    """
    try:
        return _decoder.decode(octets)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise RemoteProtocolError(f"A node has sent what is no item: {exc}.") from exc
