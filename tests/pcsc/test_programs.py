# SPDX-License-Identifier: Apache-2.0
"""The three programs over TLS, with a card in a real pcscd."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.card_client import start_card_client
from tests.support.pcsc.inserted import inserted
from tests.support.processes import Program, Programs, running
from tests.support.world import UICC
from wsrc.readers.simulation import Card, default_cards

pytestmark = pytest.mark.pcscd

READ_ICCID_SCRIPT = """
# EF.ICCID
00A4000C023F00 -> 9000
00A4000C022FE2 -> 9000
00B000000A -> 9000
"""
VERIFY, ASK_PIN = "002000010831323334ffffffff", "00200001"

HOLD_WITH_PIN = f"""
import os, sys, time
from wsrc.user_client.blocking import Client
url, ca = os.environ["WSRC_SERVER_URL"], os.environ["WSRC_TLS_CA"]
with Client(url, ca=ca, name="first", keep_s=1) as client:
    card = client.select(iccid="{UICC}")
    print("VERIFY", card.transmit(bytes.fromhex("{VERIFY}")), flush=True)
    sys.stdin.read()
    time.sleep(600)
"""


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


@pytest.fixture
def card(bench: Bench, slot: Slot) -> Iterator[Card]:
    with inserted(bench, slot, default_cards()[0]) as card:
        yield card


def hold_with_pin(programs: Programs) -> Program:
    user = programs.user_script(HOLD_WITH_PIN)
    user.wait_for("VERIFY 9000")
    return user


def assert_pin_is_not_verified(programs: Programs) -> None:
    asked = programs.wsrc("--json", "apdu", ASK_PIN, "--iccid", UICC, "--wait", "20")
    assert asked.returncode == 0, asked.stderr
    assert "63c3" in asked.stdout.lower()


def test_a_pin_is_not_verified_for_the_next_user_after_the_user_is_killed(
    programs: Programs, bench: Bench, slot: Slot, card: Card
) -> None:
    programs.server()
    start_card_client(programs, bench, slot)
    hold_with_pin(programs).end(signal.SIGKILL)
    assert_pin_is_not_verified(programs)


def test_a_pin_is_not_verified_for_the_next_user_after_server_and_user_are_killed(
    programs: Programs, bench: Bench, slot: Slot, card: Card
) -> None:
    server = programs.server()
    client = start_card_client(programs, bench, slot)
    user = hold_with_pin(programs)
    server.end(signal.SIGKILL)
    user.end(signal.SIGKILL)
    programs.server()
    client.wait_for("Connected to", count=2)
    assert_pin_is_not_verified(programs)


def test_a_pin_is_not_verified_for_the_next_user_after_the_card_client_is_killed(
    programs: Programs, bench: Bench, slot: Slot, card: Card
) -> None:
    programs.server()
    client = start_card_client(programs, bench, slot)
    user = hold_with_pin(programs)
    client.end(signal.SIGKILL)
    start_card_client(programs, bench, slot)
    assert_pin_is_not_verified(programs)
    user.end(signal.SIGKILL)


def test_the_user_command_works_with_a_card_in_a_real_pcscd(
    programs: Programs, bench: Bench, slot: Slot, card: Card, tmp_path: Path
) -> None:
    programs.server()
    start_card_client(programs, bench, slot)
    listed = programs.wsrc("--json", "list")
    assert [c["iccid"] for c in json.loads(listed.stdout)["cards"]] == [UICC]
    info = programs.wsrc("info", "--iccid", UICC)
    assert (info.returncode, info.stderr) == (0, "")
    assert card.atr.hex() in info.stdout.lower().replace(" ", "")
    select = ("apdu", "--reader", slot.reader, "00A4000C023F00", "00A4000C022FE2", "00B000000A")
    assert "988812010000400310f0" in programs.wsrc(*select).stdout.lower().replace(" ", "")
    assert card.atr.hex() in programs.wsrc("reset", "--warm", "--card", UICC).stdout.lower()
    script = tmp_path / "read.script"
    script.write_text(READ_ICCID_SCRIPT)
    ran = programs.wsrc("script", str(script), "--atr", card.atr.hex())
    assert (ran.returncode, "3 lines done" in ran.stderr) == (0, True)
    shell = programs.wsrc("shell", "--iccid", UICC, stdin="00200001\nreset\natr\nquit\n")
    assert shell.returncode == 0
    assert "3 tries left" in shell.stdout


def test_sigterm_ends_each_program_at_once_and_cleanly(
    programs: Programs, bench: Bench, slot: Slot, card: Card
) -> None:
    server = programs.server()
    client = start_card_client(programs, bench, slot)
    user = hold_with_pin(programs)
    assert client.end() == 0
    assert "powered off" in client.output
    assert server.end() == 0, server.output
    assert "Traceback" not in server.output + client.output
    user.end(signal.SIGKILL)


def test_pcscd_restarted_under_a_session_ends_it_with_a_reason_and_the_card_comes_back(
    programs: Programs, bench: Bench, slot: Slot, card: Card
) -> None:
    programs.server()
    client = start_card_client(programs, bench, slot)
    user = hold_with_pin(programs)
    bench.restart(signal.SIGKILL)
    client.wait_for(f"{slot.reader} has card", count=2)
    assert_pin_is_not_verified(programs)
    assert "Traceback" not in client.output
    user.end(signal.SIGKILL)


def test_a_user_that_ends_is_done_with_the_card_at_once(
    programs: Programs, bench: Bench, slot: Slot, card: Card
) -> None:
    programs.server()
    start_card_client(programs, bench, slot)
    for _ in range(3):
        assert programs.wsrc("apdu", ASK_PIN, "--iccid", UICC).returncode == 0
