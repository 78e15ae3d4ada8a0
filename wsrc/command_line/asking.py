# SPDX-License-Identifier: Apache-2.0
"""Puts the questions of a generator to a card, a command after the other."""

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

from wsrc.card.apdu import Command, Response

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card

T = TypeVar("T")


def answer(card: "Card", questions: Generator[Command, Response, T]) -> T:
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
