# SPDX-License-Identifier: Apache-2.0
"""
What the users were told, against what the card has counted.

The card adds 1 for each command that it runs and answers with the sum, so that the sum says how
many ran before. What was told leaves a range of sums that are possible; each sum that comes from
the card must be in it. Every command that ran twice, or ran and was said not to have run, or was
answered and did not run, shows.
"""

from collections import Counter
from enum import StrEnum

import msgspec

PIN_VERIFIED = "9000"


class Outcome(StrEnum):
    """What a user is told of a command."""

    ANSWERED = "answered"
    NOT_EXECUTED = "not executed"
    UNKNOWN = "unknown"
    SESSION_LOST = "session lost"


class Selected(msgspec.Struct, frozen=True, tag=True):
    """A session began; `pin` is the status word of VERIFY without data as its first command."""

    user: str
    pin: str


class Taken(msgspec.Struct, frozen=True, tag=True):
    """The card of a session is ready; it has counted up to `total`."""

    user: str
    total: int


class Told(msgspec.Struct, frozen=True, tag=True):
    """
    The outcome of one request with one command or several.

    `asked` are the octets that each adds; `answers` are data and status word of those that were
    answered, in hexadecimal. `rest` is what was told of the others.
    """

    user: str
    number: int
    asked: tuple[str, ...]
    answers: tuple[str, ...]
    rest: Outcome = Outcome.ANSWERED
    why: str = ""


class Troubled(msgspec.Struct, frozen=True, tag=True):
    """An error while the user did something else than run counted commands."""

    user: str
    doing: str
    why: str


class Given(msgspec.Struct, frozen=True, tag=True):
    """The user gave the card back."""

    user: str


class Done(msgspec.Struct, frozen=True, tag=True):
    """The user has ended, after it took the card once more."""

    user: str


Event = Selected | Taken | Told | Troubled | Given | Done


def sentence(event: Event) -> str:
    """Say what a user said, in short."""
    return f"{event.user} {_said(event)}".rstrip()


def _said(event: Event) -> str:
    match event:
        case Selected():
            return f"begins, the PIN is {event.pin}"
        case Taken():
            return f"finds {event.total}"
        case Told():
            totals = " ".join(answer[:6] for answer in event.answers)
            numbers = f"{event.number}+{len(event.asked)}"
            return f"{numbers} answered {totals or '-'}, then {event.rest} {event.why}"
        case Troubled():
            return f"fails to {event.doing}: {event.why}"
        case Given():
            return "gives back"
        case Done():
            return "is done"


class Ledger:
    """The account of one card and its user."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.batches = 0
        self.leases = 0
        self.troubles = 0
        self.pin_kept = 0
        self.ran_twice = 0
        self.misreported = 0
        self.done = False
        self.faults: list[str] = []
        """What must not be, in sentences; empty if all is well."""

        self._least = 0
        self._most = 0
        self._denied = 0

    def take(self, event: Event) -> None:
        """Note what a user was told, and judge it."""
        match event:
            case Selected():
                self._selected(event)
            case Taken():
                where = f"{event.user}: a new session"
                self._counted(event.total, self._least, self._most, where)
            case Told():
                self._told(event)
            case Troubled():
                self.troubles += 1
            case Done():
                self.done = True
            case Given():
                pass

    def _selected(self, event: Selected) -> None:
        self.leases += 1
        if event.pin == PIN_VERIFIED:
            self.pin_kept += 1
            self.faults.append(f"{event.user}: the PIN is verified in a new session")

    def _told(self, event: Told) -> None:
        self.batches += len(event.asked) > 1
        for index, answer in enumerate(event.answers):
            where = f"{event.user}: command {event.number + index}"
            self._answered(event.asked[index], answer, where)
        left = len(event.asked) - len(event.answers)
        self.outcomes[event.rest] += left
        if event.rest is Outcome.UNKNOWN:
            self._most += left
        else:
            self._denied += left
        if left and event.rest is Outcome.ANSWERED:
            self._misreported(f"{event.user}: {left} commands from {event.number} have no outcome")

    def _answered(self, asked: str, answer: str, where: str) -> None:
        self.outcomes[Outcome.ANSWERED] += 1
        total, echo, sw = answer[:6], answer[6:-4], answer[-4:]
        if sw != "9000" or echo != asked:
            self._misreported(f"{where} added {asked} and was answered {answer}")
            self._most += 1
            return
        self._counted(int(total, 16), self._least + 1, self._most + 1, where)

    def _counted(self, total: int, least: int, most: int, where: str) -> None:
        """Compare a sum with what it can be, and know it exactly from then on."""
        if total > most:
            untold = min(total - most, self._denied)
            self.ran_twice += total - most - untold
            self.misreported += untold
            self._fault(where, total, least, most)
        elif total < least:
            self.misreported += least - total
            self._fault(where, total, least, most)
        self._least = self._most = total
        self._denied = 0

    def _fault(self, where: str, total: int, least: int, most: int) -> None:
        possible = str(least) if least == most else f"{least} to {most}"
        self.faults.append(f"{where}: the card has counted {total}, and was to have {possible}")

    def _misreported(self, sentence: str) -> None:
        self.misreported += 1
        self.faults.append(sentence)
