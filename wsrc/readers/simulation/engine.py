# SPDX-License-Identifier: Apache-2.0
"""What a simulated card's transport asks of what runs its commands."""

from enum import Enum
from typing import Protocol

from wsrc.card.apdu import Command, Response


class Direction(Enum):
    """Which way the data of a T=0 command go (ISO/IEC 7816-3 clause 10.3)."""

    IN = "in"
    OUT = "out"


class Engine(Protocol):
    """What runs command APDUs, whatever protocol carries them."""

    def fetch_sw1(self, cla: int, /) -> int:
        """Return the SW1 by which T=0 announces response data: 61, or 9F of GSM commands."""
        ...

    def reset(self) -> None:
        """Forget what a reset takes away."""
        ...

    def direction(self, cla: int, ins: int) -> Direction:
        """
        Return whether P3 of a T=0 command is Lc or Le.

        Raises:
            StatusWordError: If the class or the instruction is not supported.
        """
        ...

    def process(self, command: Command, *, exact: bool) -> Response:
        """
        Run one command; the response data may be longer than Le.

        Args:
            command: The command.
            exact: Refuse with 6CXX an Le other than the number of octets that there are.

        Raises:
            StatusWordError: If the command fails.
        """
        ...
