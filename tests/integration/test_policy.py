# SPDX-License-Identifier: Apache-2.0
"""A server with a policy: two users and two card hosts with certificates (issue 13, 2)."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.pki import Pki
from tests.support.world import Host, World, hosting, uicc, until
from wsrc.aio import ReaderSnapshot
from wsrc.certs.making import Kind
from wsrc.errors import (
    ErrorCode,
    NoSuchCardError,
    RefusedError,
    SessionLostError,
)
from wsrc.protocol.messages import CardState
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings
from wsrc.user_client.aio import Client

READ, REFUSED = "The policy was read anew", "A new file is not taken"

SELECT = bytes.fromhex("00A40004023F00")
MINE, THEIRS, FOREIGN = "8988211000000430010", "8988211000000430028", "8949020000012345678"

POLICY = f"""
[[grant]]
to = ["ann@example.org"]
cards = {{ iccid = "{MINE}" }}
may = ["use", "events"]

[[grant]]
to = ["bob@example.org"]
cards = "*"
may = ["use", "share", "reset", "events"]

[[host]]
who = ["farm"]
announces = {{ iccid = "8988211*" }}
"""


class Lab:
    """A server with a policy, and its clients, each with its certificate."""

    def __init__(self, world: World, pki: Pki, policy: Path, stack: AsyncExitStack) -> None:
        self.world = world
        self._pki = pki
        self._policy = policy
        self._stack = stack

    async def read(self, policy: str, says: Callable[[], str], what: str) -> None:
        """Give the server another policy; wait until its log has what became of that."""
        before = says().count(what)
        self._policy.write_text(policy, "utf-8")
        self.world.app.reload()
        await until(lambda: says().count(what) > before)

    async def user(self, who: str, **settings: Any) -> Client:
        return await self._stack.enter_async_context(self.client(who, **settings))

    def client(self, who: str, **settings: Any) -> Client:
        cert, key = self._pki.client(f"{who}@example.org")
        return Client(self.world.user_url, ca=self._pki.folder.ca, cert=cert, key=key, **settings)

    async def host(self, who: str, *iccids: str) -> Host:
        cert, key = self._pki.client(who, Kind.CARD_HOST)
        cards = [uicc(iccid) for iccid in iccids]
        of_server = self._pki.server
        options = {"tls_cert": cert, "tls_key": key}
        context = hosting(self.world.card_url, of_server, cards, "bench", **options)
        return await self._stack.enter_async_context(context)


@asynccontextmanager
async def lab(folder: Path) -> AsyncIterator[Lab]:
    pki, policy = Pki(folder / "pki"), folder / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    settings = ServerSettings(
        user_port=0,
        card_port=0,
        tls_cert=pki.server.cert,
        tls_key=pki.server.key,
        tls_client_ca=pki.folder.ca,
        policy=policy,
        drain_s=2.0,
    )
    async with serve(settings) as app, AsyncExitStack() as stack:
        yield Lab(World(app, pki.server, stack), pki, policy, stack)


async def _to_the_end(news: AsyncGenerator[object, None]) -> None:
    async for _ in news:
        pass


async def iccids(client: Client) -> set[str | None]:
    return {card.identities.iccid for card in await client.list_cards()}


async def test_13_each_principal_reaches_its_cards_and_no_other(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        await made.host("farm", MINE, THEIRS, FOREIGN)
        ann, bob = await made.user("ann"), await made.user("bob")

        async def both_are_there() -> bool:
            return await iccids(bob) == {MINE, THEIRS}

        await until(both_are_there)
        assert await iccids(ann) == {MINE}
        assert {reader.iccid for reader in (await ann.list_readers()).readers} == {MINE}
        for absent in (THEIRS, FOREIGN):
            with pytest.raises(NoSuchCardError):
                await ann.select(iccid=absent)
        card = await ann.select(iccid=MINE)
        assert (await card.transmit(SELECT)).sw >> 8 == 0x61
        forbidden = r"ann@example\.org may not 'reset'"
        with pytest.raises(RefusedError, match=forbidden) as caught:
            await card.reset()  # the card host is asked, for a server is not believed
        assert caught.value.code is ErrorCode.FORBIDDEN
        holder = (await bob.list_cards(iccid=MINE))[0].lease
        assert holder is not None
        assert holder.holder.startswith("ann@example.org")
        await card.detach()


async def test_13_a_policy_that_changes_ends_a_session_with_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with lab(tmp_path) as made:
        await made.host("farm", MINE, THEIRS)
        ann, bob = await made.user("ann"), await made.user("bob")

        async def both_are_there() -> bool:
            return await iccids(bob) == {MINE, THEIRS}

        await until(both_are_there)
        taken, kept = await ann.select(iccid=MINE), await bob.select(iccid=THEIRS)
        await made.read(
            POLICY.replace('may = ["use", "events"]', 'may = ["list"]'), lambda: caplog.text, READ
        )

        async def is_free() -> bool:
            return (await bob.list_cards(iccid=MINE))[0].state is CardState.READY

        await until(is_free)
        with pytest.raises(SessionLostError, match=r"ann@example\.org may not 'use'") as caught:
            await taken.transmit(SELECT)
        assert caught.value.code is ErrorCode.FORBIDDEN
        assert (await kept.transmit(SELECT)).sw >> 8 == 0x61
        given = await bob.select(iccid=MINE)
        assert (await given.transmit(SELECT)).sw >> 8 == 0x61
        with pytest.raises(RefusedError, match="may not 'use'"):
            await ann.select(iccid=MINE)


async def test_13_who_may_watch_nothing_is_told_so_in_each_form(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with lab(tmp_path) as made:
        await made.host("farm", MINE)
        await made.read(
            POLICY.replace('may = ["use", "events"]', 'may = ["use"]'), lambda: caplog.text, READ
        )
        ann, watched = await made.user("ann"), await made.user("bob")
        news = watched.watch_readers()
        assert isinstance(await anext(news), ReaderSnapshot)
        forms: list[Callable[[], AsyncGenerator[object, None]]] = [
            ann.watch_readers,
            ann.watch_reader_notifications,
            ann.watch,
        ]
        for watch in forms:
            with pytest.raises(RefusedError, match=r"ann@example\.org may not watch") as caught:
                await anext(watch())
            assert caught.value.code is ErrorCode.FORBIDDEN
        await made.read(POLICY.replace(', "events"', ""), lambda: caplog.text, READ)
        with pytest.raises(RefusedError, match=r"bob@example\.org may not watch any reader"):
            await _to_the_end(news)
        await watched.list_readers()


async def test_13_a_policy_that_is_none_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with lab(tmp_path) as made:
        await made.host("farm", MINE)
        ann = await made.user("ann")

        async def is_there() -> bool:
            return await iccids(ann) == {MINE}

        await until(is_there)
        await made.read("[[grant]]\nto = 1\n", lambda: caplog.text, REFUSED)
        assert await iccids(ann) == {MINE}


async def test_13_a_rogue_card_host_does_not_pose_as_the_card_of_another(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        await made.host("farm", MINE)
        await made.host("rogue", THEIRS, MINE)
        bob = await made.user("bob")

        async def is_there() -> bool:
            return await iccids(bob) == {MINE}

        await until(is_there)
        card = await bob.select(iccid=MINE)
        assert (card.info.host or "").startswith("farm")
        await card.detach()
