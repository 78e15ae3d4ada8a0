# SPDX-License-Identifier: Apache-2.0
"""A card client that is to stop while a reader hangs."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import Programs, running

HANGING = """
kind = "uicc"
iccid = "8988211000000430010"
name = "Hanging reader"

[faults]
delay_s = 3600.0
only = "0020"
"""


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as started:
        yield started


def test_stopping_does_not_wait_for_a_reader_that_hangs(programs: Programs, tmp_path: Path) -> None:
    """The log tells what was waited, so nothing here measures time."""
    card = tmp_path / "card.toml"
    card.write_text(HANGING, "utf-8")
    server = programs.server()
    host = programs.card_client("--no-pcsc", "--simulated", str(card), "--trace")
    server.wait_for("is bench")
    url = f"wss://localhost:{programs.user_port}/user"
    user = programs.user_script(VERIFY, url, str(programs.certificates.ca))
    host.wait_for("00 a4 00 04 02 3f 00 -> ")  # the command before the one that hangs
    assert host.end(signal.SIGTERM) == 0
    host.wait_for(r"Hanging reader.*could not be powered off: .* did not answer within 2 s")
    host.wait_for(r"Stopped: the cards in these readers may have power still, .*: Hanging reader")
    user.wait_for("The card client stops.")


VERIFY = """
import sys, time
from wsrc.blocking import Client
COMMANDS = bytes.fromhex("00a40004023f00"), bytes.fromhex("0020000108313233ffffffffff")
with Client(sys.argv[1], ca=sys.argv[2]) as client:
    while not client.list_cards(reader="Hanging*"):
        time.sleep(0.05)
    card = client.select(reader="Hanging reader 00 00", wait_s=20).__enter__()
    try:
        card.batch(COMMANDS)
    except Exception as exc:
        print(exc, flush=True)
"""
