# SPDX-License-Identifier: Apache-2.0
"""Readers that report one serial number, or none for now, behind a real pcscd."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import pytest

from certs.make_certs import Certificates
from tests.support.ifd.bench import IfdBench
from tests.support.ifd.calls import Answer, IfdCall, Op
from tests.support.ifd.reader import CHANNEL, SERIAL, OddCard, OddReader
from tests.support.pcsc.bench import Slot
from tests.support.pcsc.other_program import holding
from tests.support.world import LIMIT_S, World, running, until
from wsrc.card_client.agent import Agent
from wsrc.errors import NoSuchCardError
from wsrc.readers.pcsc import PcscSource
from wsrc.settings.load import CardClientSettings

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


@asynccontextmanager
async def host(
    world: World, certificates: Certificates, labels: Mapping[str, str]
) -> AsyncIterator[None]:
    """Serve the readers of the bench."""
    settings = CardClientSettings(
        server_url=world.card_url,
        tls_ca=certificates.ca,
        name="bench",
        command_s=10.0,
        reconnect_min_s=0.02,
        reconnect_max_s=0.2,
        labels=dict(labels),
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Agent(settings, [PcscSource()]).run(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(LIMIT_S):
                await asyncio.wait([task])


async def ready(world: World, *ids: str) -> bool:
    cards = await world.cards()
    return sorted(str(card.reader) for card in cards if card.state == "ready") == sorted(ids)


def twins(*channels: int) -> list[LateReader]:
    made = [LateReader("Model", OddCard(atr), serial=b"TWIN") for atr in ATRS]
    for reader, address in zip(made, channels, strict=False):
        reader.attributes[CHANNEL] = (0x0020_0100 + address).to_bytes(4, "little")
    return made


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ((250, 251), ("TWIN/usb 1:250", "TWIN/usb 1:251")),
        ((), ("TWIN/Model 00 00@bench", "TWIN/Model 01 00@bench")),
    ],
    ids=["positions", "no positions"],
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
