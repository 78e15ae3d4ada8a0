# SPDX-License-Identifier: Apache-2.0
"""A reader whose card is elsewhere, and ours: what is asked of it is asked of our session."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from wsrc.card.identity import Identities
from wsrc.card.slot import CardProtocol, Initialization, ResetKind, Share, SlotState
from wsrc.errors import (
    CardError,
    CardTransmissionError,
    CardWasResetError,
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    ReaderUnavailableError,
    RefusedError,
    SessionLostError,
    WsrcError,
)
from wsrc.readers.base import Found, Slot, Status
from wsrc.user_client.aio import Card

T = TypeVar("T")

UNKNOWN_READER = "Remote reader"
"""What a reader is called whose name its host did not tell."""


class HeldSource:
    """
    One reader, with a card that is ours; to be made in the event loop of its client.

    Args:
        card: The card, with raw TPDUs.
        limit_s: How long anything that is asked of it may take.
        resets: Whether the card is reset between two that use it, and not left as it is.
    """

    def __init__(self, card: Card, limit_s: float, *, resets: bool) -> None:
        self.card = card
        self.limit_s = limit_s
        self.resets = resets
        self.name = card.info.reader_name or card.info.reader or UNKNOWN_READER
        self.loop = asyncio.get_running_loop()
        self._changed = threading.Condition()
        self._slots = [Slot(self.name, SlotState.PRESENT, card.atr, 1)]
        self._version = 0
        self._stopped = False

    def over(self, why: WsrcError) -> None:
        """Take the card out, or the reader away, as it is not ours any more."""
        taken_out = why.code is ErrorCode.CARD_NOT_PRESENT
        empty = Slot(self.name, SlotState.EMPTY, event_count=2)
        with self._changed:
            self._slots = [empty] if taken_out else []
            self._version += 1
            self._changed.notify_all()

    def watch(self, report: Callable[[list[Slot]], None]) -> None:
        """See `base.Source.watch`."""
        seen = -1
        while True:
            with self._changed:
                while self._version == seen and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    return
                seen, slots = self._version, list(self._slots)
            report(slots)

    def prompt(self, name: str) -> bool:
        """Return that each command takes its time."""
        del name
        return False

    def stop(self) -> None:
        """See `base.Source.stop`."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def open(self, name: str) -> "HeldReader":
        """See `base.Source.open`."""
        del name
        return HeldReader(self)

    def ask(self, asking: Coroutine[Any, Any, T]) -> T:
        """
        Ask our session, from the thread of the reader, and return what it answers.

        Raises:
            RefusedError: If it refuses.
            CardError: If the card failed or is not ours any more, with the outcome.
        """
        answer: Future[T] = asyncio.run_coroutine_threadsafe(asking, self.loop)
        try:
            return answer.result(self.limit_s)
        except TimeoutError as exc:
            answer.cancel()
            raise CardTransmissionError("The card host does not answer.") from exc
        except CardWasResetError as exc:
            self._go_on()
            raise CardTransmissionError(str(exc), Outcome.NOT_EXECUTED) from exc
        except (CardError, RefusedError):
            raise
        except OutcomeUnknownError as exc:
            raise CardTransmissionError(str(exc), Outcome.UNKNOWN) from exc
        except (SessionLostError, NotExecutedError, WsrcError) as exc:
            raise ReaderUnavailableError(str(exc), Outcome.NOT_EXECUTED) from exc

    def _go_on(self) -> None:
        """Take note that another who shares the card reset it."""
        with suppress(WsrcError):
            self.ask(self.card.reconnect())


class HeldReader:
    """
    The reader, for the thread that serves it; nothing of its card is asked to know it.

    `name` is as the host of the card has it.
    """

    def __init__(self, source: HeldSource) -> None:
        self._source = source
        self.name = self.stable_id = source.name
        self.position = ""

    @property
    def found(self) -> Found:
        """What was known of the card when it was taken."""
        return _found(self._source.card)

    def connect(
        self, protocols: Sequence[CardProtocol] = (), *, share: Share = Share.EXCLUSIVE
    ) -> "HeldConnection":
        """Go on with the card as it is; it is reset if it runs in none of the protocols."""
        del share
        source = self._source
        now = source.card.protocol
        if protocols and now not in protocols:
            unpower = Initialization.UNPOWER
            source.ask(source.card.reconnect(initialization=unpower, protocols=protocols))
        return HeldConnection(source)

    def connect_direct(self) -> "HeldConnection":
        """See `base.Reader.connect_direct`; the card is as it is."""
        return HeldConnection(self._source)

    def close(self) -> None:
        """Release nothing: the card stays ours."""


class HeldConnection:
    """The card, in use by one that found it here; left as it is at the end, or reset."""

    harmless_controls = range(1 << 32)
    """All: what is harmful is known where the card is."""

    event_count: int | None = 1
    """That of the one card there is."""

    def __init__(self, source: HeldSource) -> None:
        self._source = source
        self._card = source.card
        self._closed = False

    @property
    def found(self) -> Found:
        """What was known of the card when it was taken."""
        return _found(self._card)

    @property
    def atr(self) -> bytes:
        """ATR of the last reset."""
        return self._card.atr

    @property
    def protocol(self) -> CardProtocol:
        """Protocol in force."""
        return self._card.protocol or CardProtocol.T0

    def status(self) -> Status:
        """See `base.Direct.status`."""
        said = self._source.ask(self._card.status())
        return Status(said.states, said.protocol, said.atr)

    def transmit(self, octets: bytes) -> bytes:
        """See `base.Connection.transmit`."""
        return self._source.ask(self._card.transmit(octets)).encode()

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        """See `base.Connection.reset`."""
        if not protocols:
            return self._source.ask(self._card.reset(kind))
        cold = kind is ResetKind.COLD
        initialization = Initialization.UNPOWER if cold else Initialization.RESET
        return self._source.ask(
            self._card.reconnect(initialization=initialization, protocols=protocols)
        )

    def control(self, number: int, octets: bytes) -> bytes:
        """See `base.Direct.control`."""
        return self._source.ask(self._card.control(number, octets))

    def get_attribute(self, name: str) -> bytes:
        """See `base.Direct.get_attribute`."""
        return self._source.ask(self._card.get_attribute(name))

    def set_attribute(self, name: str, value: bytes) -> None:
        """See `base.Direct.set_attribute`."""
        self._source.ask(self._card.set_attribute(name, value))

    def close(self, *, eject: bool = False) -> None:
        """Leave the card as it is for who comes next, or reset it; it is not pushed out."""
        del eject
        if self._closed:
            return
        self._closed = True
        if self._source.resets:
            with suppress(WsrcError):
                self._source.ask(self._card.reset())


def _found(card: Card) -> Found:
    identities = Identities(card.info.identities.iccid, tuple(card.info.eids))
    return Found(card.atr, card.protocol or CardProtocol.T0, identities, whole=True, event_count=1)
