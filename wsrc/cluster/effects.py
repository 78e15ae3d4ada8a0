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


Carried = Publish | Ask | Subscribe | Unsubscribe
