# SPDX-License-Identifier: Apache-2.0
"""Cards that are kept for a time to come: the commands `reserve`, `reservations`, `cancel`."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from wsrc.card.slot import Pick
from wsrc.command_line.holding import any_option
from wsrc.command_line.invocation import (
    Invocation,
    card_options,
    require_selection,
    user_command,
)
from wsrc.command_line.spans import Span
from wsrc.user_client.naming import Filters

if TYPE_CHECKING:
    from wsrc.protocol.messages import ReservationInfo

_TITLES = ("Number", "Card", "Begins", "Ends", "State", "Holder")


class LocalTime(click.ParamType[datetime]):
    """A time: local, or with an offset."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return it with its zone."""
        if isinstance(value, datetime):
            return value
        text = str(value)
        try:
            if _of_day(text) is not None:
                return _next(text)
            return datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError, OSError):
            why = "is no time, such as 22:00, 2026-01-31T22:00 or 2026-01-31T22:00+01:00"
            self.fail(f"{value!r} {why}.", param, ctx)


_of_day = re.compile(r"\d{1,2}:\d{2}").fullmatch


def _next(text: str) -> datetime:
    """Return when it is a time of day next, on the clock of this machine."""
    hours, minutes = map(int, text.split(":"))
    now = datetime.now().astimezone()
    today = now.replace(hour=hours, minute=minutes, second=0, microsecond=0, tzinfo=None)
    day = today if today.astimezone() > now else today + timedelta(days=1)
    return day.astimezone()


@user_command(
    "reserve",
    "wsrc reserve --card blue --for 2h",
    "wsrc reserve --any --tag kind=sgp22 --for 8h --at 2026-01-31T22:00",
    "token=$(wsrc reserve --any --for 30m --json | jq -r .token)",
)
@card_options
@any_option
@click.option("--for", "for_s", type=Span(), required=True, metavar="TIME", help="How long, as 2h.")
@click.option(
    "--at", "begins", type=LocalTime(), metavar="TIME", help="When it begins.  [default: now]"
)
@click.option(
    "--priority",
    type=click.IntRange(0, 9),
    default=0,
    metavar="N",
    help="0 to 9: those of a lower one give way that have not begun.  [default: 0]",
)
def reserve(  # noqa: PLR0913 - the options of the command
    call: Invocation,
    which: Filters,
    *,
    pick: Pick,
    for_s: float,
    begins: datetime | None,
    priority: int,
) -> None:
    """
    Have a card kept for a time to come.

    The token is printed, once: --reservation TOKEN of other commands takes the card, and from the
    beginning nobody else is given it. Who has it before keeps it until they give it back. A time
    without an offset is local, and one of day alone, as 22:00, is when it is that next.
    """
    with call.client() as client:
        if pick is Pick.ONE:
            require_selection(client, which)
        made = client.reserve(for_s, begins=begins, pick=pick, priority=priority, **which)
    if call.output.as_json:
        call.output.document({"reservation": asdict(made.reservation), "token": made.token})
        return
    info, time = made.reservation, call.output.time
    times = f"from {time(info.begins)} until {time(info.ends)}"
    call.output.note(f"Reservation {info.number}: {info.card}, {times}. Its token, told once:")
    call.output.line(made.token)


@user_command(
    "reservations",
    "wsrc reservations",
    "wsrc reservations --json | jq '.reservations[] | select(.own)'",
)
def reservations(call: Invocation) -> None:
    """
    Show which cards are reserved.

    They are our own reservations, and those of cards that we may list.
    """
    with call.client() as client:
        found = client.reservations()
    told = {"reservations": [asdict(each) for each in found]}
    rows = [_row(each, call.output.time) for each in found]
    call.output.listed(told, _TITLES, rows, "No card is reserved.")


@user_command("cancel", "wsrc cancel 482913", "wsrc cancel --reservation $TOKEN")
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.option("--reservation", "token", metavar="TOKEN", help="Its token, in place of NUMBER.")
def cancel(call: Invocation, number: int | None, token: str | None) -> None:
    """
    Give up a reservation.

    NUMBER is that of `wsrc reservations`; it is one of our own, or we run the server. Who took the
    card with the token keeps it as anybody does.
    """
    if (number is None) == (token is None):
        raise click.UsageError("Give NUMBER or --reservation TOKEN.")
    with call.client() as client:
        gone = client.cancel_reservation(number, token=token)
    call.output.result({"cancelled": gone}, f"Reservation {gone} is given up.")


def _row(info: "ReservationInfo", time: Callable[[str], str]) -> tuple[str, ...]:
    number, state = str(info.number), info.state.value
    return number, info.card, time(info.begins), time(info.ends), state, info.holder or ""
