# SPDX-License-Identifier: Apache-2.0
"""The card client at the wire: a server that cuts, restarts, repeats, and asks too late."""

# Longer than the aim: one bench, and all that a server may do to a card client at the wire.

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.card_bench import ASK_PIN, HOLD, LIMIT_S, PIN, SECRET, GatedSource
from tests.support.scripted_server import HELLO_ACK, Peer, scripted
from tests.support.world import until
from wsrc.card_client.agent import Agent
from wsrc.protocol.conversation import CLOSINGS, CloseCode
from wsrc.readers.simulation import default_cards
from wsrc.settings.load import CardClientSettings

RESTARTING = 1012


class Bench:
    """A card client with one card, and the connections that it makes."""

    def __init__(self, **chosen: float) -> None:
        self.card = default_cards()[0]
        self.source = GatedSource([self.card])
        self.gate = self.source.gate
        (self.name,) = self.source.readers.names
        self.reader = f"{self.name}@bench"
        self.stop = asyncio.Event()
        self.over = asyncio.Event()
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.chosen = chosen

    async def serve(self, peer: Peer) -> None:
        self.peers.put_nowait(peer)
        await self.over.wait()

    async def run(self, url: str) -> None:
        """Run the card client until `stop` is set."""
        settings = CardClientSettings(
            server_url=url,
            name="bench",
            ping_s=5.0,
            command_s=10.0,
            reconnect_min_s=0.01,
            reconnect_max_s=0.05,
            **self.chosen,
        )
        self.agent = Agent(settings, [self.source])
        await self.agent.run(self.stop)

    async def connection(self) -> tuple[Peer, dict[str, Any]]:
        """Take the next connection of the card client, with its hello."""
        async with asyncio.timeout(LIMIT_S):
            peer = await self.peers.get()
        return peer, await peer.hear("hello")

    async def connected(self, **said: Any) -> tuple[Peer, dict[str, Any]]:
        peer, hello = await self.connection()
        await peer.say(**HELLO_ACK, **said)
        return peer, hello

    async def ready(self, **said: Any) -> Peer:
        """Take the first connection, and wait until the card is identified."""
        peer, hello = await self.connected(**said)
        assert "resume" in hello["features"]
        states = [reader["state"] for reader in hello.get("readers", ())]
        while "ready" not in states:
            states = [(await peer.hear("reader_state"))["reader"]["state"]]
        return peer

    async def kept(self) -> tuple[Peer, dict[str, Any]]:
        """Come back with the one session."""
        peer, hello = await self.connected()
        (running,) = hello["sessions"]
        assert running["session"] == "s1"
        return peer, running

    async def attach(self, peer: Peer, session: str = "s1") -> dict[str, Any]:
        fields = {"secret": SECRET, "keep_s": 600, "holder": "user@desk"}
        await peer.say("attach", session=session, reader=self.reader, insertion=1, **fields)
        return await hear(peer, "attach_ack")

    async def hold(self, peer: Peer, seq: int) -> None:
        """Have the card run a command that it does not end."""
        self.gate.shut()
        await peer.say("c_apdu", id=seq, session="s1", seq=seq, command=HOLD.hex())
        assert await asyncio.to_thread(self.gate.held.wait, LIMIT_S)


@asynccontextmanager
async def benched(**chosen: float) -> AsyncIterator[Bench]:
    bench = Bench(**chosen)
    async with (
        scripted(bench.serve, greet=False) as url,
        asyncio.TaskGroup() as tasks,
    ):
        running = tasks.create_task(bench.run(url))
        try:
            yield bench
        finally:
            bench.gate.open()
            bench.over.set()
            bench.stop.set()
            async with asyncio.timeout(LIMIT_S):
                await running


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with benched() as bench:
        yield bench


async def hear(peer: Peer, msg_type: str) -> dict[str, Any]:
    """Hear the next message that is no report of a reader."""
    while True:
        message = await peer.hear()
        if message["msg_type"] not in {"reader_state"} - {msg_type}:
            assert message["msg_type"] == msg_type, message
            return message


