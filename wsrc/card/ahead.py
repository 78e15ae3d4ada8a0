# SPDX-License-Identifier: Apache-2.0
"""
Which reads a program asks for next, and which of them no card shows: a model of selection.

Without I/O: it is told what a card was asked and what it answered, and proposes commands that may
be run before they are asked for. READ BINARY by offset and READ RECORD by number, both of the
current EF, leave a UICC as it was: selection, record pointer, security status and counters (ETSI
TS 102 221 clauses 11.1.3 and 11.1.5). All else does something, or may: a short file identifier
selects, "next" moves the pointer, STATUS is an event for applets (ETSI TS 102 241).
"""

from collections.abc import Generator
from typing import NamedTuple

from wsrc.card import tlv
from wsrc.card.apdu import channel_of

MAX_READS = 16
"""Commands that are run ahead of one answer."""

MAX_OCTETS = 4_096
"""Octets of data that are read ahead of one answer; the last command may pass it."""

Reads = Generator[bytes, bytes, None]
"""Commands to run, each to be sent the answer to it; it ends where nothing more is foreseen."""

_READ_BINARY, _READ_RECORD = 0xB0, 0xB2
_BY_AID, _ABSOLUTE = 0x04, 0x04
_NOT_FOUND = 0x6A82

_APPLICATIONS = frozenset(
    bytes.fromhex(aid)
    for aid in (
        "a0000000871001",  # UICC
        "a0000000871002",  # USIM
        "a0000000871004",  # ISIM
        "a0000003431002",  # CSIM
        "a0000000090001",  # SIM
    )
)
"""How the AIDs of applications with files begin (ETSI TS 101 220); others are applets."""

_INTERINDUSTRY = frozenset(bytes.fromhex("04 20 24 26 28 2c 44 70 84 88 89 a2 a4 b0 b2 c0 d6 dc"))
_PROPRIETARY = frozenset(bytes.fromhex("10 12 14 32 aa c0 c2 f2"))
"""Instructions of ETSI TS 102 221 table 10.5 that leave the application on a channel what it is."""

_ONLY_BLOCK = 255
"""Octets of a block whose length a program says, as long as it was not seen to take fewer."""


class _File(NamedTuple):
    """The current EF: its octets or those of a record, and how many records; 0 if it has none."""

    octets: int
    records: int = 0


class _Channel:
    """A logical channel on which the files of a UICC are; `selecting` while the FCP waits."""

    def __init__(self) -> None:
        self.file: _File | None = None
        self.selecting = False


