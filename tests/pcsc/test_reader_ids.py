# SPDX-License-Identifier: Apache-2.0
"""Readers that report one serial number, or none for now, behind a real pcscd."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import pytest

from tests.support.certificates import Certificates
from tests.support.ifd.bench import IfdBench
from tests.support.ifd.calls import Answer, IfdCall, Op
from tests.support.ifd.far_away import host, ready
from tests.support.ifd.reader import CHANNEL, SERIAL, OddCard, OddReader
from tests.support.pcsc.bench import Slot
from tests.support.pcsc.other_program import holding
from tests.support.world import World, running, until
from wsrc.errors import NoSuchCardError

pytestmark = pytest.mark.pcscd

ATRS = bytes.fromhex("3b0141"), bytes.fromhex("3b0142")

Start = Callable[..., IfdBench]


class LateReader(OddReader):
    """Does not tell its serial number before others have told theirs."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]
        self.after: threading.Event | None = None
        self.told = threading.Event()

    def answer(self, call: IfdCall) -> Answer:
        if call.op is Op.GET and call.a == SERIAL:
            if self.after is not None:
                self.after.wait(10)
            self.told.set()
        return super().answer(call)


def twins(*channels: int) -> list[LateReader]:
    made = [LateReader("Model", OddCard(atr), serial=b"TWIN") for atr in ATRS]
    for reader, address in zip(made, channels, strict=False):
        reader.attributes[CHANNEL] = (0x0020_0100 + address).to_bytes(4, "little")
    return made


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ((250, 251), ("TWIN/Model 00 00@bench", "TWIN/Model 01 00@bench")),
        ((), ("TWIN/Model 00 00@bench", "TWIN/Model 01 00@bench")),
    ],
    ids=["addresses, which are no positions", "no positions"],
)
async def test_a1_an_id_means_the_same_card_whichever_reader_answers_first(
    ifd: Start,
    certificates: Certificates,
    first: int,
    channels: tuple[int, ...],
    expected: tuple[str, str],
) -> None:
    readers = twins(*channels)
    readers[1 - first].after = readers[first].told
    ifd(*readers)
    labels = {"TWIN": "which", expected[1]: "second"}
    async with running(certificates) as world, host(world, certificates, labels):
        await until(lambda: ready(world, *expected))
        async with world.client() as client:
            for reader, atr in zip(expected, ATRS, strict=True):
                async with client.select(reader=reader) as card:
                    assert card.atr == atr
            async with client.select(label="second") as card:
                assert card.atr == ATRS[1]
            for nothing in ({"reader": "TWIN"}, {"label": "which"}):
                with pytest.raises(NoSuchCardError):
                    await client.select(**nothing)


async def test_a1_a_reader_in_use_at_the_start_gets_its_serial_number_when_it_is_free(
    ifd: Start, certificates: Certificates
) -> None:
    bench = ifd(OddReader("Model", OddCard(ATRS[0]), serial=b"S123"))
    held = contextlib.ExitStack()
    async with running(certificates) as world:
        with held:
            held.enter_context(holding(bench, Slot(bench.name(), 0)))
            async with host(world, certificates, {}):
                await until(lambda: listed(world, "Model 00 00@bench"))
                await asyncio.to_thread(held.close)
                await until(lambda: ready(world, "S123"))
                assert await listed(world, "S123")


async def listed(world: World, reader: str) -> bool:
    return [card.reader for card in await world.cards()] == [reader]
