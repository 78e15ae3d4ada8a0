# SPDX-License-Identifier: Apache-2.0
"""Commands that let PC/SC programs use cards that are elsewhere: `pcsc serve`, `pcsc run`."""

import asyncio
import functools
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsrc.card.slot import Pick
from wsrc.command_line.groups import Leading, shared_options
from wsrc.command_line.holding import any_option, reservation_option
from wsrc.command_line.invocation import (
    NONE_YET,
    Invocation,
    card_options,
    require_selection,
    user_command,
)
from wsrc.command_line.program_run import run_program, status_of
from wsrc.command_line.showing import ONLY_ONE, Wanted, cards_of, one_of, queue_option
from wsrc.process.loop import run_main, ungrouped
from wsrc.process.signals import service
from wsrc.user_client.naming import Filters, alternatives

if TYPE_CHECKING:
    from wsrc.bridges.remote.cards import RemoteCards

SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
"""Where libpcsclite looks for the path of the socket."""

TELL_S = 1.0
"""How long is waited for the cards, to tell of them, where the program has ended before."""

_SOCKET_NAME_OCTETS = len("/wsrc-pcsc-12345678/pcscd.comm")

HELP = """
Give unchanged PC/SC programs cards that are elsewhere.

A program finds the cards as readers of its PC/SC service. A card is taken when the first program
connects to it, freshly reset, and given back soon after the last one disconnects.
"""


def selection_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """
    Add the options that say which cards, each of which may be repeated, and `--all`, to a command.

    Programs that only look for readers take each card that they find, so all are shown to who asks
    for all. With `--any` or `--reservation` there is one reader, which has one card.
    """

    @functools.wraps(function)
    def run(
        call: Invocation,
        *args: Any,
        pick: Pick,
        reservation: str | None,
        wait_s: float,
        **options: Any,
    ) -> Any:
        which, everything = options.pop("which"), options.pop("everything")
        if pick is not Pick.ANY and reservation is None:
            if wait_s:
                raise click.UsageError(ONLY_ONE)
            wanted: Wanted = _all_of(call, which, everything=everything)
        elif everything:
            raise click.UsageError("--all shows all cards; --any and --reservation show one.")
        else:
            wanted = one_of(call, which, reservation, wait_s)
        return function(call, *args, wanted=wanted, **options)

    decorated = card_options(any_option(reservation_option(queue_option(run))))
    parameters: list[click.Option] = getattr(decorated, "__click_params__", [])
    for option in parameters:
        if option.name in Filters.__annotations__:
            option.multiple = True
            option.default = None
            option.help = f"{option.help} May be given several times."
    return click.option("--all", "everything", is_flag=True, help="All cards.")(decorated)


def _all_of(call: Invocation, which: dict[str, Any], *, everything: bool) -> list[Filters]:
    """Return which cards are meant, all of which are shown."""
    if call.only_card and which.get("reader") == call.only_card.get("reader"):
        which, everything = {}, True
    tags: dict[str, str] = which.pop("tags", {})
    given = {kind: values for kind, values in which.items() if values}
    if (given or tags) and everything:
        raise click.UsageError("--all leaves nothing to choose: give it, or say which cards.")
    if not given and not tags and not everything:
        with call.client() as client:
            require_selection(client, {}, several=True)
    return alternatives(given, tags)


