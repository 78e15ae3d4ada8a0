# SPDX-License-Identifier: Apache-2.0
"""Server-sent events: nothing is missed, nothing comes twice, and nobody who is slow costs much."""

import asyncio
import socket
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.http_served import API, asking
from tests.support.world import EUICC, LIMIT_S, UICC, running, taken, uicc, until
from wsrc.card.slot import SlotState
from wsrc.protocol import messages as m
from wsrc.server.http.events import MOST_WAITING, Stream, Texts

ASK = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def test_a_stream_begins_with_a_snapshot_and_tells_each_change(
    certificates: Certificates,
) -> None:
    async with running(certificates) as world, asking(world.http_url) as asker:
        await world.host()
        async with asker.events() as events:
            name, data = await events.next()
            assert (name, len(data["readers"]), data["more"]) == ("snapshot", 2, False)
            session = await asker.session(iccid=UICC)
            name, data = await events.next()
            assert (name, data["change"]) == ("reader", "changed")
            assert data["reader"]["lease"]["holder"] == "http"
            await asker.ask("DELETE", API + session)
            seen = [(await events.next())[1]["reader"]["card"]["state"]]
            while seen[-1] != "ready":
                seen.append((await events.next())[1]["reader"]["card"]["state"])
            assert "resetting" in seen


async def test_filters_choose_readers(certificates: Certificates) -> None:
    async with running(certificates) as world, asking(world.http_url) as asker:
        await world.host()
        async with asker.events(f"?eid={EUICC}") as events:
            _, data = await events.next()
            assert [each["card"]["eids"] for each in data["readers"]] == [[EUICC]]
            await asker.session(iccid=UICC)
            await asker.session(eid=EUICC)
            _, data = await events.next()
            assert data["reader"]["card"]["eids"] == [EUICC]


