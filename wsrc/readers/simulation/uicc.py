# SPDX-License-Identifier: Apache-2.0
"""The command interpreter of a UICC: class, logical channel, instruction, then the handler."""

import secrets
from collections.abc import Callable, Sequence

from wsrc.card.apdu import Command, Response, channel_of
from wsrc.readers.simulation import file_commands, gsm, pin_commands, selection
from wsrc.readers.simulation.engine import Direction
from wsrc.readers.simulation.filesystem import Access
from wsrc.readers.simulation.profile import GSM_ID
from wsrc.readers.simulation.state import (
    BASIC_CHANNEL,
    Call,
    Handler,
    Profile,
    SecurityDomain,
    State,
    done,
    require_parameters,
)
from wsrc.readers.simulation.status import SW, StatusWordError
from wsrc.readers.simulation.usim import lengths_and_values

_TERMINAL_CAPABILITY_TAG = 0xA9


def _authenticate(call: Call) -> Response:
    usim = call.state.profile.usim
    if call.command.p1:
        raise StatusWordError(SW.WRONG_P1_P2)
    if call.channel.adf is None:
        raise StatusWordError(SW.CONDITIONS_NOT_SATISFIED)
    if usim.needs_pin:
        call.state.require(Access.PIN1)
    fields = lengths_and_values(call.command.data)
    match call.command.p2, fields:
        case 0x81, [rand, autn] if len(rand) == len(autn) == 16:
            return done(usim.authenticate_3g(rand, autn))
        case 0x80, [rand] if len(rand) == 16:
            return done(usim.authenticate_gsm(rand))
        case ((0x80 | 0x81), _):
            raise StatusWordError(SW.WRONG_LENGTH)
        case _:
            raise StatusWordError(SW.CONTEXT_NOT_SUPPORTED)


def _get_challenge(call: Call) -> Response:
    require_parameters(call.command, 0, 0)
    if not call.command.ne:
        raise StatusWordError(SW.WRONG_LENGTH)
    return done(secrets.token_bytes(call.command.ne))


def _terminal_profile(call: Call) -> Response:
    require_parameters(call.command, 0, 0)
    if not call.command.data:
        raise StatusWordError(SW.WRONG_LENGTH)
    return done()


def _terminal_capability(call: Call) -> Response:
    """Accept it before the first application is selected (ETSI TS 102 221 clause 11.1.19)."""
    require_parameters(call.command, 0, 0)
    if call.state.application_was_selected:
        raise StatusWordError(SW.CONDITIONS_NOT_SATISFIED)
    if call.command.data[:1] != bytes([_TERMINAL_CAPABILITY_TAG]):
        raise StatusWordError(SW.WRONG_DATA)
    return done()


def _store_data(call: Call) -> Response:
    return done(_domain(call).process(call.command))


def _get_data(call: Call) -> Response:
    data = _domain(call).process(call.command)
    call.offer(len(data))
    return done(data)


def _domain(call: Call) -> SecurityDomain:
    if call.channel.domain is None:
        raise StatusWordError(SW.WRONG_INS)
    return call.channel.domain


_COMMANDS: dict[tuple[int, int], Handler] = {
    (0x00, 0x20): pin_commands.verify,
    (0x00, 0x24): pin_commands.change_pin,
    (0x00, 0x26): pin_commands.disable_pin,
    (0x00, 0x28): pin_commands.enable_pin,
    (0x00, 0x2C): pin_commands.unblock_pin,
    (0x00, 0x70): selection.manage_channel,
    (0x00, 0x84): _get_challenge,
    (0x00, 0x88): _authenticate,
    (0x00, 0xA4): selection.select,
    (0x00, 0xB0): file_commands.read_binary,
    (0x00, 0xB2): file_commands.read_record,
    (0x00, 0xCA): _get_data,
    (0x00, 0xD6): file_commands.update_binary,
    (0x00, 0xDC): file_commands.update_record,
    (0x80, 0x10): _terminal_profile,
    (0x80, 0x32): file_commands.increase,
    (0x80, 0xAA): _terminal_capability,
    (0x80, 0xCA): _get_data,
    (0x80, 0xE2): _store_data,
    (0x80, 0xF2): selection.status,
}
"""By b8 of the class and by instruction (ETSI TS 102 221 table 10.5, GlobalPlatform for CA, E2)."""

_OUTGOING = frozenset({0x70, 0x84, 0xB0, 0xB2, 0xCA, 0xF2})


class Uicc:
    """
    A UICC; `boot` returns the profile that a reset puts in force.

    `supplementary_channels` is 0 to 3. With `gsm` a profile with a DF GSM is a SIM as well, by
    class A0 (ETSI TS 102 221 table 10.1, 3GPP TS 51.011), on the basic channel.
    """

    def __init__(
        self,
        boot: Callable[[], Profile],
        supplementary_channels: int = 3,
        domains: Sequence[SecurityDomain] = (),
        *,
        gsm: bool = False,
    ) -> None:
        self._boot = boot
        self._gsm = gsm
        self._supplementary_channels = supplementary_channels
        self._domains = domains
        self._state = self._fresh()

    def reset(self) -> None:
        """Forget selection, channels and verified PINs; a profile switch takes effect."""
        self._state = self._fresh()

    def fetch_sw1(self, cla: int) -> int:
        """Return the SW1 by which T=0 announces response data."""
        return gsm.FETCH_SW1 if cla == gsm.CLASS else 0x61

    def direction(self, cla: int, ins: int) -> Direction:
        """Return whether P3 of a T=0 command is Lc or Le."""
        if self._is_gsm(cla):
            return gsm.direction(cla, ins)
        self._handler(cla, ins)
        return Direction.OUT if ins in _OUTGOING else Direction.IN

    def process(self, command: Command, *, exact: bool) -> Response:
        """Run one command."""
        if self._is_gsm(command.cla):
            basic = self._state.channels[BASIC_CHANNEL]
            return gsm.run(Call(command, exact, self._state, basic))
        handler = self._handler(command.cla, command.ins)
        channel = self._state.channels.get(channel_of(command.cla))
        if channel is None:
            raise StatusWordError(SW.NO_CHANNEL)
        return handler(Call(command, exact, self._state, channel))

    def _fresh(self) -> State:
        return State(self._boot(), self._supplementary_channels, self._domains)

    def _is_gsm(self, cla: int) -> bool:
        return self._gsm and cla == gsm.CLASS and GSM_ID in self._state.profile.files.mf.children

    def _handler(self, cla: int, ins: int) -> Handler:
        """Check the class (ETSI TS 102 221 table 10.3), then the instruction within it."""
        if cla & 0xF0 in {0x40, 0xC0}:
            raise StatusWordError(SW.NO_CHANNEL)
        if cla & 0xF0 not in {0x00, 0x80}:
            raise StatusWordError(SW.WRONG_CLASS)
        if cla & 0x0C:
            raise StatusWordError(SW.NO_SECURE_MESSAGING)
        handler = _COMMANDS.get((cla & 0x80, ins))
        if handler is not None:
            return handler
        other = _COMMANDS.get((cla & 0x80 ^ 0x80, ins))
        raise StatusWordError(SW.WRONG_INS if other is None else SW.WRONG_CLASS)