class NextReads:
    """
    The reads that follow the latest command of a card.

    A file is only read ahead where it is certain whose it is: of a UICC, while no application of
    another maker is selected on the channel. After a command that the model does not know nothing
    is proposed until the card is reset, which begins another model.

    Args:
        uicc: Whether the ATR is that of a UICC; of another card nothing is read.
    """

    def __init__(self, *, uicc: bool) -> None:
        self._certain = uicc
        self._channels = {0: _Channel()}
        self._whole: dict[int, bool] = {}
        """By instruction, whether the program asks for all that there is: Le 00."""
        self._block = _ONLY_BLOCK
        self._reads: Reads | None = None

    def stop(self) -> None:
        """Propose nothing from now on: what the card does is not known any more."""
        self._certain = False
        self._reads = None

    def saw(self, command: bytes, answer: bytes) -> None:
        """Take note of what a program sent, an APDU or a TPDU, and of the answer to it."""
        if not self._certain:
            return
        self._reads = None
        if not _is_known(command):
            self.stop()
            return
        channel = self._channels.get(channel_of(command[0]))
        selecting = channel is not None and channel.selecting
        if channel is not None:
            channel.selecting = False
        match command[1]:
            case 0xA4:
                self._selected(command, answer)
            case 0x70:
                self._managed(command, answer)
            case 0xC0 if channel is not None and selecting and _is_plain(command[0]):
                self._describe(channel, command[0], answer)
            case 0xB0 | 0xB2 if channel is not None:
                self.asked(command)
                self._reads = self._after(channel.file, command, answer)
            case _:
                pass

    def asked(self, command: bytes) -> None:
        """Learn how a program reads, from a command that it asked for."""
        if len(command) != 5 or command[1] not in {_READ_BINARY, _READ_RECORD}:
            return
        self._whole[command[1]] = not command[4]
        channel = self._channels.get(channel_of(command[0]))
        file = None if channel is None else channel.file
        rest = 0 if file is None else file.octets - int.from_bytes(command[2:4])
        if command[1] == _READ_BINARY and 0 < command[4] < rest:
            self._block = command[4]

    def take(self) -> Reads | None:
        """Return, once, what may be read ahead after the latest command; None if nothing."""
        reads, self._reads = self._reads, None
        return reads

    def _selected(self, command: bytes, answer: bytes) -> None:
        number, sw = channel_of(command[0]), int.from_bytes(answer[-2:])
        if command[2] == _BY_AID:
            self._entered(number, command, sw)
        channel = self._channels.get(number)
        if channel is None or (sw >> 8 != 0x61 and sw != 0x9000):
            return
        channel.file, channel.selecting = None, sw >> 8 == 0x61
        self._describe(channel, command[0], answer)

    def _entered(self, number: int, command: bytes, sw: int) -> None:
        """Note whose application is selected; who fails to select one may have left the other."""
        if sw == _NOT_FOUND:
            return
        if command[5:12] in _APPLICATIONS and sw >> 8 in {0x61, 0x90, 0x91}:
            self._channels[number] = _Channel()
        else:
            self._channels.pop(number, None)

    def _describe(self, channel: _Channel, cla: int, answer: bytes) -> None:
        """Propose what a program reads of a file that it has just selected."""
        if answer[-2:] != b"\x90\x00":
            return
        channel.file = file = _described(answer[:-2])
        if file is not None:
            self._reads = (
                self._records(cla, 1, file) if file.records else self._blocks(cla, 0, file)
            )

    def _managed(self, command: bytes, answer: bytes) -> None:
        """Follow what is opened and closed; a new channel is where that is from which it came."""
        if answer[-2:] != b"\x90\x00":
            return
        named = command[3]
        if command[2]:
            self._channels.pop(named or channel_of(command[0]), None)
        elif named or len(answer) == 3:
            self._channels.pop(named or answer[0], None)
            if channel_of(command[0]) in self._channels:
                self._channels[named or answer[0]] = _Channel()

    def _after(self, file: _File | None, command: bytes, answer: bytes) -> Reads | None:
        """Propose what comes after a block or a record that was read."""
        if len(command) != 5 or not _is_invisible(command):
            return None
        if not _goes_on(answer):
            return None
        if answer[-2] == 0x6C:
            return self._corrected(command, answer[-1:], file)
        return self._beyond(command, answer[:-2], file)

    def _corrected(self, command: bytes, le: bytes, file: _File | None) -> Reads:
        """Read with the Le that the card has said, and go on."""
        answer = yield command[:4] + le
        beyond = self._beyond(command, answer[:-2], file)
        if answer[-2:] == b"\x90\x00" and beyond is not None:
            yield from beyond

    def _beyond(self, command: bytes, data: bytes, file: _File | None) -> Reads | None:
        if command[1] == _READ_RECORD:
            known = file if file is not None and file.records else _File(len(data), 254)
            return self._records(command[0], command[2] + 1, known)
        if file is None or file.records or not data:
            return None
        return self._blocks(command[0], int.from_bytes(command[2:4]) + len(data), file)

    def _blocks(self, cla: int, offset: int, file: _File) -> Reads:
        while offset < min(file.octets, 0x8000):
            rest = file.octets - offset
            head = bytes((cla, _READ_BINARY)) + offset.to_bytes(2)
            size = 256 if self._whole.get(_READ_BINARY) else self._block
            data = yield from self._read(head, min(rest, size))
            if not data:
                return
            offset += len(data)

    def _records(self, cla: int, number: int, file: _File) -> Reads:
        while number <= file.records:
            head = bytes((cla, _READ_RECORD, number, _ABSOLUTE))
            if not (yield from self._read(head, file.octets)):
                return
            number += 1

    def _read(self, head: bytes, octets: int) -> Generator[bytes, bytes, bytes]:
        """
        Read in the way in which the program reads, or in both where that is not known yet.

        Return the data, or none where nothing beyond is foreseen.
        """
        whole = self._whole.get(head[1])
        if whole is None:
            answer = yield head + b"\0"
            if _goes_on(answer):
                yield head + bytes((octets & 0xFF,))
            return b""
        answer = yield head + bytes((0 if whole else octets & 0xFF,))
        if answer[-2] == 0x6C:
            answer = yield head + answer[-1:]
        return answer[:-2] if answer[-2:] == b"\x90\x00" else b""


def clearing(command: bytes) -> bytes:
    """Return a read on the channel of another one, after which nothing waits for GET RESPONSE."""
    return bytes((command[0], _READ_BINARY, 0, 0, 1))


def leaves_waiting(answer: bytes) -> bool:
    """Return whether a read left something for GET RESPONSE, which a later command would show."""
    return answer[-2] in {0x61, 0x9F}


def _goes_on(answer: bytes) -> bool:
    """Return whether a read succeeded, or does so with the Le that the card says."""
    return answer[-2:] == b"\x90\x00" or answer[-2] == 0x6C


def _is_known(command: bytes) -> bool:
    """Return whether a command is one of TS 102 221, without chaining and secure messaging."""
    cla, ins = command[:2]
    if cla & 0x80:
        return cla & 0xFC == 0x80 and ins in _PROPRIETARY
    return _is_plain(cla) and ins in _INTERINDUSTRY


def _is_plain(cla: int) -> bool:
    """Return whether a class is interindustry, without chaining and secure messaging."""
    return cla & 0xFC == 0 or cla & 0xF0 == 0x40


def _is_invisible(command: bytes) -> bool:
    """Return whether a read names neither a file nor the record pointer."""
    if command[1] == _READ_BINARY:
        return not command[2] & 0x80
    return command[2] > 0 and command[3] == _ABSOLUTE


def _described(fcp: bytes) -> _File | None:
    """
    Read an FCP template (ETSI TS 102 221 clause 11.1.1.3).

    None where it is not that of a working EF of octets or records that is activated.
    """
    template = tlv.find(fcp, 0x62)
    if template is None or tlv.find(template, 0x8A) not in {b"\x05", b"\x07"}:
        return None
    descriptor, size = tlv.find(template, 0x82) or b"", tlv.find(template, 0x80) or b""
    match descriptor[:1] and descriptor[0] & 0xBF:
        case 0x01 if size:
            return _File(int.from_bytes(size))
        case 0x02 | 0x06 if len(descriptor) >= 5 and descriptor[4]:
            return _File(int.from_bytes(descriptor[2:4]), descriptor[4])
        case _:
            return None
