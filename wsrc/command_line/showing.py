# SPDX-License-Identifier: Apache-2.0
"""Which cards a command shows to other programs: all that match, or one of them in one reader."""

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from wsrc.command_line.invocation import Invocation, waiting
from wsrc.net.tls_files import ClientTls
from wsrc.user_client.naming import Filters

if TYPE_CHECKING:
    from wsrc.bridges.remote.cards import RemoteCards
    from wsrc.bridges.remote.one_card import Booked


class OneOf(NamedTuple):
    """One reader: any free card of those that match, or the one of a reservation."""

    which: Filters
    booked: "Booked | None" = None
    wait_s: float = 0.0


Wanted = list[Filters] | OneOf


def one_of(
    call: Invocation, which: dict[str, Any], reservation: str | None, wait_s: float
) -> OneOf:
    """
    Return the one reader that is to be shown.

    Args:
        call: Asks the server which card a reservation is for.
        which: The values that were given of each kind, and tags.
        reservation: Token of the reservation, None for any free card.
        wait_s: How long to stand in the queue of the server while no card is free.

    Raises:
        UsageError: If nothing can be selected so.
        RefusedError: If there is no such reservation.
    """
    chosen: dict[str, Any] = {"tags": tags} if (tags := which.get("tags")) else {}
    for kind, given in which.items():
        values = (given,) if isinstance(given, str) else tuple(given or ())
        if kind == "tags" or not values:
            continue
        if len(values) > 1 or "*" in values[0]:
            raise click.UsageError(f"--any takes --{kind} once, and without *; use tags.")
        chosen[kind] = values[0]
    if reservation is None:
        return OneOf(cast("Filters", chosen), wait_s=wait_s)
    if chosen:
        raise click.UsageError("The reservation says which card; give no selection beside it.")
    from wsrc.bridges.remote.one_card import booked_by  # noqa: PLC0415 - help needs no network

    return OneOf({}, booked_by(call.settings, reservation), wait_s)


queue_option = waiting(
    "With --any or --reservation: seconds to wait in turn while no card is free; the reader is "
    "empty meanwhile."
)

ONLY_ONE = "--wait needs --any or --reservation: else the cards that others use are shown as such."


def cards_of(call: Invocation, wanted: Wanted, tls: ClientTls | None = None) -> "RemoteCards":
    """Return the cards that are to be shown, which nobody runs yet."""
    from wsrc.bridges.remote.cards import RemoteCards, clients  # noqa: PLC0415 - as above
    from wsrc.bridges.remote.one_card import OneCard  # noqa: PLC0415 - as above

    make_client = clients(call.settings, tls)
    if isinstance(wanted, OneOf):
        which, booked, wait_s = wanted
        return OneCard(make_client, which, call.output.note, booked, wait_s)
    return RemoteCards(make_client, wanted, call.output.note)
