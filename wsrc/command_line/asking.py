# SPDX-License-Identifier: Apache-2.0
"""Puts the questions of a generator to a card, a command after the other."""

from collections.abc import Generator
from typing import Protocol, TypeVar

from wsrc.card.apdu import Command, Response

T = TypeVar("T")


class AskedCard(Protocol):
    """What is needed of a card that is asked."""

    def transmit(self, command: bytes) -> Response:
        """See `blocking.Card.transmit`."""
        ...


def answer(card: AskedCard, questions: Generator[Command, Response, T]) -> T:
    """
    Return what the questions come to.

    Raises:
        WsrcError: As `transmit`.
    """
    command = next(questions)
    while True:
        response = card.transmit(command.encode())
        try:
            command = questions.send(response)
        except StopIteration as done:
            result: T = done.value
            return result
