# SPDX-License-Identifier: Apache-2.0
"""How T=0 and T=1 carry commands to the engine (ISO/IEC 7816-3 clauses 10 to 12)."""

from typing import Protocol

from wsrc.card.apdu import MAX_COMMAND_OCTETS, Command, Response, channel_of, parse_command
from wsrc.errors import BadApduError
from wsrc.readers.simulation.engine import Direction, Engine
from wsrc.readers.simulation.status import SW, StatusWordError

_GET_RESPONSE = 0xC0
_ENVELOPE = 0xC2
_BLOCK_OCTETS = 255


class Transport(Protocol):
    """What stands between the contacts and the engine."""

    def reset(self) -> None:
        """Forget what a reset takes away, in the engine too."""
        ...

    def transmit(self, octets: bytes) -> bytes:
        """Return the card's answer, at least a status word; never raises for what is sent to it."""
        ...


class T0:
    """
    Takes TPDUs: a header, P3, and P3 octets of data or none.

    A TPDU whose data are not P3 octets is answered 6700.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held = _Held()
        self._assembled = b""

    def reset(self) -> None:
        """Forget what a reset takes away, in the engine too."""
        self._engine.reset()
        self._held.drop()
        self._assembled = b""

    def transmit(self, octets: bytes) -> bytes:
        """Run one TPDU."""
        if len(octets) < 4:
            return _answer(SW.WRONG_LENGTH)
        cla, ins, p1, p2 = octets[:4]
        command, p3 = Command(cla, ins, p1, p2, octets[5:]), octets[4] if octets[4:] else 0
        try:
            return self._dispatch(command, p3).encode()
        except StatusWordError as refusal:
            return _answer(refusal.sw)

    def _dispatch(self, command: Command, p3: int) -> Response:
        if command.ins == _GET_RESPONSE:
            return self._get_response(command, p3)
        self._held.drop()
        if command.ins == _ENVELOPE:
            return self._envelope(command, p3)
        self._assembled = b""
        if self._engine.direction(command.cla, command.ins) is Direction.OUT:
            return self._outgoing(command, p3)
        if len(command.data) != p3:
            raise StatusWordError(SW.WRONG_LENGTH)
        return self._announce(command, self._engine.process(command, exact=True))

    def _outgoing(self, command: Command, p3: int) -> Response:
        """Answer a command of case 2; P3 00 stands for 256."""
        if command.data:
            raise StatusWordError(SW.WRONG_LENGTH)
        response = self._engine.process(command._replace(ne=p3 or 256), exact=True)
        rest = response.data[256:]
        self._held.put(command.cla, rest)
        return Response(
            response.data[:256], self._waiting(command.cla, rest) if rest else response.sw
        )

    def _announce(self, command: Command, response: Response) -> Response:
        """
        Hold the data of a case 4 command for GET RESPONSE.

        A warning is given first, in place of 61XX (ETSI TS 102 221 clause 7.3.1.1.4).
        """
        announced = response.sw == SW.DONE
        self._held.put(command.cla, response.data, announced=announced)
        if response.data and announced:
            return Response(b"", self._waiting(command.cla, response.data))
        return Response(b"", response.sw)

    def _get_response(self, command: Command, p3: int) -> Response:
        """
        Hand out held data; Le must not ask for more than there is.

        After 61XX, P3 00 asks for what that announced; after a warning it is told by 6CXX how much
        there is (ETSI TS 102 221 clause 7.3.1.1.4).
        """
        available = self._held.available(command.cla)
        if command.data or (command.p1, command.p2) != (0, 0):
            raise StatusWordError(SW.WRONG_LENGTH if command.data else SW.WRONG_P1_P2)
        ne = p3 or (min(available, 256) if self._held.announced else 256)
        if ne > available:
            raise StatusWordError(0x6C00 | available)
        data, rest = self._held.take(ne)
        return Response(data, self._waiting(command.cla, rest) if rest else SW.DONE)

    def _envelope(self, command: Command, p3: int) -> Response:
        """
        Assemble an APDU with more than 255 octets of data (ISO/IEC 7816-3 clause 12.2.1).

        A block of fewer than 255 octets is the last one.
        """
        if len(command.data) != p3 or (command.p1, command.p2) != (0, 0):
            raise StatusWordError(SW.WRONG_LENGTH)
        self._assembled += command.data
        if len(self._assembled) > MAX_COMMAND_OCTETS:
            self._assembled = b""
            raise StatusWordError(SW.WRONG_LENGTH)
        if p3 == _BLOCK_OCTETS:
            return Response(b"", SW.DONE)
        inner, self._assembled = _parse(self._assembled), b""
        return self._announce(inner, self._engine.process(inner, exact=False))

    def _waiting(self, cla: int, data: bytes) -> int:
        return self._engine.fetch_sw1(cla) << 8 | min(len(data), 256) & 0xFF


class T1:
    """Takes APDUs; what Le does not cover waits for GET RESPONSE under 61XX."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held = _Held()

    def reset(self) -> None:
        """Forget what a reset takes away, in the engine too."""
        self._engine.reset()
        self._held.drop()

    def transmit(self, octets: bytes) -> bytes:
        """Run one APDU."""
        try:
            command = _parse(octets)
            if command.ins == _GET_RESPONSE:
                return self._get_response(command).encode()
            self._held.drop()
            response = self._engine.process(command, exact=False)
        except StatusWordError as refusal:
            return _answer(refusal.sw)
        return self._deliver(command, response).encode()

    def _get_response(self, command: Command) -> Response:
        available = self._held.available(command.cla)
        if not command.ne:
            raise StatusWordError(SW.WRONG_LENGTH)
        data, _ = self._held.take(available)
        return self._deliver(command, Response(data, SW.DONE))

    def _deliver(self, command: Command, response: Response) -> Response:
        data, rest = response.data[: command.ne], response.data[command.ne :]
        self._held.put(command.cla, rest)
        if rest and response.sw == SW.DONE:
            return Response(data, 0x6100 | min(len(rest), 256) & 0xFF)
        return Response(data, response.sw)


class _Held:
    """Response data that wait for GET RESPONSE on the channel that they belong to."""

    def __init__(self) -> None:
        self._channel = 0
        self._data = b""
        self.announced = False
        """Whether 61XX told of them."""

    def put(self, cla: int, data: bytes, *, announced: bool = True) -> None:
        self._channel, self._data, self.announced = channel_of(cla), data, announced

    def drop(self) -> None:
        self._data = b""

    def available(self, cla: int) -> int:
        """Return how much there is; asking on another channel loses it."""
        if channel_of(cla) != self._channel:
            self.drop()
        if not self._data:
            raise StatusWordError(SW.CONDITIONS_NOT_SATISFIED)
        return len(self._data)

    def take(self, octets: int) -> tuple[bytes, bytes]:
        """Return that many octets, and what is still held."""
        taken, self._data, self.announced = self._data[:octets], self._data[octets:], True
        return taken, self._data


def _parse(octets: bytes) -> Command:
    try:
        return parse_command(octets)
    except BadApduError as exc:
        raise StatusWordError(SW.WRONG_LENGTH) from exc


def _answer(sw: int) -> bytes:
    return int(sw).to_bytes(2)
