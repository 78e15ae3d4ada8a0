# SPDX-License-Identifier: Apache-2.0
"""Real programs that share a card and are killed: nobody joins what they left."""

import signal
from collections.abc import Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import Program, Programs, running
from tests.support.world import UICC

ASK_PIN = "00200001"
KEPT_S = "6"

USER = """
import asyncio, os, sys
from wsrc.card.slot import Disposition, Share
from wsrc.user_client.aio import Client

async def main(name, iccid, keep_s, *steps):
    url, ca = os.environ["WSRC_SERVER_URL"], os.environ["WSRC_TLS_CA"]
    async with Client(url, ca=ca, name=name, keep_s=float(keep_s)) as client:
        card = await client.select(iccid=iccid, share=Share.SHARED)
        if "verify" in steps:
            async with card.transaction():
                said = await card.transmit(bytes.fromhex("002000010831323334ffffffff"))
            assert said.sw == 0x9000
        if "leave" in steps:
            await card.detach(disposition=Disposition.LEAVE)
        print("done", flush=True)
        if "stay" in steps:
            await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


def user(programs: Programs, name: str, *steps: str) -> Program:
    """Start a user who shares the card, and wait until all steps are taken."""
    program = programs.user_script(USER, name, UICC, KEPT_S, *steps)
    program.wait_for("^done$")
    return program


def card_client(programs: Programs) -> Program:
    """Start a card client with one card, and wait until it is identified."""
    host = programs.card_client("--no-pcsc", "--simulated", "default")
    host.wait_for(r"has card 898821\D*0010")
    return host


def joins_afresh(programs: Programs) -> bool:
    """Have a new user share the card; return whether the PIN has to be verified."""
    asked = programs.wsrc("apdu", "--iccid", UICC, "--share", "shared", "--wait", "19", ASK_PIN)
    assert asked.returncode == 0, asked.stderr
    return "63C3" in asked.stdout and "9000" not in asked.stdout


def test_a6_a_pin_does_not_outlive_the_last_living_holder(programs: Programs) -> None:
    server = programs.server()
    card_client(programs)
    stays = user(programs, "carol", "stay")
    assert user(programs, "alice", "verify", "leave").process.wait(20) == 0
    joined = programs.wsrc("apdu", "--iccid", UICC, "--share", "shared", ASK_PIN)
    assert "9000" in joined.stdout, "carol is there, and shares what alice verified"
    stays.end(signal.SIGKILL)
    server.wait_for("carol is kept for .*: its user is out of reach")
    assert joins_afresh(programs)
    server.wait_for(r"carol lost .*\): Its user did not come back in time")


def test_a6_a_pin_does_not_outlive_its_users_and_the_server(programs: Programs) -> None:
    server = programs.server()
    host = card_client(programs)
    users = [user(programs, "alice", "verify", "stay"), user(programs, "carol", "stay")]
    for program in (*users, server):
        program.end(signal.SIGKILL)
    host.wait_for("is kept for 6 s while there is no server", 2)
    server = programs.server()
    server.wait_for("came back with card host bench and waits for its user", 2)
    assert joins_afresh(programs)
    server.wait_for("did not come back in time", 2)
