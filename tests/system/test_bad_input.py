# SPDX-License-Identifier: Apache-2.0
"""Bad input: a clear error on the right side, and nothing lost of what others have."""

import asyncio
import contextlib
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from certs.make_certs import Certificates, make
from tests.system import first_form
from tests.system.programs import argv, environment
from tests.system.world import ASK_PIN, EUICC, PIN, UICC, World, running, until
from wsrc.config import ServerSettings
from wsrc.errors import (
    AmbiguousCardError,
    BadApduError,
    CardNotPresentError,
    CardUnresponsiveError,
    ConfigError,
    ConnectionLostError,
    ErrorCode,
    NoSuchCardError,
    Outcome,
    OutcomeUnknownError,
    SessionError,
    SessionLostError,
)
from wsrc.messages import CardState
from wsrc.readers.simulation import Card, Faults, When, default_cards, make_card, parse_description
from wsrc.server.app import serve
from wsrc.user_client.aio import Client

pytestmark = pytest.mark.usefixtures("bystander")

HELLO = {"msg_type": "hello", "client_type": "user", "version": 1, "name": "raw"}


@pytest.fixture
async def bystander(world: World) -> AsyncIterator[None]:
    """Another user, whose session and verified PIN must survive all that happens."""
    await world.host([uicc("8988211999000000019")], "elsewhere")
    client = await world.user("bystander")
    async with client.select(reader="Simulated UICC 00 00@elsewhere") as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        yield
        assert (await card.transmit(ASK_PIN)).sw == 0x9000


def uicc(iccid: str, faults: Faults | None = None) -> Card:
    card = make_card(parse_description(f'kind = "uicc"\niccid = "{iccid}"', "test"))
    if faults is not None:
        card.faults = faults
    return card


@pytest.fixture
async def raw(world: World, certificates: Certificates) -> AsyncIterator[ClientConnection]:
    """A connection that has said hello in the present form, to be misused."""
    async with first_form.connected(world.user_url, certificates.ca) as socket:
        ack = await first_form.ask(socket, **HELLO)
        assert ack["version"] == 1
        yield socket


async def closed_with(socket: ClientConnection) -> tuple[int, str]:
    async with asyncio.timeout(first_form.LIMIT_S):
        with contextlib.suppress(ConnectionClosed):
            async for _ in socket:
                pass
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


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
    code, why = await closed_with(raw)
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
    assert (await closed_with(raw))[0] == 1009


async def test_a_binary_frame_closes_with_a_reason(raw: ClientConnection) -> None:
    await raw.send(b"\x00\xa4\x00\x00")
    assert "Binary frames" in (await first_form.receive(raw))["message"]
    assert (await closed_with(raw))[0] == 1002


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


# Cards and readers


async def test_a_card_removed_before_a_command_ends_the_session_with_the_reason(
    world: World,
) -> None:
    host = await world.host()
    client = await world.user()
    card = await client.select(iccid=UICC)
    host.source.remove("Simulated UICC 00 00")
    await until(lambda: world.counts["sessions"] == 1)
    with pytest.raises(SessionLostError, match="taken out") as lost:
        await card.transmit(ASK_PIN)
    assert lost.value.code is ErrorCode.CARD_NOT_PRESENT
    with pytest.raises(NoSuchCardError):
        await client.select(iccid=UICC)


@pytest.mark.parametrize("when", When)
async def test_a_card_removed_during_a_command_leaves_a_named_outcome(
    world: World, when: When
) -> None:
    await world.host([uicc(UICC, Faults(dies_at=1, when=when, only="0020"))])
    client = await world.user()
    card = await client.select(iccid=UICC)
    with pytest.raises(CardNotPresentError) as failed:
        await card.transmit(PIN)
    known = {When.BEFORE: Outcome.NOT_EXECUTED, When.AFTER: Outcome.UNKNOWN}
    assert failed.value.outcome is known[when]
    with pytest.raises((SessionError, CardNotPresentError)):
        await card.transmit(ASK_PIN)


