# SPDX-License-Identifier: Apache-2.0
"""What the commands of `wsrc` have in common: options, connection, selection, exit statuses."""

import functools
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from wsrc.card.slot import Pick, Share
from wsrc.command_line.script import ScriptError
from wsrc.errors import (
    AmbiguousCardError,
    BadApduError,
    BadHexError,
    CardError,
    ConfigError,
    ConnectionLostError,
    ErrorCode,
    LocalProtocolError,
    NoSuchCardError,
    Outcome,
    OutcomeUnknownError,
    RefusedError,
    RemoteProtocolError,
    SessionError,
    WsrcError,
)
from wsrc.settings.click_options import click_options
from wsrc.settings.held import HeldSettings
from wsrc.settings.limits import require_files
from wsrc.settings.load import UserSettings
from wsrc.tags import asked
from wsrc.user_client.naming import Filters, describe

# Longer than the aim: what every command is given is one object.

if TYPE_CHECKING:
    from wsrc.command_line.holding import Hold
    from wsrc.command_line.output import Output
    from wsrc.protocol.messages import CardInfo, Step
    from wsrc.user_client.blocking import Card, Client

    First = bytes | Sequence[Step | bytes]

MAX_NAMED, MAX_COMPARED = 10, 1_000
"""Cards that are named to someone whose selection does not decide, and labels compared with it."""


RETRY_MIN_S, RETRY_MAX_S = 0.5, 30.0
"""How long to wait before the next connection of a command without end; it doubles each time."""


class Exit(IntEnum):
    """Exit statuses; `meaning` is what documents say."""

    DONE = 0
    UNEXPECTED_SW = 1
    USAGE = 2
    REFUSED = 3
    CARD = 4
    CONNECTION = 5
    OUTCOME_UNKNOWN = 6
    OUTPUT = 74
    HUNG_UP = 129
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        """When a command ends with it."""
        return _MEANINGS[self]


NONE_YET = (
    "No card is there that matches, so far; where the server has a policy, it has to give 'events'."
)
"""What a person is told who shows cards to other programs."""

_MEANINGS = {
    Exit.DONE: "done",
    Exit.UNEXPECTED_SW: "a status word was not as expected",
    Exit.USAGE: "the command line, a script or a setting is wrong, or no card is selected",
    Exit.REFUSED: "refused: no such card, several, used by others, not allowed, or kept by a guard",
    Exit.CARD: "the card or its reader failed, or the session ended; no command is in doubt",
    Exit.CONNECTION: "no connection to the server, which may not let us in, or TLS failed",
    Exit.OUTCOME_UNKNOWN: "the card may or may not have run the last command",
    Exit.OUTPUT: "the input or the output of the program failed, such as a disk that is full",
    Exit.HUNG_UP: "its terminal was closed (SIGHUP)",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
    Exit.BROKEN_PIPE: "whoever read the output went away",
    Exit.TERMINATED: "ended by SIGTERM",
}

_STATUSES: tuple[tuple[tuple[type[WsrcError], ...], Exit], ...] = (
    ((OutcomeUnknownError,), Exit.OUTCOME_UNKNOWN),
    ((CardError, SessionError), Exit.CARD),
    ((ConfigError, BadApduError, BadHexError, ScriptError, LocalProtocolError), Exit.USAGE),
    ((ConnectionLostError, RemoteProtocolError), Exit.CONNECTION),
)


def exit_status(exc: WsrcError) -> Exit:
    """Return the exit status for an error."""
    if isinstance(exc, CardError) and exc.outcome is Outcome.UNKNOWN:
        return Exit.OUTCOME_UNKNOWN
    if isinstance(exc, RefusedError) and exc.code is ErrorCode.NOTHING_SELECTED:
        return Exit.USAGE
    return next((status for kinds, status in _STATUSES if isinstance(exc, kinds)), Exit.REFUSED)


