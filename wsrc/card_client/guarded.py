# SPDX-License-Identifier: Apache-2.0
"""A card or a reader behind its guard: the one way on which sessions reach either."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST
from wsrc.errors import CardError, GuardedError, Outcome, RefusedError
from wsrc.guard.machine import Guard, Judging, Refusal
from wsrc.readers.base import CardProtocol, Connection, Direct, ResetKind, Status

_log = logging.getLogger(__name__)

D = TypeVar("D", bound=Direct)

Tell = Callable[[Refusal, str], None]

TELL_S: Final = 1.0
"""So often a refusal is a line of the log; those between are counted."""


class GuardedDirect:
    """
    A reader behind its guard; see `base.Direct`. What is refused is a `GuardedError`.

    Args:
        direct: The reader.
        guard: What judges.
        name: Of the reader, for the log.
        tell: Is told of each refusal, and what was refused, without its data.
    """

    def __init__(
        self, direct: Direct, guard: Guard, name: str, tell: Tell = lambda _refusal, _what: None
    ) -> None:
        self._direct = direct
        self._guard = guard
        self._told = _Told(name, tell)
        self._features: bytes | None = None

    @property
    def harmless_controls(self) -> frozenset[int]:
        """None that the guard does not look at."""
        return frozenset()

    def status(self) -> Status:
        """See `base.Direct.status`."""
        return self._direct.status()

    def control(self, number: int, octets: bytes) -> bytes:
        """See `base.Direct.control`; a code that may reach the card is judged as its command."""
        harmless = number in self._direct.harmless_controls
        features = b"" if harmless or number == GET_FEATURE_REQUEST else self._ask_features()
        judging = self._guard.judge_control(
            number, octets, features, harmless=harmless, card=self._may_ask
        )
        self._judge(judging, f"control code {number}")
        answer = self._direct.control(number, octets)
        self._guard.saw_control(number, octets, features, answer)
        return answer

    def get_attribute(self, name: str) -> bytes:
        """See `base.Direct.get_attribute`."""
        return self._direct.get_attribute(name)

    def set_attribute(self, name: str, value: bytes) -> None:
        """See `base.Direct.set_attribute`."""
        refusal = self._guard.judge_attribute()
        if refusal is not None:
            raise self._told.refused(refusal, "an attribute")
        self._direct.set_attribute(name, value)

    def close(self, *, eject: bool = False) -> None:
        """See `base.Direct.close`."""
        self._direct.close(eject=eject)

    _may_ask = False

    def _ask(self, question: bytes) -> bytes:
        raise NotImplementedError(f"no card is asked {question[:2].hex()} by a reader alone")

    def _judge(self, judging: Judging, what: str) -> None:
        """
        Hear the guard, and ask the card what it wants to know.

        Raises:
            GuardedError: If the command must not pass.
            CardError: If the card does not answer; the command itself was not sent.
        """
        refusal: Refusal | None = None
        try:
            question = next(judging)
            while True:
                question = judging.send(self._ask(question))
        except StopIteration as done:
            refusal = done.value
        except CardError as exc:
            raise type(exc)(str(exc), Outcome.NOT_EXECUTED) from exc
        if refusal is not None:
            raise self._told.refused(refusal, what)

    def _ask_features(self) -> bytes:
        if self._features is None:
            try:
                self._features = self._direct.control(GET_FEATURE_REQUEST, b"")
            except (RefusedError, CardError):
                self._features = b""
        return self._features


class GuardedConnection(GuardedDirect):
    """
    A powered card behind its guard; see `base.Connection`.

    `bare` is the card for what its host itself asks between two resets.
    """

    _may_ask = True

    def __init__(
        self,
        connection: Connection,
        guard: Guard,
        name: str,
        tell: Tell = lambda _refusal, _what: None,
    ) -> None:
        super().__init__(connection, guard, name, tell)
        self.bare = connection
        self._ignores = guard.ignores

    @property
    def atr(self) -> bytes:
        """ATR of the last reset."""
        return self.bare.atr

    @property
    def protocol(self) -> CardProtocol:
        """Protocol in force."""
        return self.bare.protocol

    @property
    def event_count(self) -> int | None:
        """As in `Slot`."""
        return self.bare.event_count

    def transmit(self, octets: bytes) -> bytes:
        """See `base.Connection.transmit`."""
        if self._ignores(octets):
            return self.bare.transmit(octets)
        self._judge(self._guard.judge(octets), f"{octets[:4].hex(' ')} + {len(octets) - 4} octets")
        try:
            answer = self.bare.transmit(octets)
        except CardError:
            self._guard.saw(octets, None)
            raise
        self._guard.saw(octets, answer)
        return answer

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        """See `base.Connection.reset`."""
        atr = self.bare.reset(kind, protocols)
        self._guard.was_reset()
        return atr

    def _ask(self, question: bytes) -> bytes:
        short = len(question) == 4 and self.protocol is CardProtocol.T0
        return self.bare.transmit(question + b"\0" if short else question)


class _Told:
    """What the log was told of refusals by one reader; see `TELL_S`."""

    def __init__(self, name: str, tell: Tell) -> None:
        self._name = name
        self._tell = tell
        self._due = 0.0
        self._silent = 0

    def refused(self, refusal: Refusal, what: str) -> GuardedError:
        """Log a refusal, and return what its user is told."""
        self._tell(refusal, what)
        rule = f"rule {refusal.rule}"
        now = time.monotonic()
        if now < self._due:
            self._silent += 1
        else:
            more = f"; {self._silent} more were refused since" if self._silent else ""
            self._due, self._silent = now + TELL_S, 0
            _log.warning(
                "%s: %s was refused by %s: %s%s", self._name, what, rule, refusal.why, more
            )
        sentence = (
            f"The card host refused this by its {rule}: {refusal.why}. The card has not run it; "
            "who owns the card host can allow it."
        )
        return GuardedError(sentence, refusal.sw)