async def test_a_card_removed_after_a_command_and_put_in_again_is_another_insertion(
    world: World,
) -> None:
    host = await world.host()
    client = await world.user()
    card = await client.select(iccid=UICC)
    assert (await card.transmit(PIN)).sw == 0x9000
    host.source.insert("Simulated UICC 00 00", host.source.remove("Simulated UICC 00 00"))
    with pytest.raises((SessionError, CardNotPresentError)):
        await until_lost(card)
    async with client.select(iccid=UICC, wait_s=10) as again:
        assert (await again.transmit(ASK_PIN)).sw == 0x63C3


async def until_lost(card: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            assert (await card.transmit(ASK_PIN)).sw == 0x9000


async def test_an_unplugged_reader_ends_its_session_and_no_other(world: World) -> None:
    host = await world.host()
    client = await world.user()
    first, second = await client.select(iccid=UICC), await client.select(eid=EUICC)
    host.source.unplug("Simulated UICC 00 00")
    await until(lambda: world.counts["sessions"] == 2)
    with pytest.raises(SessionLostError, match="unplugged") as lost:
        await first.transmit(ASK_PIN)
    assert lost.value.code is ErrorCode.READER_UNAVAILABLE
    assert (await second.transmit(ASK_PIN)).sw == 0x63C3
    host.source.plug(default_cards()[0])
    async with client.select(iccid=UICC, wait_s=10):
        pass


async def test_a_mute_card_is_shown_as_mute_and_refused(world: World) -> None:
    await world.host()
    mute = await world.host_without_waiting([uicc("8988211000000430028", Faults(mute=True))], "b")
    await until(lambda: _is(world, CardState.MUTE, reader="*@b"))
    client = await world.user()
    with pytest.raises(CardUnresponsiveError, match="no ATR"):
        await client.select(reader=f"{mute.source.names[0]}@b")


async def _is(world: World, state: CardState, **filters: str) -> bool:
    return await world.state_of(**filters) is state


async def test_a_card_that_does_not_answer_in_time_harms_no_other_reader(world: World) -> None:
    hanging = uicc(UICC, Faults(delay_s=3600.0, only="0020"))
    host = await world.host([hanging, default_cards()[1]], command_s=0.3)
    client = await world.user()
    stuck, fine = await client.select(iccid=UICC), await client.select(eid=EUICC)
    with pytest.raises((CardUnresponsiveError, OutcomeUnknownError), match="did not answer within"):
        await stuck.transmit(ASK_PIN)
    with pytest.raises((SessionError, CardUnresponsiveError)):
        await stuck.transmit(ASK_PIN)
    assert (await fine.transmit(ASK_PIN)).sw == 0x63C3
    hanging.faults = Faults()
    name = host.source.names[0]
    host.source.insert(name, host.source.remove(name))
    async with client.select(iccid=UICC, wait_s=10) as card:
        assert (await card.transmit(ASK_PIN)).sw == 0x63C3


async def test_a_card_client_that_never_answers_leaves_no_user_waiting(
    certificates: Certificates,
) -> None:
    limits = {"command_s": 0.3, "attach_s": 0.5}
    async with running(certificates, **limits) as world:
        hello = {
            "client_type": "card",
            "version": 1,
            "name": "deaf",
            "readers": [{"reader": "r", "name": "r", "state": "ready", "insertion": 1}],
        }
        async with first_form.connected(world.card_url, certificates.ca) as deaf:
            await first_form.ask(deaf, "hello", **hello)
            client = await world.user()
            with pytest.raises(CardUnresponsiveError, match="did not reset"):
                await client.select(reader="r")
            assert await world.state_of(reader="r") is CardState.RESETTING
            assert [(await first_form.receive(deaf))["msg_type"] for _ in range(3)] == [
                "attach",
                "detach",
                "detach",
            ]
        async with first_form.connected(world.card_url, certificates.ca) as deaf:
            await first_form.ask(deaf, "hello", **hello)
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(_select(client))
                attach = await first_form.receive(deaf)
                ack = {"msg_type": "attach_ack", "session": attach["session"], "atr": "3b00"}
                await deaf.send(json.dumps(ack))
            card = asking.result()
            with pytest.raises(OutcomeUnknownError, match="did not answer in time"):
                await card.transmit(ASK_PIN)
        await until(lambda: world.counts["cards"] == 0)


async def _select(client: Client) -> Any:
    return await client.select(reader="r")


# TLS and start


async def test_a_wrong_ca_is_named(world: World, tmp_path: Path) -> None:
    other = make(tmp_path)
    with pytest.raises(ConnectionLostError, match="CA"):
        async with Client(world.user_url, ca=other.ca):
            pass


async def test_a_wrong_host_name_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLostError, match=r"localhost"):
        await connect_to(make(tmp_path, ["relay.example"]))


