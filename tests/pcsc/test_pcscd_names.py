# SPDX-License-Identifier: Apache-2.0
"""Cards whose labels are not ASCII, in programs that find them by the names of their readers."""

import sys
from collections.abc import Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import Programs, running
from tests.support.world import EUICC, UICC

PROGRAM = """
from smartcard.CardRequest import CardRequest
from smartcard.System import readers
names = [str(reader) for reader in readers() if str(reader).startswith("WSRC ")]
for name in sorted(names):
    [reader] = [reader for reader in readers() if str(reader) == name]
    service = CardRequest(timeout=20, readers=[name]).waitforcard()
    service.connection.connect()
    print(name, bytes(service.connection.getATR())[0] == 0x3B)
    service.connection.disconnect()
"""
INSTALLED = f"""
import wsrc.pyscard
with wsrc.pyscard.install(all_cards=True):
    exec({PROGRAM!r})
"""
SHOWN = ["WSRC U+5927 U+1F600 00 00 True", "WSRC grun 00 00 True"]


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        programs.server()
        labels = [f"--labels={UICC}=grün", f"--labels={EUICC}=大\N{GRINNING FACE}"]
        client = programs.card_client("--no-pcsc", "--simulated", "default", *labels)
        for line in ("Connected to", "eUICC.* has card", " UICC.* has card"):
            client.wait_for(line)
        yield programs


def test_c19_programs_of_pcsc_lite_find_cards_by_names_in_ascii(programs: Programs) -> None:
    ran = programs.wsrc("pcsc", "run", "--all", "--", sys.executable, "-c", PROGRAM)
    assert ran.stdout.splitlines() == SHOWN, ran.stderr
    by_label = programs.wsrc("pcsc", "run", "--label", "grün", "--", sys.executable, "-c", PROGRAM)
    assert by_label.stdout.splitlines() == SHOWN[1:], by_label.stderr


def test_c19_programs_of_pyscard_find_cards_by_names_in_ascii(programs: Programs) -> None:
    user = programs.user_script(INSTALLED)
    for line in SHOWN:
        user.wait_for(line.replace("+", r"\+"))
    assert user.process.wait(20) == 0
