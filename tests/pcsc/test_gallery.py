# SPDX-License-Identifier: Apache-2.0
"""The gallery of odd cards: far away they answer as on their own host."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from tests.support.certificates import Certificates
from tests.support.ifd.bench import MAX_READERS, IfdBench
from tests.support.ifd.direct import Seen, ask
from tests.support.ifd.far_away import far_away
from tests.support.ifd.gallery import GALLERY, Exhibit
from tests.support.world import LIMIT_S
from wsrc.card.pcsc_numbers import PROTOCOL_MASKS
from wsrc.errors import CardError, NoSuchCardError
from wsrc.user_client.aio import Client
from wsrc.user_client.card import Card

pytestmark = pytest.mark.pcscd

Start = Callable[..., IfdBench]


def groups() -> list[Sequence[Exhibit]]:
    """Return the gallery in parts that one pcscd has room for."""
    parts: list[list[Exhibit]] = [[]]
    for exhibit in GALLERY:
        if sum(len(each.cards()) for each in (*parts[-1], exhibit)) > MAX_READERS:
            parts.append([])
        parts[-1].append(exhibit)
    return [tuple(part) for part in parts]


async def far(
    client: Client, reader: str, commands: Sequence[str], *, look_ahead: bool
) -> Seen | None:
    """Send commands as they are; None where the card cannot be had."""
    try:
        async with client.select(reader=reader, raw_tpdu=True, look_ahead=look_ahead) as card:
            answers = [await transmit(card, command) for command in commands]
            assert card.protocol is not None
            return Seen(0, PROTOCOL_MASKS[card.protocol], card.atr, tuple(answers))
    except (CardError, NoSuchCardError):
        return None


async def transmit(card: Card, command: str) -> int | bytes:
    try:
        return (await card.transmit(bytes.fromhex(command))).encode()
    except CardError:
        return 0x8010_0016


def test_0_the_gallery_is_large_enough() -> None:
    assert len(GALLERY) >= 25
    assert len({exhibit.name for exhibit in GALLERY}) == len(GALLERY)


@pytest.mark.parametrize("part", groups(), ids=lambda part: part[0].name)
async def test_0_odd_cards_answer_far_away_as_they_do_on_their_host(
    ifd: Start, certificates: Certificates, part: Sequence[Exhibit]
) -> None:
    bench = ifd(*(exhibit.reader() for exhibit in part))
    places = [
        (exhibit, bench.name(number, slot))
        for number, exhibit in enumerate(part)
        for slot in range(len(exhibit.cards()))
    ]
    direct = {n: await asyncio.to_thread(ask, n, e.raw, e.protocols) for e, n in places}
    for exhibit, name in places:
        assert (direct[name].code == 0) is exhibit.usable, exhibit.name
    async with asyncio.timeout(2 * LIMIT_S), far_away(certificates, len(places)) as client:
        readers = {view.name: view.reader for view in (await client.list_readers()).readers}
        for exhibit, name in places:
            expected = direct[name] if exhibit.usable else None
            for look_ahead in (False, True):
                seen = await far(client, readers[name], exhibit.raw, look_ahead=look_ahead)
                assert seen == expected, exhibit.name
        for exhibit, name in places:
            if exhibit.apdus:
                async with client.select(reader=readers[name]) as card:
                    for command, response in exhibit.apdus.items():
                        answer = await transmit(card, command)
                        assert answer == bytes.fromhex(response), (exhibit.name, command)
