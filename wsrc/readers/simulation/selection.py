# SPDX-License-Identifier: Apache-2.0
"""SELECT, STATUS and MANAGE CHANNEL (ETSI TS 102 221 clauses 11.1.1, 11.1.2 and 11.1.17)."""

from wsrc.card import tlv
from wsrc.card.apdu import Response, channel_of
from wsrc.readers.simulation.fcp import fcp_template
from wsrc.readers.simulation.filesystem import AnyFile, Directory
from wsrc.readers.simulation.pins import PIN1
from wsrc.readers.simulation.state import BASIC_CHANNEL, Call, Channel, done
from wsrc.readers.simulation.status import SW, StatusWordError

_BY_AID = 0x04
_NO_DATA = 0x0C
_TERMINATE = 0x40
_MIN_AID_OCTETS = 5


def select(call: Call) -> Response:
    """Select a file or an application; what fails leaves the selection as it was."""
    command = call.command
    if command.p2 & ~(_NO_DATA | _TERMINATE):
        raise StatusWordError(SW.WRONG_P1_P2)
    if command.p1 == _BY_AID:
        return _select_application(call)
    if command.p2 & _TERMINATE:
        raise StatusWordError(SW.WRONG_P1_P2)
    file = _find(call)
    call.channel.select(file)
    if isinstance(file, Directory) and file.aid:
        _enter(call, file)
    return _selected(call, file)


def status(call: Call) -> Response:
    """Describe the current directory, or name the application."""
    if call.command.p1 > 2:
        raise StatusWordError(SW.WRONG_P1_P2)
    match call.command.p2:
        case 0x00:
            data = _fcp(call, call.channel.directory)
        case 0x01:
            data = _application_name(call.channel)
        case 0x0C:
            return done()
        case _:
            raise StatusWordError(SW.WRONG_P1_P2)
    call.offer(len(data))
    return done(data)


def manage_channel(call: Call) -> Response:
    """Open a supplementary logical channel, or close one."""
    state = call.state
    if not state.supplementary_channels:
        raise StatusWordError(SW.NO_CHANNEL)
    match call.command.p1, call.command.p2:
        case 0x00, 0x00:
            return _open(call)
        case 0x80, 0x00:
            closing = channel_of(call.command.cla)
        case 0x80, number:
            closing = number
        case _:
            raise StatusWordError(SW.WRONG_P1_P2)
    if closing == BASIC_CHANNEL:
        raise StatusWordError(SW.WRONG_P1_P2)
    if state.channels.pop(closing, None) is None:
        raise StatusWordError(SW.NO_CHANNEL)
    return done()


def _open(call: Call) -> Response:
    """From the basic channel, the new one starts at the MF; else where the opening one is."""
    state = call.state
    wanted = range(1, state.supplementary_channels + 1)
    number = next((n for n in wanted if n not in state.channels), None)
    if number is None:
        raise StatusWordError(SW.NOT_SUPPORTED)
    call.offer(1)
    opened_from_basic = channel_of(call.command.cla) == BASIC_CHANNEL
    at_mf = Channel(state.profile.files.mf)
    state.channels[number] = at_mf if opened_from_basic else call.channel.copy()
    return done(bytes([number]))


def _select_application(call: Call) -> Response:
    command, state = call.command, call.state
    if not _MIN_AID_OCTETS <= len(command.data) <= 16:
        raise StatusWordError(SW.WRONG_LENGTH)
    if command.p2 & _TERMINATE:
        return _terminate(call)
    adf = state.profile.files.adf(command.data)
    if adf is not None:
        _enter(call, adf)
        return _selected(call, adf)
    domain = next((d for d in state.domains if d.aid.startswith(command.data)), None)
    if domain is None:
        raise StatusWordError(SW.NOT_FOUND)
    state.application_was_selected = True
    call.channel.select(state.profile.files.mf)
    call.channel.adf, call.channel.domain = None, domain
    return done() if command.p2 & _NO_DATA == _NO_DATA else done(domain.selected())


def _terminate(call: Call) -> Response:
    """End the session with the current application (ETSI TS 102 221 clause 8.5.3)."""
    adf = call.channel.adf
    if adf is None or not adf.aid.startswith(call.command.data):
        raise StatusWordError(SW.NOT_FOUND)
    call.channel.adf = None
    call.channel.select(call.state.profile.files.mf)
    return done()


def _enter(call: Call, adf: Directory) -> None:
    call.state.application_was_selected = True
    call.channel.adf, call.channel.domain = adf, None
    call.channel.select(adf)


def _find(call: Call) -> AnyFile:
    data, channel, files = call.command.data, call.channel, call.state.profile.files
    match call.command.p1:
        case 0x00:
            return files.by_file_id(_file_id(data), channel.directory, channel.adf)
        case 0x01:
            return _directory(channel.directory.children.get(_file_id(data)))
        case 0x03:
            return _directory(channel.directory.parent)
        case 0x08:
            return files.by_path(data, files.mf, channel.adf)
        case 0x09:
            return files.by_path(data, channel.directory, channel.adf)
        case _:
            raise StatusWordError(SW.WRONG_P1_P2)


def _file_id(data: bytes) -> int:
    if len(data) != 2:
        raise StatusWordError(SW.WRONG_LENGTH)
    return int.from_bytes(data)


def _directory(file: AnyFile | None) -> Directory:
    if not isinstance(file, Directory):
        raise StatusWordError(SW.NOT_FOUND)
    return file


def _selected(call: Call, file: AnyFile) -> Response:
    """Describe what was selected, with a warning where it is deactivated."""
    sw = SW.FILE_DEACTIVATED if file.deactivated else SW.DONE
    wanted = call.command.p2 & _NO_DATA != _NO_DATA
    return Response(_fcp(call, file) if wanted else b"", sw)


def _fcp(call: Call, file: AnyFile) -> bytes:
    return fcp_template(file, pin1_enabled=call.state.pin(PIN1).enabled)


def _application_name(channel: Channel) -> bytes:
    application = channel.domain or channel.adf
    if application is None:
        raise StatusWordError(SW.CONDITIONS_NOT_SATISFIED)
    return tlv.encode(0x84, application.aid)
