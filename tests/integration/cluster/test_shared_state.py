# SPDX-License-Identifier: Apache-2.0
"""What servers share in a real NATS: in force at all of them, decided once, never lost silently."""

# Longer than the aim: one bucket, and everything that can happen to it.

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nats as nats_py
import pytest

from tests.support.nats import (
    PASSWORD,
    Nats,
    accounts,
    nats_cluster,
    nats_server,
)
from tests.support.paths import ROOT
from tests.support.shared import SECRET, shared_of, sharing
from tests.support.tokens import now
from wsrc.cluster.names import Names
from wsrc.cluster.nats import Place
from wsrc.errors import ConfigError
from wsrc.protocol.messages import ClientType
from wsrc.relay.effects import Book
from wsrc.relay.kept import Change, Kept
from wsrc.relay.reservations import Booking
from wsrc.server import shared_state
from wsrc.server.shared_faces import SharedNotes, SharedTokens
from wsrc.server.shared_state import Shared, SharedState
from wsrc.server.shared_values import Vault
from wsrc.server.state import NOT_WRITTEN

ONE, TWO = "iccid 8988211000000430010", "iccid 8988211000000430028"
STREAM = "KV_wsrc-c"
LIMIT_S = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Nats]:
    with nats_server(tmp_path / "nats", keeps=True) as server:
        yield server


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that other threads bring about."""
    waited = threading.Event()
    for _ in range(int(LIMIT_S / 0.01)):
        if holds():
            return
        waited.wait(0.01)
    raise AssertionError("it does not come")


def add(shared: SharedState, name: str = "ida") -> str:
    return SharedTokens(shared).add(name, ClientType.USER, 1.0, None)


def names_at(shared: SharedState) -> list[str]:
    return [each.name for each in SharedTokens(shared).all()]


def booking(number: int, identity: str = ONE, **fields: Any) -> Booking:
    given = {
        "digest": number.to_bytes(32, "big"),
        "owner": "o",
        "holder": "ida",
        "begins": now() + 60,
        "ends": now() + 120,
        **fields,
    }
    return Booking(number, identity=identity, **given)


def with_jetstream(server: Nats, do: Callable[[Any], Any]) -> Any:
    """Do something as whoever operates NATS, and return its result."""

    async def done() -> Any:
        client = await nats_py.connect(server.url)
        try:
            return await do(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(done())


def test_what_one_server_keeps_is_told_to_the_others_and_none_has_the_place_of_another(
    server: Nats,
) -> None:
    with sharing(server, "a") as a, sharing(server, "b") as b, sharing(server, "c") as c:
        assert {each.numbering.place for each in (a, b, c)} == {0, 1, 2}
        told: list[object] = []
        SharedNotes(c).follow(lambda *what: told.append(what))
        SharedNotes(a).note({1: (ONE, Change({"kind": "x"}))})
        made = booking(1_000)
        assert not SharedNotes(b).book([Book(1, made)])
        until(lambda: len(told) == 2)
        assert told == [(ONE, Kept({"kind": "x"})), (ONE, (made,))]
    with sharing(server, "b") as again:
        assert again.numbering.place == b.numbering.place
        assert SharedNotes(again).notes() == {ONE: Kept({"kind": "x"})}


def test_of_many_that_reserve_a_card_at_once_one_has_it(server: Nats) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        nodes = [stack.enter_context(sharing(server, name)) for name in "abcd"]
        for attempt in range(1, 6):
            begins = now() + 1_000 * attempt
            wanted = [
                booking(attempt * 1_000 + at, begins=begins + at, ends=begins + 100)
                for at in range(len(nodes))
            ]
            answers = list(
                threads.map(
                    lambda node, each: SharedNotes(node).book([Book(1, each)]), nodes, wanted
                )
            )
            assert [bool(each) for each in answers].count(False) == 1
        kept = SharedNotes(nodes[0]).bookings()[0]
        assert len(kept) == 5


def test_no_change_of_tags_and_no_token_is_lost_that_many_make_at_once(server: Nats) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        nodes = [stack.enter_context(sharing(server, name)) for name in "abc"]
        list(
            threads.map(
                lambda at: SharedNotes(nodes[at % 3]).note({1: (ONE, Change({f"k{at}": "v"}))}),
                range(18),
            )
        )
        made = list(threads.map(lambda at: add(nodes[at % 3], f"n{at}"), range(18)))
        assert len(set(made)) == 18
        asyncio.run_coroutine_threadsafe(nodes[0].look(), nodes[0]._loop).result(LIMIT_S)
        assert SharedNotes(nodes[0]).notes()[ONE].tags == {f"k{at}": "v" for at in range(18)}
        assert {each.number for each in SharedTokens(nodes[0]).all()} == set(range(1, 19))


def test_who_operates_nats_sees_no_number_no_name_and_no_token(server: Nats) -> None:
    with sharing(server) as shared:
        token = add(shared, "ida@example.org")
        SharedNotes(shared).note({1: (ONE, Change({"kind": "sgp22"}, comment="a drawer"))})
        SharedNotes(shared).book([Book(1, booking(1_000))])
        with_jetstream(server, lambda js: js.stream_info(STREAM))
    server.stop()
    octets = b"".join(each.read_bytes() for each in server.kept.rglob("*.blk"))
    assert b"$KV.wsrc-c.token.1" in octets
    for secret in (ONE[6:], "ida@example.org", "sgp22", "drawer", token[5:40]):
        assert secret.encode() not in octets
    server.start()


def test_without_nats_or_jetstream_or_the_same_secret_the_start_says_so(
    server: Nats, tmp_path: Path
) -> None:
    away = shared_of(server, place=Place(["nats://localhost:1"]))
    with pytest.raises(ConfigError, match="state: What servers share cannot be read"):
        away.start(limit_s=0.5)
    with nats_server(tmp_path / "plain") as plain:
        without = shared_of(plain)
        with pytest.raises(ConfigError, match="NATS has no JetStream here, which state"):
            without.start(limit_s=1.0)
    with sharing(server) as shared:
        add(shared)
    other = shared_of(server, "b", secret=SECRET * 2)
    with pytest.raises(ConfigError, match=r"node\.0, that was made with another state_key"):
        other.start()


def test_a_value_of_a_later_version_is_refused_at_the_start_and_left_alone(server: Nats) -> None:
    with sharing(server) as shared:
        add(shared)
    key = f"$KV.wsrc-c.{Vault(SECRET, 'wsrc-c').key('note', ONE)}"
    with_jetstream(server, lambda js: js.publish(key, b"\x02later"))
    with pytest.raises(ConfigError, match="was made by a later version of wsrc-server"):
        shared_of(server).start()
    kept = with_jetstream(server, lambda js: js.get_last_msg(STREAM, key))
    assert kept.data == b"\x02later"


def test_a_value_of_a_later_version_that_comes_later_is_not_used_and_not_written_over(
    server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    key = f"$KV.wsrc-c.{Vault(SECRET, 'wsrc-c').key('note', ONE)}"
    with sharing(server) as shared:
        add(shared)
        with_jetstream(server, lambda js: js.publish(key, b"\x02later"))
        until(lambda: "is not used: it was made by a later version of wsrc-server" in caplog.text)
        done = SharedNotes(shared).note(
            {1: (ONE, Change({"a": "1"})), 2: (TWO, Change({"a": "2"}))}
        )
        assert done == {1: NOT_WRITTEN, 2: Kept({"a": "2"})}
        assert names_at(shared) == ["ida"]
    kept = with_jetstream(server, lambda js: js.get_last_msg(STREAM, key))
    assert kept.data == b"\x02later"


def test_while_nats_is_away_all_stays_in_force_and_nothing_is_written_but_said(
    server: Nats,
) -> None:
    with sharing(server, "a") as a, sharing(server, "b") as b:
        add(a)
        until(lambda: names_at(b) == ["ida"])
        server.kill()
        until(lambda: not (a.up_to_date or b.up_to_date))
        with pytest.raises(ConfigError, match="NATS is not connected"):
            add(a, "bob")
        with pytest.raises(ConfigError, match="NATS is not connected"):
            SharedTokens(b).changed()
        assert names_at(b) == ["ida"]
        assert SharedNotes(a).note({7: (ONE, Change({"a": "1"}))}) == {7: NOT_WRITTEN}
        assert SharedNotes(a).book([Book(8, booking(1_000))]) == {8: NOT_WRITTEN}
        server.start()
        until(lambda: a.up_to_date and b.up_to_date)
        SharedTokens(a).revoke(["ida"])
        until(lambda: names_at(b) == [])
        assert SharedNotes(b).bookings() == ((), 0)


def test_what_nobody_waits_for_is_written_when_nats_is_back(
    server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "AGAIN_S", 0.05)
    first, second = booking(1_000), booking(2_000, begins=now() + 1_000, ends=now() + 2_000)
    with sharing(server, "a") as a, sharing(server, "b") as b:
        SharedNotes(a).book([Book(1, first), Book(2, second)])
        server.kill()
        until(lambda: not a.up_to_date)
        linked = booking(2_000, begins=second.begins, ends=second.ends, session=b"s")
        SharedNotes(a).book([Book(0, first, drops=True), Book(0, linked)])
        server.start()
        until(lambda: b.up_to_date and SharedNotes(b).bookings()[0] == (linked,))


def test_a_frozen_nats_is_noticed_and_a_reservation_that_it_may_have_is_struck(
    server: Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "AGAIN_S", 0.05)
    with sharing(server, "a") as a, sharing(server, "b") as b:
        server.freeze()
        assert SharedNotes(a).book([Book(8, booking(1_000))]) == {8: NOT_WRITTEN}
        until(lambda: not a.up_to_date)
        server.thaw()
        until(lambda: a.up_to_date and b.up_to_date)
        until(lambda: not a._owed)
        assert a._mirror.held(a._mirror.vault.key("card", ONE)).revision > 0  # none can come late
        SharedNotes(b).note({1: (ONE, Change({"last": "1"}))})
        assert SharedNotes(b).bookings()[0] == ()


def test_a_nats_that_is_slow_by_two_seconds_delays_and_loses_nothing(server: Nats) -> None:
    delays = str(ROOT / "tests" / "bench" / "delaying.py")
    command = [sys.executable, "-u", delays, str(server.port), "1.0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as proxy:
        assert proxy.stdout is not None
        port = json.loads(proxy.stdout.readline())["port"]
        slow = SharedState(
            Shared(Place([f"nats://localhost:{port}"]), Names("c", "a"), 1, SECRET, now)
        )
        try:
            with sharing(server, "b") as b:
                slow.start()
                add(slow)
                until(lambda: names_at(b) == ["ida"])
                SharedTokens(b).revoke(["ida"])
                until(lambda: names_at(slow) == [])
                assert SharedNotes(slow).note({1: (ONE, Change({"a": "1"}))}) == {
                    1: Kept({"a": "1"})
                }
                assert slow.up_to_date
        finally:
            slow.close()
            proxy.kill()


def test_a_bucket_that_was_made_anew_revokes_nothing_and_is_not_written(
    server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    with sharing(server) as shared:
        add(shared)
        with_jetstream(server, lambda js: js.delete_stream(STREAM))
        until(lambda: not shared.up_to_date)
        with sharing(server, "b"):
            until(lambda: "is another than before, or older" in caplog.text)
            assert names_at(shared) == ["ida"]
            with pytest.raises(ConfigError, match="Restart this server to take it"):
                add(shared, "bob")


def test_what_nats_has_lost_is_said_and_stays_in_force(server: Nats) -> None:
    with sharing(server) as shared:
        add(shared)
        with_jetstream(server, lambda js: js.purge_stream(STREAM))
        with pytest.raises(ConfigError, match=r"has lost token\.1: it was purged"):
            SharedTokens(shared).revoke(["ida"])
        assert names_at(shared) == ["ida"]


def test_full_is_said_and_what_gives_room_can_still_be_done(
    server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    async def limit(js: Any, octets: int | None = None) -> None:
        info = await js.stream_info(STREAM)
        await js.update_stream(info.config.evolve(max_bytes=octets or info.state.bytes))

    with sharing(server) as shared:
        add(shared)
        SharedNotes(shared).book([Book(1, booking(1_000))])
        with_jetstream(server, limit)
        with pytest.raises(ConfigError, match="keeps no more in the stream KV_wsrc-c"):
            add(shared, "bob")
        assert SharedNotes(shared).note({1: (TWO, Change({"a": "1"}))}) == {1: NOT_WRITTEN}
        assert "more room; nothing was changed" in caplog.text
        assert SharedNotes(shared).book([Book(2, booking(1_000), drops=True)]) == {}
        with_jetstream(server, lambda js: limit(js, -1))
        add(shared, "bob")


@pytest.mark.parametrize("days", [-1, 1])
def test_a_server_whose_clock_is_a_day_off_strikes_no_reservation_of_others(
    server: Nats, days: int
) -> None:
    off = {"epoch": lambda: now() + 86_400 * days}
    made = booking(1_000)
    with sharing(server, "a") as a, sharing(server, "b", **off) as b:
        SharedNotes(a).book([Book(1, made)])
        until(lambda: len(SharedNotes(b)._shared._mirror.bookings(ONE)) == 1)
        SharedNotes(b).book([Book(0, made, drops=True)] if days > 0 else [])
        SharedNotes(b).book([Book(1, booking(2_001, TWO))])
        assert SharedNotes(a).bookings()[0][0] == made


def test_with_no_more_than_the_permissions_of_a_node_all_can_be_done(tmp_path: Path) -> None:
    settings = accounts("a", "b")
    with nats_server(tmp_path / "nats", settings, keeps=True) as server:
        places = {name: Place([server.url.replace("//", f"//{name}:{PASSWORD}@")]) for name in "ab"}
        with (
            sharing(server, "a", place=places["a"]) as a,
            sharing(server, "b", place=places["b"]) as b,
        ):
            add(a)
            until(lambda: names_at(b) == ["ida"])
            SharedTokens(b).revoke(["ida"])
            until(lambda: names_at(a) == [])
            for at in range(300):  # more than flow control lets through unasked
                SharedNotes(a).note(
                    {1: (f"iccid {at}", Change({"k": "v" * 60}, comment="x" * 200))}
                )
            with sharing(server, "b", place=places["b"]) as again:
                assert len(SharedNotes(again).notes()) == 300
        assert "Permissions Violation" not in server.log


def test_a_server_of_three_of_nats_that_dies_delays_and_loses_nothing(tmp_path: Path) -> None:
    with nats_cluster(tmp_path / "nats", keeps=True) as servers:
        place = Place([each.url for each in servers])
        with (
            sharing(servers[0], "a", place=place, replicas=3) as a,
            sharing(servers[0], "b", place=place, replicas=3) as b,
        ):
            info = with_jetstream(servers[0], lambda js: js.stream_info(STREAM))
            assert (info.config.num_replicas, info.config.max_msgs_per_subject) == (3, 1)
            add(a)
            servers[0].kill()
            made: list[str] = []
            until(lambda: _added(a, made))
            until(lambda: {*names_at(b)} >= {"ida", "bob"})


def _added(shared: SharedState, made: list[str]) -> bool:
    try:
        made.append(add(shared, "bob"))
    except ConfigError:
        return False
    return True


def test_which_policy_is_in_force_is_told_and_logged(
    server: Nats, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with sharing(server, "a") as a, sharing(server, "b") as b:
        a.publish_policy("1" * 64)
        b.publish_policy("2" * 64)
        until(lambda: b.with_another_policy(["a"]) == ["a"])
        until(lambda: a.with_another_policy(["b", "gone"]) == ["b"])
        b.publish_policy("1" * 64)
        until(lambda: a.with_another_policy(["b"]) == b.with_another_policy(["a"]) == [])
        until(lambda: "Server b has the same policy in force as this one" in caplog.text)
    assert "has another policy in force than this one" in caplog.text


def test_two_clusters_on_one_nats_share_nothing(server: Nats) -> None:
    with sharing(server) as shared, sharing(server, names=Names("d", "a")) as other:
        add(shared)
        assert names_at(other) == []
        assert SharedTokens(other).all() == []
