# SPDX-License-Identifier: Apache-2.0
"""What is found on several servers, and which of them did not answer."""

from collections.abc import Iterable
from typing import TypeVar

from wsrc.protocol import messages as m

T = TypeVar("T")


class Listed(list[T]):
    """
    What was found.

    `unanswered` names the servers of a cluster whose part is missing, for they did not answer in
    time.
    """

    unanswered: tuple[str, ...] = ()


def missing(pages: Iterable[m.ListCardsAck | m.ListReadersAck | m.WhoAck]) -> tuple[str, ...]:
    """Return the servers that did not answer, as the pages of a list name them."""
    return tuple(dict.fromkeys(name for page in pages for name in page.unanswered))
