# SPDX-License-Identifier: Apache-2.0
"""Users and card hosts whose sessions are sealed, with our server between them."""

import stat
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.pki import Pki
from tests.support.proxy import proxy_to
from tests.support.sealed_world import HOST, SealedWorld
from tests.support.world import ASK_PIN, PIN, UICC, hosting, running, until
from wsrc.card.slot import Share
from wsrc.certs.making import Kind
from wsrc.errors import (
    CardBusyError,
    CardWasResetError,
    ErrorCode,
    OutcomeUnknownError,
    RefusedError,
    SessionLostError,
)
from wsrc.protocol import messages as m
from wsrc.user_client.aio import Client

pytestmark = pytest.mark.usefixtures("state_of_both")


@pytest.fixture
def world(sealed_world: SealedWorld) -> SealedWorld:
    return sealed_world


def refused(code: ErrorCode, sentence: str) -> Any:
    return pytest.raises(RefusedError, match=sentence, check=lambda exc: exc.code is code)


# What a program sees of it


async def test_a_program_is_told_who_the_card_host_is(world: SealedWorld) -> None:
    await world.host()
    card = await world.card()
    assert card.sealed is not None
    assert (card.sealed.name, card.sealed.fingerprint[:7]) == (HOST, "SHA256:")
    assert card.info.identities.iccid == UICC


async def test_the_secret_goes_until_the_card_host_was_heard(world: SealedWorld) -> None:
    await world.host()
    card = await world.card()
    await card.transmit(ASK_PIN)
    await card.transmit(ASK_PIN)
    assert [each.secret is not None for each in world.relay.of(m.Sealed)] == [True, False]


async def test_the_first_command_is_sent_once_there_is_a_key(world: SealedWorld) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC, first=ASK_PIN) as card:
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3
    (select,) = world.relay.of(m.SelectCard)
    assert select.then is None


async def test_a_reader_alone_is_used_in_a_sealed_session(world: SealedWorld) -> None:
    await world.host()
    user = await world.user()
    reader = "Simulated UICC 00 00@bench"
    async with user.select(reader=reader, share=Share.DIRECT) as card:
        await card.control(3400)
    assert {each.of for each in world.relay.of(m.Sealed)} == {"control"}


async def test_who_shares_a_card_is_told_in_a_box_that_another_reset_it(
    world: SealedWorld,
) -> None:
    await world.host()
    one, other = await world.user(name="one"), await world.user(name="other")
    async with (
        one.select(iccid=UICC, share=Share.SHARED) as first,
        other.select(iccid=UICC, share=Share.SHARED) as second,
    ):
        await first.transmit(PIN)
        await second.reset()
        with pytest.raises(CardWasResetError):
            await first.transmit(ASK_PIN)
        await first.reconnect()
        assert (await first.transmit(ASK_PIN)).sw == 0x63C3


async def test_what_waits_for_another_user_is_given_up_with_the_word_of_the_card_host(
    world: SealedWorld,
) -> None:
    """Its outcome is known, though it has no box, and the session goes on."""
    await world.host(transaction_wait_s=0.3)
    one, other = await world.user(name="one"), await world.user(name="other")
    async with (
        one.select(iccid=UICC, share=Share.SHARED) as first,
        other.select(iccid=UICC, share=Share.SHARED) as second,
    ):
        await second.transmit(ASK_PIN)
        async with first.transaction():
            with pytest.raises(CardBusyError):
                await second.transmit(ASK_PIN)
        assert (await second.transmit(ASK_PIN)).sw == 0x63C3
    (refusal,) = (each for each in world.relay.of(m.Error) if each.code is ErrorCode.CARD_BUSY)
    assert refusal.word is not None


async def test_a_card_that_is_pulled_ends_a_sealed_session_with_a_word(
    world: SealedWorld,
) -> None:
    host = await world.host()
    card = await world.card()
    await card.transmit(ASK_PIN)
    host.source.remove("Simulated UICC 00 00")
    await until(lambda: bool(world.relay.of(m.SessionEnded)))
    assert world.relay.of(m.SessionEnded)[0].word is not None
    with pytest.raises(SessionLostError):
        await card.transmit(ASK_PIN)


