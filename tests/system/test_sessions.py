# SPDX-License-Identifier: Apache-2.0
"""Sessions in the whole system while connections are cut, fall silent, or are given up."""

# Longer than the aim: one scene, and what may become of a session in it.

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.counter import READ_COUNTER, SELECT_USIM, VERIFY_PIN
from tests.support.proxy import Line, Proxy, listening, proxy_to
from tests.support.world import (
    ASK_PIN,
    LIMIT_S,
    PIN,
    READ_ICCID,
    UICC,
    Host,
    World,
    hosting,
    running,
    uicc,
    until,
)
from wsrc.card.slot import Share
from wsrc.errors import CardBusyError, CardNotPresentError, ConnectionLostError, SessionLostError
from wsrc.octets import Octets
from wsrc.protocol.messages import Step
from wsrc.readers.simulation import Card as Simulated, Faults
from wsrc.user_client.aio import Card, Client

INCREASE = bytes.fromhex("80329c00010100")
SLOW = Faults(delay_s=0.4, only="8032")
SELECT_ICCID = bytes.fromhex("00a40804022fe200")
READ_ALL = bytes.fromhex("00b0000000")
EF_ICCID = "988812010000400310f0"
SELECT_MF = bytes.fromhex("00a40000023f00")
FAST_S, SLOW_S = 0.2, 1.0
"""Times between pings: who has the shorter one notices first."""


class StaleLine(Line):
    """A connection that can fall silent by itself."""

    stale = False

    @property
    def silent(self) -> bool:
        return self.stale or super().silent