async def run(peer: Peer, seq: int, command: bytes = ASK_PIN, session: str = "s1") -> str:
    await peer.say("c_apdu", id=seq, session=session, seq=seq, command=command.hex())
    answer = await hear(peer, "r_apdu")
    assert answer["seq"] == seq
    sw: str = answer["sw"]
    return sw


async def resume(peer: Peer, seq: int, answer: str = "resumed", **fields: Any) -> dict[str, Any]:
    asked = {"id": 99, "session": "s1", "secret": SECRET, "seq": seq} | fields
    await peer.say("resume", **asked)
    said = await hear(peer, answer)
    assert said["id"] == asked["id"]
    return said


async def test_a_command_whose_connection_is_cut_runs_once(bench: Bench) -> None:
    peer = await bench.ready()
    assert (await bench.attach(peer))["keep_s"] == 600
    assert await run(peer, 1, PIN) == "9000"
    await bench.hold(peer, 2)
    peer.abort()
    peer, running = await bench.kept()
    assert running == {
        "session": "s1",
        "reader": bench.reader,
        "insertion": 1,
        "holder": "user@desk",
        "keep_s": 600.0,
    }
    assert "answer" not in await resume(peer, 2)
    await peer.say("c_apdu", id=1, session="s1", seq=2, command=HOLD.hex())
    bench.gate.open()
    for id_ in (2, 1):
        answer = await hear(peer, "r_apdu")
        assert (answer["id"], answer["seq"], answer["sw"]) == (id_, 2, "9000")
    assert (await resume(peer, 2))["answer"]["sw"] == "9000"
    await peer.say("c_apdu", id=1, session="s1", seq=1, command=PIN.hex())
    assert (await hear(peer, "error"))["outcome"] == "unknown"
    assert await run(peer, 3) == "9000"
    assert bench.gate.count(HOLD) == 1


@pytest.mark.parametrize("code", sorted(set(CLOSINGS) - {CloseCode.NONE, CloseCode.ABNORMAL}))
async def test_e32_a_card_client_comes_back_with_its_sessions_whatever_the_code(
    bench: Bench, code: CloseCode
) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    await peer.close(code, "x")
    peer, _ = await bench.kept()
    await resume(peer, 0)


