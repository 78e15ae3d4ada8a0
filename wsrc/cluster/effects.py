# SPDX-License-Identifier: Apache-2.0
"""What a node asks of what carries its messages."""

import msgspec


class Publish(msgspec.Struct, frozen=True):
    """Send whoever subscribes a subject some octets."""

    subject: str
    octets: bytes


class Ask(msgspec.Struct, frozen=True):
    """Publish, and tell the node by the number if nobody subscribes the subject."""

    subject: str
    octets: bytes
    number: int


class Subscribe(msgspec.Struct, frozen=True):
    """Have the node hear what is published under a subject."""

    subject: str


class Unsubscribe(msgspec.Struct, frozen=True):
    """Take that back."""

    subject: str


class Reach(msgspec.Struct, frozen=True):
    """Connect to a node where it can be reached without NATS, again and again; empty is not to."""

    node: str
    url: str


class Straight(msgspec.Struct, frozen=True):
    """Send a node some octets over the connection that there is to it."""

    node: str
    octets: bytes


class Flush(msgspec.Struct, frozen=True):
    """Call `flush` when what has come by now is dealt with: what is said then goes together."""


Carried = Publish | Ask | Subscribe | Unsubscribe | Reach | Straight | Flush
