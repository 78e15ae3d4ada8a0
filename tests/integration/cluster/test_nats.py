# SPDX-License-Identifier: Apache-2.0
"""wsrc.cluster.nats against real servers of NATS: what arrives, and what nobody answers."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.nats import (
    LIMIT_S,
    PASSWORD,
    QUICK,
    Carried,
    Heard,
    Nats,
    accounts,
    carried,
    nats_server,
    until_logged,
)
from wsrc.cluster.names import Names
from wsrc.cluster.nats import NatsCarrier, Place
from wsrc.cluster.nats_client import NatsConnection, _Reader
from wsrc.cluster.nats_words import LONGEST


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """A server that all may use, and that no test harms."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


def _place(*servers: Nats) -> Place:
    return Place([each.url for each in servers])


async def test_what_is_published_is_heard_by_all_others_and_not_by_who_published_it(
    server: Nats,
) -> None:
    where = _place(server)
    async with carried(where) as a, carried(where) as b, carried(where) as c:
        for each in (a, b, c):
            each.carrier.subscribe("wsrc.t.here")
        await b.hears(a, "wsrc.t.here")
        await c.hears(a, "wsrc.t.here")
        assert a.ears.messages == []


@pytest.mark.parametrize("held", [True, False])
async def test_what_is_said_in_one_turn_is_written_together_in_its_order(
    server: Nats, *, held: bool
) -> None:
    said = [b"%d" % number for number in range(100)]
    async with carried(_place(server)) as a, carried(_place(server)) as b:
        b.carrier.subscribe("wsrc.t.turn")
        await b.hears(a, "wsrc.t.turn")
        connection, begun = a.carrier._connection, len(b.ears.messages)
        assert connection is not None
        if held:
            a.carrier.hold()
        for each in said:
            a.carrier.publish("wsrc.t.turn", each)
        assert connection.pending_data_size
        if held:
            a.carrier.write_out()
            assert not connection.pending_data_size
        await b.ears.until(lambda: b.ears.messages[-1][1] == said[-1])
        came = [octets for _, octets in b.ears.messages[begun:] if octets != b"?"]
        assert came == said


@pytest.mark.parametrize("step", range(0, 60, 3))
async def test_a_carrier_ends_at_whatever_step_of_its_greeting(server: Nats, step: int) -> None:
    ears = Heard()
    carrier = NatsCarrier(_place(server), "a", Names("c", "a").inbox, ears)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(carrier.run())
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=LIMIT_S)
        assert task.done()
        assert not carrier.connected


