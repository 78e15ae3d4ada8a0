# SPDX-License-Identifier: Apache-2.0
"""Cards are taken back, lent and shared, and a server is run, with all parts over TLS."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.sealed_world import sealed
from tests.support.tokens import running_with_tokens
from tests.support.wire import begin
from tests.support.world import (
    ASK_PIN,
    PIN,
    READ_ICCID,
    UICC,
    World,
    running,
    taken,
    uicc,
    until,
)
from wsrc.aio import Client, IdleWarning, Share
from wsrc.errors import (
    CardBusyError,
    ConnectionLostError,
    ErrorCode,
    OutcomeUnknownError,
    RefusedError,
    SessionLostError,
    WsrcError,
)
from wsrc.readers.simulation import Faults

SLOW = Faults(delay_s=1.0, only="00b0")


async def bench(world: World, faults: Faults | None = None) -> None:
    await world.host([uicc(UICC, faults)])


async def test_a_forgotten_card_goes_to_who_waits_for_it_and_its_holder_is_told_why(
    world: World,
) -> None:
    await bench(world)
    ann, bob, boss = [await world.user(name) for name in ("ann", "bob", "boss")]
    card = await ann.select(iccid=UICC)
    told: list[WsrcError] = []
    card.when_over(told.append)
    assert (await card.transmit(PIN)).sw == 0x9000
    waits = begin(taken(bob.select(iccid=UICC, wait_s=60)))
    await until(lambda: world.counts["waiting"] == 1)
    (use,) = await boss.who(busy=True)
    assert ([h.holder for h in use.holders], [w.name for w in use.waiters]) == (["ann"], ["bob"])
    holders = await boss.revoke(iccid=UICC, why="the night run needs it")
    assert [each.holder for each in holders] == ["ann"]
    async with await waits as his:
        assert (await his.transmit(ASK_PIN)).sw == 0x63C3, "the card was not reset"
    (over,) = told
    assert "Revoked by boss: the night run needs it." in str(over)
    with pytest.raises(SessionLostError, match="Revoked by boss: the night run needs it") as caught:
        await card.transmit(ASK_PIN)
    assert caught.value.code is ErrorCode.REVOKED
    await card.detach()


async def test_the_outcome_of_a_command_in_flight_is_told_as_it_is(world: World) -> None:
    await bench(world, SLOW)
    ann, boss = await world.user("ann"), await world.user("boss")
    card = await ann.select(iccid=UICC)
    for command in READ_ICCID[:2]:
        await card.transmit(command)
    reading = begin(card.transmit(READ_ICCID[2]))
    await until(lambda: world.in_flight == 1)
    assert len(await boss.revoke(any=UICC)) == 1
    with pytest.raises(OutcomeUnknownError, match="Revoked by boss"):
        await reading
    async with boss.select(iccid=UICC, wait_s=30) as his:
        assert (await his.transmit(ASK_PIN)).sw == 0x63C3


async def test_who_is_out_of_reach_when_the_card_is_taken_is_told_on_the_next_connection(
    world: World,
) -> None:
    await bench(world)
    ann, boss = await world.user("ann"), await world.user("boss")
    card = await ann.select(iccid=UICC)
    link = ann._connection._link
    assert link is not None
    link.abort()
    assert len(await boss.revoke(iccid=UICC, why="gone too long")) == 1
    with pytest.raises(SessionLostError, match="gone too long") as caught:
        await card.transmit(ASK_PIN)
    assert caught.value.code is ErrorCode.REVOKED


async def test_one_of_three_loses_a_shared_card_amid_a_transaction_and_the_others_go_on(
    world: World,
) -> None:
    await bench(world)
    users = [await world.user(name) for name in ("ann", "bob", "dan")]
    boss = await world.user("boss")
    ann, bob, dan = [await user.select(iccid=UICC, share=Share.SHARED) for user in users]
    await ann.begin()
    waits = begin(bob.transmit(ASK_PIN))
    assert [h.holder for h in await boss.revoke(iccid=UICC, holder="ann")] == ["ann"]
    with pytest.raises(WsrcError):  # the card was reset by the end of another's session
        await waits
    for each in (bob, dan):
        await each.reconnect()
        assert (await each.transmit(ASK_PIN)).sw == 0x63C3
    with pytest.raises(SessionLostError):
        await ann.end()


async def test_a_colleague_shares_a_card_and_a_stranger_does_not(world: World) -> None:
    await bench(world)
    ann, bob, eve = [await world.user(name) for name in ("ann", "bob", "eve")]
    card = await ann.select(iccid=UICC)
    assert (await card.transmit(PIN)).sw == 0x9000
    await card.allow("bob")
    with pytest.raises(CardBusyError):
        await eve.select(iccid=UICC, share=Share.SHARED)
    async with bob.select(iccid=UICC, share=Share.SHARED) as his:
        assert (await his.transmit(ASK_PIN)).sw == 0x9000
    await card.detach()


async def test_a_card_that_is_lent_is_had_next_by_the_colleague(world: World) -> None:
    await bench(world)
    ann, bob, dan = [await world.user(name) for name in ("ann", "bob", "dan")]
    card = await ann.select(iccid=UICC)
    waits = begin(taken(dan.select(iccid=UICC, wait_s=60)))
    await until(lambda: world.counts["waiting"] == 1)
    assert (await card.transmit(PIN)).sw == 0x9000
    assert (await card.lend("bob")).endswith("Z")
    with pytest.raises(SessionLostError, match="lent to bob"):
        await card.transmit(ASK_PIN)
    await card.detach()
    async with bob.select(iccid=UICC) as his:
        assert (await his.transmit(ASK_PIN)).sw == 0x63C3
        assert not waits.done()
    await (await waits).detach()


async def test_who_does_not_use_a_card_is_warned(certificates: Certificates) -> None:
    async with running(certificates, lease_idle_s=1.0, lease_warn_s=0.5) as world:
        await bench(world)
        ann = await world.user("ann")
        card = await ann.select(iccid=UICC)
        told: list[IdleWarning | WsrcError] = []
        card.when_idle(told.append)
        card.when_over(told.append)
        await until(lambda: len(told) == 2)
        warning, end = told
        assert isinstance(warning, IdleWarning)
        assert warning.until.endswith("Z")
        assert 0 < warning.in_s <= 0.5
        assert isinstance(end, SessionLostError)
        assert end.code is ErrorCode.LEASE_EXPIRED


async def test_a_client_that_is_kicked_comes_back_and_goes_on(world: World) -> None:
    await bench(world)
    ann, boss = await world.user("ann"), await world.user("boss")
    card = await ann.select(iccid=UICC)
    assert (await card.transmit(PIN)).sw == 0x9000
    found = await boss.admin.peers()
    (peer,) = [each for each in found.peers if each.name == "ann"]
    assert (peer.sessions, peer.address) in {(1, "127.0.0.1"), (1, "::1")}
    assert await boss.admin.kick(peer.number, instance=found.instance, why="try") == 1
    assert (await card.transmit(ASK_PIN)).sw == 0x9000
    with pytest.raises(RefusedError) as caught:
        await boss.admin.kick(peer.number)
    assert caught.value.code is ErrorCode.NO_SUCH_PEER
    later = await boss.admin.peers()
    assert [each.name for each in later.peers].count("ann") == 1


async def test_who_is_banned_is_let_in_again_after_the_ban(
    certificates: Certificates, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[[grant]]\nto = ["ann", "eve"]\ncards = "*"\nmay = ["use"]\n'
        '[[grant]]\nto = ["boss"]\ncards = "*"\nmay = ["admin"]\n'
        '[[host]]\nwho = ["anyone"]\nannounces = "*"\n'
    )
    async with running_with_tokens(certificates, tmp_path, policy=policy) as world:
        files = {who: await asyncio.to_thread(world.made, who) for who in ("ann", "eve", "boss")}
        await until(lambda: all(world.knows(file) for file in files.values()))

        def client(who: str, **settings: Any) -> Client:
            ca, url = certificates.ca, world.user_url
            return Client(url, ca=ca, token_file=files[who], name=who, **settings)

        async with client("boss") as boss, client("eve", keep_s=2.0) as eve:
            await eve.greeted()
            with pytest.raises(RefusedError) as caught:
                await eve.admin.ban("boss")
            assert caught.value.code is ErrorCode.FORBIDDEN
            with pytest.raises(RefusedError, match="nobody bans themselves"):
                await boss.admin.ban("boss")
            made = await boss.admin.ban("eve", for_s=600.0, why="a loop")
            assert [each.who for each in await boss.admin.bans()] == ["eve"] == [made.who]
            with pytest.raises(ConnectionLostError, match="banned"):
                async with client("eve") as again:
                    await again.list_cards()
            async with client("ann") as ann:
                await ann.list_cards()
            await boss.admin.unban("eve")
            assert await boss.admin.bans() == []
            async with client("eve") as again:
                await again.list_cards()


async def test_a_host_is_drained_for_a_new_rack_and_put_back(world: World) -> None:
    await bench(world)
    ann, boss = await world.user("ann"), await world.user("boss")
    card = await ann.select(iccid=UICC)
    draining = begin(boss.admin.drain("bench", wait_s=60, why="a new rack"))
    await until(lambda: bool(world.app._peers.relay._state.drained))
    with pytest.raises(RefusedError, match=r"drained \(a new rack\)") as caught:
        await boss.select(iccid=UICC)
    assert caught.value.code is ErrorCode.DRAINING
    assert (await card.transmit(PIN)).sw == 0x9000
    assert not draining.done()
    await card.detach()
    assert await draining == 0
    assert [each.draining for each in await boss.list_cards()] == [True]
    with pytest.raises(RefusedError) as caught:
        await boss.admin.drain("elsewhere")
    assert caught.value.code is ErrorCode.NO_SUCH_PEER
    await boss.admin.undrain("bench")
    async with ann.select(iccid=UICC):
        pass


async def test_who_may_is_asked_to_be_named_where_strangers_are_let_in(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with running_with_tokens(certificates, tmp_path) as world:
        file = await asyncio.to_thread(world.made, "ann")
        await until(lambda: world.knows(file))
        async with Client(world.user_url, ca=certificates.ca, token_file=file) as ann:
            for asked in (ann.admin.stop(), ann.admin.peers(), ann.admin.ban("eve")):
                with pytest.raises(RefusedError, match="has no policy") as caught:
                    await asked
                assert caught.value.code is ErrorCode.FORBIDDEN
            assert await ann.who() == []


async def test_a_sealed_session_is_shared_with_a_guest_taken_back_and_lent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "host"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))
    async with sealed(tmp_path) as world:
        await world.host()
        ann, bob, boss = [await world.user(name=name) for name in ("ann", "bob", "boss")]
        card = await ann.select(iccid=UICC)
        assert card.sealed is not None
        assert (await card.transmit(PIN)).sw == 0x9000
        await card.allow("bob")
        with pytest.raises(CardBusyError):
            await boss.select(iccid=UICC, share=Share.SHARED)
        async with bob.select(iccid=UICC, share=Share.SHARED) as his:
            assert (await his.transmit(ASK_PIN)).sw == 0x9000
        (use,) = await boss.who(iccid=UICC)
        assert [holder.sealed for holder in use.holders] == [True]
        await boss.revoke(iccid=UICC, why="enough")
        with pytest.raises(SessionLostError, match="enough"):
            await card.transmit(ASK_PIN)
        card = await ann.select(iccid=UICC)
        await card.lend("bob")
        async with bob.select(iccid=UICC) as his:
            assert (await his.transmit(ASK_PIN)).sw == 0x63C3
