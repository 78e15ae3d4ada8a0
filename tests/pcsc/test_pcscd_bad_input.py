# SPDX-License-Identifier: Apache-2.0
"""What programs may do wrong at the socket, and that others do not notice."""

import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pcsc import sides
from tests.support.pcsc.local_cards import LocalCards
from tests.support.pcsc.openpgp import openpgp_card
from tests.support.pcsc.programs.wire_client import SUCCESS, Line
from tests.support.pcsc.sides import OurSide
from wsrc.bridges.pcscd.server import serving
from wsrc.errors import ConfigError
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import default_cards

MF = bytes.fromhex("00a40004023f00")
TRANSMIT = struct.Struct("=iIIIIIII")


@pytest.fixture
def side() -> Iterator[OurSide]:
    with sides.local([default_cards()[0], openpgp_card()]) as side:
        yield side


def is_closed(line: Line) -> bool:
    try:
        return line.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def still_works(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        code, card, _ = line.establish().connect(side.readers[0])
        assert code == SUCCESS
        assert line.transmit(card, MF)[2] == b"\x61\x27"


@pytest.mark.parametrize(
    "octets",
    [
        struct.pack("=II", 12, 0x99),
        struct.pack("=II", 0, 0),
        struct.pack("=II", 0, 0x03),
        struct.pack("=II", 0, 0x0C),
        struct.pack("=II", 0xFFFFFFFF, 0xFFFFFFFF),
        struct.pack("=II", 11, 0x11) + bytes(11),
        struct.pack("=II", 13, 0x11) + bytes(13),
        struct.pack("=II", 0, 0x11),
        struct.pack("=II", 153, 0x04) + bytes(153),
        struct.pack("=II", 8, 0x13) + bytes(8),
        struct.pack("=II", 31, 0x09) + bytes(31),
        struct.pack("=II", 32, 0x09) + TRANSMIT.pack(1, 1, 0, 65549, 1, 0, 264, 0),
        struct.pack("=II", 32, 0x09) + TRANSMIT.pack(1, 1, 0, 0xFFFFFFFF, 1, 0, 264, 0),
        struct.pack("=II", 24, 0x0A) + struct.pack("=iIIIII", 1, 1, 65549, 264, 0, 0),
        struct.pack("=II", 280, 0x0F) + struct.pack("=iI264sII", 1, 1, b"", 265, 0),
        struct.pack("=II", 280, 0x10) + struct.pack("=iI264sII", 1, 1, b"", 265, 0),
    ],
    ids=lambda octets: octets[:8].hex(),
)
def test_what_is_no_request_closes_the_connection(side: OurSide, octets: bytes) -> None:
    with Line(side.socket_path) as line:
        line.establish()
        line.socket.sendall(octets)
        assert is_closed(line)
    still_works(side)


@pytest.mark.parametrize("command", [0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0F, 0x10])
def test_handle_of_another_connection_closes_the_connection(side: OurSide, command: int) -> None:
    sizes = {0x05: 24, 0x06: 12, 0x07: 8, 0x08: 12, 0x09: 32, 0x0A: 24, 0x0B: 8}
    with Line(side.socket_path) as line, Line(side.socket_path) as thief:
        _, card, _ = line.establish().connect(side.readers[0])
        thief.establish()
        thief.send(command, struct.pack("=i", card).ljust(sizes.get(command, 280), b"\0"))
        assert is_closed(thief)
        assert line.transmit(card, MF)[2] == b"\x61\x27"


def test_requests_come_in_any_pieces(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        _, card, _ = line.establish().connect(side.readers[0])
        one = struct.pack("=II", 32, 0x09) + TRANSMIT.pack(card, 1, 16, len(MF), 1, 16, 264, 0) + MF
        for octet in one:
            line.socket.sendall(bytes([octet]))
        assert line.read(34)[32:] == b"\x61\x27"
        line.socket.sendall(one * 50 + struct.pack("=II", 8, 0x0B))
        assert line.read(34 * 50)[-2:] == b"\x61\x27"
        line.socket.sendall(struct.pack("=iI", card, 0))
        assert line.read(8) == struct.pack("=iI", card, 0)


def test_program_that_does_not_read_is_not_read_from(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        line.establish()
        line.socket.setblocking(False)
        sent = 0
        ask = struct.pack("=II", 0, 0x12) * 1000
        try:
            for _ in range(10_000):
                sent += line.socket.send(ask)
        except BlockingIOError:
            pass
        assert sent < 2_000 * 1_000
        still_works(side)
        line.socket.setblocking(True)
        line.socket.settimeout(20)
        for _ in range(sent // 8):
            assert len(line.read(2944)) == 2944


def test_context_that_is_not_the_own_one_is_refused(side: OurSide) -> None:
    with Line(side.socket_path) as line:
        invalid_value, invalid_handle = 0x80100011, 0x80100003
        assert line.connect(side.readers[0])[0] == invalid_handle
        assert line.release() == invalid_handle
        line.establish()
        own, line.context = line.context, line.context ^ 1
        assert line.connect(side.readers[0])[0] == invalid_handle
        assert line.release() == invalid_value
        line.context = own
        assert line.ask(0x01, "=III", 2, 0, 0) == (2, 0, invalid_value)
        assert line.release() == SUCCESS


@pytest.mark.parametrize("name", ["", "x" * 128, "nobody", "\N{SNOWMAN}"])
def test_names_of_no_reader(side: OurSide, name: str) -> None:
    with Line(side.socket_path) as line:
        assert line.establish().connect(name)[0] == 0x80100009


def test_two_hundred_connections(side: OurSide) -> None:
    lines = [Line(side.socket_path) for _ in range(200)]
    try:
        cards = [line.establish().connect(side.readers[0])[1] for line in lines]
        assert len({line.context for line in lines}) == len(set(cards)) == 200
        for line, card in zip(lines, cards, strict=True):
            assert line.transmit(card, MF)[2] == b"\x61\x27"
        assert lines[0].readers()[0].sharing == 200
        for line in lines[1:]:
            line.socket.close()
        lines[0].wait_for(lambda readers: readers[0].sharing == 1)
    finally:
        for line in lines:
            line.socket.close()
    still_works(side)


def test_connections_beyond_the_limit_are_closed(
    side: OurSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.bridges.pcscd.server.MAX_PROGRAMS", 2)
    with Line(side.socket_path) as one, Line(side.socket_path) as two:
        one.establish()
        two.establish()
        with Line(side.socket_path) as three:
            assert is_closed(three)
        assert one.readers()


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
async def test_socket_has_the_mode_and_goes_with_the_service(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "socket"
    async with serving(path, LocalCards(SimulatedSource()), mode):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert not path.exists()


async def test_live_socket_is_not_replaced_and_a_stale_one_is(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(path, LocalCards(SimulatedSource())):
        inode = path.stat().st_ino
        with pytest.raises(ConfigError, match="is served by another program"):
            async with serving(path, LocalCards(SimulatedSource())):
                pass
        assert path.stat().st_ino == inode


async def test_what_is_no_socket_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="is no socket"):
        async with serving(path, LocalCards(SimulatedSource())):
            pass
    assert path.read_text() == "mine"


async def test_socket_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with serving(path, LocalCards(SimulatedSource())):
        path.unlink()
        os.mkfifo(path)
    assert path.exists()


@pytest.mark.parametrize("name", ["x" * 200, "no/such/folder"])
async def test_path_that_cannot_be_is_explained(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"at most 107|cannot be made"):
        async with serving(tmp_path / name, LocalCards(SimulatedSource())):
            pass
