# SPDX-License-Identifier: Apache-2.0
"""READ, UPDATE and INCREASE (ETSI TS 102 221 clauses 11.1.3 to 11.1.8)."""

from wsrc.card.apdu import Response
from wsrc.readers.simulation.filesystem import Ef, Records, Transparent
from wsrc.readers.simulation.state import Call, done
from wsrc.readers.simulation.status import SW, StatusWordError

_NEXT, _PREVIOUS, _ABSOLUTE = 2, 3, 4


def read_binary(call: Call) -> Response:
    """Read from an offset; fewer octets than Le only where the file ends."""
    file, offset = _transparent(call)
    call.usable(file, file.read)
    available = len(file.content) - offset
    ne = call.command.ne
    if available <= 0:
        raise StatusWordError(SW.OUT_OF_RANGE)
    if not ne:
        raise StatusWordError(SW.WRONG_LENGTH)
    if call.exact and ne > available:
        raise StatusWordError(0x6C00 | available)
    call.channel.select(file)
    return done(bytes(file.content[offset : offset + ne]))


def update_binary(call: Call) -> Response:
    """Overwrite octets; the file never grows."""
    file, offset = _transparent(call)
    data = call.command.data
    call.usable(file, file.update)
    if not data:
        raise StatusWordError(SW.WRONG_LENGTH)
    if offset >= len(file.content):
        raise StatusWordError(SW.OUT_OF_RANGE)
    if offset + len(data) > len(file.content):
        raise StatusWordError(SW.WRONG_LENGTH)
    call.channel.select(file)
    file.content[offset : offset + len(data)] = data
    return done()


def read_record(call: Call) -> Response:
    """Read one whole record: absolute or current, next, previous."""
    file = _records(call)
    call.usable(file, file.read)
    number = _record_number(call, file)
    call.offer(file.record_octets)
    _point(call, file, number)
    return done(file.records[number - 1])


def update_record(call: Call) -> Response:
    """Overwrite one whole record; of a cyclic file always the oldest."""
    file = _records(call)
    call.usable(file, file.update)
    if len(call.command.data) != file.record_octets:
        raise StatusWordError(SW.WRONG_LENGTH)
    if file.cyclic:
        if call.command.p2 & 7 != _PREVIOUS or call.command.p1:
            raise StatusWordError(SW.INCOMPATIBLE_FILE)
        file.add_newest(call.command.data)
        _point(call, file, 1)
        return done()
    number = _record_number(call, file)
    _point(call, file, number)
    file.records[number - 1] = call.command.data
    return done()


def increase(call: Call) -> Response:
    """Add to the newest record of a cyclic file; return the sum and what was added."""
    command = call.command
    file = _cyclic(call)
    call.usable(file, file.increase)
    if not 1 <= len(command.data) <= file.record_octets:
        raise StatusWordError(SW.WRONG_LENGTH)
    total = int.from_bytes(file.records[0]) + int.from_bytes(command.data)
    if total >= 1 << 8 * file.record_octets:
        raise StatusWordError(SW.MAXIMUM_REACHED)
    record = total.to_bytes(file.record_octets)
    file.add_newest(record)
    _point(call, file, 1)
    return done(record + command.data)


def _transparent(call: Call) -> tuple[Transparent, int]:
    """Return the file and the offset; P1 names a file where its b8 is set."""
    command = call.command
    if command.p1 & 0x80:
        if command.p1 & 0x60:
            raise StatusWordError(SW.WRONG_P1_P2)
        file: Ef = call.channel.directory.by_sfi(command.p1 & 0x1F)
        offset = command.p2
    else:
        file = _current(call)
        offset = command.p1 << 8 | command.p2
    if not isinstance(file, Transparent):
        raise StatusWordError(SW.INCOMPATIBLE_FILE)
    return file, offset


def _records(call: Call) -> Records:
    sfi = call.command.p2 >> 3
    file = call.channel.directory.by_sfi(sfi) if sfi else _current(call)
    if not isinstance(file, Records):
        raise StatusWordError(SW.INCOMPATIBLE_FILE)
    return file


def _cyclic(call: Call) -> Records:
    command = call.command
    if command.p2 or command.p1 & ~0x9F or 0 < command.p1 < 0x80:
        raise StatusWordError(SW.WRONG_P1_P2)
    by_sfi = command.p1 & 0x80
    file = call.channel.directory.by_sfi(command.p1 & 0x1F) if by_sfi else _current(call)
    if not isinstance(file, Records) or not file.cyclic:
        raise StatusWordError(SW.INCOMPATIBLE_FILE)
    return file


def _current(call: Call) -> Ef:
    if call.channel.ef is None:
        raise StatusWordError(SW.NO_EF_SELECTED)
    return call.channel.ef


def _record_number(call: Call, file: Records) -> int:
    """
    Return the number of the record that P1 and the mode of P2 name.

    Next and previous start at the two ends where no record is current (TS 102 221 clause 11.1.5).
    """
    last = len(file.records)
    current = call.channel.record if call.channel.ef is file else 0
    numbers = {
        _NEXT: current + 1,
        _PREVIOUS: current - 1 if current else last,
        _ABSOLUTE: call.command.p1 or current,
    }
    mode = call.command.p2 & 7
    if mode not in numbers:
        raise StatusWordError(SW.WRONG_P1_P2)
    number = numbers[mode]
    if file.cyclic and mode != _ABSOLUTE:
        number = (number - 1) % last + 1
    if not 1 <= number <= last:
        raise StatusWordError(SW.RECORD_NOT_FOUND)
    return number


def _point(call: Call, file: Records, number: int) -> None:
    """Make a record current; naming it absolutely does not move the pointer."""
    if call.channel.ef is not file:
        call.channel.select(file)
    if call.command.p2 & 7 != _ABSOLUTE:
        call.channel.record = number
