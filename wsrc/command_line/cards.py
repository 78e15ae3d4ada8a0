# SPDX-License-Identifier: Apache-2.0
"""Commands that look at cards and leave them alone: `list`, `info`, `watch`."""

from typing import TYPE_CHECKING

from wsrc.command_line.invocation import (
    MAX_NAMED,
    Invocation,
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
from wsrc.errors import AmbiguousCardError, NoSuchCardError
from wsrc.protocol.messages import CardInfo, ListCards
from wsrc.selection import Filter
from wsrc.user_client.naming import Filters, describe

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Client
    from wsrc.user_client.core.feeds import CardEvent


@user_command(
    "list",
    "wsrc list",
    "wsrc list --iccid '8988211*'",
    "wsrc list --json | jq -r '.cards[].iccid'",
)
@card_options
def list_(call: Invocation, which: Filters) -> None:
    """
    List the cards that are there.

    `*` in an option stands for any text.
    """
    with call.client() as client:
        cards = client.list_cards(**which)
    if call.output.as_json:
        call.output.document({"cards": [card_document(card) for card in cards]})
    elif cards:
        call.output.table(cards)
    else:
        call.output.note("No card is there that matches." if which else "No card is there.")


@user_command("info", "wsrc info --iccid 8988211000000000013", "wsrc info --card blue --json")
@card_options
def info(call: Invocation, which: Filters) -> None:
    """Show one card and its ATR, without taking it."""
    with call.client() as client:
        require_selection(client, which)
        card = _one(client, which)
    if call.output.as_json:
        facts = atr_document(bytes.fromhex(card.identities.atr))
        call.output.document({"card": card_document(card), "atr": facts})
        return
    for line in info_lines(card):
        call.output.line(line)


@user_command("watch", "wsrc watch", "wsrc watch --label 'bench*' --json")
@card_options
def watch(call: Invocation, which: Filters) -> None:
    """
    Show cards as they come, change and go.

    It begins with those that are there and ends with Ctrl-C. It outlives its server: when that is
    back, it begins again. `*` in an option stands for any text.
    """
    call.output.endless = True

    def show(client: "Client") -> None:
        for event in client.watch(**which):
            _show(call, event)

    call.without_end(show)


def _show(call: Invocation, event: "CardEvent") -> None:
    if call.output.as_json:
        call.output.document({"change": event.change.value, "card": card_document(event.card)})
        return
    names = " and ".join(holders(event.card))
    held = f", held by {names}" if names else ""
    state = f"{state_text(event.card.state)}{held}"
    call.output.line(f"{event.change.value:<8} {describe(event.card)}: {state}")


def _one(client: "Client", which: Filters) -> CardInfo:
    cards = Filter(ListCards(**which)).closest(client.list_cards(**which))
    if not cards:
        raise NoSuchCardError(f"No card is there that matches.{hint(client, which)}")
    if len(cards) > 1:
        raise AmbiguousCardError(
            f"{len(cards)} cards match; narrow the selection.",
            tuple(describe(card) for card in cards[:MAX_NAMED]),
        )
    return cards[0]
