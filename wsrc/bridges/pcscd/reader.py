# SPDX-License-Identifier: Apache-2.0
"""
One reader as local programs share it: handles, exclusive use, transactions, what was reset.

The rules are those of pcscd. Nothing here waits, and nothing knows of the network.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from wsrc.bridges.pcscd.hand_over import HandOver
from wsrc.bridges.pcscd.requests import Refused, Row
from wsrc.bridges.pcscd.source import Seen, Session
from wsrc.card.atr import read_atr
from wsrc.card.pcsc_numbers import (
    PROTOCOL_ANY,
    PROTOCOL_ANY_OLD,
    PROTOCOL_MASKS,
    PROTOCOL_RAW,
    PROTOCOL_T0,
    PROTOCOL_T1,
    Code,
    ShareMode,
    StatusBit,
)
from wsrc.card.slot import ResetKind
from wsrc.states import Table, follow

_NAMES = {"T=0": PROTOCOL_T0, "T=1": PROTOCOL_T1}


class HandleState(StrEnum):
    """What a handle is good for."""

    USABLE = "usable"
    CARD_RESET = "card reset"
    CARD_REMOVED = "card removed"
    RETURNED = "returned"


class HandleEvent(StrEnum):
    """What changes that."""

    RESET = "card was reset"
    REMOVE = "card was taken out"
    RECONNECT = "SCardReconnect"
    RETURN = "SCardDisconnect"


_USABLE: Final = HandleState.USABLE
"""Asked for at each use of a handle; a member of an enumeration takes longer to find."""

_ANY_WAY_ON: Final[Mapping[HandleEvent, HandleState]] = {
    HandleEvent.RESET: HandleState.CARD_RESET,
    HandleEvent.REMOVE: HandleState.CARD_REMOVED,
    HandleEvent.RECONNECT: HandleState.USABLE,
    HandleEvent.RETURN: HandleState.RETURNED,
}

HANDLE_MOVES: Final[Table[HandleState, HandleEvent]] = {
    HandleState.USABLE: _ANY_WAY_ON,
    HandleState.CARD_RESET: _ANY_WAY_ON,
    HandleState.CARD_REMOVED: _ANY_WAY_ON,
    HandleState.RETURNED: {},
}
"""
The life of a handle: what follows which state at which event; all else is an error of ours.

Transactions and exclusive use are the reader's: one handle at a time has them.
"""

_STRIKES: Final[Mapping[Code, HandleEvent]] = {
    Code.SCARD_W_RESET_CARD: HandleEvent.RESET,
    Code.SCARD_W_REMOVED_CARD: HandleEvent.REMOVE,
}
_REFUSALS: Final[Mapping[HandleState, Code]] = {
    HandleState.CARD_RESET: Code.SCARD_W_RESET_CARD,
    HandleState.CARD_REMOVED: Code.SCARD_W_REMOVED_CARD,
}


class Handle:
    """One program's hold on a reader."""

    def __init__(self, number: int, reader: "Reader", owner: object) -> None:
        self.number = number
        self.reader = reader
        self.owner = owner
        self.state = HandleState.USABLE

    def note(self, event: HandleEvent) -> None:
        """Take a step of `HANDLE_MOVES`."""
        self.state = follow(HANDLE_MOVES, self.state, event)

    def check_card(self) -> None:
        """Refuse with what happened to the card until the program reconnects, if anything did."""
        if self.state is not _USABLE:
            raise Refused(_REFUSALS[self.state])


