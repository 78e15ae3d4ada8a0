# SPDX-License-Identifier: Apache-2.0
"""The job of a tool that sends one command at a time: how many of them cross the network."""

import pytest

from tests.bench import jobs
from tests.support.certificates import Certificates
from tests.support.world import UICC, running
from wsrc.card.apdu import Response
from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.readers.simulation import make_card, parse_description
from wsrc.user_client.aio import Card


async def once(card: Card, command: bytes, *, raw: bool) -> Response:
    """Send a command as an APDU, or as the TPDUs of T=0 that a tool makes of it."""
    if not raw:
        return await card.transmit(command)
    case_4 = len(command) > 5
    answer = await card.transmit(command[: 5 + command[4]] if case_4 else command)
    if answer.sw >> 8 == 0x6C:
        answer = await card.transmit(command[:4] + bytes((answer.sw & 0xFF,)))
    if answer.sw >> 8 == 0x61:
        answer = await card.transmit(bytes((0, 0xC0, 0, 0, answer.sw & 0xFF)))
    return answer


@pytest.mark.parametrize("raw", [False, True], ids=["apdus", "tpdus"])
async def test_j2_with_read_ahead_takes_less_than_half_of_the_round_trips(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch, raw: bool
) -> None:
    sent: list[m.Message] = []
    forward = Link.send

    def count(link: Link, message: m.Message) -> None:
        if isinstance(message, m.CApdu):
            sent.append(message)
        forward(link, message)

    monkeypatch.setattr(Link, "send", count)
    seen, counts = list[list[Response]](), list[int]()
    simulated = make_card(parse_description(f'kind = "uicc"\niccid = "{UICC}"\n{jobs.FILES}', "j2"))
    async with running(certificates) as world:
        await world.host([simulated], read_ahead_s=30.0)
        user = await world.user(read_ahead=True, seal="off")
        for read_ahead in (False, None):
            sent.clear()
            given = {"raw_tpdu": raw, "look_ahead": raw, "read_ahead": read_ahead}
            async with user.select(iccid=UICC, **given) as card:
                commands = map(bytes.fromhex, jobs.commands())
                seen.append([await once(card, each, raw=raw) for each in commands])
            counts.append(len(sent))
    assert counts[0] >= jobs.COUNT
    assert 2 * counts[1] < counts[0]
    assert seen[0] == seen[1]
