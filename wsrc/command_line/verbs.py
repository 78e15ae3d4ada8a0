# SPDX-License-Identifier: Apache-2.0
"""Commands that ask PC/SC and the reader rather than the card: `status`, `control`, `attribute`."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from wsrc.card.pcsc_numbers import ATTRIBUTES
from wsrc.card.slot import Share
from wsrc.command_line import verb_output as verbs
from wsrc.command_line.holding import Hold, hold_options
from wsrc.command_line.invocation import (
    Invocation,
    user_command,
)
from wsrc.command_line.output import session_document
from wsrc.errors import LocalProtocolError, NoSuchCardError
from wsrc.process.texts import heed_mark

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card


@user_command(
    "status",
    "wsrc status --iccid 8988211000000000013",
    "wsrc status --reader 'ACME Reader 00 00' --share direct --json",
)
@hold_options(*Share, protocols=("t0", "t1"))
def status(call: Invocation, hold: Hold) -> None:
    """Show what the card host's PC/SC says of a card: reader, state, protocol, ATR."""
    with _reader(call, hold) as card:
        found = card.status()
    described = {"card": session_document(card)} | verbs.status_document(found)
    call.output.result(described, *verbs.status_lines(found, card.sealed))


@user_command(
    "control",
    "wsrc control --reader 'ACME Reader 00 00' --share direct 3400",
    "wsrc control --card blue 0x42000001 FF00480000",
)
@hold_options(*Share, protocols=())
@click.argument("code", metavar="CODE")
@click.argument("data", default="", metavar="[DATA]")
def control(call: Invocation, hold: Hold, *, code: str, data: str) -> None:
    """
    Send a control code to the reader itself and show its answer.

    CODE is a control number, such as 3400, which asks for the features of the reader; or the
    code that pcsc-lite has for it, such as 0x42000D48. DATA is in hexadecimal; `-` reads it from
    standard input.
    """
    number = verbs.control_number_of(code)
    octets = verbs.octets_of(_typed() if data == "-" else data, "data")
    with _reader(call, hold) as card:
        answer = card.control(number, octets)
    described = {"card": session_document(card), "response": answer.hex()}
    call.output.result(described, answer.hex())


@user_command(
    "attribute",
    "wsrc attribute --list",
    "wsrc attribute --reader 'ACME Reader 00 00' --share direct",
    "wsrc attribute --card blue vendor_name vendor_ifd_serial_no",
    "wsrc attribute --card blue supress_t1_ifs_request --set 01",
)
@hold_options(*Share, protocols=())
@click.option("--set", "value", metavar="HEX", help="Set the attribute to these octets.")
@click.option("--list", "only_names", is_flag=True, help="Show the names of all attributes.")
@click.argument("names", nargs=-1, metavar="[NAME]…")
def attribute(
    call: Invocation,
    hold: Hold,
    *,
    value: str | None,
    only_names: bool,
    names: Sequence[str],
) -> None:
    """
    Show attributes of a reader, or set one.

    Without a NAME it shows all that the reader has. A NAME may also be that of PC/SC, such as
    SCARD_ATTR_VENDOR_NAME, or a number.
    """
    known = [verbs.attribute_of(name) for name in names]
    if only_names:
        _show_names(call)
        return
    octets = verbs.octets_of(value, "value") if value is not None else None
    if octets is not None and len(known) != 1:
        raise LocalProtocolError("--set sets one attribute; name it.")
    with _reader(call, hold) as card:
        if octets is not None:
            card.set_attribute(known[0], octets)
            values = {known[0]: bytes(octets)}
        elif known:
            values = {name: card.get_attribute(name) for name in known}
        else:
            values = verbs.attributes_of(card)
    if call.output.as_json:
        told = {name: each.hex() for name, each in values.items()}
        call.output.document({"card": session_document(card), "attributes": told})
    elif octets is None:
        call.output.lines_of({name: verbs.value_text(each) for name, each in values.items()})


def _typed() -> str:
    heed_mark(sys.stdin)
    return sys.stdin.read()


@contextmanager
def _reader(call: Invocation, hold: Hold) -> "Generator[Card, None, None]":
    """Hold a card; a refusal says how a reader without one is asked."""
    try:
        with call.card(hold) as card, call.output.at_risk():
            yield card
    except NoSuchCardError as exc:
        if hold.share is Share.DIRECT:
            raise
        why = f"{exc} A reader without a card is asked with --share direct and --reader."
        raise NoSuchCardError(why) from exc


def _show_names(call: Invocation) -> None:
    if call.output.as_json:
        call.output.document({"attributes": dict(ATTRIBUTES)})
    else:
        call.output.lines_of({name: f"{number:08X}h" for name, number in ATTRIBUTES.items()})
