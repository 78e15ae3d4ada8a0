# SPDX-License-Identifier: Apache-2.0
"""
Messages about readers: lists, changes, and the same changes as JSON-RPC 2.0 notifications.

A notification has no `msg_type`: its text is what clients of the SpringCard Companion service
know as an event.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

import msgspec

from wsrc.card.slot import CardProtocol, SlotState
from wsrc.octets import Octets
from wsrc.protocol.parts import (
    CardInfo,
    CardState,
    Change,
    Identities,
    LeaseInfo,
    Message,
    Selecting,
)


class ReaderForm(StrEnum):
    """In which form a watcher is told of readers."""

    WSRC = "wsrc"
    JSON_RPC = "json_rpc"


class ReaderView(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    One reader as users see it, whether or not there is a card in it.

    `number` tells it from all others for as long as the server runs. `insertion` grows with each
    card put in. A card is `in_use` while a user or another program of its host has it, and
    `exclusive` where it is known that nobody else can.

    `lease` and `others` are who holds the card, or the reader alone. Where there is a card,
    `card_state` is what it is doing, and `card_of` makes of all this what `list_cards` says.
    """

    number: int
    reader: str
    name: str
    host: str
    state: SlotState
    insertion: int = 0
    atr: Octets | None = None
    in_use: bool = False
    exclusive: bool = False
    label: str | None = None
    card_state: CardState | None = None
    iccid: str | None = None
    eids: tuple[str, ...] = ()
    protocol: CardProtocol | None = None
    lease: LeaseInfo | None = None
    others: tuple[LeaseInfo, ...] = ()


class ListReaders(Selecting, frozen=True, tag="list_readers", kw_only=True):
    """
    Ask for the readers, empty ones too; `after` continues a list.

    Filters are those of `list_cards`; a reader without a card has nothing but its id and name.
    """

    after: int = 0


class ListReadersAck(Message, frozen=True, tag="list_readers_ack", kw_only=True):
    """
    Some or all readers, as they are after the change `seq` of the server `instance`.

    Where `next` is given, `list_readers` with `after` set to it goes on.
    """

    instance: str
    seq: int
    readers: tuple[ReaderView, ...]
    next: int | None = None


class WatchReaders(Selecting, frozen=True, tag="watch_readers", kw_only=True):
    """
    Ask to be told of readers from now on, or from the change after `since` of `instance`.

    With filters, those of `list_readers`, a change is told if they match the reader as it was
    before, or as it is after.
    """

    since: int | None = None
    instance: str | None = None
    form: ReaderForm = ReaderForm.WSRC


class WatchReadersAck(Message, frozen=True, tag="watch_readers_ack", kw_only=True):
    """
    Changes follow: those after `seq`, which is the `since` that was asked for.

    Where `readers` is given the server cannot go on from there, or was not asked to: they are
    what the changes start from, and where `next` is given, `list_readers` has the others.
    """

    instance: str
    seq: int
    readers: tuple[ReaderView, ...] | None = None
    next: int | None = None


class ReaderEvent(Message, frozen=True, tag="reader_event", kw_only=True):
    """
    A reader was plugged in, changed or went; every change has the next `seq`.

    Who watches with filters is not told of all, so that numbers are left out.
    """

    seq: int
    change: Change
    reader: ReaderView


class ReaderMark(Message, frozen=True, tag="reader_mark", kw_only=True):
    """To a watcher of the form `json_rpc`: all notifications of the changes up to `seq` are out."""

    seq: int


class PcscReaderState(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`params` of `Pcsc.Reader.StateChange`; the ATR is in upper case."""

    reader_id: str = msgspec.field(name="ReaderId")
    name: str = msgspec.field(name="Name")
    status: str = msgspec.field(name="Status")
    atr: str | None = msgspec.field(name="ATR", default=None)
    error: bool = msgspec.field(name="Error")
    present: bool = msgspec.field(name="Present")
    in_use: bool = msgspec.field(name="InUse")


class PcscReaders(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """
    `params` of `Pcsc.Readers.ListChange`: names and ids of all readers, in one order.

    Both are absent where they are too many for one message: `list_readers` has them.
    """

    names: tuple[str, ...] | None = msgspec.field(name="Names", default=None)
    reader_ids: tuple[str, ...] | None = msgspec.field(name="ReaderIds", default=None)


class StateChange(Message, frozen=True, tag=False, kw_only=True):
    """JSON-RPC notification: a reader is in another state. `state_change` makes it."""

    jsonrpc: Literal["2.0"]
    event: Literal["Pcsc.Reader.StateChange"]
    params: PcscReaderState


class ListChange(Message, frozen=True, tag=False, kw_only=True):
    """JSON-RPC notification: readers came or went. `list_change` makes it."""

    jsonrpc: Literal["2.0"]
    event: Literal["Pcsc.Readers.ListChange"]
    params: PcscReaders


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
        protocol=reader.protocol,
        lease=reader.lease,
        others=reader.others,
    )


def state_change(reader: ReaderView) -> StateChange:
    """Say in JSON-RPC how a reader is."""
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
    """Say in JSON-RPC which readers there are."""
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
