# SPDX-License-Identifier: Apache-2.0
"""What becomes of a card that `wsrc take` holds, said from elsewhere or from inside."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsrc.command_line.invocation import MAX_NAMED, Invocation, user_command
from wsrc.errors import AmbiguousCardError, NoSuchCardError
from wsrc.settings.held import HeldFile, held_file, read_held

if TYPE_CHECKING:
    from wsrc.hold.control import Answer, Wish

_card = click.option(
    "--card",
    metavar="NAME",
    help="Which, of several that you hold: its label, or ICCID; needless inside `wsrc take`.",
)


@user_command("give-back", "wsrc give-back", "wsrc give-back --card blue")
@_card
def give_back(call: Invocation, card: str | None) -> None:
    """
    Give back the card that `wsrc take` holds, and hang up on its command.

    It is reset for the next user. A command of the card that runs is answered first.
    """
    from wsrc.hold.control import Wish  # noqa: PLC0415 - help needs none of it

    held, _ = _ask(Wish.GIVE_BACK, card)
    call.output.done({"given_back": held.card}, f"{held.card} was given back.")


@user_command("allow", "wsrc allow bob@example.org")
@click.argument("who")
@_card
def allow(call: Invocation, who: str, card: str | None) -> None:
    """
    Let a colleague share the card that `wsrc take` holds.

    WHO is their principal, or their name as `wsrc who` shows it. They take it with `--share
    shared`, without waiting, and find it as it is: a PIN that was verified is verified for them.
    """
    from wsrc.hold.control import Wish  # noqa: PLC0415 - help needs none of it

    held, _ = _ask(Wish.ALLOW, card, who)
    document: dict[str, Any] = {"card": held.card, "allowed": who}
    call.output.done(document, f"{who} may share {held.card}, with --share shared.")


@user_command("lend", "wsrc lend bob@example.org")
@click.argument("who")
@_card
def lend(call: Invocation, who: str, card: str | None) -> None:
    """
    Hand the card that `wsrc take` holds to a colleague, and hang up on its command.

    WHO is their principal, or their name as `wsrc who` shows it. It is reset, and kept for them
    before all who wait for it.
    """
    from wsrc.hold.control import Wish  # noqa: PLC0415 - help needs none of it

    held, answer = _ask(Wish.LEND, card, who)
    document: dict[str, Any] = {"card": held.card, "lent": who, "until": answer.until}
    until = call.output.time(answer.until or "")
    call.output.done(document, f"{held.card} is kept for {who} until {until}.")


def _ask(wish: "Wish", card: str | None, who: str = "") -> "tuple[HeldFile, Answer]":
    from wsrc.hold.control import Asked, ask  # noqa: PLC0415 - help needs none of it

    held = _meant(card)
    return held, ask(Path(held.control), Asked(wish, who))


def _meant(card: str | None) -> HeldFile:
    """
    Return the hold that is meant: that which this command is inside of, else the only one.

    Raises:
        NoSuchCardError: If there is none.
        AmbiguousCardError: If there are several.
    """
    from wsrc.hold.folder import found  # noqa: PLC0415 - help needs none of it

    file = held_file(os.environ)
    if file is not None and card is None:
        return read_held(file)
    held = [each for each in found(os.environ) if card in {None, each.card}]
    if len(held) == 1:
        return held[0]
    if not held:
        named = "" if card is None else f" called {card}"
        raise NoSuchCardError(f"No card{named} is held by a `wsrc take` of yours on this machine.")
    names = tuple(each.card for each in held[:MAX_NAMED])
    raise AmbiguousCardError(f"You hold {len(held)} cards; say which with --card.", names)
