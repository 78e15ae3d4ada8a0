# SPDX-License-Identifier: Apache-2.0
"""Runs the questions of `wsrc.card.contents.reading` against whatever answers."""

from collections.abc import Callable, Generator

from wsrc.card.apdu import Command, Response
from wsrc.card.contents.reading import Reading

MOST_COMMANDS = 20_000
"""No card is asked more, whatever it answers."""


def run(
    questions: Generator[Command, Response, dict[str, Reading]],
    transmit: Callable[[Command], Response],
) -> dict[str, Reading]:
    """Ask until the questions end; give what was read."""
    command = next(questions)
    for _ in range(MOST_COMMANDS):
        try:
            command = questions.send(transmit(command))
        except StopIteration as done:
            result: dict[str, Reading] = done.value
            return result
    raise AssertionError("reading does not end")
