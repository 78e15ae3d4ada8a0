# SPDX-License-Identifier: Apache-2.0
"""A card is meant by the same names whichever way it is asked for."""

import asyncio
import json
import sys
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.paths import ROOT
from tests.support.processes import argv, environment
from tests.support.world import LIMIT_S, World, uicc
from wsrc.command_line.program import program
from wsrc.readers.simulation import Card, make_card, parse_description
from wsrc.user_client.naming import Filters

ICCID = "8988211000000430010"
ODD_ICCID = "898600b512345678901"
ODD_EID = "8904903200000000000000000000001a"
LISTED = """
import os
from tests.support.pcsc.programs.wire_client import Line
line = Line(os.environ["PCSCLITE_CSOCK_NAME"]).establish()
print(*[reader.name for reader in line.readers()], sep="\\n")
"""


def euicc(iccid: str, eid: str) -> Card:
    text = f'kind = "euicc"\niccid = "{iccid}"\neid = "{eid}"'
    return make_card(parse_description(text, "test"))


async def hosts(world: World) -> None:
    """Connect cards of all kinds; each has the label `mine` or `other`."""
    labels = {ICCID[:-1]: "plain", ODD_ICCID.upper(): "odd", "89:04:90:32" + ODD_EID[8:]: "euicc"}
    cards = [uicc(ICCID), uicc(ODD_ICCID), euicc("8988211000000000013", ODD_EID), uicc("8" * 18)]
    await world.host(cards, labels=labels)


def groups(text: str, size: int, between: str) -> str:
    return between.join(text[at : at + size] for at in range(0, len(text), size))


NAMES = [
    pytest.param({"iccid": ICCID}, "plain", id="ICCID"),
    pytest.param({"iccid": ICCID[:-1]}, "plain", id="ICCID without check digit"),
    pytest.param({"any": groups(ICCID[:-1], 4, " ")}, "plain", id="in groups, without check digit"),
    pytest.param({"iccid": groups(ICCID + "F", 2, ":")}, "plain", id="ICCID in pairs, with filler"),
    pytest.param({"iccid": ODD_ICCID}, "odd", id="ICCID with letters"),
    pytest.param({"any": groups(ODD_ICCID.upper(), 4, "-")}, "odd", id="letters in upper case"),
    pytest.param({"eid": ODD_EID}, "euicc", id="EID with letters"),
    pytest.param({"eid": groups(ODD_EID.upper(), 4, " ")}, "euicc", id="EID in groups"),
    pytest.param({"any": groups(ODD_EID, 2, ":")}, "euicc", id="EID in pairs"),
    pytest.param(
        {"atr": groups("3b9c96801fc78031e073fe215364575352438d", 2, " ").upper(), "label": "odd"},
        "odd",
        id="ATR in pairs",
    ),
]


@pytest.mark.parametrize(("which", "label"), NAMES)
async def test_c20_programs_list_watch_and_select_by(
    world: World, which: Filters, label: str
) -> None:
    await hosts(world)
    user = await world.user()
    assert [card.label for card in await user.list_cards(**which)] == [label]
    async with asyncio.timeout(LIMIT_S):
        assert (await anext(user.watch(**which))).card.label == label
    async with user.select(**which) as card:
        assert card.info.label == label
    wrong: Any = {kind: text[:-2] + "00" for kind, text in which.items()}
    assert await user.list_cards(**wrong) == []


@pytest.mark.parametrize(("which", "label"), NAMES)
async def test_c20_the_command_knows(world: World, which: dict[str, str], label: str) -> None:
    await hosts(world)
    options = ["--server-url", world.user_url, "--tls-ca", str(world.ca), "--json"]
    for kind, text in which.items():
        options += [f"--{'card' if kind == 'any' else kind}", text]

    async def said(*words: str) -> Any:
        result = await asyncio.to_thread(CliRunner().invoke, program, [*words, *options])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert [card["label"] for card in (await said("list"))["cards"]] == [label]
    assert (await said("info"))["card"]["label"] == label
    assert (await said("apdu", "00A4000C023F00"))["card"]["label"] == label


@pytest.mark.parametrize(("which", "label"), NAMES[1:2] + NAMES[5:6] + NAMES[7:8])
async def test_c20_the_socket_shows_the_card_that(
    world: World, which: dict[str, str], label: str
) -> None:
    await hosts(world)
    options = [f"--{'card' if kind == 'any' else kind}={text}" for kind, text in which.items()]
    process = await asyncio.create_subprocess_exec(
        *argv("wsrc", "pcsc", "run", *options, "--", sys.executable, "-c", LISTED),
        stdout=asyncio.subprocess.PIPE,
        env=environment(
            WSRC_SERVER_URL=world.user_url, WSRC_TLS_CA=str(world.ca), PYTHONPATH=str(ROOT)
        ),
    )
    async with asyncio.timeout(2 * LIMIT_S):
        out, _ = await process.communicate()
    assert out.decode().splitlines() == [f"WSRC {label} 00 00"]


async def test_c20_letters_are_shown_in_lower_case_as_all_hexadecimal_digits(world: World) -> None:
    await hosts(world)
    found = {card.label: card for card in await world.cards()}
    assert found["odd"].identities.iccid == ODD_ICCID
    assert found["euicc"].eids == (ODD_EID,)
