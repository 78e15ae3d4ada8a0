# SPDX-License-Identifier: Apache-2.0
"""`wsrc` asks a reader of a real pcscd, and shares a card in it, as processes over TLS."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.card_client import start_card_client
from tests.support.pcsc.inserted import inserted
from tests.support.processes import LIMIT_S, Programs, argv, running
from tests.support.world import UICC
from wsrc.readers.simulation import Card, default_cards

pytestmark = pytest.mark.pcscd

VERIFY, ASK_PIN = "002000010831323334ffffffff", "00200001"


@pytest.fixture
def card(bench: Bench, slot: Slot) -> Iterator[Card]:
    with inserted(bench, slot, default_cards()[0]) as card:
        yield card


@pytest.fixture
def programs(
    certificates: Certificates, bench: Bench, slot: Slot, card: Card
) -> Iterator[Programs]:
    with running(certificates) as programs:
        programs.server()
        start_card_client(programs, bench, slot)
        yield programs


def test_status_attributes_and_control_of_a_card(
    programs: Programs, slot: Slot, card: Card
) -> None:
    status = json.loads(programs.wsrc("status", "--iccid", UICC, "--json").stdout)
    assert (status["reader_name"], status["atr"]) == (slot.reader, card.atr.hex())
    assert {"present", "powered"} <= set(status["states"])
    shown = programs.wsrc("attribute", "--iccid", UICC, "atr_string", "device_friendly_name")
    atr, name = (line.split(maxsplit=2) for line in shown.stdout.splitlines())
    assert atr == ["atr_string", card.atr.hex()]
    assert name[2] == slot.reader
    everything = json.loads(programs.wsrc("attribute", "--iccid", UICC, "--json").stdout)
    assert everything["attributes"]["atr_string"] == card.atr.hex()
    for refused, code in (
        (("control", "1"), "guarded"),
        (("attribute", "maxinput", "--set", "00"), "not_supported"),
    ):
        failed = programs.wsrc(*refused, "--iccid", UICC, "--json")
        assert failed.returncode == 3, failed.stderr
        assert json.loads(failed.stdout)["error"]["code"] == code


def test_a_reader_is_asked_directly(programs: Programs, slot: Slot) -> None:
    direct = ("--reader", slot.reader, "--share", "direct")
    status = programs.wsrc("status", *direct)
    assert (status.returncode, "present" in status.stdout) == (0, True), status.stderr
    named = programs.wsrc("attribute", *direct, "SCARD_ATTR_DEVICE_FRIENDLY_NAME")
    assert slot.reader in named.stdout


def test_two_processes_share_a_card(programs: Programs) -> None:
    shared = ("--iccid", UICC, "--share", "shared")
    with subprocess.Popen(
        argv("wsrc", "shell", *shared),
        env=programs.user_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as prompt:
        assert prompt.stdin is not None
        assert prompt.stdout is not None

        def said(line: str) -> str:
            assert prompt.stdin is not None
            assert prompt.stdout is not None
            prompt.stdin.write(line + "\n")
            return prompt.stdout.readline()

        try:
            assert said(VERIFY).startswith("9000")
            ours = programs.wsrc("apdu", *shared, ASK_PIN)
            assert ours.stdout.startswith("9000"), ours.stderr
            assert said(ASK_PIN).startswith("9000")
            alone = programs.wsrc("apdu", "--iccid", UICC, ASK_PIN)
            assert alone.returncode == 3
            prompt.stdin.write("quit\n")
            assert prompt.wait(LIMIT_S) == 0
        finally:
            prompt.kill()
    assert "63C3" in programs.wsrc("apdu", "--iccid", UICC, "--wait", "20", ASK_PIN).stdout
