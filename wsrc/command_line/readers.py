# SPDX-License-Identifier: Apache-2.0
"""The command `readers`: which readers there are, and what happens to them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from wsrc.command_line.invocation import Invocation, card_options, user_command
from wsrc.command_line.listing import tell_missing, undone
from wsrc.errors import LocalProtocolError
from wsrc.protocol.codec import encode
from wsrc.protocol.messages import Message, ReaderView, list_change, state_change
from wsrc.protocol.reader_events import status_of
from wsrc.user_client.naming import Filters

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Client
    from wsrc.user_client.core.feeds import ReaderNews, ReaderSnapshot


@user_command(
    "readers",
    "wsrc readers",
    "wsrc readers --watch",
    "wsrc readers --tag bench=3",
    "wsrc readers --json | jq -r '.readers[] | select(.status == \"empty\").reader'",
    "wsrc readers --watch --json-rpc",
)
@card_options
@click.option("--watch", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--json-rpc", is_flag=True, help="Print JSON-RPC 2.0 notifications, one a line.")
def readers(call: Invocation, which: Filters, *, watch: bool, json_rpc: bool) -> None:
    """
    Show the readers, empty ones too.

    A reader is in use while a user holds its card, or another program of its host does. `*` in an
    option stands for any text. With --watch it outlives its server: when that is back, it begins
    again.
    """
    if json_rpc and call.output.as_json:
        raise LocalProtocolError("Use --json or --json-rpc, not both.")
    if json_rpc and watch and which:
        raise LocalProtocolError("--json-rpc with --watch tells of all readers; select none.")
    if watch:
        call.output.endless = True
        call.without_end(lambda client: _watch(call, client, which, json_rpc=json_rpc))
        return
    with call.client() as client:
        if json_rpc:
            there = client.list_readers(**which).readers
            _print_messages(call, [list_change(there), *map(state_change, there)])
        else:
            _show_all(call, client.list_readers(**which))


def _watch(call: Invocation, client: "Client", which: Filters, *, json_rpc: bool) -> None:
    if json_rpc:
        _print_messages(call, client.watch_reader_notifications())
        return
    for news in client.watch_readers(**which):
        _show(call, news)


def reader_document(reader: ReaderView) -> dict[str, Any]:
    """Return a reader as JSON values; what is not known is null."""
    return {
        "number": reader.number,
        "host": reader.host,
        "reader": reader.reader,
        "reader_name": reader.name,
        "status": status_of(reader),
        "state": reader.state.value,
        "in_use": reader.in_use,
        "exclusive": reader.exclusive,
        "insertion": reader.insertion,
        "atr": str(reader.atr) if reader.atr else None,
        "label": reader.label,
        "tags": dict(reader.tags or {}),
        "comment": reader.comment,
    }


def _print_messages(call: Invocation, messages: Iterable[Message]) -> None:
    for message in messages:
        call.output.message(encode(message))


def _show_all(call: Invocation, snapshot: "ReaderSnapshot") -> None:
    titles = ("Host", "Reader", "Name", "Status", "ATR", "Label")
    rows = [_row(reader) for reader in snapshot.readers]
    told = _snapshot_document(snapshot)
    call.output.listed(told, titles, rows, "No reader is there.")
    tell_missing(call.output, snapshot.unanswered)


def _snapshot_document(snapshot: "ReaderSnapshot") -> dict[str, Any]:
    return {
        **snapshot.mark._asdict(),
        "readers": [reader_document(reader) for reader in snapshot.readers],
        **undone(snapshot.unanswered),
    }


def _show(call: Invocation, news: "ReaderNews") -> None:
    from wsrc.user_client.core.feeds import ReaderSnapshot  # noqa: PLC0415 - help needs no network

    if isinstance(news, ReaderSnapshot):
        if call.output.as_json:
            call.output.document(_snapshot_document(news))
        for reader in () if call.output.as_json else news.readers:
            call.output.line(_line("there", reader))
    elif call.output.as_json:
        content = {"change": news.change.value, "reader": reader_document(news.reader)}
        call.output.document(news.mark._asdict() | content)
    else:
        call.output.line(_line(news.change.value, news.reader))


def _line(what: str, reader: ReaderView) -> str:
    label = f" ({reader.label})" if reader.label else ""
    return f"{what:<8} {reader.name}{label} on {reader.host}: {status_of(reader)}"


def _row(reader: ReaderView) -> list[str]:
    atr = str(reader.atr or "")
    return [reader.host, reader.reader, reader.name, status_of(reader), atr, reader.label or ""]
