# SPDX-License-Identifier: Apache-2.0
"""The 26 faults of the first published programs: a test for each, which fails with the fault."""

import asyncio
import contextlib
import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.first_form_bench import benched
from tests.support.world import ASK_PIN, EUICC, PIN, READ_ICCID, UICC, World, running, until
from wsrc.card.identity import iccid_to_ef
from wsrc.card.slot import ResetKind
from wsrc.errors import (
    AmbiguousCardError,
    CardBusyError,
    CardError,
    ErrorCode,
    GuardedError,
    NoSuchCardError,
    OutcomeUnknownError,
    RefusedError,
    WsrcError,
)
from wsrc.octets import Octets
from wsrc.protocol import codec, messages as m
from wsrc.readers.simulation import Faults, default_cards, make_card, parse_description
from wsrc.user_client import blocking

WRONG_PIN = bytes.fromhex("0020000108 39393939ffffffff")


async def test_fault_01_an_unknown_message_before_selection_is_answered(
    world: World, certificates: Certificates
) -> None:
    async with first_form.user(world.user_url, certificates.ca) as user:
        answer = await first_form.ask(user.socket, "what_is_this")
        assert answer["code"] == "unknown_message"


async def test_fault_02_every_message_after_selection_is_answered(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        assert len(await user.list_cards()) == 2
        assert (await user.select("eid", EUICC))["code"] == "not_supported"
        assert (await first_form.ask(user.socket, "what_is_this"))["code"] == "unknown_message"
        assert await user.apdu(ASK_PIN.hex()) == ("", "63c3")


async def test_fault_03_a_user_who_takes_time_to_choose_is_not_closed(
    certificates: Certificates,
) -> None:
    async with running(certificates, hello_s=0.2) as world:
        await world.host()
        async with first_form.user(world.user_url, certificates.ca) as user:
            await user.list_cards()
            async with first_form.connected(world.user_url, certificates.ca) as silent:
                assert (await first_form.receive(silent))["code"] == "hello_timeout"
            assert (await user.select("iccid", UICC))["msg_type"] == "select_card_ack"


async def test_fault_04_nothing_of_a_user_is_left_for_the_next(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        assert (await user.apdu(PIN.hex()))[1] == "9000"
        assert (await user.apdu("0070000001"))[0] == "01"
        assert (await user.apdu("00a4040007a000000087100200"))[1] == "9000"
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        assert await user.apdu(ASK_PIN.hex()) == ("", "63c3")
        assert (await user.apdu("0070000001"))[0] == "01"
        assert (await user.apdu("00b0000001"))[1] == "6986"


async def test_fault_05_an_error_of_the_card_reaches_the_user_who_stays_connected(
    world: World, certificates: Certificates
) -> None:
    async with benched(world, certificates, default_cards()[0]) as client:
        user = await world.user(seal=None)
        card = await user.select(iccid=UICC)
        client.failing = True
        with pytest.raises(CardError, match="the reader is on fire"):
            await card.transmit(ASK_PIN)
        client.failing = False
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_fault_06_a_card_lost_in_mid_command_leaves_a_reason_and_no_remains(
    world: World, certificates: Certificates
) -> None:
    user = await world.user(timeout_s=first_form.LIMIT_S, seal=None)
    async with benched(world, certificates, default_cards()[0]) as client:
        card = await user.select(iccid=UICC)
        client.silent = True
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(failure_of(card.transmit(ASK_PIN)))
            await until(lambda: client.asked[-1] == "c_apdu")
            await client.socket.close()
        assert "has said goodbye" in asking.result()
    await until(lambda: world.counts["cards"] == 0)
    assert world.counts["sessions"] == world.counts["keys"] == 0
    assert await user.list_cards() == []


async def failure_of(doing: object) -> str:
    with pytest.raises(OutcomeUnknownError) as failed:
        await doing  # type: ignore[misc]
    return str(failed.value)


async def test_fault_07_a_frame_that_is_not_json_closes_with_a_reason(
    world: World, certificates: Certificates
) -> None:
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.socket.send("hello?")
        assert "not JSON" in (await first_form.receive(user.socket))["message"]
        with pytest.raises(ConnectionClosed):
            await first_form.receive(user.socket)
        assert user.socket.close_code == 1002
        assert "not JSON" in (user.socket.close_reason or "")


async def test_fault_08_a_card_that_never_lets_itself_be_identified_is_not_kept(
    certificates: Certificates,
) -> None:
    async with (
        running(certificates, attach_s=0.3) as world,
        first_form.connected(world.card_url, certificates.ca) as socket,
    ):
        await first_form.ask(socket, "hello", client_type="card", atr="3b00")
        async with asyncio.timeout(first_form.LIMIT_S):
            with contextlib.suppress(ConnectionClosed):
                async for _ in socket:
                    pass
        assert "in time" in (socket.close_reason or "")
        await until(lambda: world.counts["readers"] == 0)


async def test_fault_09_a_busy_card_is_told_from_an_unknown_one(world: World) -> None:
    await world.host()
    first, second = await world.user("first"), await world.user("second")
    async with first.select(iccid=UICC):
        with pytest.raises(CardBusyError) as busy:
            await second.select(iccid=UICC)
        assert busy.value.holder == "first"
        assert busy.value.since <= (busy.value.until or "")
        with pytest.raises(NoSuchCardError):
            await second.select(iccid="8988211000000430099")


async def test_fault_10_the_library_works_as_published(
    world: World, certificates: Certificates
) -> None:
    await world.host()

    def use() -> bytes:
        with (
            blocking.Client(world.user_url, ca=certificates.ca) as client,
            client.select(iccid=UICC) as card,
        ):
            return [card.transmit(command) for command in READ_ICCID][-1].data

    assert (await asyncio.to_thread(use)).hex() == "988812010000400310f0"


async def test_fault_11_the_tries_left_of_a_pin_are_not_hidden(world: World) -> None:
    await world.host()
    user = await world.user()
    async with user.select(iccid=UICC) as card:
        assert (await card.transmit(WRONG_PIN)).sw == 0x63C2
        assert (await card.transmit(PIN)).sw == 0x9000
        assert [(await card.transmit(WRONG_PIN)).sw for _ in range(2)] == [0x63C2, 0x63C1]
        with pytest.raises(GuardedError, match="1 try is left of PIN 01") as refused:
            await card.transmit(PIN)
        assert refused.value.code is ErrorCode.GUARDED
        assert (await card.transmit(ASK_PIN)).sw == 0x63C1


@pytest.mark.parametrize("protocol", ["T0", "T1"])
async def test_fault_12_an_extended_apdu_is_carried(world: World, protocol: str) -> None:
    description = f"""
        kind = "uicc"
        protocol = "{protocol}"
        [[file]]
        path = "6f99"
        structure = "transparent"
        size_octets = 600
        update = "always"
    """
    host = await world.host([make_card(parse_description(description, "test"))])
    user = await world.user()
    data = bytes(range(256)) * 2
    async with user.select(reader=f"{host.source.names[0]}@bench") as card:
        await card.transmit(bytes.fromhex("00a40004026f9900"))
        update = bytes.fromhex("00d6000000") + len(data).to_bytes(2) + data
        assert (await card.transmit(update)).sw == 0x9000
        assert (await card.transmit(bytes.fromhex("00b0000000"))).data == data[:256]


async def test_fault_13_msg_type_is_looked_for_in_the_object_and_not_in_the_text(
    world: World, certificates: Certificates
) -> None:
    async with first_form.connected(world.user_url, certificates.ca) as socket:
        await socket.send('{"client_type": "msg_type"}')
        assert (await first_form.receive(socket))["code"] == "bad_message"


def test_fault_14_no_field_of_one_message_appears_in_the_next() -> None:
    codec.encode(m.Hello(client_type=m.ClientType.USER, name="first", features=("batch",)))
    text = codec.encode(m.Hello(client_type=m.ClientType.CARD))
    assert json.loads(text) == {"msg_type": "hello", "client_type": "card"}
    with pytest.raises(AttributeError):
        m.Hello(client_type=m.ClientType.CARD).name = "first"  # type: ignore[misc]


async def test_fault_15_a_user_is_forgotten_when_the_card_goes_first(world: World) -> None:
    host = await world.host()
    user = await world.user()
    await user.select(iccid=UICC)
    host.stop.set()
    await until(lambda: world.counts["cards"] == 0)
    assert world.counts["sessions"] == 0
    await world.host(name="again")
    async with user.select(iccid=UICC):
        assert world.counts["sessions"] == 1


async def test_fault_16_a_polite_close_before_selection_leaves_nothing(
    world: World, certificates: Certificates
) -> None:
    async with first_form.user(world.user_url, certificates.ca):
        assert world.counts["peers"] == 1
    await until(lambda: world.counts == dict.fromkeys(world.counts, 0))


async def test_fault_17_what_a_card_reports_by_itself_is_no_answer_to_a_command(
    world: World, certificates: Certificates
) -> None:
    host = await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        host.source.remove("Simulated eUICC 00 00")
        await until(lambda: world.counts["cards"] == 1)
        assert await user.apdu(ASK_PIN.hex()) == ("", "63c3")


async def test_fault_18_a_command_has_a_time_limit(world: World) -> None:
    card = default_cards()[0]
    await world.host([card], command_s=0.2)
    card.faults = Faults(delay_s=3600.0, only="0020")
    user = await world.user(timeout_s=first_form.LIMIT_S)
    held = await user.select(iccid=UICC)
    with pytest.raises(WsrcError, match=r"did not answer within 0\.2 s"):
        await held.transmit(ASK_PIN)
    card.faults = Faults()


@pytest.mark.parametrize("how", ["reset", "new session"])
async def test_fault_19_the_iccid_is_asked_again_after(world: World, how: str) -> None:
    await world.host()
    user = await world.user()
    other = "8988211000000430036"
    async with user.select(eid=EUICC) as card:
        await card.transmit(bytes.fromhex("00a4040010a0000005591010ffffffff890000010000"))
        enable = bytes.fromhex("80e2910014bf3111a00c5a0a") + iccid_to_ef(other)
        assert (await card.transmit(enable + bytes.fromhex("8101ff00"))).ok
        if how == "reset":
            await card.reset()
            assert [c.identities.iccid for c in await user.list_cards(eid=EUICC)] == [other]
    async with user.select(iccid=other, wait_s=10) as card:
        assert card.info.eids == (EUICC,)


async def test_fault_20_of_two_cards_with_one_identity_none_is_chosen_by_chance(
    world: World,
) -> None:
    await world.host(default_cards()[:1], "berlin")
    await world.host(default_cards()[:1], "zurich")
    user = await world.user()
    with pytest.raises(AmbiguousCardError, match="2 cards"):
        await user.select(iccid=UICC)


async def test_fault_21_the_server_neither_fetches_responses_nor_reads_status_words(
    world: World, certificates: Certificates
) -> None:
    commands: list[bytes] = []

    def transmit(command: bytes) -> bytes:
        commands.append(command)
        return bytes.fromhex("63c2") if command[1] == 0x20 else bytes.fromhex("6310")

    args = (world.card_url, certificates.ca, transmit, lambda: bytes.fromhex("3b00"))
    async with first_form.card_client(*args) as client:
        await until(lambda: client.states == ["ready"])
        user = await world.user(seal=None)
        async with user.select(atr="3b00") as card:
            assert (await card.transmit(WRONG_PIN)).sw == 0x63C2
    assert not [command for command in commands if command[1] == 0xC0]


async def test_fault_22_identification_leaves_no_trace_and_survives_odd_cards(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    user = await world.user(seal=None)
    async with user.select(iccid=UICC) as card:
        assert (await card.transmit(bytes.fromhex("00b000000a"))).sw == 0x6986
    args = (world.card_url, certificates.ca, lambda _: b"\x12\x34", lambda: b"\x3b\x00")
    async with first_form.card_client(*args) as client:
        await until(lambda: client.states == ["ready"])
        async with user.select(atr="3b00") as card:
            assert card.info.eids == ()


async def test_fault_23_the_library_gives_octets_says_goodbye_and_selects_again(
    world: World, certificates: Certificates
) -> None:
    await world.host()

    def use() -> None:
        with blocking.Client(world.user_url, ca=certificates.ca) as client:
            with pytest.raises(RefusedError, match="Nothing is selected"):
                client.select()
            for _ in range(2):
                card = client.select(iccid=UICC)
                assert card.atr == default_cards()[0].atr
                card.detach()

    await asyncio.to_thread(use)


async def test_fault_24_a_card_client_has_many_readers_that_come_and_go_and_reconnects(
    certificates: Certificates,
) -> None:
    async with running(certificates) as world:
        host = await world.host()
        ports = {"user_port": world.app.user_port, "card_port": world.app.card_port}
        new = host.source.plug(default_cards()[0])
        await until(lambda: world.counts["cards"] == 3)
        host.source.unplug(new)
        await until(lambda: world.counts["cards"] == 2)
        await world.app.stop()
        async with running(certificates, **ports) as next_world:
            await host.ready(next_world)


async def test_fault_25_nobody_is_shown_where_a_card_host_is_on_the_network(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        cards = await user.list_cards()
    assert [card["remote_addr"] for card in cards] == [["bench", 0]] * 2
    assert "127.0.0.1" not in json.dumps(cards)


async def test_fault_26_a_user_is_given_the_new_atr_after_a_reset(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    async with first_form.user(world.user_url, certificates.ca) as user:
        await user.select("iccid", UICC)
        assert (await user.reset())["atr"] == default_cards()[0].atr.hex()
    client = await world.user()
    async with client.select(iccid=UICC) as card:
        assert await card.reset(ResetKind.WARM) == Octets(default_cards()[0].atr)
