# SPDX-License-Identifier: Apache-2.0
"""The first request for a card, where it is sent within the select: what becomes of it."""

import msgspec

from wsrc.errors import OutcomeUnknownError, WsrcError
from wsrc.protocol import messages as m

_IN_DOUBT = "The card may or may not have run the command that was sent together with select_card."


class Then:
    """
    A request that follows a select, sent once.

    Args:
        request: The request.
        number: Its id.
    """

    def __init__(self, request: m.Following, number: int) -> None:
        self.in_doubt = False
        """Whether the card may have run it, for all that is known."""
        self._request = msgspec.structs.replace(request, id=number, seq=1)
        self._offered = True

    def within(self, select: m.SelectCard) -> m.SelectCard:
        """Return a select as it is to be sent now."""
        return msgspec.structs.replace(select, then=self._request) if self._offered else select

    def sent(self) -> None:
        """Note that the select was sent."""
        self.in_doubt |= self._offered

    def cut(self, *, in_order: bool) -> None:
        """
        Note that the connection is lost.

        What was sent is not sent again, unless a server that restarts closed it `in_order`: that
        has begun nothing that it has not answered.
        """
        if in_order and self._offered:
            self.in_doubt = False
        self._offered = self._offered and not self.in_doubt

    def heard(self, said: m.Message) -> None:
        """Take what the server says to the select: a card that is waited for begins nothing."""
        if self._offered:
            self.in_doubt = False
        if isinstance(said, m.Waiting):
            self._offered = False

    def taken(self, granted: m.SelectCardAck) -> m.Following | None:
        """Return the request where the server has taken it, and answers it next."""
        return self._request if granted.then and self._offered else None

    def is_asked_by(self, request: m.Message) -> bool:
        """Return whether a request is this one."""
        mine = msgspec.structs.replace(self._request, id=None, seq=None, session="")
        if not isinstance(request, m.Following):
            return False
        return mine == msgspec.structs.replace(request, id=None, seq=None, session="")

    def doubt(self, exc: WsrcError | None = None) -> OutcomeUnknownError:
        """Return what is raised for it where it is in doubt, and why the select failed, if so."""
        return OutcomeUnknownError(_IN_DOUBT if exc is None else f"{exc} {_IN_DOUBT}")