# Who wants it


@pytest.mark.parametrize(
    ("user", "host", "is_sealed"),
    [
        ("required", "preferred", True),
        ("preferred", "required", True),
        ("preferred", "off", False),
        ("off", "preferred", False),
    ],
)
async def test_a_session_is_sealed_where_one_end_wants_it_and_the_other_can(
    world: SealedWorld, user: str, host: str, is_sealed: bool
) -> None:
    await world.host(seal=host)
    card = await world.card(seal=user)
    assert (card.sealed is not None) == is_sealed
    assert (await card.transmit(ASK_PIN)).sw == 0x63C3


@pytest.mark.parametrize(
    ("user", "host", "why"),
    [
        ("required", "off", r"kept it from that: seal = required\."),
        (None, "off", r"kept it from that: seal is required where card_ca is given\."),
        ("off", "required", "wants its sessions sealed, and this one is not"),
    ],
)
async def test_who_requires_a_seal_is_told_that_there_is_none(
    world: SealedWorld, user: str | None, host: str, why: str
) -> None:
    await world.host(seal=host)
    client = await world.user(seal=user)
    with refused(ErrorCode.SEAL_REQUIRED, why):
        await client.select(iccid=UICC)
    assert not world.of(m.CApdu, m.Sealed)
    await until(lambda: world.world.counts["sessions"] == 0)


# Whose key


async def test_a_card_host_of_another_ca_is_refused(world: SealedWorld, tmp_path: Path) -> None:
    await world.host()
    client = await world.user(card_ca=Pki(tmp_path / "other").folder.ca)
    with refused(ErrorCode.SEAL_HOST, "is not good"):
        await client.select(iccid=UICC)


async def test_a_card_host_with_another_name_is_refused(world: SealedWorld) -> None:
    await world.host()
    client = await world.user(card_hosts=["lab.example"])
    with refused(ErrorCode.SEAL_HOST, "bench.example, who is not one of those"):
        await client.select(iccid=UICC)


async def test_a_card_host_whose_certificate_was_revoked_is_refused_from_the_next_session_on(
    world: SealedWorld,
) -> None:
    """What is there goes on, and the list is read when it has changed."""
    await world.host()
    world.pki.revoked("somebody@example.com")
    user = await world.user(card_crl=world.pki.folder.crl)
    card = await user.select(iccid=UICC)
    assert (await card.transmit(PIN)).sw == 0x9000
    world.pki.folder.revoke(HOST)
    assert (await card.transmit(ASK_PIN)).sw == 0x9000
    await card.detach()
    with refused(ErrorCode.SEAL_HOST, r"bench\.example was revoked"):
        await user.select(iccid=UICC)


