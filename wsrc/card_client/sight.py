# SPDX-License-Identifier: Apache-2.0
"""What the source sees of one reader, and when the server is told of it."""

import asyncio

from wsrc.card_client.identification import Identification
from wsrc.errors import CardError
from wsrc.protocol import messages as m
from wsrc.readers.base import Slot, SlotState

TELL_S = 0.05
"""How long the server is not told of a change so that a session can end with its outcome."""

STATES = {
    SlotState.EMPTY: m.ReaderState.EMPTY,
    SlotState.MUTE: m.ReaderState.MUTE,
    SlotState.UNAVAILABLE: m.ReaderState.UNAVAILABLE,
}
"""What the server is told of a slot without a card that can be talked to."""


QUIET_S, QUIET_MAX_S = 3.0, 60.0
"""How long a card is left alone after another program used it; the waits double with each use."""

CALM_S = 120.0
"""After so long without a use the waits begin again with the shortest."""


class Quiet:
    """When a card that another program used may be asked who it is, without being in its way."""

    def __init__(self) -> None:
        self.due: float | None = None
        self._busy = False
        self._wait_s = 0.0
        self._last = 0.0

    def saw(self, now: float, *, in_use: bool) -> None:
        """Note whether another program uses the card now."""
        if in_use and not self._busy:
            often = self._wait_s and now < self._last + CALM_S
            self._wait_s = min(2 * self._wait_s, QUIET_MAX_S) if often else QUIET_S
        if in_use or self._busy:
            self._last = now
            self.due = None if in_use else now + self._wait_s
        self._busy = in_use


class Sight:
    """
    The last that was seen of a reader, in `slot`, and what of it was dealt with, in `dealt`.

    `touched` tells that another program has used the card since it was identified, and `quiet`
    when it may be identified again.

    Args:
        card: Tells the server.
    """

    def __init__(self, card: Identification) -> None:
        self.slot: Slot | None = None
        self.dealt: Slot | None = None
        self.touched = False
        self.quiet = Quiet()
        self._card = card
        self._told: Slot | None = None
        self._late: asyncio.TimerHandle | None = None

    @property
    def present(self) -> bool:
        """Whether there is a card now."""
        return self.slot is not None and self.slot.state is SlotState.PRESENT

    def saw(self, slot: Slot, *, in_session: bool) -> None:
        """
        Take what the source sees now.

        The server is told that a card came or went at once, whatever the reader is busy with. A
        session has `TELL_S` to end first, so that its user is told what became of a command.
        """
        self.slot = slot
        if not in_session:
            self.tell()
        elif self._late is None:
            self._late = asyncio.get_running_loop().call_later(TELL_S, self.tell)

    def session_ends(self) -> None:
        """Report what ended a session only after the server heard of its end."""
        if self._late is not None:
            self.close()
            self._late = asyncio.get_running_loop().call_later(TELL_S, self.tell)

    def tell(self) -> None:
        """Report to the server what the source sees, unless that was done."""
        slot, told = self.slot, self._told
        self.close()
        if slot is None or slot == told:
            return
        self._told = slot
        if slot.state is not SlotState.PRESENT:
            self._card.no_card(STATES[slot.state], slot.atr)
            return
        if not same_card(told, slot):
            self._card.new_card(slot)
        self._card.used_elsewhere(slot)

    def used(self, slot: Slot) -> None:
        """Note whether another program uses the card now."""
        self.touched = self.touched or slot.in_use
        self.quiet.saw(asyncio.get_running_loop().time(), in_use=slot.in_use)

    def still_there(self, event_count: int | None = None) -> bool:
        """
        Return whether the source sees the card that was last dealt with.

        Args:
            event_count: That of the reader when the card was taken, where it is known.
        """
        if self.slot is None or self.dealt is None or not self.present:
            return False
        counted = event_count is None or event_count == self.dealt.event_count
        return counted and same_card(self.dealt, self.slot)

    async def identify(self) -> None:
        """Find out who the card is, and tell the server."""
        self.quiet.due = None
        await self._card.identify(self.still_there)
        self.touched = False

    def failed(self, exc: CardError) -> None:
        """Report the state of a card that failed, unless the source has seen it go."""
        if self.still_there():
            self._card.failed(exc)

    def close(self) -> None:
        """Drop what was to be reported later."""
        if self._late is not None:
            self._late.cancel()
            self._late = None


def same_card(before: Slot | None, slot: Slot) -> bool:
    """Return whether no card went out or in between two sights of a reader."""
    return (
        before is not None
        and before.event_count == slot.event_count
        and before.state not in {SlotState.EMPTY, SlotState.UNAVAILABLE}
    )