async def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    start = datetime.now(UTC) - timedelta(days=10)
    with pytest.raises(ConnectionLostError, match="expired"):
        await connect_to(make(tmp_path, days=1, start=start))


async def connect_to(certificates: Certificates) -> None:
    async with running(certificates) as world, Client(world.user_url, ca=certificates.ca):
        pass


async def test_a_plain_client_on_a_tls_port_is_told_so(world: World) -> None:
    with pytest.raises(ConnectionLostError, match="wss://"):
        async with Client(f"ws://localhost:{world.app.user_port}"):
            pass


async def test_a_tls_client_on_a_plain_port_is_told_so(certificates: Certificates) -> None:
    async with running(certificates, no_tls=True) as world:
        with pytest.raises(ConnectionLostError, match="ws://"):
            async with Client(world.user_url, ca=certificates.ca):
                pass


async def test_a_card_client_on_the_port_for_users_is_told_so(
    world: World, certificates: Certificates
) -> None:
    async with first_form.connected(world.user_url, certificates.ca) as socket:
        answer = await first_form.ask(socket, "hello", client_type="card", version=1)
        assert "not for a card client" in answer["message"]
        assert (await closed_with(socket))[0] == 1002


async def test_a_web_page_is_refused(world: World, certificates: Certificates) -> None:
    head = await http(world, certificates, "Origin: https://evil.example\r\n")
    assert head.startswith("HTTP/1.1 403")


async def test_a_browser_is_told_what_this_is(world: World, certificates: Certificates) -> None:
    answer = await http(world, certificates, "", upgrade=False)
    assert answer.startswith("HTTP/1.1 426")
    assert "WSRC" in answer


async def http(world: World, certificates: Certificates, more: str, *, upgrade: bool = True) -> str:
    context = ssl.create_default_context(cafile=certificates.ca)
    reader, writer = await asyncio.open_connection("localhost", world.app.user_port, ssl=context)
    ws = "Upgrade: websocket\r\nConnection: Upgrade\r\n" if upgrade else "Connection: close\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\n{ws}{key}{more}\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read(4096)
        if not upgrade:
            answer += await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_a_connection_that_says_nothing_is_dropped(certificates: Certificates) -> None:
    async with running(certificates, hello_s=0.3) as world:
        silent = socket.create_connection(("localhost", world.app.user_port))
        silent.settimeout(10)
        with silent:
            assert await asyncio.to_thread(silent.recv, 1) == b""
        async with first_form.connected(world.user_url, certificates.ca) as raw:
            assert (await first_form.receive(raw))["code"] == "hello_timeout"
            assert (await closed_with(raw))[0] == 1008


async def test_one_peer_too_many_is_refused_before_the_upgrade(certificates: Certificates) -> None:
    async with running(certificates, max_peers=1) as world:
        await world.user()
        with pytest.raises(ConnectionLostError, match="503"):
            await world.user("second")


async def test_a_port_in_use_is_named(certificates: Certificates, world: World) -> None:
    settings = ServerSettings(
        tls_cert=certificates.cert, tls_key=certificates.key, user_port=world.app.user_port
    )
    with pytest.raises(ConfigError, match=f"{world.app.user_port}.*in use"):
        async with serve(settings):
            pass


async def test_an_unreadable_key_file_is_one_line_and_exit_status_2(
    certificates: Certificates, tmp_path: Path
) -> None:
    key = tmp_path / "missing-key.pem"
    files = ("--tls-cert", str(certificates.cert), "--tls-key", str(key))
    program = await asyncio.create_subprocess_exec(
        *argv("wsrc-server", *files, "--user-port", "0", "--card-port", "0"),
        env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        _, errors = await program.communicate()
    assert program.returncode == 2
    assert re.fullmatch(rf"wsrc-server: tls_key: .*{key}.*\n", errors.decode())