async def test_without_a_ca_the_first_key_is_remembered_and_another_is_refused(
    world: SealedWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await world.host(tls_cert=None, tls_key=None)
    made = tmp_path / "host" / "card-host.pem"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    card = await world.card(card_ca=None)
    assert card.sealed is not None
    assert card.sealed.name == "bench"
    assert f"The key of card host bench is not known: {card.sealed.fingerprint}" in caplog.text
    await card.detach()
    known = tmp_path / "user" / "wsrc" / "known_hosts"
    assert known.read_text().split()[1:] == ["bench", card.sealed.fingerprint]
    again = await world.card(card_ca=None, name="again")
    assert again.sealed == card.sealed
    await again.detach()
    other = "SHA256:" + "A" * 43
    known.write_text(known.read_text().replace(card.sealed.fingerprint, other))
    client = await world.user(card_ca=None, name="third")
    with refused(ErrorCode.SEAL_HOST_CHANGED, "somebody may be posing as it"):
        await client.select(iccid=UICC)


async def test_a_known_card_host_that_does_not_seal_any_more_is_refused(
    world: SealedWorld,
) -> None:
    await world.host(tls_cert=None, tls_key=None)
    card = await world.card(card_ca=None, seal="preferred")
    await card.detach()
    world.relay.change = lambda message: (without_seal(message),)
    client = await world.user(card_ca=None, seal="preferred", name="second")
    with refused(ErrorCode.SEAL_REQUIRED, "it has sealed before"):
        await client.select(iccid=UICC)


async def test_a_card_host_may_accept_users_by_certificate_alone(world: SealedWorld) -> None:
    ca = world.pki.folder.ca
    await world.host(seal="required", user_ca=ca, accept_users=["anna@*"])
    pair = world.pki.client("anna@example.com", Kind.USER)
    card = await world.card(cert=pair.cert, key=pair.key)
    assert (await card.transmit(ASK_PIN)).sw == 0x63C3
    await card.detach()
    client = await world.user(name="nobody")
    with refused(ErrorCode.SEAL_USER, "by certificate only"):
        await client.select(iccid=UICC)
    pair = world.pki.client("ben@example.com", Kind.USER)
    other = await world.card(cert=pair.cert, key=pair.key, name="ben")
    with pytest.raises(OutcomeUnknownError, match=r"ben@example\.com, who is not one of those"):
        await other.transmit(ASK_PIN)
    assert len(world.relay.of(m.SealedResp)) == 1


# Resume


async def test_a_sealed_session_is_resumed_by_proof_and_nothing_runs_twice(
    world: SealedWorld,
) -> None:
    await world.host()
    async with proxy_to(world.world.app.user_port) as proxy:
        client = Client(
            f"wss://localhost:{proxy.port}/user",
            ca=world.pki.folder.ca,
            seal="required",
            card_ca=world.pki.folder.ca,
        )
        async with client, client.select(iccid=UICC) as card:
            assert (await card.transmit(PIN)).sw == 0x9000
            proxy.cut()
            assert (await card.transmit(ASK_PIN)).sw == 0x9000
            proxy.cut()
            assert (await card.transmit(ASK_PIN)).sw == 0x9000
    resumes = world.relay.of(m.Resume)
    assert [each.proof.counter for each in resumes if each.proof is not None] == [1, 2]
    assert {each.secret for each in resumes} == {""}
    assert all(each.secret is None for each in world.relay.of(m.SelectCard))


async def test_a_sealed_session_outlives_the_connection_of_its_card_host(
    world: SealedWorld,
) -> None:
    async with proxy_to(world.world.app.card_port) as proxy:
        url = f"wss://localhost:{proxy.port}/card"
        async with hosting(url, world.pki.server, None, "bench", seal="preferred") as host:
            await host.ready(world.world)
            card = await world.card(card_ca=None)
            assert (await card.transmit(PIN)).sw == 0x9000
            proxy.cut()
            assert (await card.transmit(ASK_PIN)).sw == 0x9000
            proxy.cut()
            await until(lambda: len(world.relay.of(m.Resumed)) == 2)
            assert (await card.transmit(ASK_PIN)).sw == 0x9000
            await card.detach()


async def test_a_sealed_session_outlives_its_server(tmp_path: Path) -> None:
    """Another server knows nothing of it, and is shown a proof for its own connection."""
    pki = Pki(tmp_path / "pki")
    ports: dict[str, Any] = {}
    async with running(pki.server) as first:
        ports = {"user_port": first.app.user_port, "card_port": first.app.card_port}
    async with AsyncExitStack() as stack:
        before = await stack.enter_async_context(running(pki.server, **ports))
        client = before.client(seal="required")
        async with hosting(before.card_url, pki.server, None, "bench", seal="required") as host:
            await host.ready(before)
            await client.open()
            card = await client.select(iccid=UICC)
            assert (await card.transmit(PIN)).sw == 0x9000
            await stack.aclose()
            async with running(pki.server, **ports):
                assert (await card.transmit(ASK_PIN)).sw == 0x9000
                await client.close()


def without_seal(message: m.Message) -> m.Message:
    if isinstance(message, m.Attach | m.SelectCardAck):
        return msgspec.structs.replace(message, seal=None)
    return message