class Stale(Proxy):
    """A proxy whose connections fall silent, while those that are made later go through."""

    def line(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> Line:
        return StaleLine(self, near, far)

    def hush(self) -> None:
        for line in self._lines:
            assert isinstance(line, StaleLine)
            line.stale = True


class Scene:
    """A user with a card whose counter can be added to, and a proxy on both legs."""

    def __init__(
        self, world: World, user: Stale, host: Stale, hosted: Host, card: Simulated
    ) -> None:
        self.world = world
        self.user = user
        self.host = host
        self.hosted = hosted
        self.simulated = card

    def client(self, name: str = "first", **settings: Any) -> Client:
        """Make a client behind the proxy."""
        url = f"wss://localhost:{self.user.port}/user"
        given = {"keep_s": LIMIT_S, "connect_s": 2.0} | settings
        return Client(url, ca=self.world.ca, name=name, **given)

    @asynccontextmanager
    async def holding(self, **settings: Any) -> AsyncGenerator[Card]:
        async with self.client(**settings) as client, client.select(iccid=UICC) as card:
            for command in (SELECT_USIM, VERIFY_PIN):
                assert (await card.transmit(command)).sw == 0x9000
            yield card

    async def running(self) -> None:
        """Wait until the card runs a command that takes a while."""
        await until(self.simulated.struck.is_set)

    async def next_finds_it_fresh(self) -> None:
        """Check that another user has the card soon, and that its PIN is not verified."""
        async with (
            asyncio.timeout(LIMIT_S),
            self.world.client("other") as other,
            other.select(iccid=UICC, wait_s=LIMIT_S) as card,
        ):
            assert (await card.transmit(ASK_PIN)).sw == 0x63C3


@asynccontextmanager
async def staged(
    certificates: Certificates, *, host_ping_s: float = 5.0, **settings: Any
) -> AsyncGenerator[Scene]:
    card = uicc(UICC)
    async with (
        running(certificates, **settings) as world,
        listening(Stale(world.app.user_port)) as user,
        listening(Stale(world.app.card_port)) as host,
    ):
        url = f"wss://localhost:{host.port}/card"
        given = {"ping_s": host_ping_s, "read_ahead_s": 30.0}
        async with hosting(url, certificates, [card], "bench", **given) as hosted:
            await hosted.ready(world)
            yield Scene(world, user, host, hosted, card)


@pytest.fixture
async def scene(certificates: Certificates) -> AsyncGenerator[Scene]:
    async with staged(certificates) as scene:
        yield scene


def begin(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coroutine)


async def ended(task: asyncio.Task[Any]) -> Any:
    async with asyncio.timeout(LIMIT_S):
        return await task


async def counter(card: Card) -> int:
    return int.from_bytes((await card.transmit(READ_COUNTER)).data)


@pytest.mark.parametrize(("server_s", "user_s"), [(FAST_S, SLOW_S), (SLOW_S, FAST_S)])
@pytest.mark.parametrize("begun", [True, False])
async def test_a_user_whose_connection_falls_silent_comes_back_and_is_answered(
    certificates: Certificates, server_s: float, user_s: float, *, begun: bool
) -> None:
    async with (
        staged(certificates, ping_s=server_s) as scene,
        scene.holding(ping_s=user_s) as card,
    ):
        before = await counter(card)
        if begun:
            scene.simulated.faults = SLOW
            sent = begin(card.transmit(INCREASE))
            await scene.running()
            scene.user.hush()
        else:
            scene.user.hush()
            sent = begin(card.transmit(INCREASE))
        if server_s < user_s:
            await until(lambda: scene.world.counts["peers"] == 1)
        assert (await ended(sent)).sw == 0x9000
        assert await counter(card) == before + 1


@pytest.mark.parametrize(("server_s", "host_s"), [(FAST_S, SLOW_S), (SLOW_S, FAST_S)])
@pytest.mark.parametrize("begun", [True, False])
async def test_a_card_client_whose_connection_falls_silent_comes_back_with_the_answer(
    certificates: Certificates, server_s: float, host_s: float, *, begun: bool
) -> None:
    async with (
        staged(certificates, ping_s=server_s, host_ping_s=host_s) as scene,
        scene.holding() as card,
    ):
        before = await counter(card)
        if begun:
            scene.simulated.faults = SLOW
            sent = begin(card.transmit(INCREASE))
            await scene.running()
            scene.host.hush()
        else:
            scene.host.hush()
            sent = begin(card.transmit(INCREASE))
        assert (await ended(sent)).sw == 0x9000
        assert await counter(card) == before + 1


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_a_batch_that_is_cut_gives_all_its_results(scene: Scene, leg: str) -> None:
    async with scene.holding() as card:
        before = await counter(card)
        scene.simulated.faults = Faults(delay_s=0.1, only="8032")
        step = Step(command=Octets(INCREASE), expect=("9000",))
        sent = begin(card.batch([step] * 6))
        await scene.running()
        getattr(scene, leg).cut()
        result = await ended(sent)
        assert [int.from_bytes(each.data[:3]) for each in result.results] == [
            before + each for each in range(1, 7)
        ]
        assert (result.stopped, result.error) == (None, None)


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_a_command_may_take_longer_than_a_session_is_kept(scene: Scene, leg: str) -> None:
    async with scene.holding(keep_s=0.5) as card:
        before = await counter(card)
        scene.simulated.faults = Faults(delay_s=1.5, only="8032")
        sent = begin(card.transmit(INCREASE))
        await scene.running()
        getattr(scene, leg).cut()
        assert int.from_bytes((await ended(sent)).data[:3]) == before + 1
        assert await counter(card) == before + 1


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_a_batch_that_is_cancelled_after_it_was_cut_is_not_gone_on_with(
    scene: Scene, leg: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with scene.holding() as card:
        before = await counter(card)
        scene.simulated.faults = Faults(delay_s=0.5, only="8032")
        sent = begin(card.batch([INCREASE] * 256))
        await scene.running()
        getattr(scene, leg).cut()
        await until(lambda: "of first is resumed" in caplog.text)
        sent.cancel()
        async with asyncio.timeout(LIMIT_S):
            assert await counter(card) - before in {1, 2, 3, 4}


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_many_who_ask_at_a_time_are_each_answered_once(scene: Scene, leg: str) -> None:
    async with scene.holding() as card:
        before = await counter(card)
        sent = [begin(card.transmit(INCREASE)) for _ in range(100)]
        for at in (10, 40, 70):
            await ended(sent[at])
            getattr(scene, leg).cut()
        counts = [int.from_bytes((await ended(each)).data[:3]) for each in sent]
        assert counts == list(range(before + 1, before + 101))


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_a_response_that_was_fetched_ahead_is_there_after_resume(
    scene: Scene, leg: str
) -> None:
    async with (
        scene.client() as client,
        client.select(iccid=UICC, raw_tpdu=True, look_ahead=True) as card,
    ):
        scene.simulated.faults = Faults(delay_s=0.2, only="00a4")
        sent = begin(card.transmit(SELECT_MF))
        await scene.running()
        getattr(scene, leg).cut()
        announced = await ended(sent)
        assert announced.sw >> 8 == 0x61
        fetch = bytes((0, 0xC0, 0, 0, announced.sw & 0xFF))
        response = await card.transmit(fetch)
        assert (len(response.data), response.sw) == (announced.sw & 0xFF, 0x9000)
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_what_was_read_ahead_is_there_after_resume(scene: Scene, leg: str) -> None:
    async with scene.client() as client, client.select(iccid=UICC, read_ahead=True) as card:
        scene.simulated.faults = Faults(delay_s=0.2, only="00b0")
        sent = begin(card.transmit(SELECT_ICCID))
        await scene.running()
        getattr(scene, leg).cut()
        assert (await ended(sent)).sw == 0x9000
        scene.simulated.faults = Faults()
        assert (await card.transmit(READ_ALL)).data.hex() == EF_ICCID
        assert scene.simulated._counted == 0
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_what_was_read_ahead_is_read_again_after_a_cut(scene: Scene, leg: str) -> None:
    async with scene.client() as client, client.select(iccid=UICC, read_ahead=True) as card:
        counts = list[int]()
        for _ in range(10):
            assert (await card.transmit(SELECT_ICCID)).sw == 0x9000
            getattr(scene, leg).cut()
            assert (await card.transmit(READ_ICCID[-1])).data.hex() == EF_ICCID
            assert (await card.transmit(SELECT_USIM)).sw == 0x9000
            assert (await card.transmit(VERIFY_PIN)).sw == 0x9000
            counts.append(int.from_bytes((await card.transmit(INCREASE)).data[:3]))
        assert counts == list(range(counts[0], counts[0] + 10))


@pytest.mark.parametrize("leg", ["user", "host"])
async def test_a_command_that_is_cancelled_meanwhile_runs_at_most_once(
    scene: Scene, leg: str
) -> None:
    async with scene.holding() as card:
        before = await counter(card)
        getattr(scene, leg).cut()
        sent = begin(card.transmit(INCREASE))
        await asyncio.wait([sent], timeout=0)
        sent.cancel()
        await asyncio.wait([sent], timeout=LIMIT_S)
        assert sent.cancelled()
        ran = await counter(card) - before
        assert ran in {0, 1}
        assert await counter(card) == before + ran


@pytest.mark.parametrize(
    ("leg", "how"), [("user", "detach"), ("host", "detach"), ("host", "goodbye")]
)
async def test_a_card_is_given_back_though_a_leg_is_cut(scene: Scene, leg: str, how: str) -> None:
    async with scene.client() as client:
        card = await client.select(iccid=UICC)
        assert (await card.transmit(PIN)).sw == 0x9000
        getattr(scene, leg).cut()
        if how == "detach":
            async with asyncio.timeout(LIMIT_S):
                await card.detach()
    await scene.next_finds_it_fresh()


async def test_nobody_else_gets_a_card_whose_user_is_out_of_reach(
    certificates: Certificates,
) -> None:
    async with (
        staged(certificates, ping_s=FAST_S) as scene,
        scene.world.client() as other,
        scene.holding(ping_s=FAST_S, keep_s=1.0, name="away") as card,
    ):
        scene.user.silent = True
        await until(lambda: scene.world.counts["peers"] == 2)
        with pytest.raises(CardBusyError, match="is held by away"):
            await other.select(iccid=UICC)
        async with other.select(iccid=UICC, wait_s=LIMIT_S) as again:
            assert (await again.transmit(ASK_PIN)).sw == 0x63C3
        with pytest.raises((SessionLostError, ConnectionLostError)):
            await ended(begin(card.transmit(ASK_PIN)))


async def test_the_owner_of_a_transaction_comes_back_before_those_who_wait(scene: Scene) -> None:
    async with (
        scene.client("owner") as client,
        scene.world.client("sharer") as other,
        client.select(iccid=UICC, share=Share.SHARED) as mine,
        other.select(iccid=UICC, share=Share.SHARED) as theirs,
    ):
        async with mine.transaction():
            scene.simulated.faults = Faults(delay_s=0.2, only="0020")
            sent = begin(mine.transmit(PIN))
            await scene.running()
            waiting = begin(theirs.transmit(ASK_PIN))
            scene.user.cut()
            assert (await ended(sent)).sw == 0x9000
            assert (await mine.transmit(ASK_PIN)).sw == 0x9000
            assert not waiting.done()
        assert (await ended(waiting)).sw == 0x9000


async def test_who_waits_for_a_transaction_may_be_cut_as_well(scene: Scene) -> None:
    async with (
        scene.world.client("owner") as client,
        scene.client("sharer") as other,
        client.select(iccid=UICC, share=Share.SHARED) as mine,
        other.select(iccid=UICC, share=Share.SHARED) as theirs,
    ):
        async with mine.transaction():
            waiting = begin(theirs.transmit(PIN))
            await until(lambda: scene.world.in_flight == 1)
            scene.user.cut()
            scene.host.cut()
            assert (await mine.transmit(ASK_PIN)).sw == 0x63C3
            assert not waiting.done()
        assert (await ended(waiting)).sw == 0x9000


async def test_a_card_taken_out_while_nobody_is_connected_is_told_with_the_truth(
    scene: Scene,
) -> None:
    async with scene.holding() as card:
        scene.user.cut()
        scene.host.cut()
        source = scene.hosted.source
        source.remove(source.names[0])
        with pytest.raises((SessionLostError, CardNotPresentError), match=r"taken out|removed"):
            await ended(begin(card.transmit(INCREASE)))


async def test_a_server_that_keeps_no_session_ends_it_with_the_connection(
    certificates: Certificates,
) -> None:
    async with (
        running(certificates, keep_s=0) as world,
        proxy_to(world.app.user_port) as proxy,
    ):
        await world.host([uicc(UICC)])
        url = f"wss://localhost:{proxy.port}/user"
        async with Client(url, ca=certificates.ca, keep_s=LIMIT_S) as client:
            card = await client.select(iccid=UICC)
            await card.transmit(PIN)
            proxy.cut()
            async with asyncio.timeout(LIMIT_S):
                again = await client.select(iccid=UICC, wait_s=LIMIT_S)
            assert (await again.transmit(ASK_PIN)).sw == 0x63C3
            with pytest.raises(SessionLostError, match="no longer ours"):
                await card.transmit(ASK_PIN)