def _mode(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    try:
        mode = int(value, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise click.BadParameter(f"{value!r} is no mode such as 0600 or 0660")
    return mode


@user_command(
    "serve",
    "wsrc pcsc serve --socket ~/.wsrc/pcscd.comm --label 'bench*'",
    "wsrc pcsc serve --socket ~/.wsrc/pcscd.comm --any --tag kind=sgp22",
    "PCSCLITE_CSOCK_NAME=~/.wsrc/pcscd.comm pcsc_scan",
)
@click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH",
    help="Socket to make; programs find it by the variable PCSCLITE_CSOCK_NAME.",
)
@click.option(
    "--mode",
    default="0600",
    show_default=True,
    callback=_mode,
    metavar="MODE",
    help="Who may use the socket, and with it the cards.",
)
@selection_options
def serve(call: Invocation, path: Path, mode: int, wanted: Wanted) -> None:
    """
    Serve the cards to all programs that use a socket, until SIGINT or SIGTERM.

    SIGHUP has the certificate, key and CA read anew; it ends a service whose terminal was closed.

    `*` stands for any text where it is said which cards; `--all` shows all of them. With `--any`
    one reader has any free card of those that match, and with `--reservation` the one that is
    reserved: its name stays whichever card that is.
    """
    run_main(_serve(call, path.absolute(), mode, wanted))


async def _serve(call: Invocation, path: Path, mode: int, wanted: Wanted) -> None:
    from wsrc.bridges.pcscd.server import serving  # noqa: PLC0415 - help needs no socket
    from wsrc.net.tls_files import (  # noqa: PLC0415 - as above
        SELDOM_S,
        ClientTls,
        looked_after,
    )

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    tls = ClientTls(call.settings)
    source = cards_of(call, wanted, tls)
    shown = Shown(source, call.output.note)
    with (
        looked_after(tls.files, SELDOM_S) as reload,
        service(
            lambda: loop.call_soon_threadsafe(stop.set), lambda: loop.call_soon_threadsafe(reload)
        ),
    ):
        listed = source.looked
        async with serving(path, source, mode, shown.note, listed), asyncio.TaskGroup() as tasks:
            call.output.note(f"Ready: set {SOCKET_VARIABLE}={path} for programs.")
            telling = tasks.create_task(shown.tell())
            await stop.wait()
            telling.cancel()


@user_command(
    "run",
    "wsrc pcsc run --iccid 8988211000000000013 -- opensc-tool --atr",
    "wsrc pcsc run --label 'bench*' -- pcsc_scan -r",
    "wsrc pcsc run --any --tag kind=sgp22 -- opensc-tool --atr",
    "wsrc pcsc run --card blue -- bash",
    notes="The exit status is that of the program, 127 if there is none, and 128 + n if it was "
    "ended by signal n; that of wsrc where the server is not reached, or refuses us.\n\n",
)
@click.argument("command", nargs=-1, required=True, metavar="PROGRAM [ARGUMENT]...")
@selection_options
def run(call: Invocation, command: tuple[str, ...], wanted: Wanted) -> int:
    """
    Run a program that finds the cards as its PC/SC readers.

    `*` stands for any text where it is said which cards; `--all` shows all of them. With `--any`
    one reader has any free card of those that match, and with `--reservation` the one that is
    reserved: its name stays whichever card that is.
    """
    return run_main(_run(call, command, wanted))


run.context_settings = {"allow_interspersed_args": False}


async def _run(call: Invocation, command: Sequence[str], wanted: Wanted) -> int:
    from wsrc.bridges.pcscd.server import serving  # noqa: PLC0415 - help needs no socket

    source = cards_of(call, wanted)
    shown = Shown(source, call.output.note)
    with tempfile.TemporaryDirectory(prefix="wsrc-pcsc-", dir=_folder_for_socket()) as folder:
        path = Path(folder) / "pcscd.comm"
        async with serving(path, source, say=shown.note, listed=source.looked):
            await source.met()
            environment = os.environ | {SOCKET_VARIABLE: str(path)}
            try:
                async with _telling(source, shown):
                    return await run_program(command, environment)
            except OSError as exc:
                call.output.complain(f"wsrc: {command[0]}: {exc.strerror}")
                return status_of(exc)


@asynccontextmanager
async def _telling(source: "RemoteCards", shown: "Shown") -> AsyncGenerator[None]:
    """
    Tell of the cards while a program runs already.

    A server that takes the connection and then refuses us ends the program, by SIGTERM; one that
    asked for readers has found none.

    Raises:
        WsrcError: If the server refuses us, or the connection is lost before the cards are known.
        OSError: Of what is run.
    """

    async def tell() -> None:
        await source.begun()
        await shown.tell()

    with ungrouped():
        async with asyncio.TaskGroup() as tasks:
            telling = tasks.create_task(tell(), name="telling")
            yield
            await asyncio.wait([telling], timeout=TELL_S)
            telling.cancel()


class Shown:
    """
    What a person is told of the cards that programs are shown: one line at the beginning.

    Args:
        source: The cards.
        note: Called with a sentence.
    """

    def __init__(self, source: "RemoteCards", note: Callable[[str], None]) -> None:
        self._source = source
        self._note = note
        self._waiting: list[str] | None = []

    def note(self, sentence: str) -> None:
        """Pass a sentence on, at the beginning as part of the line."""
        if self._waiting is None:
            self._note(sentence)
        else:
            self._waiting.append(sentence)

    async def tell(self) -> None:
        """Write the line, if there is anything to tell, once the first cards are known."""
        await self._source.looked()
        first, waiting = self._sentence(), self._waiting or []
        self._waiting = None
        if first or waiting:
            self._note(" ".join([*first, *waiting]))

    def _sentence(self) -> list[str]:
        there = [place for place in self._source.places if place.seen.present]
        held = sum(place.seen.others != 0 for place in there)
        if not there and self._source.reachable:
            return [] if self._source.waits else [NONE_YET]
        if len(there) <= 1 and not held:
            return []
        if len(there) == 1:
            return ["1 card is shown, which others use."]
        uses = f", {held} of them in use by others" if held else ""
        return [f"{len(there)} cards are shown{uses}."]


def _folder_for_socket() -> str | None:
    """Return a folder whose name leaves room for that of a socket, as TMPDIR's may not."""
    from wsrc.bridges.pcscd.path import MAX_PATH_OCTETS  # noqa: PLC0415 - help needs no socket

    octets = len(os.fsencode(tempfile.gettempdir()))
    if octets + _SOCKET_NAME_OCTETS <= MAX_PATH_OCTETS:
        return None
    return "/tmp"  # noqa: S108 - the socket is in a folder of its own below it


pcsc = Leading(
    "pcsc",
    commands=(serve, run),
    params=shared_options(),
    help=HELP,
)