class Invocation:
    """One run of a command: its settings and where its output goes."""

    def __init__(self, settings: UserSettings, output: "Output") -> None:
        self.settings = settings
        self.output = output

    @property
    def only_card(self) -> Filters:
        """What selects the one card that there is inside `wsrc take`; nothing elsewhere."""
        settings = self.settings
        return {"reader": settings.held_reader} if isinstance(settings, HeldSettings) else {}

    def client(self) -> "Client":
        """Return a client that is not connected yet; what it takes to have one is loaded now."""
        from wsrc.user_client.blocking import Client  # noqa: PLC0415 - help needs no network

        return Client.from_settings(self.settings)

    def _client_that_selects(self) -> "Client":
        client = self.client()
        client.prepare()
        return client

    def without_end(self, doing: "Callable[[Client], None]") -> None:
        """
        Do something with a client, and with another whenever its connection is lost for good.

        Raises:
            WsrcError: If there is no first connection, or what is done fails otherwise.
        """
        from wsrc.net.dial import Backoff  # noqa: PLC0415 - help needs no network

        backoff, begun = Backoff(RETRY_MIN_S, RETRY_MAX_S), False
        while True:
            client = self.client()
            try:
                with client:
                    client.greeted()
                    begun = True
                    backoff.succeeded()
                    doing(client)
                    return
            except ConnectionLostError as exc:
                if not begun:
                    raise
                self.output.note(f"{exc} Trying again.")
            time.sleep(backoff.wait_s())

    def saw(self, *cards: "CardInfo") -> None:
        """Note which cards are there, for the completion of words later."""
        from wsrc.command_line import known  # noqa: PLC0415 - help needs none of it

        names = [
            {
                "iccid": [each.identities.iccid] if each.identities.iccid else [],
                "eid": list(each.eids),
                "label": [each.label] if each.label else [],
                "reader": [name for name in (each.reader_name, each.reader) if name],
                "atr": [each.identities.atr] if each.identities.atr else [],
                "tag": [f"{key}={value}" for key, value in (each.tags or {}).items()],
            }
            for each in cards
        ]
        known.remember(os.environ, self.settings.server_url, names)

    def select(self, client: "Client", hold: "Hold", first: "First | None" = None) -> "Card":
        """Make a card ours, telling the place in the queue; see `aio.Client.select`."""
        which, way = hold.which, {k: v for k, v in hold._asdict().items() if k != "which"}
        if hold.pick is Pick.ONE and hold.reservation is None:
            require_selection(client, which)
        try:
            return client.select(on_waiting=self.output.waiting, first=first, **way, **which)
        except NoSuchCardError as exc:
            raise NoSuchCardError(f"{exc}{hint(client, which)}") from exc

    def heard(self) -> AbstractContextManager[None]:
        """Have a person told in the block of the connection; see `notes.heard`."""
        from wsrc.command_line.notes import heard  # noqa: PLC0415 - help needs no network

        return heard(self.output)

    @contextmanager
    def card(self, hold: "Hold") -> "Generator[Card, None, None]":
        """Hold a card for the block, by a client of its own."""
        with (
            self.heard(),
            self._client_that_selects() as client,
            hold.of(self.select(client, hold)) as card,
        ):
            self.saw(card.info)
            yield card

    @contextmanager
    def card_for(self, hold: "Hold", first: "First | None") -> "Generator[Card, None, None]":
        """
        Hold a card for commands that belong together, the first of which is sent along if it can.

        It is not where the card may have to be waited for, or others share it: nothing of a card
        that is not ours yet is in doubt when a person gives up.
        """
        early = not hold.wait_s and hold.share is Share.EXCLUSIVE
        with (
            self.heard(),
            self._client_that_selects() as client,
            self.output.at_risk() if early else nullcontext(),
            hold.of(self.select(client, hold, first if early else None), together=True) as card,
            self.output.at_risk(),
        ):
            yield card


def require_selection(client: "Client", which: Filters, *, several: bool = False) -> None:
    """
    Check that a card is selected.

    Args:
        client: Lists the cards.
        which: The selection.
        several: Whether several may be, or all by `--all`.

    Raises:
        RefusedError: If not; the sentence names the cards that there are.
    """
    from wsrc.command_line.output import NothingSelectedError  # noqa: PLC0415 - help prints none

    if which:
        return
    cards = client.list_cards()
    named = [describe(card) for card in cards[:MAX_NAMED]]
    if len(cards) > MAX_NAMED:
        named.append(f"and {len(cards) - MAX_NAMED} more")
    there = " These are there:" if cards else " There is none now."
    what, ways = ("cards", ", or --all for all of them") if several else ("card", "")
    raise NothingSelectedError(
        f"Say which {what}, with --iccid, --eid, --atr, --reader, --label, --tag or --card{ways}."
        f"{there}",
        named,
    )


def ambiguous(cards: "Sequence[CardInfo]") -> AmbiguousCardError:
    """Return what is said to someone whose selection fits several cards."""
    shown = tuple(describe(card) for card in cards[:MAX_NAMED])
    return AmbiguousCardError(f"{len(cards)} cards match; narrow the selection.", shown)


