# SPDX-License-Identifier: Apache-2.0
"""Sessions that ended at this card client, for users who come back and ask."""

import msgspec

from wsrc.protocol import messages as m
from wsrc.session import CardEnd, Late

MAX_ENDED = 256
"""Ended sessions whose users a card client can still tell what became of the last request."""


class Ended:
    """Sessions that ended at this card client, for users who come back and ask."""

    def __init__(self) -> None:
        self._by_name: dict[str, tuple[Late, str, m.SessionEnded]] = {}

    def put(self, end: CardEnd, said: m.SessionEnded, *, given_back: bool = False) -> None:
        """Remember how a session ended; of too many the oldest is forgotten."""
        self._by_name.pop(end.session, None)
        late = end.late(given_back=given_back)
        if late is None:
            return
        self._by_name[end.session] = late, end.owner, said
        if len(self._by_name) > MAX_ENDED:
            del self._by_name[next(iter(self._by_name))]

    def answer(self, request: m.Resume) -> m.SessionEnded | None:
        """Return how a session ended, if that is known and its rightful user asks."""
        late, owner, said = self._by_name.get(request.session, (None, "", None))
        if late is None or said is None or request.owner != owner:
            return None
        answer = late.answer(request, said)
        return None if answer is None else msgspec.structs.replace(answer, id=request.id)
