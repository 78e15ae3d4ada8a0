# SPDX-License-Identifier: Apache-2.0
"""
Messages about readers: lists, changes, and the same changes as JSON-RPC 2.0 notifications.

A notification has no `msg_type`: its text is what clients of the SpringCard Companion service
know as an event.
"""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from wsrc.card.slot import SlotState
from wsrc.protocol.fields import (
    Atr,
    Comment,
    Draining,
    Eids,
    HostName,
    Iccid,
    Insertion,
    Label,
    MorePages,
    Pages,
    ProtocolInForce,
    ReaderId,
    ReaderName,
    Reserved,
    Tags,
    Unanswered,
    Whole,
    means,
)
from wsrc.protocol.parts import (
    CardInfo,
    CardState,
    Change,
    Identities,
    LeaseInfo,
    Message,
    Selecting,
)
from wsrc.words import OpenWord

ServerRun = Annotated[str, means("The run of the server that counts the changes")]


class ReaderForm(OpenWord):
    """In which form a watcher is told of readers."""

    WSRC = "wsrc", "By `reader_event`"
    JSON_RPC = "json_rpc", "By JSON-RPC notifications and `reader_mark`"


class ReaderView(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One reader as users see it, whether or not there is a card in it."""

    number: Annotated[
        Whole, means("Tells the reader from all others as long as the server runs, 1 or higher")
    ]
    reader: ReaderId
    name: ReaderName
    host: HostName
    state: Annotated[SlotState, means("State of the slot")]
    insertion: Insertion = 0
    atr: Atr | None = None
    in_use: Annotated[
        bool, means("A user holds the card, or another program of the card host has it open")
    ] = False
    exclusive: Annotated[bool, means("It is known that nobody else can have the card")] = False
    label: Label | None = None
    tags: Tags | None = None
    comment: Comment | None = None
    card_state: Annotated[
        CardState | None, means("What the card is doing; absent without a card")
    ] = None
    iccid: Iccid | None = None
    eids: Eids = ()
    protocol: ProtocolInForce | None = None
    lease: Annotated[
        LeaseInfo | None,
        means("Who holds the card, or the reader alone; absent while nobody does"),
    ] = None
    others: Annotated[tuple[LeaseInfo, ...], means("Who else holds it, where it is shared")] = ()
    draining: Draining = False
    reserved: Reserved = False
    waiting: Annotated[
        Whole,
        means("How many wait for this card; told once a second, and without those who want any"),
    ] = 0


class ListReaders(Selecting, frozen=True, tag="list_readers", kw_only=True):
    """Ask for the readers that match, empty ones too; one without a card has only id and name."""

    after: Annotated[
        Whole, means("Go on after the reader with this number; 0 is the beginning")
    ] = 0
    pages: Pages = 1


class ListReadersAck(Message, frozen=True, tag="list_readers_ack", kw_only=True):
    """Some or all readers."""

    instance: ServerRun
    seq: Annotated[Whole, means("Number of the last change that the readers show")]
    readers: Annotated[tuple[ReaderView, ...], means("At most 200, in the order of their numbers")]
    next: Annotated[Whole | None, means("Go on: ask again with `after` set to this")] = None
    more: MorePages = False
    unanswered: Unanswered = ()


class WatchReaders(Selecting, frozen=True, tag="watch_readers", kw_only=True):
    """
    Ask to be told of readers from now on, or from an earlier change on.

    With filters, those of `list_readers`, a change is told if they match the reader as it was
    before, or as it is after.
    """

    since: Annotated[
        Whole | None, means("Number of the last change that is known from an earlier watch")
    ] = None
    instance: Annotated[
        str | None, means("The run of the server that counted it; `since` means nothing without it")
    ] = None
    form: Annotated[ReaderForm, means("How to be told")] = ReaderForm.WSRC


class WatchReadersAck(Message, frozen=True, tag="watch_readers_ack", kw_only=True):
    """Changes follow: those after `since`, or after the readers given here."""

    instance: ServerRun
    seq: Annotated[Whole, means("Changes after the one of this number follow")]
    readers: Annotated[
        tuple[ReaderView, ...] | None,
        means(
            "At most 200 readers after that change; absent where the server goes on from `since`"
        ),
    ] = None
    next: Annotated[
        Whole | None, means("There are more: `list_readers` with `after` set to this goes on")
    ] = None


class ReaderEvent(Message, frozen=True, tag="reader_event", kw_only=True):
    """
    A reader was plugged in, changed or went.

    A watcher with filters is not told of all, so that numbers are skipped.
    """

    seq: Annotated[Whole, means("Number of the change, one more than that of the change before")]
    change: Annotated[Change, means("What happened")]
    reader: Annotated[ReaderView, means("The reader as it is now, or was before it went")]


class ReaderMark(Message, frozen=True, tag="reader_mark", kw_only=True):
    """To a watcher of the form `json_rpc`: all notifications up to a change were sent."""

    seq: Annotated[Whole, means("Number of the last change that is notified")]


class PcscReaderState(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`params` of `Pcsc.Reader.StateChange`."""

    reader_id: ReaderId = msgspec.field(name="ReaderId")
    name: ReaderName = msgspec.field(name="Name")
    status: Annotated[
        str,
        means(
            "`error`, `empty`, or `present`; after `present` follow `,mute`, `,in_use` and "
            "`,exclusive` where they hold"
        ),
    ] = msgspec.field(name="Status")
    atr: Annotated[
        str | None,
        means("Answer to reset, in upper case; absent without a card or where it is not known"),
    ] = msgspec.field(name="ATR", default=None)
    error: Annotated[bool, means("The slot is `unavailable`")] = msgspec.field(name="Error")
    present: Annotated[bool, means("The slot is `present` or `mute`")] = msgspec.field(
        name="Present"
    )
    in_use: Annotated[bool, means("`in_use` of the reader")] = msgspec.field(name="InUse")


class PcscReaders(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`params` of `Pcsc.Readers.ListChange`; empty where the readers are too many to name all."""

    names: Annotated[
        tuple[str, ...] | None, means("Names of all readers, in the order of `ReaderIds`")
    ] = msgspec.field(name="Names", default=None)
    reader_ids: Annotated[tuple[str, ...] | None, means("Ids of all readers")] = msgspec.field(
        name="ReaderIds", default=None
    )


JsonRpc = Annotated[Literal["2.0"], means("Version of JSON-RPC")]


class StateChange(Message, frozen=True, tag=False, kw_only=True):
    """JSON-RPC notification: a reader is in another state. `state_change` makes it."""

    jsonrpc: JsonRpc
    event: Annotated[Literal["Pcsc.Reader.StateChange"], means("Name of the notification")]
    params: Annotated[PcscReaderState, means("The reader as it is now")]


class ListChange(Message, frozen=True, tag=False, kw_only=True):
    """JSON-RPC notification: readers came or went. `list_change` makes it."""

    jsonrpc: JsonRpc
    event: Annotated[Literal["Pcsc.Readers.ListChange"], means("Name of the notification")]
    params: Annotated[PcscReaders, means("The readers as they are now")]


UNLISTED = ListChange(jsonrpc="2.0", event="Pcsc.Readers.ListChange", params=PcscReaders())
"""Says that readers came or went where there are too many to name them all."""

NOTIFICATIONS: dict[str, type[StateChange] | type[ListChange]] = {
    "Pcsc.Reader.StateChange": StateChange,
    "Pcsc.Readers.ListChange": ListChange,
}
"""Notification classes by `event`."""


def card_of(reader: ReaderView) -> CardInfo | None:
    """Describe the card in a reader as `list_cards` does; None if there is none."""
    return None if reader.card_state is None else card_info(reader, reader.card_state)


def card_info(reader: ReaderView, state: CardState) -> CardInfo:
    """Describe what a user has, who may have the reader without a card."""
    return CardInfo(
        remote_addr=(reader.host, 0),
        identities=Identities(
            atr=str(reader.atr or ""),
            eid=reader.eids[0] if reader.eids else None,
            iccid=reader.iccid,
        ),
        state=state,
        host=reader.host,
        reader=reader.reader,
        reader_name=reader.name,
        eids=reader.eids,
        label=reader.label,
        tags=reader.tags,
        comment=reader.comment,
        protocol=reader.protocol,
        lease=reader.lease,
        others=reader.others,
        draining=reader.draining,
        reserved=reader.reserved,
    )


def state_change(reader: ReaderView) -> StateChange:
    """Return the state of a reader as a JSON-RPC notification."""
    present = reader.state in {SlotState.PRESENT, SlotState.MUTE}
    params = PcscReaderState(
        reader_id=reader.reader,
        name=reader.name,
        status=status_of(reader),
        atr=reader.atr.hex().upper() if present and reader.atr else None,
        error=reader.state is SlotState.UNAVAILABLE,
        present=present,
        in_use=reader.in_use,
    )
    return StateChange(jsonrpc="2.0", event="Pcsc.Reader.StateChange", params=params)


def list_change(readers: Iterable[ReaderView]) -> ListChange:
    """Return the readers that there are as a JSON-RPC notification."""
    both = [(reader.name, reader.reader) for reader in readers]
    params = PcscReaders(
        names=tuple(name for name, _ in both), reader_ids=tuple(id_ for _, id_ in both)
    )
    return ListChange(jsonrpc="2.0", event="Pcsc.Readers.ListChange", params=params)


def status_of(reader: ReaderView) -> str:
    """Return the status words of a reader: `error`, `empty`, or `present` and what else holds."""
    if reader.state is SlotState.UNAVAILABLE:
        return "error"
    if reader.state is SlotState.EMPTY:
        return "empty"
    more = {
        "mute": reader.state is SlotState.MUTE,
        "in_use": reader.in_use,
        "exclusive": reader.exclusive,
    }
    return ",".join(["present", *(word for word, holds in more.items() if holds)])
