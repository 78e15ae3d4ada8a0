# SPDX-License-Identifier: Apache-2.0
"""Commands that take a card and talk to it: `apdu`, `reset`, `script`, `shell`."""

import functools
import itertools
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from wsrc.card.apdu import Response, describe_sw, parse_command, sw_matches
from wsrc.card.slot import ResetKind, Share
from wsrc.command_line.apdu_run import first_of, responses
from wsrc.command_line.decoded import decode_option
from wsrc.command_line.holding import Hold, hold_options
from wsrc.command_line.invocation import (
    Exit,
    Invocation,
    exit_status,
    user_command,
)
from wsrc.command_line.output import (
    Output,
    atr_document,
    error_document,
    response_document,
    session_document,
)
from wsrc.command_line.pins import Pins, pin_option
from wsrc.command_line.script import Item, ScriptPin, parse, parse_expect
from wsrc.command_line.script_run import (
    Answered,
    Event,
    Unanswered,
    WasReset,
    first_of as first_of_script,
    run,
)
from wsrc.errors import BadApduError, BadHexError, ConfigError
from wsrc.octets import from_person
from wsrc.process.texts import decode as text_of, heed_mark

SCRIPT_FORMAT = """\
\b
A line of a script:
  # text after a hash is for people
  !expect 9000 91xx            what is expected from here on; at first 9000
  00A4 0004 02 3F00            a command
  00A40004022FE2 -> 9000 61xx  and what is expected of it: x is any digit,
                               any is any status word
  00B000000A -> 9000 =98xx12*  and of the data: one * is any octets
  !pin pin1                    verify a PIN, which is asked for
  !reset warm                  or cold

"""


@user_command(
    "apdu",
    "wsrc apdu --iccid 8988211000000000013 00A4000C023F00 00A4000C022FE2 00B000000A",
    "wsrc apdu --card blue --expect '9000,61xx' '00 A4 0004 02 3F00'",
    "wsrc apdu --eid 89049032000000000000000000000013 - < commands.txt",
    "wsrc apdu --card blue --share shared --protocol t1 00A4000C023F00",
)
@hold_options(Share.EXCLUSIVE, Share.SHARED)
@click.option(
    "--expect",
    metavar="SW…",
    help="Status words that are expected, such as '9000,61xx'; stop at the first other one.",
)
@click.option("--keep-going", is_flag=True, help="Go on after a wrong PIN or key, 63Cx or 9804.")
@decode_option
@click.argument("commands", nargs=-1, required=True, metavar="HEX…")
def apdu(  # noqa: PLR0913 - the options of a command, each by its name
    call: Invocation,
    hold: Hold,
    *,
    expect: str | None,
    keep_going: bool,
    decode: bool,
    commands: Sequence[str],
) -> Exit:
    """
    Send command APDUs and show the responses.

    Each argument is one command in hexadecimal; `-` reads them from standard input, one a line,
    which keeps a PIN out of the list of processes. Others who share the card wait until all are
    done. Where no terminal shows each response as it comes, commands travel in one round trip.
    After a wrong PIN or key the rest is not sent, unless --expect names its status word.
    """
    patterns = _expected(expect)
    octets = list(_commands(commands))
    response = Response(b"", 0)
    results: list[dict[str, Any]] = []
    call.output.partial["results"] = results
    together = not call.output.is_watched
    first = first_of(octets, patterns, together=together, keep_going=keep_going)
    with call.card_for(hold, first) as card:
        way = {"together": together, "keep_going": keep_going, "last": hold.is_left_alone}
        for response in responses(card, octets, patterns, **way):
            results.append(response_document(response, decode=decode))
            if not call.output.as_json:
                call.output.response(response, decode=decode)
        described = session_document(card)
    told: dict[str, Any] = {"card": described, "results": results}
    why, said = _end(response, patterns, len(octets) - len(results))
    if call.output.as_json:
        call.output.document({**told, "stopped": why} if why else told)
    if said:
        call.output.complain(f"wsrc: command {len(results)}: {said}")
    return Exit.UNEXPECTED_SW if said else Exit.DONE


