# SPDX-License-Identifier: Apache-2.0
"""Small things that everybody meets: examples, values as they are shown, many readers."""

import asyncio
import re
import shlex

from click.testing import CliRunner

from tests.support.world import World, uicc
from wsrc.aio import Step
from wsrc.card.apdu import Response
from wsrc.command_line.program import program

EXAMPLE_ICCID = "8988211000000000013"


async def test_36_the_example_of_apdu_gives_whole_answers(world: World) -> None:
    """Of a T=0 card and without a GET RESPONSE of the user."""
    await world.host([uicc(EXAMPLE_ICCID)])
    text = (await asyncio.to_thread(CliRunner().invoke, program, ["apdu", "--help"])).output
    (line,) = re.findall(rf"^ +wsrc (apdu --iccid {EXAMPLE_ICCID} .*)$", text, re.MULTILINE)
    options = ["--server-url", world.user_url, "--tls-ca", str(world.ca)]
    done = await asyncio.to_thread(CliRunner().invoke, program, [*shlex.split(line), *options])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[:2] == ["9000  done"] * 2
    assert re.fullmatch("[0-9a-f]{20} 9000  done", done.stdout.splitlines()[2])


def test_36_a_response_shows_its_status_word_in_hexadecimal() -> None:
    response = Response(b"\x01", 0x9000)
    assert repr(response) == "Response(data=bytes.fromhex('01'), sw=0x9000)"
    assert str(response) == "01 9000"
    assert eval(repr(response)) == response


async def test_36_a_step_takes_octets_at_its_place(world: World) -> None:
    await world.host([uicc(EXAMPLE_ICCID)])
    user = await world.user()
    async with user.select(iccid=EXAMPLE_ICCID) as card:
        result = await card.batch([Step(bytes.fromhex("00a4000c023f00"))])
    assert [answer.sw for answer in result.results] == [0x9000]


async def test_0_a_host_with_forty_readers_offers_all_of_them(world: World) -> None:
    iccids = [f"89882110000000{number:04}" for number in range(40)]
    await world.host([uicc(iccid) for iccid in iccids])
    user = await world.user()
    assert {card.identities.iccid for card in await world.cards()} == set(iccids)
    async with user.select(iccid=iccids[39]) as first, user.select(iccid=iccids[0]) as last:
        for card in (first, last):
            assert (await card.transmit(bytes.fromhex("00a4000c023f00"))).sw == 0x9000
