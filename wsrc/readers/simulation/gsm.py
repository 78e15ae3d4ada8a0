# SPDX-License-Identifier: Apache-2.0
"""The commands of class A0 (3GPP TS 51.011 clause 9), and a SIM that knows no others."""

from collections.abc import Callable
from typing import Final

from wsrc.card.apdu import Command, Response
from wsrc.readers.simulation import file_commands, pin_commands
from wsrc.readers.simulation.engine import Direction
from wsrc.readers.simulation.filesystem import AnyFile, Directory, Records, Transparent
from wsrc.readers.simulation.pins import PIN1
from wsrc.readers.simulation.state import (
    BASIC_CHANNEL,
    Call,
    Handler,
    Profile,
    State,
    done,
    require_parameters,
)
from wsrc.readers.simulation.status import SW, StatusWordError

CLASS: Final = 0xA0

FETCH_SW1: Final = 0x9F
"""SW1 by which response data are announced."""

_SW_OF_GSM: dict[int, int] = {
    SW.SECURITY_NOT_SATISFIED: 0x9804,
    SW.BLOCKED: 0x9840,
    SW.REFERENCE_NOT_FOUND: 0x9802,
    SW.NO_EF_SELECTED: 0x9400,
    SW.INCOMPATIBLE_FILE: 0x9408,
    SW.NOT_FOUND: 0x9404,
    SW.RECORD_NOT_FOUND: 0x9402,
    SW.OUT_OF_RANGE: 0x9402,
    SW.CONDITIONS_NOT_SATISFIED: 0x9808,
    SW.DATA_NOT_USABLE: 0x9810,
    SW.WRONG_P1_P2: 0x6B00,
    0x63C0: 0x9840,
}
"""What 3GPP TS 51.011 clause 9.4 says in place of a status word of TS 102 221."""


def _select(call: Call) -> Response:
    require_parameters(call.command, 0, 0)
    if len(call.command.data) != 2:
        raise StatusWordError(SW.WRONG_LENGTH)
    file_id = int.from_bytes(call.command.data)
    file = call.state.profile.files.by_file_id(file_id, call.channel.directory, None)
    call.channel.select(file)
    return done(_describe(call.state, file))


def _status(call: Call) -> Response:
    require_parameters(call.command, 0, 0)
    data = _describe(call.state, call.channel.directory)
    call.offer(len(data))
    return done(data)


def _describe(state: State, file: AnyFile) -> bytes:
    """Response to SELECT (3GPP TS 51.011 clause 9.2.1)."""
    identifier = file.file_id.to_bytes(2)
    if isinstance(file, Directory):
        kind = b"\x02" if file.parent else b"\x01"
        directories = sum(1 for _ in file.directories())
        counts = bytes([directories, len(file.children) - directories, 2, 0])
        pin = state.pin(PIN1)
        tries = bytes([0x80 | pin.secret.tries, 0x80 | (pin.unblock.tries if pin.unblock else 0)])
        asked = b"\x13" if pin.enabled else b"\x93"
        return bytes(4) + identifier + kind + bytes(5) + b"\x09" + asked + counts + tries + bytes(2)
    return _describe_ef(file, identifier)


def _describe_ef(file: Transparent | Records, identifier: bytes) -> bytes:
    if isinstance(file, Transparent):
        size, structure, record = len(file.content), 0, 0
    else:
        size = file.record_octets * len(file.records)
        structure, record = 3 if file.cyclic else 1, file.record_octets
    status = b"\x00" if file.deactivated else b"\x01"
    access = b"\x11\xff\x44"
    tail = status + b"\x02" + bytes([structure, record])
    return bytes(2) + size.to_bytes(2) + identifier + b"\x04\x00" + access + tail


_COMMANDS: dict[int, Handler] = {
    0x20: pin_commands.verify,
    0x24: pin_commands.change_pin,
    0x26: pin_commands.disable_pin,
    0x28: pin_commands.enable_pin,
    0x2C: pin_commands.unblock_pin,
    0x32: file_commands.increase,
    0xA4: _select,
    0xB0: file_commands.read_binary,
    0xB2: file_commands.read_record,
    0xD6: file_commands.update_binary,
    0xDC: file_commands.update_record,
    0xF2: _status,
}

_OUTGOING = frozenset({0xB0, 0xB2, 0xF2})


def direction(cla: int, ins: int) -> Direction:
    """
    Return whether P3 is Lc or Le.

    Raises:
        StatusWordError: If the class or the instruction is another one.
    """
    if cla != CLASS:
        raise StatusWordError(SW.WRONG_CLASS)
    if ins not in _COMMANDS:
        raise StatusWordError(SW.WRONG_INS)
    return Direction.OUT if ins in _OUTGOING else Direction.IN


def run(call: Call) -> Response:
    """
    Run one command of class A0.

    Raises:
        StatusWordError: If it fails, with a status word of 3GPP TS 51.011 clause 9.4.
    """
    direction(call.command.cla, call.command.ins)
    try:
        response = _COMMANDS[call.command.ins](call)
    except StatusWordError as refusal:
        raise StatusWordError(_gsm_sw(refusal.sw)) from refusal
    return Response(response.data, _gsm_sw(response.sw))


class GsmSim:
    """A GSM SIM, without channels and applications; for T=0 only."""

    def __init__(self, boot: Callable[[], Profile]) -> None:
        self._boot = boot
        self._state = State(boot(), 0)

    def reset(self) -> None:
        """Forget selection and verified CHVs."""
        self._state = State(self._boot(), 0)

    def fetch_sw1(self, _cla: int) -> int:
        """Return the SW1 by which response data are announced."""
        return FETCH_SW1

    def direction(self, cla: int, ins: int) -> Direction:
        """Return whether P3 is Lc or Le."""
        return direction(cla, ins)

    def process(self, command: Command, *, exact: bool) -> Response:
        """Run one command."""
        basic = self._state.channels[BASIC_CHANNEL]
        return run(Call(command, exact, self._state, basic))


def _gsm_sw(sw: int) -> int:
    if sw in _SW_OF_GSM:
        return _SW_OF_GSM[sw]
    if sw & 0xFFF0 == 0x63C0:
        return 0x9804
    return 0x6700 | sw & 0xFF if sw >> 8 == 0x6C else sw
