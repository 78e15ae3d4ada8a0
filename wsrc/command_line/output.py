# SPDX-License-Identifier: Apache-2.0
"""What the command `wsrc` prints: text for a person, or JSON for a program."""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from wsrc.card.apdu import Response, describe_sw
from wsrc.card.atr import read_atr
from wsrc.errors import (
    AmbiguousCardError,
    CardBusyError,
    CardError,
    ConfigError,
    NotExecutedError,
    Outcome,
    OutcomeUnknownError,
    WsrcError,
)
from wsrc.protocol.messages import CardInfo, CardState, Waiting
from wsrc.user_client.naming import place


class Output:
    """
    Results go to standard output, all else to standard error.

    With `as_json` a result is a JSON document; with `quiet` only results and errors are printed.
    `partial` is what the document of an error has besides the error: results before it. A result
    that is `endless` is a document a line, and ends with an interrupt.
    """

    def __init__(self, *, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.partial: dict[str, Any] = {}
        self.endless = False
        self._in_doubt = False

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

    def document(self, content: dict[str, Any]) -> None:
        """Print one JSON document on one line."""
        click.echo(json.dumps(content))

    def line(self, text: str) -> None:
        """Print a line of a result."""
        click.echo(clean(text))

    def lines_of(self, texts: Mapping[str, str]) -> None:
        """Print what has names, one a line, in two columns."""
        width = max(map(len, texts), default=0)
        for name, text in texts.items():
            self.line(f"{name:<{width}}  {text}")

    def note(self, text: str) -> None:
        """Print a line about the progress of a command."""
        if not self.quiet:
            click.echo(clean(text), err=True)

    def complain(self, text: str) -> None:
        """Print what went wrong."""
        click.echo(clean(text), err=True)

    def waiting(self, told: Waiting) -> None:
        """Print who holds a card that is waited for, and the place in the queue."""
        held = f", held by {told.lease.holder} since {told.lease.since}" if told.lease else ""
        self.note(f"Waiting for the card{held}; place in the queue: {told.position}.")

    def table(self, cards: list[CardInfo]) -> None:
        """Print cards as a table."""
        titles = ("Host", "Reader", "Name", "State", "Holder", "ICCID", "EID", "Label")
        self.grid(titles, [_row(card) for card in cards])

    def grid(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        console = Console(markup=False, highlight=False, emoji=False)
        if not console.is_terminal:
            console.width = 1000
        table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
        for title in titles:
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*(clean(text) for text in row))
        with console.capture() as captured:
            console.print(table)
        for line in captured.get().splitlines():
            click.echo(line.rstrip())

    def failure(self, exc: WsrcError, status: int) -> None:
        """Print why a command ends."""
        if self.as_json:
            self._failed(exc, status)
        self.complain(f"wsrc: {exc}")
        if isinstance(exc, AmbiguousCardError):
            for candidate in exc.candidates:
                self.complain(f"  {candidate}")
        if isinstance(exc, CardBusyError) and exc.holder and exc.holder not in str(exc):
            self.complain(f"  held by {exc.holder} since {exc.since}")
        if isinstance(exc, CardError) and exc.outcome is Outcome.UNKNOWN:
            self.complain("  The card may or may not have run the command.")

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


def clean(text: str) -> str:
    """Return what others sent without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def response_line(response: Response) -> str:
    """Return a response as a line: data, status word, and its meaning."""
    return f"{response}  {describe_sw(response.sw)}"


def response_document(response: Response) -> dict[str, Any]:
    """Return a response as JSON values."""
    return {
        "response": response.data.hex(),
        "sw": f"{response.sw:04X}",
        "meaning": describe_sw(response.sw),
    }


def card_document(card: CardInfo) -> dict[str, Any]:
    """Return a card as JSON values; what is not known is null."""
    lease = card.lease
    return {
        "host": card.host or card.remote_addr[0],
        "reader": card.reader,
        "reader_name": card.reader_name,
        "state": card.state.value,
        "iccid": card.identities.iccid,
        "eids": list(_eids(card)),
        "atr": card.identities.atr,
        "label": card.label,
        "protocol": card.protocol.value if card.protocol else None,
        "holder": lease.holder if lease else None,
        "since": lease.since if lease else None,
        "until": lease.until if lease else None,
    }


def error_document(exc: WsrcError) -> dict[str, Any]:
    """Return an error as JSON values."""
    content: dict[str, Any] = {"code": exc.code.value, "message": str(exc)}
    match exc:
        case AmbiguousCardError():
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


def state_text(state: CardState) -> str:
    """Return what a person is shown for a state; programs are shown the word of the protocol."""
    texts = {CardState.ASSOCIATED: "in use", CardState.IN_USE: "in use on its host"}
    return texts.get(state, state.value)


def info_lines(card: CardInfo) -> list[str]:
    """Return the lines that describe one card and its ATR."""
    atr = bytes.fromhex(card.identities.atr)
    facts = read_atr(atr)
    lines = [
        ("ICCID", card.identities.iccid or "not known"),
        *(("EID", eid) for eid in _eids(card)),
        ("Label", card.label or "none"),
        ("Reader", place(card)),
        ("State", state_text(card.state)),
        ("Holder", _holder(card) or "nobody"),
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
    if _eids(card):
        return "yes, it has an EID"
    return "the ATR announces eUICC functions" if announced else "no sign of it"


def _eids(card: CardInfo) -> tuple[str, ...]:
    return card.eids or ((card.identities.eid,) if card.identities.eid else ())


def _historical(octets: bytes) -> str:
    letters = "".join(chr(o) if 0x20 <= o < 0x7F else "." for o in octets)
    return f"{octets.hex()}  {letters}" if octets else "none"


def _holder(card: CardInfo) -> str:
    return f"{card.lease.holder} since {card.lease.since}" if card.lease else ""


def _row(card: CardInfo) -> tuple[str, ...]:
    return (
        card.host or card.remote_addr[0],
        card.reader or "",
        card.reader_name or "",
        state_text(card.state),
        card.lease.holder if card.lease else "",
        card.identities.iccid or "",
        "\n".join(_eids(card)),
        card.label or "",
    )