@user_command(
    "reset",
    "wsrc reset --iccid 8988211000000000013",
    "wsrc reset --card blue --warm",
    "wsrc reset --card blue --share shared",
)
@hold_options(Share.EXCLUSIVE, Share.SHARED, protocols=("t0", "t1"))
@click.option("--cold/--warm", default=True, help="Take the supply away, or not.  [default: cold]")
def reset(call: Invocation, hold: Hold, *, cold: bool) -> None:
    """
    Reset a card and show its new ATR.

    Others who share the card are told so and must reconnect.
    """
    with call.card(hold) as card, call.output.at_risk():
        atr = card.reset(ResetKind.COLD if cold else ResetKind.WARM)
    call.output.result({"atr": atr.hex(), **atr_document(atr)}, atr.hex())


@user_command(
    "script",
    "wsrc script --iccid 8988211000000000013 read-imsi.wsrc",
    "wsrc script --card blue --wait 60 --keep-going read-imsi.wsrc --json",
    notes=SCRIPT_FORMAT,
)
@hold_options(Share.EXCLUSIVE, Share.SHARED)
@click.option(
    "--keep-going",
    is_flag=True,
    help="Go on after an unexpected status word, and after a wrong PIN or key, 63Cx or 9804.",
)
@decode_option
@pin_option
@click.argument("file", type=click.File("rb"), metavar="FILE")
def script(  # noqa: PLR0913 - the options of a command, each by its name
    call: Invocation,
    hold: Hold,
    *,
    keep_going: bool,
    decode: bool,
    pin_file: Path | None,
    file: Any,
) -> Exit:
    """
    Run a file of command APDUs and check their status words and data.

    `-` reads the script from standard input. Commands that follow one another travel in one
    round trip. Others who share the card wait until the script is over. After a wrong PIN or key
    the rest is not sent, unless its line expects that status word and not only any.
    """
    items = parse(text_of(file.read(), "replace"), file.name)
    events: list[Event] = []
    results: list[dict[str, Any]] = []
    call.output.partial["results"] = results
    with (
        call.card_for(hold, first_of_script(items, keep_going=keep_going)) as card,
        _progress(call.output, items) as advance,
    ):
        verify = functools.partial(Pins(call.output, pin_file).verify, card)
        last = hold.is_left_alone
        for event in run(card, items, keep_going=keep_going, verify=verify, last=last):
            events.append(event)
            results.append(_event_document(event, decode=decode))
            _show(call.output, event, decode=decode)
            advance()
        described = session_document(card)
    return _sum_up(call.output, file.name, items, events, described)


@user_command(
    "shell",
    "wsrc shell --iccid 8988211000000000013",
    "wsrc shell --card blue --wait 60",
    "wsrc shell --card blue --share shared",
)
@hold_options(*Share)
@decode_option
@pin_option
def shell(
    call: Invocation,
    hold: Hold,
    *,
    decode: bool,
    pin_file: Path | None,
) -> Exit:
    """
    Talk to a card at a prompt.

    Type a command APDU in hexadecimal, or help. The history is kept, without commands that may
    carry a PIN or a key.
    """
    with call.card(hold) as card:
        from wsrc.command_line.shell import Shell, history_file  # noqa: PLC0415 - it alone needs it

        shell = Shell(card, call.output, pins=Pins(call.output, pin_file), decode=decode)
        return shell.run(history_file(os.environ))


