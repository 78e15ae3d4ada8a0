# SPDX-License-Identifier: Apache-2.0
"""What a program with libpcsclite sees while the way to its card is interrupted."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import require
from tests.support.pcsc.counting import Counting, running
from tests.support.processes import Program
from tests.support.world import UICC

pytestmark = pytest.mark.pcscd

UNAVAILABLE, RESET, DATA_LOST = 0x80100017, 0x80100068, 0x8010002F

LOOK = """
from smartcard import scard

context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)[1]
reader = scard.SCardListReaders(context, [])[1][0]
print("waits", flush=True)
result, card, _ = scard.SCardConnect(context, reader, scard.SCARD_SHARE_SHARED, 3)
print("connected", result, flush=True)
result, answer = scard.SCardTransmit(card, scard.SCARD_PCI_T0, list(bytes.fromhex("00b201e403")))
print("sees", int.from_bytes(answer[:3], "big"), flush=True)
"""
"""Looks at the counter; connecting waits for the transaction of another."""

TAKE = f"""
import os
from wsrc.user_client.blocking import Client
url, ca = os.environ["WSRC_SERVER_URL"], os.environ["WSRC_TLS_CA"]
with Client(url, ca=ca, name="other", keep_s=0) as client, client.select(iccid="{UICC}", wait_s=25):
    print("taken", flush=True)
"""


class Bench:
    """A server that can be killed, and what is connected to it."""

    def __init__(self, counting: Counting, server: Program) -> None:
        self.counting = counting
        self.host = counting.card_client()
        self._server = server

    def kill_server(self) -> None:
        self._server.end(signal.SIGKILL)

    def start_server(self) -> None:
        self._server = self.counting.programs.server()

    def restart_server(self) -> None:
        self.kill_server()
        self.start_server()

    def cut_users(self) -> None:
        self.counting.legs.cut_users()

    def cut_cards(self) -> None:
        self.counting.legs.cut_cards()


@pytest.fixture
def bench(certificates: Certificates, tmp_path: Path) -> Iterator[Bench]:
    require()
    with running(certificates, tmp_path / "socket") as (counting, server):
        yield Bench(counting, server)


INTERRUPTIONS = [Bench.restart_server, Bench.cut_users, Bench.cut_cards]


@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
def test_program_sees_a_delay_and_nothing_else(
    bench: Bench, interrupt: Callable[[Bench], None]
) -> None:
    counting = bench.counting
    counting.serve()
    program = counting.counter()
    for number in range(1, 4):
        interrupt(bench)
        bench.host.wait_for("is resumed", number)
        counting.goes_on(program)
    counted, codes = counting.end(program)
    assert codes == {0: counted}


@pytest.mark.parametrize("interrupt", INTERRUPTIONS)
def test_transaction_stays_held(bench: Bench, interrupt: Callable[[Bench], None]) -> None:
    counting = bench.counting
    counting.serve()
    program = counting.counter("transaction")
    other = counting.script(LOOK)
    other.wait_for("waits")
    interrupt(bench)
    bench.host.wait_for("is resumed")
    counting.goes_on(program)
    assert "connected" not in other.output
    counted, codes = counting.end(program)
    assert codes == {0: counted}
    assert other.wait_for(r"sees (\d+)")[1] == str(counted)


def test_server_that_is_away_for_too_long(bench: Bench) -> None:
    counting = bench.counting
    counting.serve("--keep-s", "1")
    program = counting.counter()
    bench.kill_server()
    program.wait_for(f"told {UNAVAILABLE:#x}")
    bench.start_server()
    program.wait_for("reconnected")
    counting.goes_on(program)
    counted, codes = counting.end(program)
    assert codes.keys() <= {0, DATA_LOST, UNAVAILABLE, RESET}
    assert codes[RESET] == 1
    assert codes[0] <= counted <= codes[0] + codes.get(DATA_LOST, 0) <= codes[0] + 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_card_host_that_is_started_again(bench: Bench, number: signal.Signals) -> None:
    counting = bench.counting
    counting.serve()
    program = counting.counter()
    bench.host.end(number)
    counting.card_client()
    program.wait_for("reconnected")
    counting.goes_on(program)
    assert program.end() == 0
    _, _, *codes = program.lines[-1].split()
    told = dict(code.split("=") for code in codes)
    assert told.keys() <= {"0x0", hex(DATA_LOST), hex(UNAVAILABLE), hex(RESET)}
    assert told[hex(RESET)] == "1"


def test_program_that_is_killed_while_it_waits_gives_the_card_back(bench: Bench) -> None:
    counting = bench.counting
    counting.serve("--keep-s", "300")
    program = counting.counter()
    bench.kill_server()
    program.end(signal.SIGKILL)
    bench.start_server()
    counting.script(TAKE).wait_for("taken")