def hint(client: "Client", which: Filters) -> str:
    """Return what to do where no card matches: the label that is close, if any, and `wsrc list`."""
    wanted, labels = which.get("label") or which.get("any"), dict[str, str]()
    with suppress(WsrcError):
        named = (card.label for card in client.list_cards() if card.label) if wanted else ()
        labels = {label.lower(): label for label in islice(named, MAX_COMPARED)}
    import difflib  # noqa: PLC0415 - who is found needs none of it

    near = difflib.get_close_matches((wanted or "").lower(), labels, 1)
    return "".join(f" Did you mean {labels[name]}?" for name in near) + " `wsrc list` shows all."


def tags_given(
    context: click.Context, parameter: click.Parameter, texts: Sequence[str]
) -> dict[str, str]:
    """Return the tags that were given as KEY=VALUE, by their keys."""
    try:
        return asked(texts)
    except ValueError as exc:
        raise click.BadParameter(str(exc), context, parameter) from exc


tag_option = click.option(
    "--tag",
    "tags",
    multiple=True,
    callback=tags_given,
    metavar="KEY=VALUE",
    help="Tag of the card; with several, all must match.",
)


def card_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which card to a command, which is called with `which`."""

    @functools.wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        given = {kind: options.pop(kind) for kind in _CARD_OPTIONS}
        which = {kind: value for kind, value in given.items() if value is not None}
        if tags := options.pop("tags"):
            which["tags"] = tags
        if not any(which.values()) and args and isinstance(args[0], Invocation):
            which = {**which, **args[0].only_card}
        return function(*args, which=which, **options)

    decorated: Callable[..., Any] = tag_option(run)
    for kind, text in reversed(_CARD_OPTIONS.items()):
        flag = "--card" if kind == "any" else f"--{kind}"
        decorated = click.option(flag, kind, metavar="TEXT", help=text)(decorated)
    return decorated


_CARD_OPTIONS = {
    "iccid": "ICCID of the card, with or without its check digit.",
    "eid": "EID of the card.",
    "atr": "ATR of the card, in hexadecimal.",
    "reader": "Id or name of its reader.",
    "label": "Label that its host gives it.",
    "any": "Any of these.",
}


def waiting(explained: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return an option that says how many seconds something is waited for."""
    seconds = click.FloatRange(min=0)
    return click.option(
        "--wait", "--wait-s", "wait_s", type=seconds, default=0.0, metavar="S", help=explained
    )


wait_option = waiting("Seconds to wait for a card that is busy or absent.")


def common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`, `--quiet` and the settings to a command called with an `Invocation`."""

    @click_options(UserSettings)
    def call(*, settings: UserSettings, output: "Output", **options: Any) -> Any:
        require_files()
        return function(Invocation(settings, output), **options)

    @functools.wraps(call)
    def run(*, as_json: bool, quiet: bool, utc: bool, **options: Any) -> None:
        from wsrc.command_line.output import Output  # noqa: PLC0415 - help prints none of it

        output = Output(as_json=as_json, quiet=quiet, utc=utc)
        try:
            status = _finish(output, lambda: call(output=output, **options))
        except OSError as exc:
            status = cut_off(exc)
        click.get_current_context().exit(status)

    decorated: Callable[..., Any] = run
    decorated = click.option(
        "--utc", is_flag=True, help="Print times in UTC, not in the zone of this machine."
    )(decorated)
    decorated = click.option(
        "--quiet", "-q", is_flag=True, help="Print nothing but results and errors."
    )(decorated)
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(decorated)


def _finish(output: "Output", doing: Callable[[], Any]) -> int:
    """Carry out a command and print why it failed."""
    try:
        status: int = doing() or Exit.DONE
        sys.stdout.flush()
    except WsrcError as exc:
        status = exit_status(exc)
        output.failure(exc, status)
    except KeyboardInterrupt:
        output.interrupted(Exit.INTERRUPTED)
        raise
    except SystemExit as exc:
        if isinstance(exc.code, int) and exc.code:
            output.interrupted(exc.code)
        raise
    return status


def cut_off(exc: OSError) -> Exit:
    """Return the exit status when nothing can be printed any more, nor is tried at the end."""
    with suppress(OSError):
        if not isinstance(exc, BrokenPipeError):
            click.echo(f"wsrc: The input or output failed: {exc.strerror}.", err=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    return Exit.BROKEN_PIPE if isinstance(exc, BrokenPipeError) else Exit.OUTPUT


def user_command(
    name: str, *examples: str, notes: str = ""
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command; notes and examples are shown at the end of its help."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        own = click.command()(function).params
        epilog = notes + "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
        made = click.command(name, epilog=epilog, help=function.__doc__)(common_options(function))
        made.params[:0] = own
        return made

    return decorate
