# SPDX-License-Identifier: Apache-2.0
"""What a node needs of that which carries datagrams, whatever it is."""

from typing import Protocol


class Carrier(Protocol):
    """
    Carries datagrams between nodes, and questions to whoever can answer.

    No method blocks or raises. What cannot be carried, because the carrier is not connected or its
    bound is full, is dropped and counted.
    """

    @property
    def connected(self) -> bool:
        """Whether what is published now goes out."""
        ...

    def publish(self, subject: str, octets: bytes) -> None:
        """Send octets to all who subscribe a subject."""
        ...

    def ask(self, subject: str, octets: bytes, number: int) -> None:
        """Publish a question; `Hears.nobody` is told its number where nobody subscribes."""
        ...

    def subscribe(self, subject: str) -> None:
        """Hear what is published under a subject; it is subscribed anew after each loss."""
        ...

    def unsubscribe(self, subject: str) -> None:
        """Hear no more of a subject."""
        ...


class Hears(Protocol):
    """Is told by a carrier what happens; it calls from one thread, in the order of arrival."""

    def heard(self, subject: str, octets: bytes) -> None:
        """Take what was published under a subject that is subscribed."""
        ...

    def nobody(self, number: int) -> None:
        """Take note that nobody subscribes the subject of a question."""
        ...

    def connection(self, *, is_there: bool) -> None:
        """Take note that the carrier's connection is lost, or there again."""
        ...
