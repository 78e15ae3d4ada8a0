# SPDX-License-Identifier: Apache-2.0
"""
What libpcsclite and pcscd say to each other over their socket: octets in, requests out, and back.

How it is laid out is in `pcscd_layouts`. Nothing here knows of a socket, a reader or a card.
"""

from collections.abc import Callable
from typing import Any

from wsrc.bridges.pcscd.layouts import (
    EVENT,
    HEADER,
    LAYOUTS,
    MAX_ATTRIBUTE_OCTETS,
    MAX_PAYLOAD_OCTETS,
    NUMBER,
    PAYLOADS,
    ROW,
    Command,
)
from wsrc.bridges.pcscd.requests import (
    Begin,
    Cancel,
    Connect,
    Control,
    Disconnect,
    End,
    EstablishContext,
    GetAttribute,
    GetReaderEvents,
    GetReaders,
    GetTable,
    GetTableSize,
    Reconnect,
    ReleaseContext,
    Request,
    Row,
    SetAttribute,
    Status,
    StopWaiting,
    Transmit,
    Version,
    Wait,
)
from wsrc.card.pcsc_numbers import Code

OLD_TABLE_ROWS = 16
"""Rows of the table of readers up to version 4:5."""

MAJOR = 4
OLDEST_MINOR, NEWEST_MINOR = 4, 6


class WireError(Exception):
    """Octets that are no request; as pcscd does, the connection is closed."""


_FREE_ROW = bytes(ROW.size)
_CUT = "a payload is longer than the protocol allows"


def _connect(fields: tuple[Any, ...], _: bytes) -> Request:
    context, name, share, protocols, *_rest = fields
    return Connect(context, name.partition(b"\0")[0], share, protocols)


def _get_attribute(fields: tuple[Any, ...], _: bytes) -> Request:
    card, attribute, _value, size, _code = fields
    if size > MAX_ATTRIBUTE_OCTETS:
        raise WireError(_CUT)
    return GetAttribute(card, attribute, size)


def _set_attribute(fields: tuple[Any, ...], _: bytes) -> Request:
    card, attribute, value, size, _code = fields
    if size > MAX_ATTRIBUTE_OCTETS:
        raise WireError(_CUT)
    return SetAttribute(card, attribute, value[:size])


def _transmit(fields: tuple[Any, ...], octets: bytes) -> Request:
    card, protocol, length, _, answer_protocol, answer_length, most, _ = fields
    return Transmit(card, protocol, (length, answer_protocol, answer_length), most, octets)


def _control(fields: tuple[Any, ...], octets: bytes) -> Request:
    card, code, _, most, _, _ = fields
    return Control(card, code, most, octets)


def _first(count: int, kind: type[Request]) -> "_Read":
    """Make a request of the first fields, so many."""
    return lambda fields, _: kind(*fields[:count])


_Read = Callable[[tuple[Any, ...], bytes], Request]

_REQUESTS: dict[int, _Read] = {
    Command.ESTABLISH_CONTEXT: _first(1, EstablishContext),
    Command.RELEASE_CONTEXT: _first(1, ReleaseContext),
    Command.CONNECT: _connect,
    Command.RECONNECT: _first(4, Reconnect),
    Command.DISCONNECT: _first(2, Disconnect),
    Command.BEGIN_TRANSACTION: _first(1, Begin),
    Command.END_TRANSACTION: _first(2, End),
    Command.TRANSMIT: _transmit,
    Command.CONTROL: _control,
    Command.STATUS: _first(1, Status),
    Command.CANCEL: _first(1, Cancel),
    Command.GET_ATTRIB: _get_attribute,
    Command.SET_ATTRIB: _set_attribute,
    Command.VERSION: _first(2, Version),
    Command.GET_READERS_STATE: _first(0, GetReaders),
    Command.WAIT_READER_STATE_CHANGE: _first(0, Wait),
    Command.STOP_WAITING_READER_STATE_CHANGE: _first(0, StopWaiting),
    Command.GET_READER_EVENTS: _first(0, GetReaderEvents),
    Command.GET_READERS_STATE_SIZE: _first(0, GetTableSize),
    Command.GET_READERS_STATE_SIZED: _first(0, GetTable),
}
"""What is made of the fields and the payload of each request."""


class Reading:
    """The octets of one connection on their way to requests, in whatever pieces they come."""

    def __init__(self) -> None:
        self._octets = bytearray()

    @property
    def unread(self) -> int:
        """Octets that are no request yet, or were not asked for by `next`."""
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        """Take what came."""
        self._octets += octets

    def next(self) -> Request | None:
        """
        Return the next request, or None if more octets must come.

        Raises:
            WireError: If these octets are no request.
        """
        if len(self._octets) < HEADER.size:
            return None
        size, number = HEADER.unpack_from(self._octets)
        if number not in _REQUESTS:
            raise WireError(f"{number:#x} is no command")
        command = Command(number)
        layout = LAYOUTS[command]
        if size != layout.size:
            raise WireError(f"command {number:#x} has {layout.size} octets, not {size}")
        start = HEADER.size + size
        if len(self._octets) < start:
            return None
        fields = layout.unpack_from(self._octets, HEADER.size)
        sent = fields[PAYLOADS[command][0]] if command in PAYLOADS else 0
        if sent > MAX_PAYLOAD_OCTETS:
            raise WireError(_CUT)
        octets = self._take(start + sent)
        return _REQUESTS[command](fields, octets[start:]) if octets is not None else None

    def _take(self, count: int) -> bytes | None:
        if len(self._octets) < count:
            return None
        taken = bytes(self._octets[:count])
        del self._octets[:count]
        return taken