async def test_a_command_that_was_not_begun_is_told_so(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    await bench.hold(peer, 1)
    await peer.say("c_apdu", id=2, session="s1", seq=2, command=PIN.hex())
    await peer.say("what_is_this", id=3)
    assert (await hear(peer, "error"))["id"] == 3
    peer.abort()
    peer, _ = await bench.kept()
    bench.gate.open()
    assert (await hear(peer, "r_apdu"))["seq"] == 1
    assert (await resume(peer, 2))["seq"] == 1
    assert await run(peer, 3) == "63c3"


async def test_all_results_of_a_batch_are_there_after_resume(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    bench.gate.shut()
    steps = [{"command": octets.hex()} for octets in (HOLD, ASK_PIN, PIN, ASK_PIN)]
    await peer.say("batch", id=1, session="s1", seq=1, steps=steps)
    assert await asyncio.to_thread(bench.gate.held.wait, LIMIT_S)
    peer.abort()
    peer, _ = await bench.kept()
    bench.gate.open()
    await hear(peer, "batch_resp")
    answer = (await resume(peer, 1))["answer"]
    assert [result["sw"] for result in answer["results"]] == ["9000", "63c3", "9000", "9000"]
    assert "error" not in answer


async def test_two_claims_are_settled_by_the_secret(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    await peer.close(RESTARTING)
    peer, _ = await bench.kept()
    wrong = await resume(peer, 0, "error", secret="ab" * 16, id=1)
    unknown = await resume(peer, 0, "error", session="s2", id=2)
    assert wrong["code"] == unknown["code"] == "no_such_session"
    assert wrong["message"] == unknown["message"]
    assert (await resume(peer, 0, id=3))["seq"] == 0
    assert (await resume(peer, 0, id=4))["seq"] == 0
    assert await run(peer, 1) == "63c3"


async def test_a_session_without_a_server_for_too_long_is_over() -> None:
    async with benched(keep_s=0.05) as bench:
        peer = await bench.ready()
        assert (await bench.attach(peer))["keep_s"] == 0.05
        assert await run(peer, 1, PIN) == "9000"
        peer.abort()
        peer, hello = await bench.connection()
        while "sessions" in hello:
            peer.abort()
            peer, hello = await bench.connection()
        await peer.say(**HELLO_ACK)
        assert (await resume(peer, 1, "session_ended"))["code"] == "lease_expired"
        (reader,) = hello["readers"]
        while reader["state"] != "ready":
            reader = (await peer.hear("reader_state"))["reader"]
        await bench.attach(peer, "s2")
        assert await run(peer, 1, session="s2") == "63c3"


def pull(bench: Bench) -> None:
    bench.source.readers.remove(bench.name)
    bench.source.readers.insert(bench.name)


def unplug(bench: Bench) -> None:
    card = bench.source.readers.remove(bench.name)
    bench.source.readers.unplug(bench.name)
    bench.source.readers.plug(card, bench.name)


@pytest.mark.parametrize(
    ("happens", "codes"),
    [
        (pull, {"card_not_present"}),
        (unplug, {"card_not_present", "reader_unavailable"}),
    ],
)
async def test_what_happens_to_the_card_without_a_server_ends_its_session(
    bench: Bench, happens: Callable[[Bench], None], codes: set[str]
) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    assert await run(peer, 1, PIN) == "9000"
    peer.abort()
    peer, hello = await bench.connection()
    happens(bench)
    while "sessions" in hello:
        peer.abort()
        peer, hello = await bench.connection()
    await peer.say(**HELLO_ACK)
    ended = await until_told(peer)
    assert ended["code"] in codes
    assert (ended["seq"], ended["answer"]["sw"]) == (1, "9000")


async def until_told(peer: Peer) -> dict[str, Any]:
    """Resume a session that is over, whatever else is said of its reader meanwhile."""
    await peer.say("resume", id=99, session="s1", secret=SECRET, seq=1)
    while True:
        message = await peer.hear()
        if message.get("id") == 99:
            assert message["msg_type"] == "session_ended", message
            return message


async def test_a_reader_unplugged_in_mid_command_leaves_an_outcome(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    await bench.hold(peer, 1)
    bench.gate.open()
    bench.source.readers.unplug(bench.name)
    said = [await hear_any(peer)]
    while said[-1]["msg_type"] != "reader_gone":
        said.append(await hear_any(peer))
    first, ended, _ = said
    assert (first["msg_type"], first["seq"]) in {("error", 1), ("r_apdu", 1)}
    assert (ended["msg_type"], ended["seq"]) == ("session_ended", 1)
    assert ended["answer"] == first
    assert (await resume(peer, 1, "session_ended"))["seq"] == 1


async def hear_any(peer: Peer) -> dict[str, Any]:
    while (message := await peer.hear())["msg_type"] == "reader_state":
        pass
    return message


async def test_a_reader_unplugged_under_a_command_that_hangs_is_told_of(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    await bench.hold(peer, 1)
    bench.source.readers.unplug(bench.name)
    ended = await hear(peer, "session_ended")
    assert (ended["code"], ended["seq"], "answer" in ended) == ("reader_unavailable", 1, False)
    assert (await hear(peer, "reader_gone"))["reader"] == bench.reader


async def test_a_reader_that_is_back_at_once_is_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsrc.card_client.agent.TELL_S", LIMIT_S)
    peer = await bench.ready()
    await bench.attach(peer)
    await bench.hold(peer, 1)
    card = bench.source.readers.remove(bench.name)
    bench.source.readers.unplug(bench.name)
    await until(lambda: not bench.agent._served)
    bench.source.readers.plug(card, bench.name)
    said: list[dict[str, Any]] = []
    while not said or said[-1]["msg_type"] != "reader_state" or "reader_gone" not in kinds(said):
        said.append(await peer.hear())
    assert kinds(said).index("session_ended") < kinds(said).index("reader_gone")
    assert said[-1]["reader"]["reader"] == bench.reader


def kinds(said: list[dict[str, Any]]) -> list[str]:
    return [message["msg_type"] for message in said]


async def test_a_server_that_restarts_finds_the_session_again(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    assert await run(peer, 1, PIN) == "9000"
    await peer.say("restarting", reconnect_in_s=0.02)
    await peer.close(RESTARTING)
    peer, _ = await bench.kept()
    resumed = await resume(peer, 1)
    assert (resumed["seq"], resumed["answer"]["sw"]) == (1, "9000")
    assert await run(peer, 2) == "9000"


@pytest.mark.parametrize(
    "answer",
    [
        {"msg_type": "error", "message": "Full.", "code": "too_many"},
        {"msg_type": "hello_ack"},
        {"msg_type": "restarting", "reconnect_in_s": 0.0},
    ],
)
async def test_a_server_that_refuses_hello_is_asked_again(
    bench: Bench, answer: dict[str, Any]
) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    peer.abort()
    peer, _ = await bench.connection()
    await peer.say(**answer)
    peer, _ = await bench.kept()
    assert (await resume(peer, 0))["seq"] == 0


async def test_a_detach_that_was_heard_counts_though_its_server_is_gone(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    await bench.hold(peer, 1)
    await peer.say("detach", session="s1", code="lease_expired")
    await peer.say("what_is_this", id=3)
    assert (await hear(peer, "error"))["id"] == 3
    peer.abort()
    peer, hello = await bench.connected()
    assert "sessions" not in hello
    bench.gate.open()
    assert (await until_told(peer))["code"] == "lease_expired"


async def test_a_card_client_that_stops_ends_what_it_kept(bench: Bench) -> None:
    peer = await bench.ready()
    await bench.attach(peer)
    assert await run(peer, 1, PIN) == "9000"
    bench.stop.set()
    ended = await hear(peer, "session_ended")
    assert (ended["code"], ended["seq"]) == ("reader_unavailable", 1)
    await peer.closed()


async def test_a_card_client_that_stops_without_a_server_powers_its_cards_off() -> None:
    async with benched() as bench:
        peer = await bench.ready()
        await bench.attach(peer)
        assert bench.card.powered
        peer.abort()
        peer, _ = await bench.connection()
    assert not bench.card.powered


async def test_e31_what_a_later_server_asks_in_words_that_are_not_known_is_refused(
    bench: Bench,
) -> None:
    peer = await bench.ready()
    fields = {"session": "s1", "reader": bench.reader, "insertion": 1}
    await peer.say("attach", **fields, share="half")
    refused = await hear(peer, "error")
    assert (refused["session"], refused["code"]) == ("s1", "not_supported")
    assert refused["outcome"] == "not_executed"
    await peer.say("attach", **fields, share=None, protocols=None, keep_s=None, raw_tpdu=None)
    await hear(peer, "attach_ack")
    await peer.say("reset_req", id=5, session="s1", kind="lukewarm")
    refused = await hear(peer, "error")
    assert (refused["id"], refused["session"], refused["code"]) == (5, "s1", "not_supported")
    await peer.say("detach", session="s1", disposition="polish", code="rain")
    await hear(peer, "detach_ack")


async def test_e34_a_batch_stops_while_its_answer_fits_into_what_the_server_takes(
    bench: Bench,
) -> None:
    peer = await bench.ready(limits={"message_octets": 150_500})
    await peer.say("attach", session="s1", reader=bench.reader, insertion=1)
    await hear(peer, "attach_ack")
    steps = [{"command": HOLD.hex()}] * 20
    await peer.say("batch", id=1, session="s1", steps=steps)
    answer = await hear(peer, "batch_resp")
    assert answer["error"]["code"] == "too_many"
    assert answer["error"]["outcome"] == "not_executed"
    assert 1 <= len(answer["results"]) < 20
