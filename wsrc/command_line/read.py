# SPDX-License-Identifier: Apache-2.0
"""The command `read`: what a card has under names that people know."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import click

from wsrc.card.apdu import Response
from wsrc.card.contents.catalogue import CATALOGUE
from wsrc.card.contents.reading import Reading, read as questions
from wsrc.card.slot import Share
from wsrc.command_line.asking import answer
from wsrc.command_line.holding import Hold, hold_options
from wsrc.command_line.invocation import (
    Exit,
    Invocation,
    user_command,
)
from wsrc.command_line.output import Output, response_line, session_document
from wsrc.command_line.pins import Pins, key, pin_option
from wsrc.errors import LocalProtocolError

if TYPE_CHECKING:
    from pathlib import Path

NOT_VERIFIED = "The PIN was not verified"


@user_command(
    "read",
    "wsrc read --iccid 8988211000000000013 iccid imsi spn",
    "wsrc read --card blue --verify pin1 imsi msisdn",
    "wsrc read --card blue --json profiles | jq -r '.values.profiles[].iccid'",
    "wsrc read --list",
)
@hold_options(Share.EXCLUSIVE, Share.SHARED, protocols=("t0", "t1"))
@click.option(
    "--verify", metavar="KEY", help="Verify a PIN first, which is asked for: pin1, pin2, or 01."
)
@pin_option
@click.option("--list", "names_only", is_flag=True, help="Show which names there are.")
@click.argument("names", nargs=-1, metavar="[NAME]…")
def read(  # noqa: PLR0913 - the options of a command, each by its name
    call: Invocation,
    hold: Hold,
    *,
    verify: str | None,
    pin_file: "Path | None",
    names_only: bool,
    names: Sequence[str],
) -> Exit:
    """
    Read what a card has under names, such as iccid, imsi or profiles.

    Without a name, all that the card has is shown. Nothing on the card changes, and no try of a
    PIN is taken but with --verify.
    """
    if names_only:
        _show_names(call.output)
        return Exit.DONE
    wanted = known(names)
    reference = key(verify) if verify is not None else None
    with call.card(hold) as card:
        if reference is not None:
            said = Pins(call.output, pin_file).verify(card, reference)
            if not said.ok:
                return _not_verified(call.output, said, session_document(card))
        found = answer(card, questions(wanted, card.info.eids))
        described = session_document(card)
    shown = found if names else {name: each for name, each in found.items() if each.there}
    show(call.output, shown, described)
    return Exit.UNEXPECTED_SW if names and any(each.why for each in found.values()) else Exit.DONE


def known(names: Sequence[str]) -> list[str]:
    """
    Return the names that are asked for, once each; all of them if there is none.

    Raises:
        LocalProtocolError: If one is not in the catalogue.
    """
    wanted = list(dict.fromkeys(name.lower() for name in names)) or list(CATALOGUE)
    for name in wanted:
        if name not in CATALOGUE:
            raise LocalProtocolError(
                f"{name[:40]!r} is nothing that can be read; there are {', '.join(CATALOGUE)}."
            )
    return wanted


def document(found: Mapping[str, Reading]) -> dict[str, Any]:
    """Return what was read as JSON values; `problems` has what was not."""
    return {
        "values": {name: each.value for name, each in found.items()},
        "problems": {
            name: {"sw": f"{each.sw:04X}" if each.sw else None, "message": each.why}
            for name, each in found.items()
            if each.why
        },
        "raw": {name: [octets.hex() for octets in each.raw] for name, each in found.items()},
    }


def show(output: Output, found: Mapping[str, Reading], card: dict[str, Any] | None) -> None:
    """Show what was read; what was not is told on standard error."""
    if output.as_json:
        output.document(({"card": card} if card is not None else {}) | document(found))
        return
    width = max(map(len, found), default=0)
    for name, each in found.items():
        if each.why:
            output.complain(f"{name:<{width}}  {each.why}")
        for number, line in enumerate(() if each.why else _lines(each.value)):
            output.line(f"{'' if number else name:<{width}}  {line}")


def _lines(value: Any) -> Iterator[str]:
    """Yield a value as lines: one for each of a list of objects, else one."""
    if _is_list(value) and any(map(_is_object, value)):
        yield from map(_text, value)
    elif _is_object(value) and len(value) > _FEW:
        yield from (f"{name} {_text(each)}" for name, each in value.items())
    else:
        yield _text(value)


_FEW = 6
"""Fields of an object that go on one line."""


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if _is_object(value):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if _is_list(value):
        return " ".join(map(_text, value))
    text = str(value)
    return text if text and text == text.strip() else json.dumps(text)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _show_names(output: Output) -> None:
    if output.as_json:
        output.document(
            {"names": {n: {"what": e.sentence, "clause": e.clause} for n, e in CATALOGUE.items()}}
        )
        return
    output.lines_of({name: f"{e.sentence} ({e.clause})" for name, e in CATALOGUE.items()})


def _not_verified(output: Output, said: Response, card: dict[str, Any]) -> Exit:
    output.complain(f"wsrc: {NOT_VERIFIED}: {response_line(said)}. Nothing was read.")
    if output.as_json:
        told = {"sw": f"{said.sw:04X}", "message": f"{NOT_VERIFIED}."}
        output.document({"card": card, "values": {}, "problems": {"verify": told}, "raw": {}})
    return Exit.UNEXPECTED_SW
