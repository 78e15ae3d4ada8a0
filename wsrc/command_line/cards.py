# SPDX-License-Identifier: Apache-2.0
"""Commands that look at cards and leave them alone: `list`, `info`, `watch`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from wsrc.command_line import listing
from wsrc.command_line.invocation import (
    Invocation,
    ambiguous,
    card_options,
    hint,
    require_selection,
    user_command,
)
from wsrc.command_line.output import (
    atr_document,
    card_document,
    holders,
    info_lines,
    state_text,
)
from wsrc.errors import NoSuchCardError
from wsrc.protocol.messages import CardInfo, ListCards
from wsrc.selection import Filter
from wsrc.user_client.naming import Filters, describe

if TYPE_CHECKING:
    from wsrc.command_line.output import Output
    from wsrc.user_client.blocking import Client
    from wsrc.user_client.core.feeds import CardEvent

_COLUMNS_NOTE = f"""\
Columns: {", ".join(listing.TITLES)}.

"""

_columns_option = click.option(
    "--columns", metavar="NAME,…", help="Columns to show, such as iccid,label,holder."
)


@user_command(
    "list",
    "wsrc list",
    "wsrc list --iccid '8988211*'",
    "wsrc list --columns iccid,holder",
    "wsrc list --json | jq -r '.cards[].iccid'",
    notes=_COLUMNS_NOTE,
)
@card_options
@_columns_option
@click.option("--wide", is_flag=True, help="Show all, in lines as long as they are.")
def list_(call: Invocation, which: Filters, *, columns: str | None, wide: bool) -> None:
    """
    List the cards that are there.

    `*` in an option stands for any text. Where no terminal shows them, --columns prints values
    alone, a card a line, with tabs between.
    """
    output = call.output
    names = listing.columns_of(columns) if columns is not None else None
    with call.client() as client:
        found = client.list_cards(**which)
    cards, missing = listing.in_order(found), found.unanswered
    call.saw(*cards[: listing.MOST_SEEN])
    if output.as_json:
        document: dict[str, Any] = {"cards": [card_document(card) for card in cards]}
        output.document(document | listing.undone(missing))
        return
    listing.tell_missing(output, missing)
    if names is not None and not output.is_watched:
        for card in cards:
            output.fields(listing.values(card, names, output.time))
        return
    if not cards:
        output.note("No card is there that matches." if which else "No card is there.")
        return
    shown = names or (listing.WIDE if wide else _usual(output))
    rows = [listing.row(card, shown, output.time) for card in cards]
    output.grid(listing.titles(shown), rows, fold=not wide)
    output.note(f"{listing.count(cards)}.")


def _usual(output: "Output") -> Sequence[str]:
    return listing.NARROW if output.is_watched else listing.PLAIN


@user_command("info", "wsrc info --iccid 8988211000000000013", "wsrc info --card blue --json")
@card_options
def info(call: Invocation, which: Filters) -> None:
    """Show one card and its ATR, without taking it."""
    with call.client() as client:
        require_selection(client, which)
        card = _one(client, which)
    call.saw(card)
    if call.output.as_json:
        facts = atr_document(bytes.fromhex(card.identities.atr))
        call.output.document({"card": card_document(card), "atr": facts})
        return
    for line in info_lines(card, utc=call.output.utc):
        call.output.line(line)


@user_command("watch", "wsrc watch", "wsrc watch --label 'bench*' --json", notes=_COLUMNS_NOTE)
@card_options
@_columns_option
def watch(call: Invocation, which: Filters, *, columns: str | None) -> None:
    """
    Show cards as they come, change and go.

    It begins with those that are there and ends with Ctrl-C. It outlives its server: when that is
    back, it begins again. A terminal shows a table of the cards that are there; else each change
    is a line. `*` in an option stands for any text.
    """
    output = call.output
    output.endless = True
    names = listing.columns_of(columns) if columns is not None else listing.NARROW
    if output.draws:
        _watch_live(call, which, names)
        return

    def show(client: "Client") -> None:
        for event in client.watch(**which):
            _show(call, event)

    with call.heard():
        call.without_end(show)


def _watch_live(call: Invocation, which: Filters, names: Sequence[str]) -> None:
    from wsrc.command_line.watching import Watched  # noqa: PLC0415 - a terminal alone needs it

    watched = Watched(names, call.output.time)

    def show(client: "Client") -> None:
        watched.begin()
        for event in client.watch(**which):
            watched.happened(event)

    with call.output.notes_by(watched.note), call.heard(), watched.live:
        call.without_end(show)


def _show(call: Invocation, event: "CardEvent") -> None:
    if call.output.as_json:
        call.output.document({"change": event.change.value, "card": card_document(event.card)})
        return
    names = " and ".join(holders(event.card))
    held = f", held by {names}" if names else ""
    state = f"{state_text(event.card)}{held}"
    call.output.line(f"{event.change.value:<8} {describe(event.card)}: {state}")


def _one(client: "Client", which: Filters) -> CardInfo:
    cards = Filter(ListCards(**which)).closest(client.list_cards(**which))
    if not cards:
        raise NoSuchCardError(f"No card is there that matches.{hint(client, which)}")
    if len(cards) > 1:
        raise ambiguous(cards)
    return cards[0]