def _expected(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        return parse_expect(text)
    except ValueError as exc:
        raise ConfigError("--expect", f"{exc}.") from exc


def _commands(arguments: Sequence[str]) -> Iterator[bytes]:
    typed: list[str] = []
    for argument in arguments:
        typed += _typed() if argument == "-" else [argument]
    if not typed:
        raise BadApduError("There is no command on standard input.")
    for number, argument in enumerate(typed, start=1):
        try:
            command = from_person(argument)
            parse_command(command)
        except (BadApduError, BadHexError) as exc:
            raise BadApduError(f"Command {number} is no command APDU: {exc}.") from exc
        yield command


def _typed() -> list[str]:
    heed_mark(sys.stdin)
    lines = (line.partition("#")[0].strip() for line in sys.stdin)
    return [line for line in lines if line]


@contextmanager
def _progress(output: Output, items: Sequence[Item]) -> Generator[Callable[[], None], None, None]:
    """
    Show how far a script is, to a person whose terminal does not show its results anyhow.

    It is on standard error, and only where that is a terminal; a script that asks for a PIN there
    has none.
    """
    shown = sys.stderr.isatty() and not sys.stdout.isatty()
    asks = any(isinstance(item, ScriptPin) for item in items)
    if not shown or asks or output.quiet or output.as_json:
        yield lambda: None
        return
    done = itertools.count(1)
    try:
        yield lambda: output.progress(f"{next(done)} of {len(items)} lines")
    finally:
        output.progress("")


def _show(output: Output, event: Event, *, decode: bool) -> None:
    if output.as_json:
        return
    match event:
        case Answered(line=line, response=response):
            output.response(response, f"{line:>4}: ", decode=decode)
        case WasReset(line=line, atr=atr):
            output.line(f"{line:>4}: reset, ATR {atr.hex()}")
        case Unanswered():
            pass


def _sum_up(
    output: Output, name: str, items: list[Item], events: list[Event], card: dict[str, Any]
) -> Exit:
    wrong = [e for e in events if isinstance(e, Answered) and not e.as_expected]
    for event in wrong:
        said = _unexpected(event.response, event.expect)
        if event.sw_as_expected:
            said = _other_data(event)
        output.complain(f"wsrc: {name}:{event.line}: {said}")
    status = Exit.UNEXPECTED_SW if wrong else Exit.DONE
    failed = next((e for e in events if isinstance(e, Unanswered)), None)
    told: dict[str, Any] = {"card": card, **output.partial}
    last = events[-1] if events else None
    left = len(items) - len(events)
    if isinstance(last, Answered) and left:
        told["stopped"] = _why_stopped(last)
        if last.as_expected:
            status = Exit.UNEXPECTED_SW
            output.complain(f"wsrc: {name}:{last.line}: {_wrong(last.response, left, 'line')}")
    if failed is not None:
        output.complain(f"wsrc: {name}:{failed.line}: {failed.error}")
        output.doubt(failed.error)
        status = exit_status(failed.error)
        told["error"] = error_document(failed.error)
    if output.as_json:
        output.document({**told, "exit_status": status})
    elif status is Exit.DONE:
        output.note(f"{name}: {len(items)} line{'s' * (len(items) != 1)} done, all as expected.")
    return status


def _event_document(event: Event, *, decode: bool) -> dict[str, Any]:
    match event:
        case Answered(line=line, response=response):
            told = {"line": line, **response_document(response, decode=decode)}
            wanted = {} if event.data is None or event.secret else {"expected_data": event.data}
            return told | {"as_expected": event.as_expected} | wanted
        case WasReset(line=line, atr=atr):
            return {"line": line, "atr": atr.hex()}
        case Unanswered(line=line, error=error):
            return {"line": line, "error": error_document(error)}


def _other_data(event: Answered) -> str:
    """Return what is wrong with the data of a response; a key is not repeated."""
    if event.secret:
        return f"got {event.response.sw:04X} with other data than expected"
    got = event.response.data.hex() or "none"
    return f"got {event.response.sw:04X} with data {got}, expected {event.data or 'none'}"


_UNEXPECTED, _WRONG = "unexpected_status_word", "wrong_secret"
_OTHER_DATA = "unexpected_data"
"""Why commands that follow were not sent, for programs."""


def _why_stopped(last: Answered) -> str:
    if not last.sw_as_expected:
        return _UNEXPECTED
    return _WRONG if last.as_expected else _OTHER_DATA


def _end(response: Response, patterns: Sequence[str], left: int) -> tuple[str, str]:
    """Return why commands ended with a response, for programs and people; empty if all is well."""
    if not sw_matches(patterns, f"{response.sw:04X}"):
        return _UNEXPECTED, _unexpected(response, patterns)
    return (_WRONG, _wrong(response, left, "command")) if left else ("", "")


def _wrong(response: Response, left: int, what: str) -> str:
    meaning = describe_sw(response.sw)
    unsent = f"{left} {what}{'s were' if left > 1 else ' was'} not sent"
    return f"got {response.sw:04X} ({meaning}); {unsent}, --keep-going sends all"


def _unexpected(response: Response, patterns: Sequence[str]) -> str:
    meaning = describe_sw(response.sw)
    expected = " or ".join(pattern.upper().replace("X", "x") for pattern in patterns)
    return f"got {response.sw:04X} ({meaning}), expected {expected}"
