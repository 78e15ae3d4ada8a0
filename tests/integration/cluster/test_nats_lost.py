# SPDX-License-Identifier: Apache-2.0
"""wsrc.cluster.nats where servers of NATS die, freeze, are slow or not there yet."""

import asyncio
from pathlib import Path

from tests.support.nats import (
    LIMIT_S,
    QUICK,
    Nats,
    carried,
    nats_cluster,
    nats_server,
)
from tests.support.raw_peer import LOOPS, LoopFactory, run
from wsrc.cluster.nats import MOST_PENDING, Place
from wsrc.cluster.nats_words import LONGEST

MANY = 10_000


def _place(*servers: Nats) -> Place:
    return Place([each.url for each in servers])


async def test_10_000_subscriptions_are_there_again_when_the_connection_is_told(
    tmp_path: Path,
) -> None:
    with nats_server(tmp_path) as server:
        async with carried(_place(server)) as a, carried(_place(server)) as b:
            for number in range(MANY):
                b.carrier.subscribe(f"wsrc.t.has.{number}")
            b.carrier.unsubscribe("wsrc.t.has.5")
            await b.carrier.flush(LIMIT_S)
            server.kill()
            await b.ears.until(lambda: not b.carrier.connected)
            b.carrier.subscribe("wsrc.t.later")
            b.carrier.unsubscribe("wsrc.t.has.6")
            server.start()
            await a.ears.until_there()
            await b.ears.until_there()
            assert b.ears.there == [True, False, True]
            asked = [0, 5, 6, 77, MANY // 2, MANY - 1]
            for number in asked:
                a.carrier.ask(f"wsrc.t.has.{number}", b"", number)
            a.carrier.ask("wsrc.t.later", b"", MANY)
            await a.ears.until(lambda: len(a.ears.unanswered) >= 2)
            await b.ears.until(lambda: b.ears.messages[-1:] == [("wsrc.t.later", b"")])
            heard = [subject for subject, _ in b.ears.messages]
            assert heard == [f"wsrc.t.has.{n}" for n in asked if n not in {5, 6}] + ["wsrc.t.later"]
            assert a.ears.unanswered == [5, 6]
            assert a.carrier.counts.connected == 2


async def test_what_is_published_without_a_connection_is_dropped_and_counted(
    tmp_path: Path,
) -> None:
    with nats_server(tmp_path) as server:
        async with carried(_place(server)) as a:
            server.kill()
            await a.ears.until(lambda: not a.carrier.connected)
            for _ in range(5):
                a.carrier.publish("wsrc.t.x", b"")
                a.carrier.ask("wsrc.t.x", b"", 1)
            await a.carrier.flush(LIMIT_S)
            assert a.carrier.counts.away == 10
            server.start()
            await a.ears.until_there()
            assert a.carrier.counts.published == 0


async def test_the_servers_may_all_come_later(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        server.kill()
        async with carried(_place(server), there=False) as a:
            a.carrier.publish("wsrc.t.x", b"")
            server.start()
            await a.ears.until_there()
            assert a.ears.there == [True]


async def test_one_of_three_servers_is_killed(tmp_path: Path) -> None:
    with nats_cluster(tmp_path) as (first, *others):
        async with carried(_place(first)) as a, carried(_place(*others)) as b:
            b.carrier.subscribe("wsrc.t.b")
            await b.hears(a, "wsrc.t.b")
            its = next(s for s in others if s.name == b.carrier.server["server_name"])
            its.kill()
            await b.ears.until(lambda: b.ears.there == [True, False, True])
            await b.hears(a, "wsrc.t.b")
            a.carrier.ask("wsrc.t.nobody", b"", 1)
            await a.ears.until(lambda: a.ears.unanswered == [1])
            its.start()
            assert a.ears.there == [True]


async def test_a_server_that_freezes_is_left_for_another(tmp_path: Path) -> None:
    with nats_cluster(tmp_path, 2) as servers:
        async with carried(_place(*servers)) as b:
            its, other = servers
            if its.name != b.carrier.server["server_name"]:
                its, other = other, its
            async with carried(_place(other)) as a:
                b.carrier.subscribe("wsrc.t.b")
                await b.hears(a, "wsrc.t.b")
                its.freeze()
                try:
                    await b.ears.until(lambda: b.ears.there == [True, False, True])
                    assert b.carrier.server["server_name"] == other.name
                    await b.hears(a, "wsrc.t.b")
                finally:
                    its.thaw()
                assert a.ears.there == [True]


async def test_a_server_that_is_frozen_takes_a_connection_and_is_passed_by(
    tmp_path: Path,
) -> None:
    with nats_server(tmp_path / "a") as good, nats_server(tmp_path / "b") as frozen:
        frozen.freeze()
        for _ in range(2):  # which is tried first is chance
            async with carried(_place(frozen, good)) as a:
                assert a.carrier.server["server_name"] == good.name


async def test_what_waits_for_a_server_that_takes_nothing_has_a_bound(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        async with carried(_place(server)) as a:
            server.freeze()
            octets = bytes(LONGEST)
            while not a.carrier.counts.full and a.carrier.connected:
                a.carrier.publish("wsrc.t.x", octets)
                await asyncio.sleep(0)
            assert a.carrier.counts.full
            in_kernels = 16 << 20
            assert a.carrier.counts.published * LONGEST <= 2 * MOST_PENDING + in_kernels
            server.thaw()


async def test_what_waited_for_a_slow_server_arrives(tmp_path: Path) -> None:
    """Nothing else is said after it, and no ping."""
    limits = QUICK._replace(ping_s=2 * LIMIT_S)
    with nats_server(tmp_path) as server:
        where = _place(server)
        async with carried(where, limits=limits) as a, carried(where) as b:
            b.carrier.subscribe("wsrc.t.x")
            await b.hears(a, "wsrc.t.x")
            connection = a.carrier._connection
            assert connection is not None
            server.freeze()
            for _ in range(MOST_PENDING // LONGEST):
                a.carrier.publish("wsrc.t.x", bytes(LONGEST))
                await asyncio.sleep(0)
            waited = connection.pending_data_size
            a.carrier.publish("wsrc.t.x", b"last")
            server.thaw()
            await b.ears.until(lambda: b.ears.messages[-1] == ("wsrc.t.x", b"last"))
            assert waited


@LOOPS
def test_what_is_said_as_a_connection_breaks_harms_nobody(
    loop_factory: LoopFactory, tmp_path: Path
) -> None:
    async def main(server: Nats) -> None:
        async with carried(_place(server)) as a:
            connection = a.carrier._connection
            assert connection is not None
            connection._wire.close()
            for _ in range(3):
                a.carrier.publish("wsrc.t.x", b"")
                a.carrier.write_out()
                await asyncio.sleep(0)
            await a.ears.until(lambda: a.ears.there == [True, False, True])

    with nats_server(tmp_path) as server:
        run(loop_factory, main(server))


async def test_a_server_that_is_slow_and_not_silent_is_kept(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server:
        async with carried(_place(server)) as a, carried(_place(server)) as b:
            b.carrier.subscribe("wsrc.t.x")
            await b.hears(a, "wsrc.t.x")
            for _ in range(5):
                server.freeze()
                await asyncio.sleep(0.2)
                server.thaw()
                await b.hears(a, "wsrc.t.x")
            assert a.ears.there == [True]


async def test_a_server_that_is_stopped_says_so_and_is_left(tmp_path: Path) -> None:
    with nats_server(tmp_path / "a") as first, nats_server(tmp_path / "b") as second:
        async with carried(_place(first, second)) as a:
            its, other = first, second
            if its.name != a.carrier.server["server_name"]:
                its, other = other, its
            its.stop()
            await a.ears.until(lambda: a.ears.there == [True, False, True])
            assert a.carrier.server["server_name"] == other.name
            its.start()


async def test_who_takes_too_slowly_is_cut_off_and_comes_back(tmp_path: Path) -> None:
    with nats_server(tmp_path, 'max_pending: 1MB\nwrite_deadline: "1s"') as server:
        async with carried(_place(server)) as a, carried(_place(server)) as b:
            b.carrier.subscribe("wsrc.t.x")
            await b.hears(a, "wsrc.t.x")
            connection = b.carrier._connection
            assert connection is not None
            transport = connection._wire._open().transport
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            while "Slow Consumer" not in server.log:
                a.carrier.publish("wsrc.t.x", bytes(LONGEST))
                await asyncio.sleep(0.01)
            transport.resume_reading()
            await b.ears.until(lambda: b.ears.there == [True, False, True])
            await b.hears(a, "wsrc.t.x")
            assert a.ears.there == [True]