async def test_that_reservations_are_others_is_told_and_not_what_they_are(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with (
        running(certificates, state_dir=tmp_path) as world,
        asking(world.http_url) as asker,
    ):
        await world.host()
        async with asker.events("?label=none") as events:
            assert (await events.next())[0] == "snapshot"
            made = await asker.post("/reservations", {"iccid": UICC, "for_s": 600})
            assert await events.next() == ("reservations", {})
            number = made.body["reservation"]["number"]
            answer = await asker.ask("DELETE", f"{API}/reservations/{number}")
            assert answer.status == 204
            assert await events.next() == ("reservations", {})


async def test_who_waits_for_a_card_and_for_any_is_counted(certificates: Certificates) -> None:
    async with running(certificates) as world, asking(world.http_url) as asker:
        await world.host()
        holder, one, other = [await world.user(name) for name in ("ann", "bob", "cid")]
        async with (
            await holder.select(iccid=UICC),
            asker.events(f"?iccid={UICC}") as events,
            asyncio.TaskGroup() as tasks,
        ):
            _, data = await events.next()
            assert "waiting" not in data["readers"][0]
            waits = tasks.create_task(taken(one.select(iccid=UICC, wait_s=60)))
            name, data = await events.next()
            assert (name, data["change"], data["reader"]["waiting"]) == ("reader", "changed", 1)
            takes = tasks.create_task(taken(other.select(iccid=UICC, pick="any", wait_s=60)))
            assert await events.next() == ("waiting", {"any": 1})
            async with asker.events() as second:
                await second.next()
                assert await second.next() == ("waiting", {"any": 1})
            for task in (takes, waits):
                task.cancel()
            told = [await events.next(), await events.next()]
            assert ("waiting", {"any": 0}) in told
            (changed,) = [data for name, data in told if name == "reader"]
            assert "waiting" not in changed["reader"]


async def test_who_comes_back_is_sent_what_it_missed(certificates: Certificates) -> None:
    async with running(certificates) as world, asking(world.http_url) as asker:
        await world.host()
        async with asker.events() as events:
            await events.next()
            last = events.last_id
        await asker.session(iccid=UICC)
        async with asker.events(Last_Event_ID=last) as events:
            name, data = await events.next()
            assert (name, data["reader"]["card"]["iccid"]) == ("reader", UICC)


@pytest.mark.parametrize("last", ["", "x", "other:1", ":", "a:-1", "x" * 200, "a:9007199254740993"])
async def test_an_id_of_another_run_gets_a_new_snapshot(
    certificates: Certificates, last: str
) -> None:
    async with (
        running(certificates) as world,
        asking(world.http_url) as asker,
        asker.events(Last_Event_ID=last) as events,
    ):
        assert (await events.next())[0] == "snapshot"


async def test_a_snapshot_of_many_readers_comes_in_pages(certificates: Certificates) -> None:
    cards = [uicc(f"89882110000{number:07}0") for number in range(201)]
    async with running(certificates) as world, asking(world.http_url) as asker:
        await world.host(cards)
        async with asker.events() as events:
            _, first = await events.next()
            assert (len(first["readers"]), first["more"], events.last_id) == (200, True, "")
            _, second = await events.next()
            assert (len(second["readers"]), second["more"]) == (1, False)
            assert events.last_id


async def test_silence_is_broken_by_heartbeats(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.server.http.desk.LOOK_S", 0.02)
    monkeypatch.setattr("wsrc.server.http.desk.BEAT_S", 0.04)
    async with running(certificates) as world:
        reader, writer = await asyncio.open_connection("localhost", world.app.http_port)
        writer.write(ASK)
        async with asyncio.timeout(LIMIT_S):
            await reader.readuntil(b": \n\n")
            await reader.readuntil(b": \n\n")
        writer.close()


async def test_who_does_not_read_is_dropped_and_nobody_waits_for_it(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.server.http.events.WRITE_S", 0.3)
    cards = [uicc(f"89882110000{number:07}0") for number in range(400)]
    async with running(certificates) as world, asking(world.http_url) as asker:
        await world.host(cards)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.connect(("127.0.0.1", world.app.http_port))
            assert world.app._door is not None
            await until(lambda: any(each.http for each in world.app._door.connections))
            (served,) = (each for each in world.app._door.connections if each.http)
            await until(lambda: served.transport is not None)
            raw = served.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
            slow.sendall(ASK)
            assert world.app._site is not None
            desk = world.app._site.desk
            await until(lambda: bool(desk._streams))
            assert (await asker.get("/cards?limit=1")).status == 200
            await until(lambda: not desk._streams)
            await until(lambda: served not in world.app._door.connections)


async def test_a_client_for_which_too_much_waits_is_told_to_begin_anew() -> None:
    stream = Stream()
    change = m.Restarting(reconnect_in_s=1.0)
    for _ in range(MOST_WAITING):
        stream.told(change)
    assert not stream.lost
    assert await stream.next() is change
    stream.told(change)
    stream.told(change)
    assert stream.lost
    assert await stream.next() is None
    assert not stream.waiting
    stream.told(change)
    assert not stream.waiting


async def test_a_client_that_goes_leaves_nothing_behind(certificates: Certificates) -> None:
    async with running(certificates) as world:
        for _ in range(3):
            reader, writer = await asyncio.open_connection("localhost", world.app.http_port)
            writer.write(ASK)
            async with asyncio.timeout(LIMIT_S):
                await reader.readuntil(b"event: snapshot")
            writer.transport.abort()
        assert world.app._site is not None
        desk = world.app._site.desk
        await until(lambda: not desk._streams)
        assert len(desk) == 0
        assert world.counts["peers"] == 0


async def test_there_are_no_more_streams_than_may_be(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.server.http.desk.MOST", 2)
    async with (
        running(certificates) as world,
        asking(world.http_url) as asker,
        asker.events(),
        asker.events(),
    ):
        refused = await asker.get("/events")
        assert (refused.status, refused.code) == (429, "too_many")
        assert int(refused.headers["retry-after"]) >= 1


async def test_a_change_is_written_once_for_all_streams() -> None:
    texts = Texts()
    one, other = [
        m.ReaderEvent(
            seq=seq,
            change=m.Change.ADDED,
            reader=m.ReaderView(
                number=seq, reader=f"r{seq}", name="R", host="bench", state=SlotState.EMPTY
            ),
        )
        for seq in (1, 2)
    ]
    first = texts.of(one)
    assert texts.of(one) is first
    assert first.startswith(b'event: reader\ndata: {"change":"added","reader":{"number":1,')
    assert b'"reader":"r2"' in texts.of(other)
    assert texts.of(one) == first
