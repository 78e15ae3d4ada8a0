# SPDX-License-Identifier: Apache-2.0
"""How a command has its card: which, with whom, in which protocol, in one transaction or not."""

import functools
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from wsrc.card.slot import CardProtocol, Disposition, Pick, Share
from wsrc.command_line.invocation import card_options, wait_option
from wsrc.errors import ConnectionLostError
from wsrc.user_client.naming import Filters

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card

RAW = "raw"
"""What `--protocol` calls T=0 blocks that are passed as they are."""

_PROTOCOLS = {"t0": (CardProtocol.T0,), "t1": (CardProtocol.T1,), RAW: ()}


class Hold(NamedTuple):
    """Which card is had, after which wait, and how; see `aio.Client.select`."""

    which: Filters
    wait_s: float = 0.0
    share: Share = Share.EXCLUSIVE
    protocols: tuple[CardProtocol, ...] = ()
    raw_tpdu: bool = False
    pick: Pick = Pick.ONE
    reservation: str | None = None

    @property
    def is_left_alone(self) -> bool:
        """Whether nothing is to be done between the last command and giving the card back."""
        return self.share is Share.EXCLUSIVE

    @contextmanager
    def of(self, card: "Card", *, together: bool = False) -> Generator["Card", None, None]:
        """
        Use a card in the block and give it back.

        For those who share it the card is left as it is. With `together` they wait until the
        block is over. The client of the card is closed next, which tells that it was taken back.
        """
        shared = self.share is Share.SHARED
        try:
            if shared and together:
                card.begin()
            yield card
            if shared and together:
                card.end()
        finally:
            # This ends a transaction too, and does not wait for a command in flight as `end` does.
            with suppress(ConnectionLostError):
                after = Disposition.LEAVE if shared else Disposition.RESET
                card.detach(disposition=after, wait=False)


def any_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--any` to a command that is called with `pick`."""

    @functools.wraps(function)
    def run(*args: Any, any_card: bool, **options: Any) -> Any:
        return function(*args, pick=Pick.ANY if any_card else Pick.ONE, **options)

    return click.option(
        "--any",
        "any_card",
        is_flag=True,
        help="Any free card that matches, or the first that becomes free; the least recently used "
        "one first.",
    )(run)


reservation_option = click.option(
    "--reservation",
    envvar="WSRC_RESERVATION",
    metavar="TOKEN",
    help="Token of a reservation, which says which card; else that of WSRC_RESERVATION.",
)


def hold_options(
    *shares: Share, protocols: Sequence[str] = tuple(_PROTOCOLS)
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """
    Return what adds all options of a card that is had to a command, which is called with `hold`.

    Args:
        shares: What `--share` takes.
        protocols: What `--protocol` takes; without any there is no such option.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(  # noqa: PLR0913 - the options of a card, each by its name
            *args: Any,
            which: Filters,
            wait_s: float,
            share: str,
            pick: Pick,
            reservation: str | None,
            protocol: str | None = None,
            **options: Any,
        ) -> Any:
            chosen = _PROTOCOLS[protocol] if protocol else ()
            way = Share(share), chosen, protocol == RAW, pick, reservation
            hold = Hold(which, wait_s, *way)
            return function(*args, hold=hold, **options)

        decorated: Callable[..., Any] = any_option(reservation_option(run))
        if protocols:
            decorated = _protocol_option(protocols)(decorated)
        return card_options(wait_option(_share_option(shares)(decorated)))

    return decorate


def _share_option(shares: Sequence[Share]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    direct = "; direct takes the reader alone, with or without a card"
    return click.option(
        "--share",
        type=click.Choice([each.value for each in shares], case_sensitive=False),
        default=Share.EXCLUSIVE.value,
        help="Who may use the card meanwhile: nobody, or others who share it"
        f"{direct if Share.DIRECT in shares else ''}.  [default: exclusive]",
    )


def _protocol_option(names: Sequence[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    raw = "; raw is T=0 without fetching responses or correcting Le"
    return click.option(
        "--protocol",
        type=click.Choice(names, case_sensitive=False),
        help="Transmission protocol to agree on, else the one that PC/SC chooses"
        f"{raw if RAW in names else ''}.",
    )