def _pack(command: Command, *fields: object) -> bytes:
    return LAYOUTS[command].pack(*fields)


def established(asked: EstablishContext, context: int, code: Code) -> bytes:
    """Answer ESTABLISH_CONTEXT."""
    return _pack(Command.ESTABLISH_CONTEXT, asked.scope, context, code)


def released(asked: ReleaseContext, code: Code) -> bytes:
    """Answer RELEASE_CONTEXT."""
    return _pack(Command.RELEASE_CONTEXT, asked.context, code)


def connected(asked: Connect, code: Code, card: int = 0, protocol: int = 0) -> bytes:
    """Answer CONNECT."""
    return _pack(
        Command.CONNECT,
        asked.context,
        asked.reader,
        asked.share,
        asked.protocols,
        card,
        protocol,
        code,
    )


def reconnected(asked: Reconnect, code: Code, protocol: int = 0) -> bytes:
    """Answer RECONNECT."""
    return _pack(
        Command.RECONNECT,
        asked.card,
        asked.share,
        asked.protocols,
        asked.initialization,
        protocol,
        code,
    )


def disposed(asked: Disconnect | End, code: Code) -> bytes:
    """Answer DISCONNECT or END_TRANSACTION."""
    return _pack(Command.END_TRANSACTION, asked.card, asked.disposition, code)


def told(asked: Begin | Status, code: Code) -> bytes:
    """Answer BEGIN_TRANSACTION or STATUS."""
    return _pack(Command.STATUS, asked.card, code)


def cancelled(asked: Cancel, code: Code) -> bytes:
    """Answer CANCEL."""
    return _pack(Command.CANCEL, asked.context, code)


def transmitted(asked: Transmit, code: Code, answer: bytes = b"") -> bytes:
    """Answer TRANSMIT; an answer longer than the program has room for is not given."""
    if code is Code.SCARD_S_SUCCESS and len(answer) > asked.max_answer:
        code = Code.SCARD_E_INSUFFICIENT_BUFFER
    length, answer_protocol, answer_length = asked.pci
    head = _pack(
        Command.TRANSMIT,
        asked.card,
        asked.protocol,
        length,
        len(asked.octets),
        answer_protocol,
        answer_length,
        len(answer),
        code,
    )
    return head + answer if code is Code.SCARD_S_SUCCESS else head


def controlled(asked: Control, code: Code, answer: bytes = b"") -> bytes:
    """Answer CONTROL, as TRANSMIT is answered."""
    if code is Code.SCARD_S_SUCCESS and len(answer) > asked.max_answer:
        code = Code.SCARD_E_INSUFFICIENT_BUFFER
    head = _pack(
        Command.CONTROL,
        asked.card,
        asked.code,
        len(asked.octets),
        asked.max_answer,
        len(answer),
        code,
    )
    return head + answer if code is Code.SCARD_S_SUCCESS else head


def attribute(asked: GetAttribute | SetAttribute, code: Code, value: bytes = b"") -> bytes:
    """Answer GET_ATTRIB or SET_ATTRIB; a value longer than there is room for is not given."""
    size = len(value)
    if isinstance(asked, SetAttribute):
        value, size = asked.value, len(asked.value)
    elif size > asked.max_answer:
        code, value = Code.SCARD_E_INSUFFICIENT_BUFFER, b""
    return _pack(Command.GET_ATTRIB, asked.card, asked.attribute, value, size, code)


def version(major: int, minor: int, code: Code) -> bytes:
    """Answer VERSION."""
    return _pack(Command.VERSION, major, minor, code)


def waited(code: Code) -> bytes:
    """Tell a program that waits that something changed; also the answer to STOP_WAITING."""
    return EVENT.pack(0, code)


def reader_events(count: int) -> bytes:
    """Answer GET_READER_EVENTS."""
    return EVENT.pack(count, Code.SCARD_S_SUCCESS)


def table_size(rows: int) -> bytes:
    """Answer GET_READERS_STATE_SIZE."""
    return NUMBER.pack(rows)


def row(reader: Row) -> bytes:
    """Return one row of the table."""
    if not reader.name:
        return _FREE_ROW
    return ROW.pack(
        reader.name,
        reader.event_counter,
        reader.state,
        reader.sharing,
        reader.atr[:33],
        min(len(reader.atr), 33),
        reader.protocol,
    )
