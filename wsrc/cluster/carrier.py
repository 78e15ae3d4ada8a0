# SPDX-License-Identifier: Apache-2.0
"""What carries datagrams and questions between nodes, and what it tells of them."""

from typing import Protocol


class Carrier(Protocol):
    """
    What carries datagrams between nodes, and questions to whoever can answer.

    No call blocks or fails for what the network does: what cannot be sent now is dropped and
    counted, as a network drops it.

    Attributes:
        connected: Whether what is published now has a way.
    """

    connected: bool

    def publish(self, subject: str, octets: bytes) -> None:
        """Send to all others that subscribe `subject`; dropped where the bound is full."""
        ...

    def ask(self, subject: str, octets: bytes, number: int) -> None:
        """Publish; `Hears.nobody` is told the number where nobody subscribes `subject`."""
        ...

    def subscribe(self, subject: str) -> None:
        """Hear what others publish to `subject`, over all connections to come; once is enough."""
        ...

    def unsubscribe(self, subject: str) -> None:
        """Hear nothing of `subject` any more, nor what is on its way."""
        ...


class Hears(Protocol):
    """What a carrier tells, in its event loop; none of it may block."""

    def heard(self, subject: str, octets: bytes) -> None:
        """Take what another published to a subject that is subscribed."""
        ...

    def nobody(self, number: int) -> None:
        """Know that nobody subscribes the subject of the question of this number."""
        ...

    def connection(self, *, is_there: bool) -> None:
        """Know that the carrier has its connection, with all that is subscribed, or lost it."""
        ...
