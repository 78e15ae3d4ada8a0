# SPDX-License-Identifier: Apache-2.0
"""What users note of cards for one another: the commands `tag` and `comment`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from wsrc.command_line.invocation import Invocation, user_command
from wsrc.command_line.readers import reader_document
from wsrc.tags import text_of

if TYPE_CHECKING:
    from wsrc.protocol.messages import ReaderView


@user_command(
    "tag",
    "wsrc tag 8988211000000000013 kind=sgp22 operator=orange",
    "wsrc tag blue operator=",
    "wsrc tag 'ACME Reader 00 00' bench=3",
)
@click.argument("card")
@click.argument("tags", nargs=-1, required=True, metavar="KEY=VALUE…")
def tag(call: Invocation, card: str, tags: Sequence[str]) -> None:
    """
    Set tags of a card, or of a reader without one.

    CARD is an ICCID, an EID, a label, or the id or name of a reader. `KEY=` without a value takes
    away a tag that was set so; what the card host has set is there again. Tags follow the card by
    its ICCID, else by its EID, and outlive the server.
    """
    given = [text.partition("=") for text in tags]
    for key, middle, _ in given:
        if not middle:
            raise click.UsageError(f"{key[:40]!r} is not KEY=VALUE, nor KEY= to take it away.")
    values = {key: value for key, _, value in given if value}
    unset = [key for key, _, value in given if not value]
    with call.client() as client:
        _show(call, client.set_tags(values, unset=unset, any=card))


@user_command(
    "comment",
    "wsrc comment 8988211000000000013 'borrowed by Ida until Friday'",
    "wsrc comment blue ''",
)
@click.argument("card")
@click.argument("text")
def comment(call: Invocation, card: str, text: str) -> None:
    """
    Note something of a card, or of a reader without one, for all who may list it.

    CARD is as for `tag`. An empty TEXT takes the comment away.
    """
    with call.client() as client:
        _show(call, client.set_comment(text, any=card))


def _show(call: Invocation, reader: "ReaderView") -> None:
    if call.output.as_json:
        call.output.document({"reader": reader_document(reader)})
        return
    call.output.line(f"{reader.iccid or reader.name} in {reader.reader}")
    for each in sorted((reader.tags or {}).items()):
        call.output.line(f"  {text_of(*each)}")
    if reader.comment:
        call.output.line(f"  {reader.comment}")
