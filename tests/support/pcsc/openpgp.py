# SPDX-License-Identifier: Apache-2.0
"""
A card with the data objects of an OpenPGP application, version 2.0, and no keys: enough for gpg
and OpenSC to show what they find.
"""

from wsrc.card.apdu import Command, Response
from wsrc.readers.base import CardProtocol
from wsrc.readers.simulation import Card
from wsrc.readers.simulation.card import Faults
from wsrc.readers.simulation.engine import Direction
from wsrc.readers.simulation.status import SW, StatusWordError

ATR = bytes.fromhex("3bda18ff81b1fe751f030031c573c001400090000c")
AID = bytes.fromhex("d27600012401020000050000abcd0000")
_PIN, _ADMIN_PIN = b"123456", b"12345678"


def _tlv(tag: int, value: bytes) -> bytes:
    head = tag.to_bytes(2 if tag > 0xFF else 1)
    size = len(value)
    return head + (bytes([size]) if size < 0x80 else b"\x81" + bytes([size])) + value


_ALGORITHM = bytes.fromhex("010800002000")
_DISCRETIONARY = b"".join(
    (
        _tlv(0xC0, bytes.fromhex("f0000000080008000800")),
        _tlv(0xC1, _ALGORITHM),
        _tlv(0xC2, _ALGORITHM),
        _tlv(0xC3, _ALGORITHM),
        _tlv(0xC4, bytes.fromhex("00202020030003")),
        _tlv(0xC5, bytes(60)),
        _tlv(0xC6, bytes(60)),
        _tlv(0xCD, bytes(12)),
    )
)
_HISTORICAL = bytes.fromhex("0031c573c00140009000")
_RELATED = _tlv(0x4F, AID) + _tlv(0x5F52, _HISTORICAL) + _tlv(0x73, _DISCRETIONARY)
_HOLDER = _tlv(0x5B, b"Roe<<Jane") + _tlv(0x5F2D, b"en") + _tlv(0x5F35, b"2")
_OBJECTS = {
    0x004F: AID,
    0x005E: b"jane",
    0x0065: _HOLDER,
    0x006E: _tlv(0x6E, _RELATED),
    0x007A: _tlv(0x93, bytes(3)),
    0x00C4: bytes.fromhex("00202020030003"),
    0x0101: b"",
    0x0102: b"",
    0x5F50: b"https://cards.example/jane",
    0x5F52: _HISTORICAL,
}


class OpenPgp:
    """
    Runs the commands of the application.

    Args:
        alone: Whether no other application can take its place, as on most cards it can.
    """

    def fetch_sw1(self, _cla: int) -> int:
        return 0x61

    def __init__(self, *, alone: bool = True) -> None:
        self._selected = False
        self._alone = alone

    def reset(self) -> None:
        self._selected = False

    def direction(self, cla: int, ins: int) -> Direction:
        del cla
        return Direction.OUT if ins in {0xCA, 0x84} else Direction.IN

    def process(self, command: Command, *, exact: bool) -> Response:
        del exact
        if command.ins == 0xA4:
            return self._select(command)
        if not self._selected:
            raise StatusWordError(SW.CONDITIONS_NOT_SATISFIED)
        if command.ins == 0xCA:
            return self._get_data(command.p1 << 8 | command.p2)
        if command.ins == 0x20:
            right = _ADMIN_PIN if command.p2 == 0x83 else _PIN
            return Response(b"", 0x9000 if command.data == right else 0x6982)
        if command.ins == 0x47:
            return Response(b"", 0x6A88)
        raise StatusWordError(SW.WRONG_INS)

    def _select(self, command: Command) -> Response:
        if command.p1 == 4 and AID.startswith(command.data) and command.data:
            self._selected = True
            return Response(b"", 0x9000)
        self._selected = self._selected and (self._alone or command.p1 != 4)
        raise StatusWordError(SW.NOT_FOUND)

    def _get_data(self, tag: int) -> Response:
        if tag not in _OBJECTS:
            return Response(b"", 0x6A88)
        return Response(_OBJECTS[tag], 0x9000)


def openpgp_card() -> Card:
    """Make a T=1 card with the application."""
    return Card(OpenPgp(), ATR, CardProtocol.T1, name="OpenPGP")


def card_of_many_applications(delay_s: float) -> Card:
    """Make a card whose ATR says nothing, and which forgets the application for any other."""
    atr, faults = bytes.fromhex("3b80800101"), Faults(delay_s=delay_s)
    return Card(OpenPgp(alone=False), atr, CardProtocol.T1, name="OpenPGP", faults=faults)
