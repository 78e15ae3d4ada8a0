# SPDX-License-Identifier: Apache-2.0
"""
What libpcsclite and pcscd say to each other over their socket: octets in, requests out, and back.

A request is a header, a structure, and for some a payload; an answer is the bare structure, with
the fields that are out filled in, and for some a payload. All integers are of 32 bits in the
order of the machine. Nothing here knows of a socket, a reader or a card.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from wsrc.bridges.pcscd import requests as asks
from wsrc.bridges.pcscd.requests import (
    MAJOR,
    MAX_ATTRIBUTE_OCTETS,
    MAX_PAYLOAD_OCTETS,
    OLDEST_MINOR,
    Events,
    Request,
    RequestError,
    Row,
    Rows,
)
from wsrc.card.pcsc_numbers import Code


class Command(IntEnum):
    """What is asked for."""

    ESTABLISH_CONTEXT = 0x01
    RELEASE_CONTEXT = 0x02
    CONNECT = 0x04
    RECONNECT = 0x05
    DISCONNECT = 0x06
    BEGIN_TRANSACTION = 0x07
    END_TRANSACTION = 0x08
    TRANSMIT = 0x09
    CONTROL = 0x0A
    STATUS = 0x0B
    CANCEL = 0x0D
    GET_ATTRIB = 0x0F
    SET_ATTRIB = 0x10
    VERSION = 0x11
    GET_READERS_STATE = 0x12
    WAIT_READER_STATE_CHANGE = 0x13
    STOP_WAITING_READER_STATE_CHANGE = 0x14
    GET_READER_EVENTS = 0x15
    GET_READERS_STATE_SIZE = 0x16
    GET_READERS_STATE_SIZED = 0x17


_HEADER: Final = Struct("=II")
"""Octets of the structure that follows, and the command."""

_NUMBER, _EVENT = Struct("=I"), Struct("=II")
"""Answers that are not the structure of the request: a number of rows; a number and the code."""

_ROW: Final = Struct("=128sIIi33s3xII")
"""A reader in the table: name, event counter, state, sharing, ATR and its length, protocol."""

_FREE_ROW: Final = bytes(_ROW.size)

_NOTHING, _TWO, _THREE, _SIX = Struct(""), Struct("=II"), Struct("=III"), Struct("=IIIIII")
_ATTRIBUTE = Struct("=iI264sII")

_LAYOUTS: Final[Mapping[int, Struct]] = {
    Command.ESTABLISH_CONTEXT: _THREE,
    Command.RELEASE_CONTEXT: _TWO,
    Command.CONNECT: Struct("=I128sIIiII"),
    Command.RECONNECT: _SIX,
    Command.DISCONNECT: _THREE,
    Command.BEGIN_TRANSACTION: _TWO,
    Command.END_TRANSACTION: _THREE,
    Command.TRANSMIT: Struct("=iIIIIIII"),
    Command.CONTROL: Struct("=iIIIII"),
    Command.STATUS: _TWO,
    Command.CANCEL: _TWO,
    Command.GET_ATTRIB: _ATTRIBUTE,
    Command.SET_ATTRIB: _ATTRIBUTE,
    Command.VERSION: Struct("=iiI"),
    Command.GET_READERS_STATE: _NOTHING,
    Command.WAIT_READER_STATE_CHANGE: _NOTHING,
    Command.STOP_WAITING_READER_STATE_CHANGE: _NOTHING,
    Command.GET_READER_EVENTS: _NOTHING,
    Command.GET_READERS_STATE_SIZE: _NOTHING,
    Command.GET_READERS_STATE_SIZED: _NOTHING,
}
"""The structure of each command; where it is not empty, its last field is the result code."""

_PAYLOADS: Final[Mapping[int, int]] = {Command.TRANSMIT: 3, Command.CONTROL: 2}
"""Which field of a request tells how long its payload is."""

_CUT = "a payload is longer than the protocol allows"

# Requests

_Read = Callable[[tuple[Any, ...], bytes], Request[Any]]


def _first(count: int, kind: type[Request[Any]]) -> _Read:
    """Return a request of the first so many fields."""
    return lambda fields, _: kind(*fields[:count])


def _connect(fields: tuple[Any, ...], _: bytes) -> asks.Connect:
    context, name, share, protocols, *_rest = fields
    return asks.Connect(context, name.partition(b"\0")[0], share, protocols)


def _get_attribute(fields: tuple[Any, ...], _: bytes) -> asks.GetAttribute:
    card, attribute, _value, size, _code = fields
    if size > MAX_ATTRIBUTE_OCTETS:
        raise RequestError(_CUT)
    return asks.GetAttribute(card, attribute, size)


def _set_attribute(fields: tuple[Any, ...], _: bytes) -> asks.SetAttribute:
    card, attribute, value, size, _code = fields
    if size > MAX_ATTRIBUTE_OCTETS:
        raise RequestError(_CUT)
    return asks.SetAttribute(card, attribute, value[:size])


def _transmit(fields: tuple[Any, ...], octets: bytes) -> asks.Transmit:
    card, protocol, length, _, answer_protocol, answer_length, most, _ = fields
    return asks.Transmit(card, protocol, octets, (length, answer_protocol, answer_length), most)


def _control(fields: tuple[Any, ...], octets: bytes) -> asks.Control:
    card, code, _, most, _, _ = fields
    return asks.Control(card, code, octets, most)


_REQUESTS: Final[Mapping[int, _Read]] = {
    Command.ESTABLISH_CONTEXT: _first(1, asks.EstablishContext),
    Command.RELEASE_CONTEXT: _first(1, asks.ReleaseContext),
    Command.CONNECT: _connect,
    Command.RECONNECT: _first(4, asks.Reconnect),
    Command.DISCONNECT: _first(2, asks.Disconnect),
    Command.BEGIN_TRANSACTION: _first(1, asks.Begin),
    Command.END_TRANSACTION: _first(2, asks.End),
    Command.TRANSMIT: _transmit,
    Command.CONTROL: _control,
    Command.STATUS: _first(1, asks.Status),
    Command.CANCEL: _first(1, asks.Cancel),
    Command.GET_ATTRIB: _get_attribute,
    Command.SET_ATTRIB: _set_attribute,
    Command.VERSION: _first(2, asks.Version),
    Command.GET_READERS_STATE: _first(0, asks.GetReaders),
    Command.WAIT_READER_STATE_CHANGE: _first(0, asks.Wait),
    Command.STOP_WAITING_READER_STATE_CHANGE: _first(0, asks.StopWaiting),
    Command.GET_READER_EVENTS: _first(0, asks.GetReaderEvents),
    Command.GET_READERS_STATE_SIZE: _first(0, asks.GetTableSize),
    Command.GET_READERS_STATE_SIZED: _first(0, asks.GetTable),
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

    def next(self) -> Request[Any] | None:
        """
        Return the next request, or None if more octets must come.

        Raises:
            RequestError: If these octets are no request.
        """
        if len(self._octets) < _HEADER.size:
            return None
        size, number = _HEADER.unpack_from(self._octets)
        layout = _LAYOUTS.get(number)
        if layout is None:
            raise RequestError(f"{number:#x} is no command")
        if size != layout.size:
            raise RequestError(f"command {number:#x} has {layout.size} octets, not {size}")
        start = _HEADER.size + size
        if len(self._octets) < start:
            return None
        fields = layout.unpack_from(self._octets, _HEADER.size)
        sent = fields[_PAYLOADS[number]] if number in _PAYLOADS else 0
        if sent > MAX_PAYLOAD_OCTETS:
            raise RequestError(_CUT)
        octets = self._take(start + sent)
        return _REQUESTS[number](fields, octets[start:]) if octets is not None else None

    def _take(self, count: int) -> bytes | None:
        if len(self._octets) < count:
            return None
        taken = bytes(self._octets[:count])
        del self._octets[:count]
        return taken


# Answers


def answer(asked: Request[Any], given: Any) -> bytes:
    """
    Return the answer to a request that was done.

    Args:
        asked: The request.
        given: The result, as the class of `asked` says.

    Returns:
        What is to be sent, which is nothing for some requests of a program that waits.
    """
    bare = _BARE.get(type(asked))
    if bare is not None:
        return bare(given)
    head = _structure(asked, given, Code.SCARD_S_SUCCESS, 0)
    return head + given if isinstance(asked, _WITH_PAYLOAD) else head


def refusal(asked: Request[Any], code: Code, octets: int = 0) -> bytes:
    """
    Return the answer to a request that was refused.

    Args:
        asked: The request.
        code: Why.
        octets: How long the answer is for which the program has no room.
    """
    return _structure(asked, None, code, octets)


def event(told: Events) -> bytes:
    """
    Return what a program that waits is told; also the answer to GET_READER_EVENTS.

    The two are told apart by nothing but their order, and one may overtake the other: so both are
    good for either.
    """
    return _EVENT.pack(told.count, told.code)


def row(reader: Row) -> bytes:
    """Return one row of the table."""
    if not reader.name:
        return _FREE_ROW
    return _ROW.pack(
        reader.name,
        reader.event_counter,
        reader.state,
        reader.sharing,
        reader.atr[:33],
        min(len(reader.atr), 33),
        reader.protocol,
    )


def _structure(asked: Request[Any], given: Any, code: Code, octets: int) -> bytes:
    command, fields = _STRUCTURES[type(asked)]
    return _LAYOUTS[command].pack(*fields(asked, given, octets), code)


def _connected(asked: asks.Connect, given: asks.Connected | None, _: int) -> tuple[Any, ...]:
    card, protocol = (given.card, given.protocol) if given is not None else (0, 0)
    return asked.context, asked.reader, asked.share, asked.protocols, card, protocol


def _transmitted(asked: asks.Transmit, given: bytes | None, octets: int) -> tuple[Any, ...]:
    length, protocol, answer_length = asked.pci
    size = octets if given is None else len(given)
    head = asked.card, asked.protocol, length, len(asked.octets)
    return *head, protocol, answer_length, size


def _controlled(asked: asks.Control, given: bytes | None, octets: int) -> tuple[Any, ...]:
    size = octets if given is None else len(given)
    return asked.card, asked.code, len(asked.octets), asked.max_answer, size


def _attribute(asked: asks.GetAttribute, given: bytes | None, octets: int) -> tuple[Any, ...]:
    size = octets if given is None else len(given)
    return asked.card, asked.attribute, given or b"", size


_Fields = Callable[[Any, Any, int], tuple[Any, ...]]

_STRUCTURES: Final[Mapping[type[Request[Any]], tuple[Command, _Fields]]] = {
    asks.EstablishContext: (Command.ESTABLISH_CONTEXT, lambda a, given, _: (a.scope, given or 0)),
    asks.ReleaseContext: (Command.RELEASE_CONTEXT, lambda a, _, __: (a.context,)),
    asks.Connect: (Command.CONNECT, _connected),
    asks.Reconnect: (
        Command.RECONNECT,
        lambda a, given, _: (a.card, a.share, a.protocols, a.initialization, given or 0),
    ),
    asks.Disconnect: (Command.DISCONNECT, lambda a, _, __: (a.card, a.disposition)),
    asks.Begin: (Command.BEGIN_TRANSACTION, lambda a, _, __: (a.card,)),
    asks.End: (Command.END_TRANSACTION, lambda a, _, __: (a.card, a.disposition)),
    asks.Transmit: (Command.TRANSMIT, _transmitted),
    asks.Control: (Command.CONTROL, _controlled),
    asks.Status: (Command.STATUS, lambda a, _, __: (a.card,)),
    asks.Cancel: (Command.CANCEL, lambda a, _, __: (a.context,)),
    asks.GetAttribute: (Command.GET_ATTRIB, _attribute),
    asks.SetAttribute: (
        Command.SET_ATTRIB,
        lambda a, _, __: (a.card, a.attribute, a.value, len(a.value)),
    ),
    asks.Version: (Command.VERSION, lambda _a, given, _: (MAJOR, given or OLDEST_MINOR)),
}
"""The fields of an answer before its code: of the request, what it is given, what has no room."""

_WITH_PAYLOAD: Final = (asks.Transmit, asks.Control)


def _table(rows: Rows | None) -> bytes:
    return b"".join(map(row, rows or ()))


_BARE: Final[Mapping[type[Request[Any]], Callable[[Any], bytes]]] = {
    asks.GetReaders: _table,
    asks.GetTable: _table,
    asks.Wait: _table,
    asks.StopWaiting: lambda did: _EVENT.pack(0, Code.SCARD_S_SUCCESS) if did else b"",
    asks.GetReaderEvents: event,
    asks.GetTableSize: _NUMBER.pack,
}
"""Answers without the structure of a request; these requests are not refused."""
