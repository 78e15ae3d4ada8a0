# SPDX-License-Identifier: Apache-2.0
"""Users and card hosts that set nothing about seals, or one thing, with our server between them."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.evil_relay import EvilRelay
from tests.support.proxy import proxy_to
from tests.support.world import ASK_PIN, EUICC, PIN, UICC, World, running, until
from wsrc.card.slot import Share
from wsrc.errors import ConfigError, ErrorCode, RefusedError, SessionLostError
from wsrc.protocol import messages as m
from wsrc.user_client.aio import Client

READER = "Simulated UICC 00 00"


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates) as world:
        world.all_seal(None)
        yield world


def refused(code: ErrorCode, sentence: str) -> Any:
    return pytest.raises(RefusedError, match=sentence, check=lambda exc: exc.code is code)


# Who sets nothing


async def test_a_session_is_sealed_and_the_key_is_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    relay = EvilRelay(world)
    await world.host()
    for name in ("one", "other"):
        async with await world.user(name=name) as user, user.select(iccid=UICC) as card:
            assert (await card.transmit(ASK_PIN)).sw == 0x63C3
            assert card.sealed is not None
    told = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.getMessage().partition(":")[0] for each in told] == [
        "The key of card host bench is not known"
    ]
    assert not relay.of(m.CApdu)


async def test_a_user_who_only_looks_reads_no_file_of_seals(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "wsrc"
    folder.mkdir()
    (folder / "known_hosts").write_text("this is no line of it\n")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    await world.host()
    user = await world.user()
    assert len(await user.list_cards()) == 2
    with pytest.raises(ConfigError, match=r"known_hosts: line 1 of .*mend or delete it"):
        await user.select(iccid=UICC)


async def test_a_card_host_that_can_have_no_key_serves_without_a_seal_and_says_so(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    no_folder = tmp_path / "file"
    no_folder.touch()
    monkeypatch.setenv("STATE_DIRECTORY", str(no_folder))
    await world.host()
    async with await world.user() as user, user.select(iccid=UICC) as card:
        assert card.sealed is None
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3
    assert "No session is sealed" in caplog.text
    for given in ({"seal": "preferred"}, {"seal_cards": (UICC,)}):
        with pytest.raises(ConfigError, match="cannot be made"):
            await world.host(name="second", **given)


# Names that servers give


async def test_a_reader_is_selected_by_the_id_that_a_server_has_given_it(world: World) -> None:
    await world.host()
    await world.host()
    shown = {card.reader or "" for card in await world.cards()}
    user = await world.user()
    for reader in (f"{READER}@bench", f"{READER}@bench (2)"):
        assert reader in shown
        async with user.select(reader=reader) as card:
            assert card.sealed is not None
            assert card.info.reader == reader
            assert (await card.transmit(ASK_PIN)).sw == 0x63C3
        async with user.select(reader=reader, share=Share.DIRECT) as card:
            assert card.sealed is not None


# Sessions without a seal


async def test_without_resume_by_secret_a_session_outlives_its_connection_only_if_sealed(
    certificates: Certificates,
) -> None:
    async with running(certificates, resume_by_secret=False) as world:
        world.all_seal(None)
        relay = EvilRelay(world)
        await world.host()
        async with proxy_to(world.app.user_port) as proxy:
            url = f"wss://localhost:{proxy.port}/user"
            async with Client(url, ca=world.ca) as user, user.select(iccid=UICC) as card:
                assert (await card.transmit(PIN)).sw == 0x9000
                proxy.cut()
                assert (await card.transmit(ASK_PIN)).sw == 0x9000
            clear = Client(url, ca=world.ca, seal="off")
            async with clear, clear.select(iccid=UICC) as card:
                assert (await card.transmit(PIN)).sw == 0x9000
                proxy.cut()
                await until(lambda: not card._session.in_reach)
                with pytest.raises(SessionLostError, match=r"connection .* is lost"):
                    await card.transmit(ASK_PIN)
        assert {each.secret for each in relay.of(m.Resume)} == {""}
        asked = [each for each in relay.said if isinstance(each, m.Attach)]
        assert {each.secret for each in asked} == {None}
        assert [each.keep_s > 0 for each in asked] == [True, False]


# Cards that are given in sealed sessions only


async def test_a_card_host_gives_some_cards_in_sealed_sessions_only(world: World) -> None:
    await world.host(seal_cards=("*430010",))
    clear = await world.user(seal="off")
    with refused(ErrorCode.SEAL_REQUIRED, f"every session with what is in {READER} sealed"):
        await clear.select(iccid=UICC)
    async with clear.select(eid=EUICC) as card:
        assert card.sealed is None
    async with await world.user(name="sealed") as user, user.select(iccid=UICC) as card:
        assert card.sealed is not None


async def test_who_requires_a_seal_uses_no_card_client_of_the_first_form(
    world: World, certificates: Certificates
) -> None:
    ran: list[bytes] = []

    def transmit(command: bytes) -> bytes:
        ran.append(command)
        return bytes.fromhex("9000")

    def reset() -> bytes:
        return bytes.fromhex("3b00")

    args = (world.card_url, certificates.ca, transmit, reset)
    async with first_form.card_client(*args) as old:
        await until(lambda: old.states == ["ready"])
        before = len(ran)
        user = await world.user(seal="required")
        with refused(ErrorCode.SEAL_REQUIRED, "seal = required"):
            await user.select(atr="3b00")
        assert ASK_PIN not in ran[before:]
        clear = await world.user(name="clear")
        async with clear.select(atr="3b00", wait_s=10) as card:
            assert card.sealed is None
            assert (await card.transmit(ASK_PIN)).sw == 0x9000


async def test_a_user_of_the_first_form_is_refused_such_a_card_with_the_reason(
    world: World,
) -> None:
    await world.host(seal_cards=(READER,))
    async with first_form.user(world.user_url, world.ca) as user:
        answer = await user.select("ICCID", UICC)
        assert answer["msg_type"] == "error"
        assert "the user did not ask for that" in answer["message"]
        assert (await user.select("EID", EUICC))["msg_type"] == "select_card_ack"
