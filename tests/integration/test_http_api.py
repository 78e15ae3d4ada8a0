# SPDX-License-Identifier: Apache-2.0
"""The REST interface of a server: each route where it gives what is asked, and where not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.certificates import Certificates
from tests.support.http_served import API, Asker, asking
from tests.support.world import EUICC, LIMIT_S, UICC, World, running, uicc, until
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Faults

UICC_LINE = {"command": "00a4000c023f00"}


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates, http_idle_s=60.0) as made:
        await made.host()
        yield made


@pytest.fixture
async def asker(world: World) -> AsyncIterator[Asker]:
    async with asking(world.http_url) as made:
        yield made


async def test_cards_and_readers_are_listed_filtered_and_paged(asker: Asker) -> None:
    cards = (await asker.get("/cards")).body
    assert [card["state"] for card in cards["cards"]] == ["ready", "ready"]
    assert "next" not in cards
    (card,) = (await asker.get(f"/cards?iccid={UICC}")).body["cards"]
    assert (card["iccid"], card["host"]) == (UICC, "bench")
    (euicc,) = (await asker.get(f"/cards?eid={EUICC}")).body["cards"]
    assert euicc["eids"] == [EUICC]
    first = (await asker.get("/readers?limit=1")).body
    assert len(first["readers"]) == 1
    second = (await asker.get(f"/readers?limit=1&after={first['next']}")).body
    assert second["readers"][0]["number"] > first["readers"][0]["number"]
    assert (await asker.get("/cards?reader=*eUICC*")).body["cards"] == [euicc]
    assert (await asker.get("/cards?label=nobody")).body == {"cards": []}


async def test_hosts_and_leases_tell_who_has_what(asker: Asker, world: World) -> None:
    user = await world.user("ann")
    async with await user.select(iccid=UICC):
        hosts = (await asker.get("/hosts")).body
        assert hosts == {"hosts": [{"host": "bench", "readers": 2, "cards": 2, "held": 1}]}
        (lease,) = (await asker.get("/leases")).body["leases"]
        assert (lease["iccid"], lease["lease"]["holder"]) == (UICC, "ann")
        refused = await asker.post("/sessions", {"iccid": UICC})
        assert (refused.status, refused.code) == (409, "card_busy")
        assert refused.body["lease"]["holder"] == "ann"

    async def free() -> bool:
        return not (await asker.get("/leases")).body["leases"]

    await until(free)


async def test_a_curl_can_talk_to_a_card(asker: Asker, world: World) -> None:
    taken = await asker.post("/sessions", {"iccid": UICC, "name": "curl"})
    session = taken.headers["location"].removeprefix(API)
    assert (taken.status, taken.body["card"]["iccid"]) == (201, UICC)
    assert taken.body["idle_s"] == 60
    assert (await asker.get("/sessions")).body["sessions"] == [taken.body]
    assert (await asker.get(session)).body == taken.body
    assert (await asker.post(f"{session}/transmit", UICC_LINE)).body == {
        "response": "",
        "sw": "9000",
        "meaning": "done",
    }
    steps = [{"command": "00a4000c022fe2"}, {"command": "00b000000a", "expect": ["9xxx"]}]
    batch = (await asker.post(f"{session}/batch", {"steps": steps})).body
    assert [each["sw"] for each in batch["results"]] == ["9000", "9000"]
    assert batch["results"][1]["response"] == "988812010000400310f0"
    assert (await asker.post(f"{session}/reset", {"kind": "warm"})).body["atr"].startswith("3b")
    assert (await world.state_of(iccid=UICC)) is CardState.ASSOCIATED
    assert (await asker.ask("DELETE", API + session)).status == 204
    assert (await asker.ask("DELETE", API + session)).code == "no_such_session"
    assert (await asker.get("/sessions")).body == {"sessions": []}

    async def ready() -> bool:
        return await world.state_of(iccid=UICC) is CardState.READY

    await until(ready)


async def test_a_batch_tells_where_it_stopped(asker: Asker) -> None:
    session = await asker.session(iccid=UICC)
    steps = [{"command": "00a4000c026f99", "expect": ["9000"]}, {"command": "00b000000a"}]
    stopped = (await asker.post(f"{session}/batch", {"steps": steps})).body
    assert (stopped["stopped"], len(stopped["results"])) == (0, 1)


async def test_what_is_refused_says_why_and_whether_the_card_has_run_it(asker: Asker) -> None:
    session = await asker.session(iccid=UICC)
    for path, body, status, code in (
        ("transmit", {"command": "00"}, 400, "bad_apdu"),
        ("transmit", {"command": "0g"}, 400, "bad_hex"),
        ("transmit", {"command": 1}, 400, "bad_message"),
        ("transmit", {}, 400, "bad_message"),
        ("transmit", {"command": "00a40000", "pin": "1234"}, 400, "bad_message"),
        ("batch", {"steps": []}, 400, "bad_message"),
        ("batch", {"steps": [UICC_LINE], "seq": 0}, 400, "bad_message"),
        ("reset", {"kind": "hot"}, 400, "bad_message"),
        ("control", {"number": -1, "data": ""}, 400, "bad_message"),
        ("control", {"number": 1, "data": ""}, 422, "not_supported"),
    ):
        answer = await asker.post(f"{session}/{path}", body)
        assert (answer.status, answer.code) == (status, code), answer
    short = await asker.post(f"{session}/transmit", {"command": "00"})
    assert short.body["outcome"] == "not_executed"
    absent = await asker.post(f"/sessions/{'0' * 32}/transmit", UICC_LINE)
    assert (absent.status, absent.code) == (404, "no_such_session")
    assert absent.body["outcome"] == "not_executed"


async def test_a_request_that_is_sent_again_with_its_number_runs_once(asker: Asker) -> None:
    session = await asker.session(iccid=UICC)
    wrong_pin = {"command": "002000010831323335ffffffff", "seq": 1}
    first = await asker.post(f"{session}/transmit", wrong_pin)
    assert first.body["sw"].lower() == "63c2"
    assert (await asker.post(f"{session}/transmit", wrong_pin)).body == first.body
    asked = await asker.post(f"{session}/transmit", {"command": "00200001", "seq": 2})
    assert asked.body["sw"].lower() == "63c2"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "nothing_selected"),
        ({"iccid": ""}, 400, "nothing_selected"),
        ({"iccid": "8949"}, 404, "no_such_card"),
        ({"any": "x" * 257}, 400, "bad_message"),
        ({"iccid": UICC, "wait_s": 61}, 400, "bad_message"),
        ({"iccid": UICC, "share": "with all"}, 400, "bad_message"),
        ({"iccid": UICC, "protocols": ["T0"] * 17}, 400, "bad_message"),
        ({"iccid": UICC, "protocols": ["T=CL"]}, 400, "bad_message"),
        ([], 400, "bad_message"),
        ("text", 400, "bad_message"),
    ],
)
async def test_a_card_that_is_not_given_says_why(
    asker: Asker, body: object, status: int, code: str
) -> None:
    answer = await asker.post("/sessions", body)
    assert (answer.status, answer.code) == (status, code), answer


async def test_an_ambiguous_selection_names_some_that_match(asker: Asker, world: World) -> None:
    await world.host(name="bench-2")
    answer = await asker.post("/sessions", {"iccid": UICC})
    assert (answer.status, answer.code) == (409, "ambiguous")
    assert len(answer.body["candidates"]) == 2


async def test_who_waits_is_given_the_card_once_it_is_free(asker: Asker, world: World) -> None:
    session = await asker.session(iccid=UICC)
    async with asyncio.TaskGroup() as tasks:
        waits = tasks.create_task(asker.post("/sessions", {"iccid": UICC, "wait_s": 20}))
        await until(lambda: world.counts["waiting"] == 1)
        await asker.ask("DELETE", API + session)
    assert waits.result().status == 201


async def test_who_goes_while_waiting_waits_no_more(asker: Asker, world: World) -> None:
    await asker.session(iccid=UICC)
    waits = asyncio.get_running_loop().create_task(
        asker.post("/sessions", {"iccid": UICC, "wait_s": 60})
    )
    await until(lambda: world.counts["waiting"] == 1)
    waits.cancel()
    await until(lambda: world.counts["waiting"] == 0)


async def test_a_session_outlives_the_connection_and_ends_when_it_is_not_used(
    certificates: Certificates,
) -> None:
    async with running(certificates, http_idle_s=0.5) as world:
        await world.host()
        async with asking(world.http_url) as asker:
            session = await asker.session(iccid=UICC)
        async with asking(world.http_url) as asker:
            assert (await asker.post(f"{session}/transmit", UICC_LINE)).status == 200
            await until(lambda: world.counts["sessions"] == 0)
            assert (await asker.post(f"{session}/transmit", UICC_LINE)).code == "no_such_session"


async def test_a_session_that_the_server_ended_says_why_once(certificates: Certificates) -> None:
    async with running(certificates, lease_idle_s=0.3) as world:
        await world.host()
        async with asking(world.http_url) as asker:
            session = await asker.session(iccid=UICC)
            await until(lambda: world.counts["sessions"] == 0)
            assert (await asker.get("/sessions")).body == {"sessions": []}
            told = await asker.post(f"{session}/transmit", UICC_LINE)
            assert (told.status, told.code) == (410, "lease_expired")
            assert told.body["outcome"] == "not_executed"
            assert (await asker.get(session)).code == "no_such_session"


async def test_two_requests_at_a_time_for_one_card_are_refused_not_mixed_up(
    asker: Asker,
) -> None:
    session = await asker.session(iccid=UICC)
    async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(asker.post(f"{session}/transmit", UICC_LINE)) for _ in range(20)]
    answers = [each.result() for each in asked]
    assert {answer.status for answer in answers} <= {200, 409}
    assert 200 in {answer.status for answer in answers}
    assert {each.code for each in answers if each.status == 409} <= {"request_in_flight"}


async def test_the_document_names_every_route(asker: Asker) -> None:
    document = (await asker.get("/openapi.json")).body
    assert document["openapi"] == "3.1.0"
    assert f"{API}/sessions/{{session}}/transmit" in document["paths"]


async def test_a_server_without_http_has_no_port_for_it(certificates: Certificates) -> None:
    async with running(certificates, no_http=True) as world:
        assert world.app.http_port == 0


async def test_a_server_that_stops_says_so_and_does_not_wait_for_clients(
    certificates: Certificates,
) -> None:
    async with running(certificates, drain_s=20.0) as world, asking(world.http_url) as asker:
        await world.host()
        await asker.session(iccid=UICC)
        assert (await asker.ask("GET", "/readyz")).body == {"ready": True}
        async with asking(world.http_url) as other, other.events() as events:
            assert (await events.next())[0] == "snapshot"
            stop = asyncio.get_running_loop().create_task(world.app.stop())
            name, data = await events.next()
            while name != "end":
                name, data = await events.next()
            assert data["code"] == "shutting_down"
        async with asyncio.timeout(5):
            await stop


async def test_a_server_that_stops_is_not_ready_and_says_why_while_commands_finish(
    certificates: Certificates,
) -> None:
    slow = uicc(UICC, Faults(delay_s=1.5, only="00a4000c02"))
    async with running(certificates, drain_s=20.0) as world, asking(world.http_url) as asker:
        await world.host([slow])
        session = await asker.session(iccid=UICC)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(asker.post(f"{session}/transmit", UICC_LINE))
            await until(lambda: world.in_flight == 1)
            stop = tasks.create_task(world.app.stop())
            await until(lambda: world.app.stopping)
            async with asking(world.http_url) as other:  # on a connection of its own
                told = await other.ask("GET", "/readyz")
                assert (told.status, told.body) == (
                    503,
                    {"ready": False, "why": ["it is about to stop"]},
                )
                assert (await other.ask("GET", "/healthz")).status == 200
                refused = await other.post("/sessions", {"iccid": UICC})
                assert (refused.status, refused.code) == (503, "shutting_down")
            await stop
        assert asked.result().body == {"response": "", "sw": "9000", "meaning": "done"}
