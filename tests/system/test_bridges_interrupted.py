# SPDX-License-Identifier: Apache-2.0
"""Programs of lpac and pyscard whose connection is cut while their card works."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence

import pytest

from tests.support.certificates import Certificates
from tests.support.paths import ROOT
from tests.support.processes import LIMIT_S, argv, environment
from tests.support.proxy import Proxy, proxy_to
from tests.support.world import UICC, World, until
from wsrc.readers.simulation import Card, Faults, make_card, parse_description
from wsrc.readers.simulation.card import When

COUNTS = 5
"""How often each program adds 1 to the counter of the card."""

LPAC = """
import json, sys

def ask(func, param=None):
    print(json.dumps({"type": "apdu", "payload": {"func": func, "param": param}}), flush=True)
    return json.loads(sys.stdin.readline())["payload"]

def transmit(command):
    answer = ask("transmit", command)
    return answer.get("data", f"ecode {answer['ecode']}")

assert ask("connect")["ecode"] == 0
transmit("00a4040c10a0000000871002ffffffff8907090000")
transmit("002000010831323334ffffffff")
for _ in range(5):
    print("counted", transmit("80329c00010100"), flush=True)
print("ended", transmit("00b201e403"), flush=True)
ask("disconnect")
"""

PYSCARD = """
import sys
import wsrc.bridges.pyscard.install
from smartcard.Exceptions import SmartcardException
from smartcard.System import readers

def transmit(command):
    try:
        data, sw1, sw2 = connection.transmit(list(bytes.fromhex(command)))
        if sw1 == 0x61:
            data, sw1, sw2 = connection.transmit([0, 0xC0, 0, 0, sw2])
    except SmartcardException as exc:
        return f"{exc.hresult & 0xFFFFFFFF:#x}"
    return bytes([*data, sw1, sw2]).hex()

with wsrc.bridges.pyscard.install.install(iccid=sys.argv[1]):
    [reader] = readers()
    connection = reader.createConnection()
    connection.connect()
    transmit("00a4040c10a0000000871002ffffffff8907090000")
    transmit("002000010831323334ffffffff")
    for _ in range(5):
        print("counted", transmit("80329c000101"), flush=True)
    print("ended", transmit("00b201e403"), flush=True)
"""

COMMANDS = {
    "lpac": argv("wsrc", "lpac", "--iccid", UICC, "--", sys.executable, "-c", LPAC),
    "pyscard": [sys.executable, "-W", "error", "-c", PYSCARD, UICC],
}
LOST = {"lpac": ("ecode -1", "ecode -1"), "pyscard": ("0x8010002f", "0x80100017")}
"""What each is told of the command that was lost, and of those after it."""


def counting_card() -> Card:
    """Return a card that takes a while to answer after it has counted."""
    card = make_card(parse_description(f'kind = "uicc"\niccid = "{UICC}"\n', "card"))
    card.faults = Faults(delay_s=0.3, when=When.AFTER, only="8032")
    return card


class Laptop:
    """Where the programs run; a proxy is between them and the server."""

    def __init__(self, proxy: Proxy, certificates: Certificates) -> None:
        self._environment = environment(
            WSRC_SERVER_URL=f"wss://localhost:{proxy.port}/user",
            WSRC_TLS_CA=str(certificates.ca),
            PCSCLITE_CSOCK_NAME="/nonexistent/pcscd.comm",
            PYTHONPATH=str(ROOT),
        )

    async def run(self, command: Sequence[str], **more: str) -> "subprocess.CompletedProcess[str]":
        def run() -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                command,
                env=self._environment | more,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )

        return await asyncio.to_thread(run)


@pytest.mark.parametrize("bridge", COMMANDS)
async def test_a_cut_costs_time_and_nothing_else(
    world: World, certificates: Certificates, bridge: str
) -> None:
    card = counting_card()
    await world.host([card])
    async with proxy_to(world.app.user_port) as proxy, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(Laptop(proxy, certificates).run(COMMANDS[bridge]))
        for _ in range(3):
            await until(card.struck.is_set)
            card.struck.clear()
            proxy.cut()
        done = await running
    told = [
        line for line in done.stderr.splitlines() if not line.startswith("The key of card host")
    ]
    assert (done.returncode, told) == (0, [])
    answers = [f"counted {n:06x}019000" for n in range(1, COUNTS + 1)]
    assert done.stdout.splitlines() == [*answers, f"ended {COUNTS:06x}9000"]


@pytest.mark.parametrize("bridge", COMMANDS)
async def test_a_connection_that_is_lost_for_good_is_told(
    world: World, certificates: Certificates, bridge: str
) -> None:
    card = counting_card()
    await world.host([card])
    async with asyncio.TaskGroup() as tasks:
        async with proxy_to(world.app.user_port) as proxy:
            laptop = Laptop(proxy, certificates)
            running = tasks.create_task(laptop.run(COMMANDS[bridge], WSRC_KEEP_S="0.5"))
            await until(card.struck.is_set)
        done = await running
    first, rest = LOST[bridge]
    counts = [f"counted {first}"] + [f"counted {rest}"] * (COUNTS - 1)
    assert done.stdout.splitlines() == [*counts, f"ended {rest}"]
    assert bridge != "lpac" or "could not be restored within 0.5 s" in done.stderr