async def test_a_carrier_ends_where_its_end_is_swallowed(
    server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = NatsConnection.open

    async def swallowing(connection: NatsConnection, *args: Any, **options: Any) -> None:
        await opened(connection, *args, **options)
        cancelled.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(LIMIT_S)

    cancelled = asyncio.Event()
    monkeypatch.setattr(NatsConnection, "open", swallowing)
    carrier = NatsCarrier(_place(server), "a", Names("c", "a").inbox, Heard())
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(carrier.run())
        await cancelled.wait()
        task.cancel()
        await asyncio.wait([task], timeout=LIMIT_S)
        assert task.done()


async def test_messages_of_one_sender_arrive_whole_and_in_their_order(server: Nats) -> None:
    async with carried(_place(server)) as a, carried(_place(server)) as b:
        b.carrier.subscribe("wsrc.t.order")
        await b.hears(a, "wsrc.t.order")
        await b.carrier.flush(LIMIT_S)
        begun = len(b.ears.messages)
        sent = [bytes([n % 256]) * (n * 997 % 4_000) for n in range(500)]
        sent += [bytes(LONGEST), b"", b"\r\nPUB x 1\r\n"]
        for octets in sent:
            a.carrier.publish("wsrc.t.order", octets)
        await b.ears.until(lambda: len(b.ears.messages) >= begun + len(sent))
        assert [octets for _, octets in b.ears.messages][-len(sent) :] == sent


async def test_who_asks_is_told_at_once_that_nobody_subscribes(server: Nats) -> None:
    async with carried(_place(server)) as a, carried(_place(server)) as b:
        b.carrier.subscribe("wsrc.t.has.iccid.0")
        await b.hears(a, "wsrc.t.has.iccid.0")
        a.carrier.ask("wsrc.t.has.iccid.0", b"where", 1)
        for number in (2, 3, 1 << 40):
            a.carrier.ask(f"wsrc.t.has.iccid.{number}", b"where", number)
        await a.ears.until(lambda: len(a.ears.unanswered) >= 3)
        assert a.ears.unanswered == [2, 3, 1 << 40]
        await b.ears.until(lambda: b.ears.messages[-1] == ("wsrc.t.has.iccid.0", b"where"))
        assert a.carrier.counts.nobody == 3


async def test_what_only_oneself_subscribes_nobody_answers(server: Nats) -> None:
    async with carried(_place(server)) as a:
        a.carrier.subscribe("wsrc.t.mine")
        await a.carrier.flush(LIMIT_S)
        a.carrier.ask("wsrc.t.mine", b"", 7)
        await a.ears.until(lambda: a.ears.unanswered == [7])


async def test_nothing_is_heard_of_what_is_not_subscribed_any_more(server: Nats) -> None:
    async with carried(_place(server)) as a, carried(_place(server)) as b:
        b.carrier.subscribe("wsrc.t.gone")
        b.carrier.subscribe("wsrc.t.gone")
        b.carrier.subscribe("wsrc.t.kept")
        await b.hears(a, "wsrc.t.gone")
        b.carrier.hold()
        b.carrier.unsubscribe("wsrc.t.gone")
        b.carrier.unsubscribe("wsrc.t.never")
        begun = len(b.ears.messages)
        a.carrier.publish("wsrc.t.gone", b"1")
        await a.carrier.flush(LIMIT_S)
        b.carrier.write_out()
        await b.carrier.flush(LIMIT_S)
        a.carrier.publish("wsrc.t.gone", b"2")
        await b.hears(a, "wsrc.t.kept")
        assert {subject for subject, _ in b.ears.messages[begun:]} == {"wsrc.t.kept"}


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nSUB >", "a\0", "\t"])
async def test_a_text_that_is_no_subject_is_never_sent(server: Nats, subject: str) -> None:
    async with carried(_place(server)) as a:
        with pytest.raises(ValueError, match="no subject"):
            a.carrier.subscribe(subject)
        with pytest.raises(ValueError, match="no subject"):
            a.carrier.publish(subject, b"")
        with pytest.raises(ValueError, match="no subject"):
            a.carrier.ask(subject, b"", 1)


async def test_a_message_that_the_server_would_not_take_is_refused_at_the_door(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_server(tmp_path, f"max_payload: {LONGEST}") as server:
        async with carried(_place(server)) as a, carried(_place(server)) as b:
            b.carrier.subscribe("wsrc.t.long")
            await b.hears(a, "wsrc.t.long")
            begun = len(b.ears.messages)
            for _ in range(3):
                a.carrier.publish("wsrc.t.long", bytes(LONGEST + 1))
            a.carrier.publish("wsrc.t.long", bytes(LONGEST))
            await b.ears.until(lambda: len(b.ears.messages[-1][1]) == LONGEST)
            assert all(len(octets) <= LONGEST for _, octets in b.ears.messages[begun:])
            assert a.carrier.counts.too_long == 3
            assert a.ears.there == [True]
    said = [r.getMessage() for r in caplog.records if "maximum payload" in r.getMessage()]
    assert len(said) == 1
    assert f"max_payload of the server to {LONGEST}" in said[0]


async def test_a_fault_of_ours_costs_one_message(
    server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    async with carried(_place(server)) as a, carried(_place(server)) as b:
        b.carrier.subscribe("wsrc.t.fault")
        await b.hears(a, "wsrc.t.fault")
        keep = b.ears.heard

        def heard(subject: str, octets: bytes) -> None:
            if octets == b"evil":
                raise LookupError("a fault")
            keep(subject, octets)

        b.ears.heard = heard  # type: ignore[method-assign]
        for _ in range(3):
            a.carrier.publish("wsrc.t.fault", b"evil")
        await b.hears(a, "wsrc.t.fault")
        assert b.carrier.counts.faults == 3
        assert b.ears.there == [True]
    assert len([r for r in caplog.records if "a fault of ours" in r.getMessage()]) == 1


async def test_what_comes_to_the_inbox_and_is_no_word_of_the_server_says_nothing(
    server: Nats,
) -> None:
    async with carried(_place(server)) as a, carried(_place(server)) as b:
        b.carrier.subscribe("wsrc.t.asked")
        await b.hears(a, "wsrc.t.asked")
        inbox = a.carrier._inbox
        for text in (f"{inbox}.1", f"{inbox}.x"):
            b.carrier.publish(text, b"NATS/1.0 503")
        a.carrier.ask("wsrc.t.nobody", b"", 9)
        await a.ears.until(lambda: bool(a.ears.unanswered))
        assert a.ears.unanswered == [9]
        assert a.ears.messages == []
        assert a.carrier.counts.faults == 0


class TestPermissions:
    """With an account that lets each node speak in its own name alone."""

    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Iterator[Nats]:
        """A server that knows the nodes a, b and evil."""
        with nats_server(tmp_path, accounts("a", "b", "evil")) as server:
            yield server

    @staticmethod
    def node(server: Nats, node: str) -> AbstractAsyncContextManager[Carried]:
        """Run the carrier of a node."""
        return carried(Place([f"nats://{node}:{PASSWORD}@localhost:{server.port}"]), node)

    async def test_nodes_may_all_that_they_need(self, guarded: Nats) -> None:
        a_names, b_names = Names("c", "a"), Names("c", "b")
        async with self.node(guarded, "a") as a, self.node(guarded, "b") as b:
            key = ("iccid", "89490200001234567890")
            for subject in (b_names.here, b_names.roads, b_names.has(key), b_names.came(key)):
                b.carrier.subscribe(subject)
            for subject in (a_names.here, a_names.road("b"), a_names.has(key), a_names.came(key)):
                await b.hears(a, subject)
            a.carrier.ask(a_names.has(("iccid", "1")), b"", 4)
            await a.ears.until(lambda: a.ears.unanswered == [4])
            assert a.carrier.counts.refused == b.carrier.counts.refused == 0

    async def test_a_node_cannot_publish_in_the_name_of_another(
        self, guarded: Nats, caplog: pytest.LogCaptureFixture
    ) -> None:
        a_names, evil_names = Names("c", "a"), Names("c", "evil")
        async with self.node(guarded, "b") as b, self.node(guarded, "evil") as evil:
            b.carrier.subscribe(Names("c", "b").roads)
            for _ in range(3):
                evil.carrier.publish(a_names.road("b"), b"forged")
            await b.hears(evil, evil_names.road("b"))
            assert {subject for subject, _ in b.ears.messages} == {evil_names.road("b")}
            assert evil.carrier.counts.refused == 3
            assert evil.ears.there == [True]
        said = [r.getMessage() for r in caplog.records if "permissions violation" in r.getMessage()]
        assert len(said) == 1
        assert a_names.road("b") in said[0]

    async def test_a_node_does_not_hear_what_is_for_another(self, guarded: Nats) -> None:
        a_names, b_names = Names("c", "a"), Names("c", "b")
        nodes = [self.node(guarded, name) for name in ("a", "b", "evil")]
        async with nodes[0] as a, nodes[1] as b, nodes[2] as evil:
            b.carrier.subscribe(b_names.roads)
            for subject in (b_names.roads, f"{b_names.inbox}.>", "wsrc.>", ">"):
                evil.carrier.subscribe(subject)
            await b.hears(a, a_names.road("b"))
            await evil.carrier.flush(LIMIT_S)
            assert evil.ears.messages == []
            assert evil.carrier.counts.refused == 4

    async def test_a_stranger_is_not_let_in_and_no_password_is_logged(
        self, guarded: Nats, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        wrong = Place([f"nats://a:pa55w0rd@localhost:{guarded.port}"])
        async with carried(wrong, there=False) as a:
            await until_logged(caplog, "refuses who we say that we are")
            assert a.ears.there == []
        assert "pa55w0rd" not in caplog.text
        assert f"NATS at nats://localhost:{guarded.port} cannot be reached" in caplog.text
        warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert len(warnings) == 1, "the same is said once"


@pytest.mark.parametrize("turns", range(8))
async def test_a_carrier_ends_at_whichever_turn_of_the_loop_it_is_cancelled(
    server: Nats, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    ears = Heard()
    carrier = NatsCarrier(_place(server), "a", Names("c", "a").inbox, ears, QUICK)
    task = loop.create_task(carrier.run())
    take = _Reader.feed_data
    begun: list[_Reader] = []

    def in_turns(count: int) -> None:
        if count:
            loop.call_soon(in_turns, count - 1)
        else:
            task.cancel()

    def feed_data(reader: _Reader, data: bytes) -> None:
        take(reader, data)
        if not begun:
            begun.append(reader)
            in_turns(turns)

    monkeypatch.setattr(_Reader, "feed_data", feed_data)
    done, _ = await asyncio.wait([task], timeout=LIMIT_S)
    assert done == {task}
    assert task.cancelled()
    assert ears.there in ([], [True, False])
