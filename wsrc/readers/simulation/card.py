# SPDX-License-Identifier: Apache-2.0
"""One simulated card: contacts, power, and the faults that a test may ask for."""

import threading
from enum import StrEnum

import msgspec

from wsrc.errors import CardNotPresentError, CardTransmissionError, CardUnresponsiveError, Outcome
from wsrc.readers.base import CardProtocol, ResetKind
from wsrc.readers.simulation.engine import Engine
from wsrc.readers.simulation.transport import T0, T1, Transport


class When(StrEnum):
    """On which side of the execution of a command a fault strikes."""

    BEFORE = "before"
    AFTER = "after"


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What is wrong with a card.

    Commands are counted from 1 since these faults were set; with `only`, a hexadecimal prefix,
    just those that begin with it. Under T=0, each TPDU is a command.
    """

    mute: bool = False
    """Gives no ATR."""

    delay_s: float = 0.0
    """Seconds that each counted command takes longer."""

    dies_at: int = 0
    """The card is gone at this command; 0 for never."""

    when: When = When.BEFORE
    """Whether delay and death come before the command is executed, or after."""

    only: str = ""


class Card:
    """
    A card that can be put into a reader.

    One user at a time. `power_off`, `reset`, `remove` and `insert` are safe from any thread
    meanwhile and end a delay. Contents and counters live as long as the object. `protocol` is the
    one that the card speaks; `removed` is whether it died or was taken away, until it is inserted.
    """

    def __init__(
        self,
        engine: Engine,
        atr: bytes,
        protocol: CardProtocol,
        *,
        name: str = "Simulated UICC",
        faults: Faults | None = None,
    ) -> None:
        self.name = name
        self._atr = atr
        self.protocol = protocol
        self._transport: Transport = T0(engine) if protocol is CardProtocol.T0 else T1(engine)
        self._lock = threading.Lock()
        self._faults = faults or Faults()
        self._counted = 0
        self.removed = False
        self._ended = _ended()
        self.struck = threading.Event()
        """Set once a command is being delayed, for a test that acts meanwhile."""

    @property
    def atr(self) -> bytes:
        """ATR of cold and warm reset alike; empty for a mute card."""
        return b"" if self._faults.mute else self._atr

    @property
    def powered(self) -> bool:
        """Whether the card is supplied and has answered to reset."""
        return not self._ended.is_set()

    @property
    def faults(self) -> Faults:
        """What is wrong with the card; setting it begins the count of commands again."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            self._faults, self._counted = faults, 0
            self.struck.clear()

    def power_on(self) -> bytes:
        """
        Power the card, which is a cold reset, and return its ATR.

        Raises:
            CardNotPresentError: If the card was removed.
            CardUnresponsiveError: If the card is mute.
        """
        return self.reset(ResetKind.COLD)

    def power_off(self) -> None:
        """Take the supply away; a command that waits ends at once."""
        self._ended.set()

    def reset(self, kind: ResetKind) -> bytes:
        """
        Reset the card and return its ATR; both kinds make it forget the same.

        Raises:
            CardNotPresentError: If the card was removed.
            CardUnresponsiveError: If the card is mute.
        """
        self._ended.set()
        with self._lock:
            if self.removed:
                raise CardNotPresentError(
                    f"{self.name} was removed; insert it again", Outcome.NOT_EXECUTED
                )
            if self._faults.mute:
                raise CardUnresponsiveError(
                    f"{self.name} gave no ATR after a {kind} reset; clean it or try another reader",
                    Outcome.NOT_EXECUTED,
                )
            self._transport.reset()
            self._ended = threading.Event()
        return self._atr

    def remove(self) -> None:
        """Take the card out; a command that waits ends at once."""
        self.removed = True
        self._ended.set()

    def insert(self) -> None:
        """Put the card back, without power."""
        self.removed = False

    def transmit(self, octets: bytes) -> bytes:
        """
        Send one TPDU (T=0) or one APDU (T=1) to the card and return its answer.

        Raises:
            CardNotPresentError: If the card is gone, or goes meanwhile.
            CardTransmissionError: If it has no power, or loses it meanwhile.
        """
        ended = self._ended
        self._check(ended, Outcome.NOT_EXECUTED)
        faults = self._strike(octets)
        if faults.when is When.BEFORE:
            self._suffer(faults, ended, Outcome.NOT_EXECUTED)
        with self._lock:
            self._check(ended, Outcome.NOT_EXECUTED)
            answer = self._transport.transmit(octets)
        if faults.when is When.AFTER:
            self._suffer(faults, ended, Outcome.UNKNOWN)
        return answer

    def _strike(self, octets: bytes) -> Faults:
        """Count the command; return the faults that it meets."""
        with self._lock:
            faults = self._faults
            if not octets.hex().startswith(faults.only.lower()):
                return Faults()
            self._counted += 1
            dies = self._counted if faults.dies_at == self._counted else 0
        return msgspec.structs.replace(faults, dies_at=dies)

    def _suffer(self, faults: Faults, ended: threading.Event, outcome: Outcome) -> None:
        if faults.delay_s:
            self.struck.set()
            ended.wait(faults.delay_s)
        if faults.dies_at:
            self.remove()
        self._check(ended, outcome)

    def _check(self, ended: threading.Event, outcome: Outcome) -> None:
        if self.removed:
            raise CardNotPresentError(f"{self.name} was removed", outcome)
        if ended.is_set():
            raise CardTransmissionError(f"{self.name} has no power; reset it", outcome)


def _ended() -> threading.Event:
    event = threading.Event()
    event.set()
    return event
