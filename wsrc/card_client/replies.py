# SPDX-License-Identifier: Apache-2.0
"""What the server is told of requests, in one place."""

from collections.abc import Callable

from wsrc import messages as m
from wsrc.errors import ErrorCode, Outcome


class Replies:
    """
    Answers and refusals.

    Args:
        send: Takes messages for the server, and drops them while there is none.
    """

    def __init__(self, send: Callable[[m.Message], None]) -> None:
        self.send = send

    def refuse(
        self,
        asked: m.Message,
        code: ErrorCode,
        sentence: str,
        outcome: Outcome = Outcome.NOT_EXECUTED,
    ) -> None:
        """Answer with an error."""
        session = m.session_of(asked)
        self.send(m.error(code, sentence, id=asked.id, session=session, outcome=outcome))
