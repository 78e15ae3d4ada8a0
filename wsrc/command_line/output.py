# SPDX-License-Identifier: Apache-2.0
"""What the command `wsrc` prints: text for a person, or JSON for a program."""

import json
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from wsrc.card.apdu import Response, describe_sw
from wsrc.card.atr import read_atr
from wsrc.command_line.decoded import decoded_document, decoded_lines
from wsrc.command_line.table import Cell, blocks, lines
from wsrc.command_line.times import shown
from wsrc.errors import (
    AmbiguousCardError,
    CardBusyError,
    CardError,
    ConfigError,
    ErrorCode,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    RefusedError,
    WsrcError,
    in_doubt,
)
from wsrc.process.printable import clean, clean_json
from wsrc.protocol.messages import CardInfo, CardState, LeaseInfo, Waiting
from wsrc.tags import text_of
from wsrc.user_client.naming import place

if TYPE_CHECKING:  # what is printed of a card needs none of that
    from wsrc.user_client.blocking import Card


class NothingSelectedError(RefusedError):
    """No card is said where one must be; `candidates` describes some of those that are there."""

    def __init__(self, sentence: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(ErrorCode.NOTHING_SELECTED, sentence)
        self.candidates = tuple(candidates)


class Output:
    """
    Results go to standard output, all else to standard error.

    With `as_json` a result is a JSON document, whose times are UTC; with `quiet` only results and
    errors are printed; with `utc` people read times in UTC, else in their own zone.
    `partial` is what the document of an error has besides the error: results before it. A result
    that is `endless` is a document a line, and ends with an interrupt.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False, utc: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.utc = utc
        self.partial: dict[str, Any] = {}
        self.endless = False
        self._in_doubt = False
        self._note: Callable[[str], None] = partial(click.echo, err=True)

    @property
    def is_watched(self) -> bool:
        """Whether somebody sees each result as it comes."""
        return not self.as_json and sys.stdout.isatty()

    @property
    def draws(self) -> bool:
        """Whether what somebody sees can be drawn again in its place."""
        return self.is_watched and os.environ.get("TERM", "dumb") != "dumb"

    @contextmanager
    def at_risk(self) -> Generator[None, None, None]:
        """Note that the card may run what is asked of it in the block, if that is interrupted."""
        self._in_doubt = True
        try:
            yield
        except Exception:
            self._in_doubt = False
            raise
        self._in_doubt = False

    @contextmanager
    def nothing_at_risk(self) -> Generator[None, None, None]:
        """Note that the card is asked nothing in the block, whatever `at_risk` says around it."""
        before, self._in_doubt = self._in_doubt, False
        yield
        self._in_doubt = before

    def document(self, content: dict[str, Any]) -> None:
        """Print one JSON document on one line."""
        click.echo(json.dumps(content))

    def result(self, content: dict[str, Any], *texts: str) -> None:
        """Print a result: a JSON document for a program, or lines."""
        if self.as_json:
            self.document(content)
            return
        for text in texts:
            self.line(text)

    def done(self, content: dict[str, Any], text: str) -> None:
        """Tell that something was done: by a JSON document, or by a note to a person."""
        if self.as_json:
            self.document(content)
        else:
            self.note(text)

    def message(self, text: bytes) -> None:
        """Print a message of the protocol on one line."""
        click.echo(clean_json(text.decode()))

    def line(self, text: str) -> None:
        """Print a line of a result."""
        click.echo(clean(text))

    def fields(self, texts: Sequence[str]) -> None:
        """Print a line of a result for a program: texts with tabs between."""
        click.echo("\t".join(map(clean, texts)))

    def response(self, response: Response, before: str = "", *, decode: bool = False) -> None:
        """Print a response as a line, and what its data mean below it where that is wanted."""
        self.line(f"{before}{response_line(response)}")
        for line in decoded_lines(response) if decode else ():
            self.line(line)

    def lines_of(self, texts: Mapping[str, str]) -> None:
        """Print what has names, one a line, in two columns."""
        width = max(map(len, texts), default=0)
        for name, text in texts.items():
            self.line(f"{name:<{width}}  {text}")

    def note(self, text: str) -> None:
        """Print a line about the progress of a command."""
        if not self.quiet:
            self._note(clean(text))

    def progress(self, text: str) -> None:
        """Show how far something is, in place of what was shown before, at a terminal."""
        sys.stderr.write(f"\r{text}\x1b[K")
        sys.stderr.flush()

    @contextmanager
    def notes_by(self, show: Callable[[str], None]) -> Generator[None, None, None]:
        """Have notes shown by another in the block, who may be called from any thread."""
        before, self._note = self._note, show
        try:
            yield
        finally:
            self._note = before

    def complain(self, text: str) -> None:
        """Print what went wrong."""
        click.echo(clean(text), err=True)

    def time(self, text: str) -> str:
        """Return a time of the protocol as a person reads it."""
        return shown(text, utc=self.utc)

    def waiting(self, told: Waiting) -> None:
        """Print who holds a card that is waited for, and the place in the queue."""
        lease = told.lease
        since = lease and self.time(lease.since)
        held = f", held by {lease.holder} since {since}" if lease else ""
        self.note(f"Waiting for the card{held}; place in the queue: {told.position}.")

    def listed(
        self,
        content: dict[str, Any],
        titles: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        nothing: str,
    ) -> None:
        """Print a list: a JSON document for a program, a table, or that there is nothing."""
        if self.as_json:
            self.document(content)
        elif rows:
            self.grid(titles, rows)
        else:
            self.note(nothing)

    def grid(
        self,
        titles: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        *,
        fold: bool = True,
    ) -> None:
        """
        Print a table; where a terminal is too narrow for its lines, each row as lines.

        Without `fold` no column is folded.
        """
        narrow = fold and sys.stdout.isatty()
        width = None
        if narrow:
            import shutil  # noqa: PLC0415 - a terminal alone needs it, and it loads compression

            width = shutil.get_terminal_size().columns
        for line in lines(titles, rows, width) or blocks(titles, rows):
            click.echo(line)

    def failure(self, exc: WsrcError, status: int) -> None:
        """Print why a command ends."""
        if self.as_json:
            self._failed(exc, status)
        self.complain(f"wsrc: {exc}")
        if isinstance(exc, AmbiguousCardError | NothingSelectedError):
            for candidate in exc.candidates:
                self.complain(f"  {candidate}")
        if isinstance(exc, CardBusyError) and exc.holder and exc.holder not in str(exc):
            since = f" since {self.time(exc.since)}" if exc.since else ""
            self.complain(f"  held by {exc.holder}{since}")
        self.doubt(exc)

    def doubt(self, exc: WsrcError) -> None:
        """Say that the card may have run the command that ended with an error, if it may."""
        if in_doubt(exc) and IN_DOUBT not in str(exc):
            self.complain(f"  {IN_DOUBT}")

    def interrupted(self, status: int) -> None:
        """Print, as JSON, that a command ends before it is done."""
        in_doubt, self._in_doubt = self._in_doubt, False
        if self.as_json and not self.endless:
            outcome = Outcome.UNKNOWN if in_doubt else Outcome.NOT_EXECUTED
            self._failed(_InterruptionError(outcome), status)

    def wrong_usage(self, sentence: str, status: int) -> None:
        """Print, as JSON, what is wrong with the command line."""
        content = {"error": {"code": "usage", "message": sentence}, "exit_status": status}
        self.document(content)

    def _failed(self, exc: WsrcError, status: int) -> None:
        content = {"error": error_document(exc), "exit_status": status}
        self.document({**self.partial, **content})


class _InterruptionError(WsrcError):
    """A command was interrupted; `outcome` says what is known of what the card was asked last."""

    def __init__(self, outcome: Outcome) -> None:
        unknown = "the card may or may not have run what was sent last"
        known = "nothing that was sent to the card is in doubt"
        what = unknown if outcome is Outcome.UNKNOWN else known
        super().__init__(f"The command was interrupted; {what}.")
        self.outcome = outcome


IN_DOUBT = "The card may or may not have run the command."
"""What is said of a command whose outcome is unknown."""


def response_line(response: Response) -> str:
    """Return a response as a line: data, status word, and its meaning."""
    return f"{response}  {describe_sw(response.sw)}"


def response_document(response: Response, *, decode: bool = False) -> dict[str, Any]:
    """Return a response as JSON values, with what its data mean where that is wanted."""
    told = {
        "response": response.data.hex(),
        "sw": f"{response.sw:04X}",
        "meaning": describe_sw(response.sw),
    }
    return told | decoded_document(response) if decode else told


def card_document(card: CardInfo) -> dict[str, Any]:
    """Return a card as JSON values; what is not known is null."""
    lease = card.lease
    return {
        "host": card.host or card.remote_addr[0],
        "reader": card.reader,
        "reader_name": card.reader_name,
        "state": card.state.value,
        "draining": card.draining,
        "reserved": card.reserved,
        "iccid": card.identities.iccid,
        "eids": list(eids(card)),
        "atr": card.identities.atr,
        "label": card.label,
        "tags": dict(card.tags or {}),
        "comment": card.comment,
        "protocol": card.protocol.value if card.protocol else None,
        "holder": lease.holder if lease else None,
        "since": lease.since if lease else None,
        "until": lease.until if lease else None,
        "others": [
            {"holder": each.holder, "since": each.since, "until": each.until}
            for each in card.others
        ],
    }


def session_document(card: "Card") -> dict[str, Any]:
    """Return a card that is ours as JSON values; `sealed` is null where the server can read it."""
    sealed = card.sealed
    return card_document(card.info) | {"sealed": None if sealed is None else sealed._asdict()}


def error_document(exc: WsrcError) -> dict[str, Any]:
    """Return an error as JSON values."""
    content: dict[str, Any] = {"code": exc.code.value, "message": str(exc)}
    match exc:
        case AmbiguousCardError() | NothingSelectedError():
            content["candidates"] = list(exc.candidates)
        case CardBusyError():
            content |= {"holder": exc.holder, "since": exc.since, "until": exc.until}
        case CardError():
            content["outcome"] = exc.outcome.value
        case OutcomeUnknownError():
            content["outcome"] = Outcome.UNKNOWN.value
        case NotExecutedError():
            content["outcome"] = Outcome.NOT_EXECUTED.value
        case ConfigError():
            content |= {"code": "settings", "setting": exc.setting}
        case _InterruptionError():
            content |= {"code": "interrupted", "outcome": exc.outcome.value}
        case _:
            pass
    if exc.retry_after_s is not None:
        content["retry_after_s"] = exc.retry_after_s
    return content


def atr_document(atr: bytes) -> dict[str, Any]:
    """Return what an ATR says as JSON values."""
    facts = read_atr(atr)
    if facts is None:
        return {"protocols": None, "historical": None, "euicc_functions": None}
    return {
        "protocols": list(facts.protocols),
        "historical": facts.historical.hex(),
        "euicc_functions": facts.euicc,
    }


def state_text(card: CardInfo) -> str:
    """Return what a person is shown as a state; programs are shown the word of the protocol."""
    texts = {CardState.ASSOCIATED: "in use", CardState.IN_USE: "in use on its host"}
    more = ["draining"] * card.draining + ["reserved"] * card.reserved
    return ", ".join([texts.get(card.state, card.state.value), *more])


def info_lines(card: CardInfo, *, utc: bool = False) -> list[str]:
    """Return the lines that describe one card and its ATR; `utc` as of `Output`."""
    atr = bytes.fromhex(card.identities.atr)
    facts = read_atr(atr)
    lines = [
        ("ICCID", card.identities.iccid or "not known"),
        *(("EID", eid) for eid in eids(card)),
        ("Label", card.label or "none"),
        *(("Tag", text_of(*tag)) for tag in sorted((card.tags or {}).items())),
        *((("Comment", card.comment),) if card.comment else ()),
        ("Reader", place(card)),
        ("State", state_text(card)),
        *(("Holder", f"{each.holder} since {shown(each.since, utc=utc)}") for each in leases(card)),
        *(() if leases(card) else (("Holder", "nobody"),)),
        ("Protocol", card.protocol.value if card.protocol else "not told"),
        ("ATR", atr.hex() or "none"),
    ]
    if facts is not None:
        lines += [
            ("  offers", ", ".join(facts.protocols)),
            ("  historical", _historical(facts.historical)),
        ]
    lines.append(("eUICC", _euicc(card, announced=facts is not None and facts.euicc)))
    return [f"{title:<13}{text}" for title, text in lines]


def _euicc(card: CardInfo, *, announced: bool) -> str:
    if eids(card):
        return "yes, it has an EID"
    return "the ATR announces eUICC functions" if announced else "no sign of it"


def eids(card: CardInfo) -> tuple[str, ...]:
    """Return the EIDs of a card."""
    return card.eids or ((card.identities.eid,) if card.identities.eid else ())


def _historical(octets: bytes) -> str:
    letters = "".join(chr(o) if 0x20 <= o < 0x7F else "." for o in octets)
    return f"{octets.hex()}  {letters}" if octets else "none"


def leases(card: CardInfo) -> tuple[LeaseInfo, ...]:
    """Return who has a card: nobody, one, or all who share it."""
    return (*((card.lease,) if card.lease else ()), *card.others)


def holders(card: CardInfo) -> tuple[str, ...]:
    """Return the names of all who have a card."""
    return tuple(lease.holder for lease in leases(card))