class Reader:
    """A row of the table, and who uses the reader."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.event_counter = int(seen.present)
        self.handles: dict[int, Handle] = {}
        self.exclusive = False
        self.protocol = 0
        self.session: Session | None = None
        self.features: bytes | None = None
        """Features as control numbers, once asked for; they hold for a session."""
        self.stale: list[Session] = []
        """Sessions that are over, to be closed when the exchange in flight has ended."""
        self.pending_reset: ResetKind | None = None
        self.unpowered = False
        self.busy = False
        self.gone = False
        self.idle_since: float | None = None
        self._hand_over = HandOver()
        self.locked_by: Handle | None = None
        """Handle that has a transaction, or the reader for itself."""
        self._lock_count = 0

    @property
    def name(self) -> bytes:
        """Name that programs know it by."""
        return self.seen.name

    def has_card(self) -> bool:
        """Return whether there is a card in it, as far as is known."""
        return self.seen.present and not self.gone

    @property
    def sharing(self) -> int:
        """How many use it, here and elsewhere; -1 for one that excludes others."""
        others = self.seen.others
        return -1 if self.exclusive or others < 0 else len(self.handles) + others

    @property
    def row(self) -> Row:
        """The reader as the table shows it."""
        seen = self.seen
        return Row(
            seen.name,
            self.event_counter,
            self._state(),
            self.sharing,
            seen.atr if seen.present else b"",
            self.protocol,
        )

    def _state(self) -> int:
        if self.seen.unavailable:
            return StatusBit.UNKNOWN
        if not self.seen.present:
            return StatusBit.ABSENT
        if self.seen.mute:
            return StatusBit.PRESENT | StatusBit.SWALLOWED
        if self.session is None or self.unpowered:
            return StatusBit.PRESENT
        return StatusBit.PRESENT | StatusBit.POWERED | StatusBit.NEGOTIABLE

    # What the source sees

    def update(self, seen: Seen) -> bool:
        """Take what the source sees now; return whether programs may want to know."""
        before, self.seen = self.seen, seen
        changes = _changes(before, seen)
        self.event_counter = (self.event_counter + changes) & 0xFFFF
        if seen.unavailable and not before.unavailable:
            self.lost(Code.SCARD_W_RESET_CARD)
        elif changes and (before.present or not seen.present):
            self.removed()
        return before != seen

    def removed(self) -> None:
        """Note that the card that was there is not any more."""
        self.lost(Code.SCARD_W_REMOVED_CARD)

    def lost(self, why: Code) -> None:
        """Note that the card is not ours any more, and why; transactions end with that."""
        self.strike(why)
        if self.exclusive:
            self._lock_count = 1
        else:
            self.locked_by, self._lock_count = None, 0
        self.session_over()

    def session_over(self) -> None:
        """Note that the card is not ours any more."""
        self._hand_over.forget()
        self.protocol = 0
        self.pending_reset = None
        self.unpowered = False
        self.idle_since = None
        self.features = None
        if self.session is not None:
            self.stale.append(self.session)
            self.session = None

    def opened(self, session: Session) -> None:
        """Note that the card is ours, and powered by a cold reset."""
        self.session = session
        self.was_reset(session.atr)

    def was_reset(self, atr: bytes) -> bool:
        """Note that the card was reset; return whether its ATR is another one."""
        self.pending_reset = None
        self.unpowered = False
        before = self.seen
        self.seen = msgspec.structs.replace(before, mute=False, atr=atr)
        return self.seen != before

    # Who uses it

    def check_there(self) -> None:
        """Refuse where the reader was unplugged or is out of reach."""
        if self.gone or self.seen.unavailable:
            raise Refused(Code.SCARD_E_READER_UNAVAILABLE)

    def check_lock(self, handle: Handle) -> None:
        """Refuse where another handle has a transaction."""
        if self.locked_by not in {None, handle}:
            raise Refused(Code.SCARD_E_SHARING_VIOLATION)

    def check_present(self) -> None:
        """Refuse where there is no card that could be talked to."""
        if not self.seen.present:
            raise Refused(Code.SCARD_E_NO_SMARTCARD)
        if self.seen.mute:
            raise Refused(Code.SCARD_W_UNPOWERED_CARD)

    def begin(self, handle: Handle, now: float) -> float | None:
        """
        Begin a transaction, or another one inside of it.

        Returns:
            None if it is begun; else from when on it may be, infinite where that is not known.
        """
        turn = math.inf
        if self.locked_by is handle:
            turn = now
        elif self.locked_by is None:
            turn = self._hand_over.turn(handle.number, handle.owner, now)
        if turn > now:
            self._hand_over.wait(handle.number, now)
            return turn
        self._hand_over.begun(handle.number)
        self._begin(handle)
        return None

    def _begin(self, handle: Handle) -> None:
        self.locked_by = handle
        self._lock_count += 1

    def unlock(self, handle: Handle, now: float) -> None:
        """End the innermost transaction; the one that exclusive use is stays."""
        self.check_lock(handle)
        if self._lock_count <= self.exclusive:
            raise Refused(Code.SCARD_E_NOT_TRANSACTED)
        self._end_innermost()
        self._hand_over.ended(handle.owner, now)

    def _end_innermost(self) -> None:
        self._lock_count -= 1
        if not self._lock_count:
            self.locked_by = None

    def unlock_all(self, handle: Handle) -> None:
        """End all transactions of a handle."""
        if self.locked_by is handle:
            self.locked_by, self._lock_count = None, 0

    def add(self, handle: Handle, share: int) -> None:
        """Enter a handle with its share mode."""
        if share == ShareMode.EXCLUSIVE and self.handles:
            raise Refused(Code.SCARD_E_SHARING_VIOLATION)
        self.handles[handle.number] = handle
        self.idle_since = None
        if share == ShareMode.EXCLUSIVE:
            self.exclusive = True
            self._begin(handle)

    def share_as(self, handle: Handle, share: int) -> None:
        """Change between exclusive and other use; transactions begun within either go on."""
        if share == ShareMode.EXCLUSIVE and not self.exclusive:
            if len(self.handles) > 1:
                raise Refused(Code.SCARD_E_SHARING_VIOLATION)
            self.exclusive = True
            self._begin(handle)
        elif share != ShareMode.EXCLUSIVE and self.exclusive:
            self.exclusive = False
            self._end_innermost()

    def drop(self, handle: Handle, now: float) -> None:
        """Take a handle out."""
        handle.note(HandleEvent.RETURN)
        self.unlock_all(handle)
        self.exclusive = False
        if self.handles.pop(handle.number, None) is None:
            return
        last = all(each.owner is not handle.owner for each in self.handles.values())
        self._hand_over.dropped(handle.number, handle.owner, last=last)
        if not self.handles:
            self.idle_since = now

    def strike(self, why: Code) -> None:
        """Note for every handle what happened to the card: a reset, or a removal."""
        for handle in self.handles.values():
            handle.note(_STRIKES[why])

    def reset_later(self, kind: ResetKind) -> None:
        """Put off a reset to the next command of the card; a cold reset covers a warm one."""
        self.strike(Code.SCARD_W_RESET_CARD)
        self._hand_over.forget()
        self.protocol = 0
        if self.session is not None and self.pending_reset is not ResetKind.COLD:
            self.pending_reset = kind

    # Which protocol

    def choose_protocol(self, wanted: int) -> None:
        """
        Agree on a protocol; one that is in force stays so until the card is reset.

        Raises:
            Refused: If the card or the other programs speak another one.
        """
        if wanted & PROTOCOL_RAW:
            self.protocol = PROTOCOL_RAW
            return
        if self.protocol:
            if not wanted & self.protocol:
                raise Refused(Code.SCARD_E_PROTO_MISMATCH)
            return
        if wanted & PROTOCOL_ANY_OLD:
            wanted |= PROTOCOL_ANY
        possible = wanted & self._offered()
        if not possible:
            raise Refused(Code.SCARD_E_PROTO_MISMATCH)
        self.protocol = PROTOCOL_T1 if possible & PROTOCOL_T1 else PROTOCOL_T0

    def _offered(self) -> int:
        """Return what the ATR offers, or of it what the card host has chosen already."""
        facts = read_atr(self.seen.atr)
        names = facts.protocols if facts is not None else ()
        offered = sum(_NAMES.get(name, 0) for name in names)
        known = self.session.protocol if self.session is not None else None
        known = known or self.seen.protocol
        return offered & PROTOCOL_MASKS[known] if known is not None and known.known else offered


def _changes(before: Seen, now: Seen) -> int:
    """
    Count the insertions and removals between two sights.

    As on pcscd, a reader going out of reach is none, and whatever is found in it later is one.
    """
    if now.unavailable:
        return 0
    if before.unavailable:
        return 1
    if before.present != now.present:
        return 1
    if before.event_count == now.event_count:
        return 0
    return 2 if now.present else 0
