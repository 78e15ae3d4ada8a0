# SPDX-License-Identifier: Apache-2.0
"""Readers whose names are not ASCII, or not even UTF-8, behind a real pcscd."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.certificates import Certificates
from tests.support.ifd.bench import MAX_NAME_OCTETS, IfdBench
from tests.support.ifd.far_away import far_away
from tests.support.ifd.reader import OddCard, OddReader
from tests.support.pcsc.watching import Watching
from wsrc.readers.base import SlotState
from wsrc.readers.pcsc import PcscSource

pytestmark = pytest.mark.pcscd

Start = Callable[..., IfdBench]

LATIN_1 = b"Gem\xe4lto 4"
WIDE = "Gemalto IDBridge K3000\uff20 Lesegerät"
CUT = "Long " + "Lesegeräte-" * 20
CONTROLS = "odd\u202e\u0085name"
ATR = bytes.fromhex("3b021450")
NAMES = {
    LATIN_1: "Gem\\xe4lto 4 00 00",
    WIDE: f"{WIDE} 01 00",
    CUT: CUT.encode()[:MAX_NAME_OCTETS].decode(errors="backslashreplace") + " 02 00",
    CONTROLS: "odd\\u202e\\x85name 03 00",
    "Plain": "Plain 04 00",
}


def readers(*, cards: bool = True) -> list[OddReader]:
    return [OddReader(name, OddCard(ATR) if cards else None) for name in NAMES]


def test_the_long_name_is_cut_in_the_middle_of_a_character() -> None:
    assert NAMES[CUT].endswith("\\xc3 02 00")


async def test_c19_every_reader_is_served_whatever_its_name_is(
    ifd: Start, certificates: Certificates
) -> None:
    ifd(*readers())
    async with far_away(certificates, len(NAMES)) as client, asyncio.timeout(20):
        views = (await client.list_readers()).readers
        assert sorted(view.name for view in views) == sorted(NAMES.values())
        for name in NAMES.values():
            async with client.select(reader=f"{name}@bench") as card:
                assert card.atr == ATR
                assert (await card.transmit(bytes.fromhex("00a40000"))).sw == 0x9000
                status = await card.status()
                assert (status.reader_name, status.atr) == (name, ATR)


def test_c19_cards_come_and_go_in_readers_of_any_name(ifd: Start) -> None:
    bench = ifd(*readers(cards=False))
    with Watching(PcscSource()) as watching:
        for reader, name in zip(bench.readers, NAMES.values(), strict=True):
            watching.slot(name, lambda slot: slot.state is SlotState.EMPTY)
            reader.insert(OddCard(ATR))
            seen = watching.slot(name, lambda slot: slot.state is SlotState.PRESENT)
            assert seen.atr == ATR
            reader.remove()
            watching.slot(name, lambda slot: slot.state is SlotState.EMPTY)


def test_c19_names_are_patterns_as_they_are_shown(ifd: Start) -> None:
    ifd(*readers())
    for pattern, wanted in [("Gem*", [0, 1]), ("*ä*", [1, 2]), ("Gem\\xe4lto 4 00 00", [0])]:
        expected = sorted(list(NAMES.values())[at] for at in wanted)
        with Watching(PcscSource([pattern])) as watching:
            watching.until(lambda slots, e=expected: sorted(s.name for s in slots) == e)
