# SPDX-License-Identifier: Apache-2.0
"""Bad messages and selections: a clear error on the right side, and no harm to others."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from tests.support import first_form
from tests.support.certificates import Certificates
from tests.support.world import ASK_PIN, PIN, UICC, World, uicc
from wsrc.errors import (
    AmbiguousCardError,
    BadApduError,
    NoSuchCardError,
)
from wsrc.readers.simulation import Faults

pytestmark = pytest.mark.usefixtures("bystander")

HELLO = {"msg_type": "hello", "client_type": "user", "version": 1, "name": "raw"}


@pytest.fixture
async def raw(world: World, certificates: Certificates) -> AsyncIterator[ClientConnection]:
    """A connection that has said hello in the present form, to be misused."""
    async with first_form.connected(world.user_url, certificates.ca) as socket:
        ack = await first_form.ask(socket, **HELLO)
        assert ack["version"] == 1
        yield socket


async def select(socket: ClientConnection, **fields: Any) -> str:
    ack = await first_form.ask(socket, "select_card", id=1, **fields)
    assert ack["msg_type"] == "select_card_ack", ack
    return str(ack["session"])


# Messages


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("select_card", "not JSON"),
        ('"msg_type"', "msg_type"),
        ("[]", "msg_type"),
        ('{"id": 1}', "msg_type"),
        ('{"msg_type": "select_card", "iccid": 5, "id": 1}', "iccid"),
        ('{"msg_type": "c_apdu", "id": 1}', "command"),
        ('{"msg_type": "c_apdu", "command": "00a40000", "id": "one"}', "id"),
        ("[" * 50_000, ""),
    ],
)
async def test_a_malformed_message_is_answered_and_closes_with_a_reason(
    raw: ClientConnection, text: str, reason: str
) -> None:
    await raw.send(text)
    answer = await first_form.receive(raw)
    assert (answer["msg_type"], answer["code"]) == ("error", "bad_message")
    assert reason in answer["message"]
    code, why = await first_form.closed_with(raw)
    assert code == 1002
    assert reason in why


async def test_an_unknown_message_is_answered_and_nothing_else_happens(
    raw: ClientConnection,
) -> None:
    answer = await first_form.ask(raw, "teleport_card", id=7)
    assert (answer["code"], answer["id"]) == ("unknown_message", 7)
    assert (await first_form.ask(raw, "list_cards", id=8))["id"] == 8


async def test_a_message_out_of_place_is_answered(raw: ClientConnection) -> None:
    for msg_type, fields in (
        ("hello", {"client_type": "user"}),
        ("select_card_ack", {"identities": {}}),
    ):
        answer = await first_form.ask(raw, msg_type, id=3, **fields)
        assert (answer["code"], answer["id"]) == ("unexpected_message", 3)


async def test_unknown_fields_are_ignored(raw: ClientConnection) -> None:
    answer = await first_form.ask(raw, "list_cards", id=1, colour="blue")
    assert answer["msg_type"] == "list_cards_ack"


async def test_an_oversized_message_closes_with_1009(raw: ClientConnection) -> None:
    await raw.send(json.dumps({"msg_type": "c_apdu", "id": 1, "command": "00" * (1 << 20)}))
    assert (await first_form.closed_with(raw))[0] == 1009


async def test_a_binary_frame_closes_with_a_reason(raw: ClientConnection) -> None:
    await raw.send(b"\x00\xa4\x00\x00")
    assert "Binary frames" in (await first_form.receive(raw))["message"]
    assert (await first_form.closed_with(raw))[0] == 1003


@pytest.mark.parametrize("command", ["00a4000", "00a4 0000", "00g40000"])
async def test_wrong_hex_is_answered_and_the_session_goes_on(
    world: World, raw: ClientConnection, command: str
) -> None:
    await world.host()
    session = await select(raw, iccid=UICC)
    answer = await first_form.ask(raw, "c_apdu", id=2, session=session, command=command)
    assert (answer["code"], answer["id"]) == ("bad_hex", 2)
    assert command not in answer["message"]
    answer = await first_form.ask(raw, "c_apdu", id=3, session=session, command="00200001")
    assert answer["sw"] == "63c3"


@pytest.mark.parametrize("command", ["", "00a400", "00a4000003aabb", "00a40000000003aa"])
async def test_a_wrong_apdu_is_answered_and_never_reaches_the_card(
    world: World, raw: ClientConnection, command: str
) -> None:
    await world.host()
    session = await select(raw, iccid=UICC)
    answer = await first_form.ask(raw, "c_apdu", id=2, session=session, command=command)
    assert (answer["code"], answer["outcome"]) == ("bad_apdu", "not_executed")
    answer = await first_form.ask(
        raw, "batch", id=3, session=session, steps=[{"command": PIN.hex()}, {"command": command}]
    )
    assert (answer["code"], answer["outcome"]) == ("bad_apdu", "not_executed")
    answer = await first_form.ask(raw, "c_apdu", id=4, session=session, command="00200001")
    assert answer["sw"] == "63c3"


async def test_our_client_refuses_a_wrong_apdu_itself(world: World) -> None:
    await world.host()
    client = await world.user()
    async with client.select(iccid=UICC) as card:
        with pytest.raises(BadApduError, match="Lc says 3"):
            await card.transmit(bytes.fromhex("00a4000003aabb"))


async def test_a_batch_with_a_wrong_pattern_is_refused(world: World, raw: ClientConnection) -> None:
    await world.host()
    session = await select(raw, iccid=UICC)
    steps = [{"command": PIN.hex(), "expect": ["90"]}]
    answer = await first_form.ask(raw, "batch", id=2, session=session, steps=steps)
    assert (answer["msg_type"], answer["outcome"]) == ("error", "not_executed")
    assert "four hexadecimal digits" in answer["message"]


async def test_a_second_command_before_the_answer_to_the_first_is_refused(
    world: World, raw: ClientConnection
) -> None:
    await world.host([uicc(UICC, Faults(delay_s=0.3, only="0020"))])
    session = await select(raw, iccid=UICC)
    for id_ in (2, 3):
        message = {"msg_type": "c_apdu", "id": id_, "session": session, "command": "00200001"}
        await raw.send(json.dumps(message))
    refused, answered = await first_form.receive(raw), await first_form.receive(raw)
    assert (refused["id"], refused["code"]) == (3, "request_in_flight")
    assert (answered["id"], answered["sw"]) == (2, "63c3")


# Selections


@pytest.mark.parametrize("selection", [{}, {"iccid": ""}, {"label": "  "}])
async def test_a_user_that_selects_nothing_is_told_what_to_do(
    raw: ClientConnection, selection: dict[str, str]
) -> None:
    answer = await first_form.ask(raw, "select_card", id=1, **selection)
    assert answer["code"] == "nothing_selected"
    assert "ICCID" in answer["message"]


async def test_a_command_before_anything_is_selected_is_refused(raw: ClientConnection) -> None:
    answer = await first_form.ask(raw, "c_apdu", id=1, command="00a40000")
    assert (answer["code"], answer["outcome"]) == ("nothing_selected", "not_executed")
    answer = await first_form.ask(raw, "c_apdu", id=2, command="00a40000", session="made up")
    assert (answer["code"], answer["outcome"]) == ("no_such_session", "not_executed")


async def test_a_session_of_another_user_cannot_be_used(
    world: World, raw: ClientConnection
) -> None:
    await world.host()
    client = await world.user()
    async with client.select(iccid=UICC) as card:
        for msg_type, fields in (
            ("c_apdu", {"command": PIN.hex()}),
            ("reset_req", {}),
            ("detach", {}),
            ("batch", {"steps": [{"command": PIN.hex()}]}),
        ):
            answer = await first_form.ask(raw, msg_type, id=1, session=card.session, **fields)
            assert answer["code"] == "no_such_session"
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_an_unknown_id_is_refused_by_its_name(world: World) -> None:
    client = await world.user()
    with pytest.raises(NoSuchCardError, match="8988211000000430099"):
        await client.select(iccid="8988211000000430099")


async def test_two_card_clients_with_the_same_card_make_it_ambiguous(world: World) -> None:
    await world.host([uicc(UICC)], "berlin")
    await world.host([uicc(UICC)], "zurich")
    client = await world.user()
    with pytest.raises(AmbiguousCardError) as refused:
        await client.select(iccid=UICC)
    named = " ".join(refused.value.candidates)
    assert "berlin" in named
    assert "zurich" in named
    async with client.select(iccid=UICC, reader="Simulated UICC 00 00@zurich") as card:
        assert card.info.host == "zurich"


@pytest.mark.parametrize(
    ("on_card", "asked"),
    [
        ("898821100000043001", "898821100000043001"),
        ("898821100000043001", "898821100000043001FF"),
        ("8988211000000430010", "898821100000043001"),
        ("8988211000000430010", "8988211000000430010F"),
        ("8988211000000430010", "8988 2110 0000 0430 010f"),
        ("898821100000043001", "8988211000000430010"),
        ("89882110000004300123", "89882110000004300123"),
    ],
)
async def test_an_iccid_of_18_19_or_20_digits_is_found(
    world: World, on_card: str, asked: str
) -> None:
    await world.host([uicc(on_card)])
    client = await world.user()
    async with client.select(iccid=asked) as card:
        assert card.info.identities.iccid == on_card
