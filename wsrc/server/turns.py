# SPDX-License-Identifier: Apache-2.0
"""
Whose turn it is in the loop.

A peer has an allowance of the server's time. One that has used it up stands in a line with all
others that have; the line as a whole is given a part of the time. So a peer is as fast as ever
where nobody else wants anything, and one that floods the server slows down those that flood it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

ALLOWANCE = 0.02
"""Part of the server's time that a peer has before it stands in the line."""

BURST_S = 0.00025
"""How much of it a peer can have saved up, in seconds."""

SLICE_S = 0.00025
"""Seconds that whoever comes to the head of the line may use."""

LINE_SHARE = 0.5
"""Part of the server's time that all who stand in the line have together."""

LEAST_PAUSE_S = 0.001
"""The shortest pause that is made; a shorter one is added to the next."""

REST_TURNS = 3
"""Turns of the loop that the line leaves to others after a step of a new connection."""

FRAME_S = 20e-6
"""What a frame is charged at least, in seconds."""

SEND_S = 15e-6
"""What a message that is sent is charged beside the time that it took to make, in seconds."""


class Line:
    """
    The line in which those stand who have used up their allowance.

    Args:
        loop: The loop that they share.
        clock: Monotonic seconds, which go on amid a turn; those of uvloop's loop do not.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.time = clock
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._free_at = 0.0
        self._turns = 0
        self._armed = False

    def stand(self, call: Callable[[], None]) -> None:
        """Call `call` when its turn comes: one in each turn of the loop."""
        self._waiting.append(call)
        self._arm()

    async def wait(self, *, rest: bool = False) -> None:
        """Wait for one's turn; with `rest` the line rests after it."""
        turn: asyncio.Future[None] = self._loop.create_future()

        def come() -> None:
            if not turn.done():
                turn.set_result(None)
                if rest:
                    self.rest()

        self.stand(come)
        await turn

    def charge(self, seconds: float) -> None:
        """Note what was used by one from the line."""
        self._free_at = max(self._free_at, self.time()) + seconds / LINE_SHARE

    def rest(self) -> None:
        """
        Note that the one that had its turn has work to come, which is not known yet.

        The next of the line comes after `REST_TURNS` turns of the loop, which are others'; where
        there are no others, they take no time.
        """
        self._turns = REST_TURNS

    def _arm(self) -> None:
        if self._armed or not self._waiting:
            return
        self._armed = True
        self._come()

    def _come(self) -> None:
        """Call the next when it may come."""
        if self._turns:
            self._turns -= 1
            self._loop.call_soon(self._come)
            return
        pause_s = self._free_at - self.time()
        if pause_s >= LEAST_PAUSE_S:
            self._loop.call_later(pause_s, self._next)
        else:
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        self._armed = False
        call = self._waiting.popleft()
        try:
            call()
        finally:
            self._arm()


class Share:
    """
    What one peer uses of the server's time.

    Args:
        line: Where it stands once it has used up its allowance.
        go_on: Called when it may have its next frame looked at, after it had to wait.
    """

    def __init__(self, line: Line, go_on: Callable[[], None]) -> None:
        self._line = line
        self._go_on = go_on
        self._left_s = BURST_S
        self._seen = line.time()
        self._from_line = False

    def done(self, messages: int) -> None:
        """
        Charge the peer with a frame, and so many messages that were sent because of it.

        The frame is what was looked at since `next` returned True, or since `go_on` was called.
        """
        seconds = max(self._line.time() - self._seen, FRAME_S) + messages * SEND_S
        self._left_s -= seconds
        if self._from_line:
            self._line.charge(seconds)

    def next(self) -> bool:
        """Return whether the next frame may be looked at; if not, stand in the line."""
        now = self._line.time()
        self._left_s = min(BURST_S, self._left_s + (now - self._seen) * ALLOWANCE)
        self._seen = now
        if self._left_s > 0:
            return True
        self.stand()
        return False

    def stand(self) -> None:
        """Stand in the line, whatever is left of the allowance."""
        self._from_line = False
        self._line.stand(self._called)

    def _called(self) -> None:
        self._from_line = True
        self._left_s = SLICE_S
        self._seen = self._line.time()
        self._go_on()
