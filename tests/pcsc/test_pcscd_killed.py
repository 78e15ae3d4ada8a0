# SPDX-License-Identifier: Apache-2.0
"""What a program with libpcsclite sees when others are killed or take the card."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import SOCKET_VARIABLE, reader_states, require, wait_until
from tests.support.pcsc.programs.wire_client import SUCCESS, Line
from tests.support.processes import LIMIT_S, Program, Programs, argv, running
from tests.support.world import UICC

pytestmark = pytest.mark.pcscd

WATCH = """
from smartcard import scard

def asked(result):
    assert result == 0, scard.SCardGetErrorMessage(result)

result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
asked(result)
reader = scard.SCardListReaders(context, [])[1][0]
result, card, _ = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)
asked(result)
believed = scard.SCARD_STATE_UNAWARE
while True:
    result, states = scard.SCardGetStatusChange(context, 60_000, [(reader, believed)])
    asked(result)
    believed = states[0][1]
    status = scard.SCardStatus(card)[0] & 0xFFFFFFFF
    command = scard.SCardTransmit(card, scard.SCARD_PCI_T0, [0, 0xA4, 0, 4, 2, 0x3F, 0])[0]
    print(f"state {believed & 0xFFFF:#x} status {status:#x} command {command & 0xFFFFFFFF:#x}")
    if status == scard.SCARD_W_RESET_CARD & 0xFFFFFFFF:
        result, _ = scard.SCardReconnect(card, scard.SCARD_SHARE_SHARED, 3, scard.SCARD_LEAVE_CARD)
        print(f"reconnect {result & 0xFFFFFFFF:#x}", flush=True)
"""
TAKE = f"""
import os, time
from wsrc.user_client.blocking import Client
url, ca = os.environ["WSRC_SERVER_URL"], os.environ["WSRC_TLS_CA"]
with Client(url, ca=ca, name="other", keep_s=0) as client:
    with client.select(iccid="{UICC}", wait_s=20):
        print("taken", flush=True)
        time.sleep(600)
"""
FINE = "state 0x122 status 0x0 command 0x0"
OUT_OF_REACH = "state 0xa status 0x80100017 command 0x80100017"
WAS_RESET = "state 0x122 status 0x80100068 command 0x80100068"
TAKEN = "state 0xa2 status 0x80100068 command 0x80100068"
REMOVED = "0x80100069"
RESET, PRESENT = 0x80100068, 4


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    require()
    with running(certificates) as programs:
        yield programs


def card_client(programs: Programs) -> Program:
    client = programs.card_client("--no-pcsc", "--simulated", "default")
    client.wait_for("Connected to")
    return client


def watcher(programs: Programs, path: Path, *more: str) -> Program:
    """Start a socket, and a program that has its card and waits for changes of the reader."""
    serve = argv("wsrc", "pcsc", "serve", "--socket", str(path), "--iccid", UICC, *more)
    programs._start(serve, programs.user_environment).wait_for("Ready")
    wait_until(lambda: bool(reader_states(path)), LIMIT_S, "the reader is shown")
    environment = programs.user_environment | {SOCKET_VARIABLE: str(path)}
    program = programs._start([sys.executable, "-u", "-c", WATCH], environment)
    program.wait_for(FINE)
    return program


def test_server_that_is_killed_and_comes_back(programs: Programs, tmp_path: Path) -> None:
    server = programs.server()
    card_client(programs)
    program = watcher(programs, tmp_path / "socket", "--keep-s", "0")
    server.end(signal.SIGKILL)
    program.wait_for(OUT_OF_REACH)
    programs.server()
    program.wait_for(WAS_RESET)
    program.wait_for("reconnect 0x0")
    assert REMOVED not in program.output


def test_card_host_that_is_killed_and_comes_back(programs: Programs, tmp_path: Path) -> None:
    programs.server()
    client = card_client(programs)
    program = watcher(programs, tmp_path / "socket", "--keep-s", "1")
    client.end(signal.SIGKILL)
    program.wait_for(OUT_OF_REACH)
    card_client(programs)
    program.wait_for(WAS_RESET)
    program.wait_for("reconnect 0x0")
    assert REMOVED not in program.output


def test_d26_card_host_that_is_killed_and_back_soon_has_reset_the_card(
    programs: Programs, tmp_path: Path
) -> None:
    programs.server()
    client = card_client(programs)
    path = tmp_path / "socket"
    serve = argv("wsrc", "pcsc", "serve", "--socket", str(path), "--iccid", UICC)
    programs._start(serve, programs.user_environment).wait_for("Ready")
    wait_until(lambda: bool(reader_states(path)), LIMIT_S, "the reader is shown")
    for _ in range(3):
        with Line(path) as line:
            card = connected(line.establish())
            before = line.readers()[0].events
            client.end(signal.SIGKILL)
            client = card_client(programs)
            assert told_of_loss(line, card) == RESET
            assert line.transmit(card, bytes.fromhex("00a40004023f00"))[0] == RESET
            assert line.status(card) == RESET
            wait_until(lambda line=line: is_there(line), LIMIT_S, "the card is back")  # type: ignore[misc]
            # Out of reach and back is one event at most; out and in would be two.
            assert line.readers()[0].events <= before + 1


def connected(line: Line) -> int:
    """Return a handle of the first reader, as soon as its card is there."""
    name, cards = line.readers()[0].name, list[int]()

    def connects() -> bool:
        code, card, _ = line.connect(name)
        cards.append(card)
        return code == SUCCESS

    wait_until(connects, LIMIT_S, "the card is there")
    return cards[-1]


def told_of_loss(line: Line, card: int) -> int:
    """Return the first code of SCardStatus that is no success."""
    codes = [SUCCESS]

    def tells() -> bool:
        codes.append(line.status(card))
        return codes[-1] != SUCCESS

    wait_until(tells, LIMIT_S, "the loss is told")
    return codes[-1]


def is_there(line: Line) -> bool:
    return line.readers()[0].state == PRESENT


def test_another_user_who_takes_the_card(programs: Programs, tmp_path: Path) -> None:
    programs.server("--lease-idle-s", "1")
    card_client(programs)
    program = watcher(programs, tmp_path / "socket")
    other = programs.user_script(TAKE)
    other.wait_for("taken")
    program.wait_for(TAKEN)
    assert "reconnect" not in program.output
    other.end(signal.SIGKILL)
    program.wait_for("reconnect 0x0")
