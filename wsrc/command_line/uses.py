# SPDX-License-Identifier: Apache-2.0
"""Commands about those who have cards: `who`, `revoke`."""

from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from wsrc.command_line.invocation import (
    Invocation,
    card_options,
    hint,
    require_selection,
    user_command,
)
from wsrc.command_line.listing import Time, tell_missing, undone
from wsrc.command_line.output import card_document, state_text
from wsrc.command_line.spans import span_text
from wsrc.command_line.table import Cell
from wsrc.errors import NoSuchCardError
from wsrc.user_client.naming import Filters

if TYPE_CHECKING:
    from wsrc.protocol.messages import CardUse, HolderInfo

_TITLES = ("Host", "Reader", "Card", "State", "Holder", "Since", "Idle", "Waiting")


@user_command(
    "who",
    "wsrc who",
    "wsrc who --busy --holder 'tester@*'",
    "wsrc who --free --json | jq -r '.cards[].card.iccid'",
)
@click.option("--free", is_flag=True, help="Only cards that nobody has.")
@click.option("--busy", is_flag=True, help="Only cards that somebody has.")
@click.option("--holder", metavar="WHO", help="Only cards of this principal or name.")
@card_options
def who(call: Invocation, which: Filters, free: bool, busy: bool, holder: str | None) -> None:
    """
    Show who has the cards, and who waits for them.

    `*` in an option stands for any text. Who waits is named to those who may revoke the card.
    """
    if free and busy:
        raise click.UsageError("--free and --busy leave no card: give one of them.")
    with call.client() as client:
        uses = client.who(free=free, busy=busy, holder=holder, **which)
    chosen = which or free or busy or holder is not None
    nothing = "No card is there that matches." if chosen else "No card is there."
    told = {"cards": [_document(use) for use in uses], **undone(uses.unanswered)}
    call.output.listed(told, _TITLES, [_row(use, call.output.time) for use in uses], nothing)
    tell_missing(call.output, uses.unanswered)


@user_command(
    "revoke",
    "wsrc revoke blue --why 'the night run needs it'",
    "wsrc revoke --iccid 8988211000000000013 --holder tester@example.org",
)
@click.argument("card", required=False)
@click.option("--why", default="", metavar="TEXT", help="What those are told who lose it.")
@click.option("--holder", metavar="WHO", help="Only from this principal or name.")
@card_options
def revoke(
    call: Invocation, which: Filters, card: str | None, why: str, holder: str | None
) -> None:
    """
    Take a card back from those who have it.

    CARD is its ICCID, EID, ATR, reader or label. They are told who took it and why; it is reset,
    and goes on to whoever waits for it. `*` in --holder stands for any text.
    """
    if card is not None and which.get("any") is not None:
        raise click.UsageError("Give CARD or --card, not both.")
    if card is not None:
        which = {**which, "any": card}
    with call.client() as client:
        require_selection(client, which)
        try:
            holders = client.revoke(why=why, holder=holder, **which)
        except NoSuchCardError as exc:
            raise NoSuchCardError(f"{exc}{hint(client, which)}") from exc
    if call.output.as_json:
        call.output.document({"revoked": [asdict(each) for each in holders]})
        return
    for each in holders:
        since = call.output.time(each.since)
        call.output.line(f"Taken from {each.holder}, who had it since {since}.")
    if not holders:
        call.output.note("Nobody had it.")


def _document(use: "CardUse") -> dict[str, Any]:
    left_out = {"holder", "since", "until", "others"}
    card = {name: value for name, value in card_document(use.card).items() if name not in left_out}
    return {
        "card": card,
        "holders": [asdict(each) for each in use.holders],
        "waiting": use.waiting,
        "waiters": [asdict(each) for each in use.waiters],
        "lent": use.lent,
    }


def _row(use: "CardUse", time: Time) -> tuple[Cell, ...]:
    card, holders = use.card, use.holders
    lent = (f"lent to {use.lent}",) if use.lent is not None else ()
    named = [each.name for each in use.waiters]
    more = use.waiting - len(named)
    waiting = [*named, *((f"and {more} more" if named else str(more),) if more else ())]
    return (
        card.host or card.remote_addr[0],
        card.reader_name or card.reader or "",
        card.label or card.identities.iccid or (card.eids[0] if card.eids else ""),
        state_text(card),
        [*(_named(each) for each in holders), *lent],
        [time(each.since) for each in holders],
        [span_text(each.idle_s) for each in holders],
        waiting,
    )


def _named(holder: "HolderInfo") -> str:
    """Name a holder, and what is not as usual."""
    facts = [] if holder.state.value == "held" else [holder.state.value]
    facts += [] if holder.share.value == "exclusive" else [holder.share.value]
    facts += ["sealed"] if holder.sealed else []
    return ", ".join([holder.holder, *facts])
