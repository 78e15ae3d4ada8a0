# SPDX-License-Identifier: Apache-2.0
"""The sessions that share a card, the transaction of one of them, and who waits for its end."""

from wsrc.card.slot import Disposition, Share
from wsrc.card_client.attachment import Held
from wsrc.errors import ErrorCode, RefusedError
from wsrc.protocol import messages as m
from wsrc.protocol.kinds import kind_of

_STRENGTH = list(Disposition)


class Turns:
    """
    Whose turn it is with one card; without I/O, times are seconds of one clock.

    Args:
        wait_s: How long a request waits for the end of another session's transaction.
        idle_s: How long a transaction may go without a request of its owner; 0 is no limit.
    """

    def __init__(self, wait_s: float, idle_s: float) -> None:
        self.owner: str | None = None
        self._wait_s = wait_s
        self._idle_s = idle_s
        self.sessions: dict[str, Held] = {}
        """Those who have the card, the oldest first."""
        self._depth = 0
        self._used = 0.0
        self._parked: list[tuple[m.Forwarded, float]] = []
        self._left = Disposition.LEAVE

    def may_share(self, held: Held, share: Share | None) -> bool:
        """Return whether a session may share its card otherwise: nobody else has it."""
        return share in {None, held.share} or len(self.sessions) == 1

    def may_join(self, share: Share) -> bool:
        """Return whether one more session can be had beside those that are there."""
        shares = {share, *(held.share for held in self.sessions.values())}
        return not self.sessions or shares == {Share.SHARED}

    def add(self, held: Held) -> None:
        """Enter a session."""
        self.sessions[held.session] = held

    def leave(self, session: str, disposition: Disposition) -> Held | None:
        """
        Strike a session, with its transaction and what it waits for.

        What it wants done with the card is remembered for `disposition`, if others have it still.
        """
        held = self.sessions.pop(session, None)
        self._parked = [each for each in self._parked if each[0].session != session]
        if self.owner == session:
            self._over()
        if held is not None and self.sessions:
            self._left = max(self._left, disposition, key=_STRENGTH.index)
        return held

    def clear(self) -> list[Held]:
        """Strike all sessions and return them."""
        ended = list(self.sessions.values())
        self.sessions.clear()
        self._parked.clear()
        self._left = Disposition.LEAVE
        self._over()
        return ended

    def disposition(self) -> Disposition:
        """Return, once, what those who left want done, as soon as no transaction is open."""
        if self.owner is not None:
            return Disposition.LEAVE
        wanted, self._left = self._left, Disposition.LEAVE
        return wanted

    def were_reset(self, by: str | None) -> None:
        """Note that the card was reset by one session, or by none of them."""
        for session, held in self.sessions.items():
            held.was_reset = session != by

    def begin(self, session: str, now: float) -> None:
        """Begin a transaction, or one more within it; nobody else has one."""
        self.owner = session
        self._depth += 1
        self._used = now

    def end(self, session: str) -> None:
        """
        End a transaction, or one within another.

        Raises:
            RefusedError: If the session has none.
        """
        if self.owner != session:
            why = "There is no transaction of this session that could end."
            raise RefusedError(ErrorCode.NOT_TRANSACTED, why)
        self._depth -= 1
        if not self._depth:
            self._over()

    def used(self, session: str, now: float) -> None:
        """Note that a session did something."""
        if session == self.owner:
            self._used = now

    def end_idle(self, now: float) -> str | None:
        """End a transaction that was not used for too long; return whose it was."""
        owner = self.owner
        if owner is None or not self._idle_s or now < self._used + self._idle_s:
            return None
        self._over()
        return owner

    def must_wait(self, request: m.Forwarded) -> bool:
        """Return whether a request has to wait for the end of another's transaction."""
        if self.owner in {None, request.session} or request.session not in self.sessions:
            return False
        return kind_of(request) not in {m.Status, m.GetAttribute}

    def park(self, request: m.Forwarded, now: float) -> None:
        """Queue a request behind those that wait already."""
        self._parked.append((request, now + self._wait_s))

    def unpark(self, request: m.Message) -> None:
        """Strike a request that waits no longer."""
        self._parked = [each for each in self._parked if each[0] is not request]

    def overdue(self, now: float) -> list[m.Forwarded]:
        """Return those that waited for too long; they wait no longer."""
        late = [request for request, due in self._parked if due <= now]
        self._parked = [each for each in self._parked if each[1] > now]
        return late

    def next_ready(self) -> m.Forwarded | None:
        """Return the first that need not wait any more; it does not."""
        ready = next((r for r, _ in self._parked if not self.must_wait(r)), None)
        if ready is not None:
            self.unpark(ready)
        return ready

    def due(self) -> float | None:
        """Return the time at which `overdue` or `end_idle` has something to return."""
        times = [due for _, due in self._parked]
        if self.owner is not None and self._idle_s:
            times.append(self._used + self._idle_s)
        return min(times, default=None)

    def _over(self) -> None:
        self.owner, self._depth = None, 0
