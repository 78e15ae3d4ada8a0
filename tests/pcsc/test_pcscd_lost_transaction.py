# SPDX-License-Identifier: Apache-2.0
"""Processes that share a card through the socket, one in a transaction as its session is lost."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import SOCKET_VARIABLE, reader_states, require, wait_until
from tests.support.processes import LIMIT_S, Program, Programs, argv, running
from tests.support.world import UICC

pytestmark = pytest.mark.pcscd

OWNER = """
import signal
from smartcard import scard

SELECT_MF = [0, 0xA4, 0, 4, 2, 0x3F, 0]

def told(what, result):
    print(f"{what} {result & 0xFFFFFFFF:#x}", flush=True)

context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)[1]
reader = scard.SCardListReaders(context, [])[1][0]
card = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)[1]
told("begun", scard.SCardBeginTransaction(card))
while True:
    result = scard.SCardTransmit(card, scard.SCARD_PCI_T0, SELECT_MF)[0] & 0xFFFFFFFF
    if result == scard.SCARD_W_RESET_CARD & 0xFFFFFFFF:
        break
told("ended", scard.SCardEndTransaction(card, scard.SCARD_LEAVE_CARD))
leave = scard.SCARD_LEAVE_CARD
told("reconnected", scard.SCardReconnect(card, scard.SCARD_SHARE_SHARED, 3, leave)[0])
told("begun again", scard.SCardBeginTransaction(card))
told("transmitted", scard.SCardTransmit(card, scard.SCARD_PCI_T0, SELECT_MF)[0])
told("ended again", scard.SCardEndTransaction(card, leave))
told("over", scard.SCardEndTransaction(card, leave))
signal.pause()
"""
BESIDE = """
import time
from smartcard import scard

context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)[1]
reader = scard.SCardListReaders(context, [])[1][0]
card = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)[1]
print("connected", flush=True)
while not scard.SCardStatus(card)[0]:
    time.sleep(0.05)
print("told", flush=True)
while scard.SCardReconnect(card, scard.SCARD_SHARE_SHARED, 3, scard.SCARD_LEAVE_CARD)[0]:
    time.sleep(0.05)
print("back", flush=True)
"""
LATER = """
from smartcard import scard

context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)[1]
reader = scard.SCardListReaders(context, [])[1][0]
result, card, _ = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)
begun = scard.SCardBeginTransaction(card)
print("connected", result, "begun", begun, flush=True)
"""
RESET, NOT_TRANSACTED = "0x80100068", "0x80100016"


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    require()
    with running(certificates) as programs:
        yield programs


def serve(programs: Programs, path: Path) -> None:
    command = argv("wsrc", "pcsc", "serve", "--socket", str(path), "--iccid", UICC)
    programs._start(command, programs.user_environment).wait_for("Ready")
    wait_until(lambda: bool(reader_states(path)), LIMIT_S, "the reader is shown")


def start(programs: Programs, path: Path, script: str) -> Program:
    environment = programs.user_environment | {SOCKET_VARIABLE: str(path)}
    return programs._start([sys.executable, "-u", "-c", script], environment)


def card_client(programs: Programs) -> Program:
    client = programs.card_client("--no-pcsc", "--simulated", "default")
    client.wait_for("Connected to")
    return client


def test_all_programs_go_on_after_the_card_host_was_killed_in_a_transaction(
    programs: Programs, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    programs.server()
    client = card_client(programs)
    serve(programs, path)
    beside = start(programs, path, BESIDE)
    beside.wait_for("connected")
    owner = start(programs, path, OWNER)
    owner.wait_for("begun 0x0")
    client.end(signal.SIGKILL)
    card_client(programs)
    owner.wait_for(f"ended {RESET}")
    for line in ("reconnected", "begun again", "transmitted", "ended again"):
        owner.wait_for(f"{line} 0x0")
    owner.wait_for(f"over {NOT_TRANSACTED}")
    start(programs, path, LATER).wait_for("connected 0 begun 0")
    beside.wait_for("told")
    beside.wait_for("back")
    assert owner.process.poll() is None
