# SPDX-License-Identifier: Apache-2.0
"""Pings: one timer looks after all peers of a server, some of them at a time."""

import asyncio

from wsrc.net.endpoint import Endpoint

PARTS = 64
"""Into how many parts the peers are divided, so that no turn of the loop is long."""


class Pulse:
    """
    Pings whoever was silent for `ping_s`, and breaks the connection if that is not answered.

    Each peer is looked at twice in `ping_s`: one that was heard since is left alone, one that was
    not is pinged, one that was pinged before is gone. So one that vanishes is missed after 1.5
    times `ping_s` at the latest.

    Args:
        ping_s: Seconds.
    """

    def __init__(self, ping_s: float) -> None:
        self._step_s = ping_s / 2 / PARTS
        self._loop = asyncio.get_running_loop()
        self._parts: list[dict[int, Endpoint]] = [{} for _ in range(PARTS)]
        self._at = 0
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, number: int, peer: Endpoint) -> None:
        """Look after a peer from now on, under a number that is no other's."""
        self._parts[number % PARTS][number] = peer
        if self._timer is None:
            self._timer = self._loop.call_later(self._step_s, self._step)

    def leave(self, number: int) -> None:
        """Look after a peer no more, if it is looked after."""
        self._parts[number % PARTS].pop(number, None)

    def stop(self) -> None:
        """Look after nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _step(self) -> None:
        self._timer = self._loop.call_later(self._step_s, self._step)
        self._at = (self._at + 1) % PARTS
        for peer in tuple(self._parts[self._at].values()):
            peer.beat()
