# SPDX-License-Identifier: Apache-2.0
"""The guard of a card host with a real pcscd: a command line far away cannot block a PIN."""

import json
from collections.abc import Iterator

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.card_client import start_card_client
from tests.support.pcsc.inserted import inserted
from tests.support.processes import Programs, running
from tests.support.world import UICC
from wsrc.readers.simulation import make_card, parse_description

pytestmark = pytest.mark.pcscd

WRONG, ASK = "0020000108 3030303030303030", "00200001"
WRAPPED = "00c200000d 0020000108 3030303030303030"


@pytest.fixture(params=["T0", "T1"])
def programs(
    request: pytest.FixtureRequest, certificates: Certificates, bench: Bench, slot: Slot
) -> Iterator[Programs]:
    card = make_card(parse_description(f'kind = "uicc"\nprotocol = "{request.param}"', "card"))
    with inserted(bench, slot, card), running(certificates) as programs:
        programs.server()
        start_card_client(programs, bench, slot)
        yield programs


def test_the_last_try_of_a_real_reader_is_kept(programs: Programs) -> None:
    def apdu(*commands: str) -> list[str]:
        told = programs.wsrc("apdu", "--iccid", UICC, "--json", "--keep-going", *commands)
        document = json.loads(told.stdout)
        words = [result["sw"].lower() for result in document["results"]]
        return [*words, document["error"]["code"]] if "error" in document else words

    assert apdu(ASK, WRONG, WRONG, WRONG, ASK) == ["63c3", "63c2", "63c1", "guarded"]
    assert apdu(WRONG) == ["guarded"]
    assert apdu(WRAPPED) == ["guarded"]
    assert apdu(ASK) == ["63c1"]
