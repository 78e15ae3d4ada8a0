# SPDX-License-Identifier: Apache-2.0
"""
What libpcsclite and pcscd say to each other over their socket: octets in, requests out, and back.

A request is a header, a structure, and for some a payload; an answer is the bare structure, with
the fields that are out filled in, and for some a payload. All integers are of 32 bits in the
order of the machine. Nothing here knows of a socket, a reader or a card.
"""

from collections.abc import Callable
from struct import Struct

from wsrc.pcsc_numbers import Code
from wsrc.user_client.pcscd_requests import (
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

MAX_SEND_OCTETS = 65_548
"""Longest payload of a request (MAX_BUFFER_SIZE_EXTENDED)."""

MAX_ATTRIBUTE_OCTETS = 264
MAX_NAME_OCTETS = 127
"""Longest name of a reader; a NUL follows it."""

OLD_TABLE_ROWS = 16
"""Rows of the table of readers up to version 4:5."""

MAJOR = 4
OLDEST_MINOR, NEWEST_MINOR = 4, 6


class WireError(Exception):
    """Octets that are no request; as pcscd does, the connection is closed."""


_HEADER = Struct("=II")
_ROW = Struct("=128sIIi33s3xII")
_CONNECT = Struct("=I128sIIiII")
_TRANSMIT = Struct("=iIIIIIII")
_CONTROL = Struct("=iIIIII")
_ATTRIBUTE = Struct("=iI264sII")
_I2, _I3, _I6 = Struct("=II"), Struct("=III"), Struct("=IIIIII")
_NOTHING = Struct("")
_FREE_ROW = bytes(_ROW.size)
_CUT = "a payload is longer than the protocol allows"


def _connect(body: bytes) -> Request:
    context, name, share, protocols, *_ = _CONNECT.unpack(body)
    return Connect(context, name.partition(b"\0")[0], share, protocols)


def _get_attribute(body: bytes) -> Request:
    card, attribute, _, size, _ = _ATTRIBUTE.unpack(body)
    if size > MAX_ATTRIBUTE_OCTETS:
        raise WireError(_CUT)
    return GetAttribute(card, attribute, size)


def _set_attribute(body: bytes) -> Request:
    card, attribute, value, size, _ = _ATTRIBUTE.unpack(body)
    if size > MAX_ATTRIBUTE_OCTETS:
        raise WireError(_CUT)
    return SetAttribute(card, attribute, value[:size])


def _simple(kind: type[Request], layout: Struct, count: int) -> tuple[Struct, "_Read"]:
    """Read a structure whose first `count` fields make the request."""
    return layout, lambda body: kind(*layout.unpack(body)[:count])


def _empty(kind: type[Request]) -> tuple[Struct, "_Read"]:
    request = kind()
    return _NOTHING, lambda _: request


_Read = Callable[[bytes], Request]

_REQUESTS: dict[int, tuple[Struct, _Read]] = {
    0x01: _simple(EstablishContext, _I3, 1),
    0x02: _simple(ReleaseContext, _I2, 1),
    0x04: (_CONNECT, _connect),
    0x05: _simple(Reconnect, _I6, 4),
    0x06: _simple(Disconnect, _I3, 2),
    0x07: _simple(Begin, _I2, 1),
    0x08: _simple(End, _I3, 2),
    0x0B: _simple(Status, _I2, 1),
    0x0D: _simple(Cancel, _I2, 1),
    0x0F: (_ATTRIBUTE, _get_attribute),
    0x10: (_ATTRIBUTE, _set_attribute),
    0x11: _simple(Version, Struct("=iiI"), 2),
    0x12: _empty(GetReaders),
    0x13: _empty(Wait),
    0x14: _empty(StopWaiting),
    0x15: _empty(GetReaderEvents),
    0x16: _empty(GetTableSize),
    0x17: _empty(GetTable),
}
"""How each request is read, by its command; those with a payload are read by `Reading`."""

_TRANSMIT_COMMAND, _CONTROL_COMMAND = 0x09, 0x0A


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
        Give the next request, or None if more octets must come.

        Raises:
            WireError: If these octets are no request.
        """
        if len(self._octets) < _HEADER.size:
            return None
        size, command = _HEADER.unpack_from(self._octets)
        if command in {_TRANSMIT_COMMAND, _CONTROL_COMMAND}:
            return self._with_payload(size, command)
        if command not in _REQUESTS:
            raise WireError(f"{command:#x} is no command")
        layout, read = _REQUESTS[command]
        if size != layout.size:
            raise WireError(f"command {command:#x} has {layout.size} octets, not {size}")
        body = self._take(_HEADER.size + size)
        return read(body[_HEADER.size :]) if body is not None else None

    def _with_payload(self, size: int, command: int) -> Request | None:
        layout = _TRANSMIT if command == _TRANSMIT_COMMAND else _CONTROL
        if size != layout.size:
            raise WireError(f"command {command:#x} has {layout.size} octets, not {size}")
        start = _HEADER.size + size
        if len(self._octets) < start:
            return None
        fields = layout.unpack_from(self._octets, _HEADER.size)
        sent = fields[3] if layout is _TRANSMIT else fields[2]
        if sent > MAX_SEND_OCTETS:
            raise WireError(_CUT)
        octets = self._take(start + sent)
        if octets is None:
            return None
        if layout is _TRANSMIT:
            card, protocol, length, _, answer_protocol, answer_length, most, _ = fields
            pci = (length, answer_protocol, answer_length)
            return Transmit(card, protocol, pci, most, octets[start:])
        card, code, _, most, _, _ = fields
        return Control(card, code, most, octets[start:])

    def _take(self, count: int) -> bytes | None:
        if len(self._octets) < count:
            return None
        taken = bytes(self._octets[:count])
        del self._octets[:count]
        return taken


def established(asked: EstablishContext, context: int, code: Code) -> bytes:
    """Answer ESTABLISH_CONTEXT."""
    return _I3.pack(asked.scope, context, code)


def released(asked: ReleaseContext, code: Code) -> bytes:
    """Answer RELEASE_CONTEXT."""
    return _I2.pack(asked.context, code)


def connected(asked: Connect, code: Code, card: int = 0, protocol: int = 0) -> bytes:
    """Answer CONNECT."""
    return _CONNECT.pack(
        asked.context, asked.reader, asked.share, asked.protocols, card, protocol, code
    )


def reconnected(asked: Reconnect, code: Code, protocol: int = 0) -> bytes:
    """Answer RECONNECT."""
    return _I6.pack(asked.card, asked.share, asked.protocols, asked.initialization, protocol, code)


def disposed(asked: Disconnect | End, code: Code) -> bytes:
    """Answer DISCONNECT or END_TRANSACTION."""
    return _I3.pack(asked.card, asked.disposition, code)


def told(asked: Begin | Status, code: Code) -> bytes:
    """Answer BEGIN_TRANSACTION or STATUS."""
    return _I2.pack(asked.card, code)


def cancelled(asked: Cancel, code: Code) -> bytes:
    """Answer CANCEL."""
    return _I2.pack(asked.context, code)


def transmitted(asked: Transmit, code: Code, answer: bytes = b"") -> bytes:
    """Answer TRANSMIT; an answer longer than the program has room for is not given."""
    if code is Code.SCARD_S_SUCCESS and len(answer) > asked.max_answer:
        code = Code.SCARD_E_INSUFFICIENT_BUFFER
    length, answer_protocol, answer_length = asked.pci
    head = _TRANSMIT.pack(
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
    head = _CONTROL.pack(
        asked.card, asked.code, len(asked.octets), asked.max_answer, len(answer), code
    )
    return head + answer if code is Code.SCARD_S_SUCCESS else head


def attribute(asked: GetAttribute | SetAttribute, code: Code, value: bytes = b"") -> bytes:
    """Answer GET_ATTRIB or SET_ATTRIB; a value longer than there is room for is not given."""
    size = len(value)
    if isinstance(asked, SetAttribute):
        value, size = asked.value, len(asked.value)
    elif size > asked.max_answer:
        code, value = Code.SCARD_E_INSUFFICIENT_BUFFER, b""
    return _ATTRIBUTE.pack(asked.card, asked.attribute, value, size, code)


def version(major: int, minor: int, code: Code) -> bytes:
    """Answer VERSION."""
    return _I3.pack(major, minor, code)


def waited(code: Code) -> bytes:
    """Tell a program that waits that something changed; also the answer to STOP_WAITING."""
    return _I2.pack(0, code)


def reader_events(count: int) -> bytes:
    """Answer GET_READER_EVENTS."""
    return _I2.pack(count, Code.SCARD_S_SUCCESS)


def table_size(rows: int) -> bytes:
    """Answer GET_READERS_STATE_SIZE."""
    return rows.to_bytes(4, "little" if Struct("=H").pack(1)[0] else "big")


def row(reader: Row) -> bytes:
    """Give one row of the table."""
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
