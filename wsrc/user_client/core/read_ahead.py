# SPDX-License-Identifier: Apache-2.0
"""What the card host has sent before the program asked for it, and which command it answers."""

import msgspec

from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.user_client.core.look_ahead import LookAhead

FRESH_S = 2.0
"""
How long a read that was sent ahead answers for the card.

Limits of idle time at the server and at the card host run from the last request that was sent.
"""

_LOSES = (m.Batch, m.ResetReq, m.Reconnect, m.EndTransaction)
"""After which, as after a command, a card has nothing left for GET RESPONSE."""


class SentAhead:
    """
    The responses of one card that are known before they are asked for; times are in seconds.

    A read answers the very next command, octet for octet, or the next but those before it in the
    list, which no card shows. Whatever else is sent to the card or its reader is the end of all.
    """

    def __init__(self) -> None:
        self._fetched = LookAhead()
        self._reads: tuple[m.ReadAhead, ...] = ()
        self._until = 0.0
        self._used = 0
        self._sent = 0
        self._given: m.RApdu | None = None

    def put(self, cla: int, fetched: tuple[bytes, int] | None, answer: m.RApdu, now: float) -> None:
        """
        Keep what came with the answer to a command, unless `answer` is from here.

        Args:
            cla: Class byte of the command.
            fetched: What was fetched by GET RESPONSE: data and status word.
            answer: From the card client, or what `answer` returned.
            now: The time.
        """
        if answer is self._given:
            return
        if fetched is not None:
            self._fetched.put(cla, *fetched)
        self._reads, self._until = answer.read_ahead, now + FRESH_S
        self._used, self._sent = 0, len(answer.read_ahead)

    def answer(self, command: Octets, now: float, *, in_reach: bool) -> m.RApdu | None:
        """
        Return the response to a command if it is known, else None: then the card must be asked.

        Reads do not answer while the session is out of reach, for it may be over.
        """
        self._given = self._known(command, now, in_reach=in_reach)
        return self._given

    def _known(self, command: Octets, now: float, *, in_reach: bool) -> m.RApdu | None:
        octets = self._fetched.answer(command)
        if octets is not None:
            return m.RApdu(response=Octets(octets[:-2]), sw=octets[-2:].hex())
        reads, self._reads = self._reads, ()
        if not in_reach or now >= self._until:
            return None
        for at, read in enumerate(reads, start=1):
            if read.command == command:
                self._reads = reads[at:]
                self._used = self._sent - len(self._reads)
                return m.RApdu(response=read.response, sw=read.sw)
        return None

    def sending(self, request: m.Plain) -> m.Plain:
        """Return a request as it is to be sent now; it says what was used of the answer before."""
        if isinstance(request, _LOSES):
            self._fetched.drop()
        used, self._used, self._reads = self._used, 0, ()
        if used and isinstance(request, m.CApdu):
            return msgspec.structs.replace(request, used_ahead=used)
        return request
