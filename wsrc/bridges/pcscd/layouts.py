# SPDX-License-Identifier: Apache-2.0
"""
What the socket of pcscd carries, for both of its ends: commands, structures, lengths.

A request is a header, a structure, and for some a payload; an answer is the bare structure, with
the fields that are out filled in, and for some a payload. All integers are of 32 bits in the
order of the machine.
"""

from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from typing import Final

MAX_PAYLOAD_OCTETS: Final = 65_548
"""Longest payload of a request and of an answer (MAX_BUFFER_SIZE_EXTENDED)."""

MAX_ATTRIBUTE_OCTETS: Final = 264
MAX_NAME_OCTETS: Final = 127
"""Longest name of a reader; a NUL follows it."""


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


HEADER: Final = Struct("=II")
"""Octets of the structure that follows, and the command."""

NUMBER, EVENT = Struct("=I"), Struct("=II")
"""Answers that are not the structure of the request: a number of rows; a number and the code."""

ROW: Final = Struct("=128sIIi33s3xII")
"""A reader in the table: name, event counter, state, sharing, ATR and its length, protocol."""

_NOTHING, _TWO, _THREE, _SIX = Struct(""), Struct("=II"), Struct("=III"), Struct("=IIIIII")
_ATTRIBUTE = Struct("=iI264sII")

LAYOUTS: Final[Mapping[Command, Struct]] = {
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

PAYLOADS: Final[Mapping[Command, tuple[int, int]]] = {
    Command.TRANSMIT: (3, 6),
    Command.CONTROL: (2, 4),
}
"""Which field tells how long the payload is: that of the request, that of the answer."""
