# SPDX-License-Identifier: Apache-2.0
"""A slot agent against tests/vectors/card_client.json, with a card that answers from its list."""

import asyncio
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.card_bench import LIMIT_S, Bench, Gate, GatedConnection, GatedReader, running
from tests.support.paths import VECTORS
from tests.support.vectors import differs
from wsrc.card.slot import Share
from wsrc.protocol import messages as m
from wsrc.protocol.codec import decode, encode
from wsrc.readers.base import CardProtocol, Connection
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import default_cards
from wsrc.settings.load import CardClientSettings

Json = dict[str, Any]

FILE: Json = json.loads((VECTORS / "card_client.json").read_text("utf-8"))
CARD: dict[str, str] = FILE["card"]
CASES: list[Json] = [*FILE["cases"], *FILE["read_ahead"]]
STEP = {"receives", "sends", "any_order", "runs", "holds", "lets_go"}


class Listed:
    """What the card was given of the list, and the command that it holds."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.holds: str | None = None
        self.held = threading.Event()
        self.lets_go = threading.Event()

    def transmit(self, octets: bytes) -> bytes:
        command = octets.hex()
        if command not in CARD:
            return bytes.fromhex("6d00")
        self.ran.append(command)
        if command == self.holds:
            self.held.set()
            assert self.lets_go.wait(LIMIT_S)
        return bytes.fromhex(CARD[command])


class ListedConnection(GatedConnection):
    """A simulated card, but for its answers."""

    def __init__(self, connection: Connection, listed: Listed) -> None:
        super().__init__(connection, Gate())
        self._listed = listed

    def transmit(self, octets: bytes) -> bytes:
        return self._listed.transmit(octets)


class ListedReader(GatedReader):
    """A simulated reader with such a card."""

    def __init__(self, source: SimulatedSource, name: str, listed: Listed) -> None:
        self._simulated = source.open(name)
        super().__init__(self._simulated, Gate())
        self._listed = listed

    def connect(
        self, protocols: Sequence[CardProtocol] = (), *, share: Share = Share.EXCLUSIVE
    ) -> Connection:
        return ListedConnection(self._simulated.connect(protocols, share=share), self._listed)


class ListedSource:
    """One reader with such a card."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.listed = Listed()
        self.readers = SimulatedSource([default_cards()[0]])
        self.watch = self.readers.watch
        self.stop = self.readers.stop

    def open(self, name: str) -> ListedReader:
        return ListedReader(self.readers, name, self.listed)


class VectorBench(Bench):
    """A card client that the steps of a case happen to."""

    def __init__(self) -> None:
        super().__init__(CardClientSettings(name="bench", command_s=10.0, read_ahead_s=30.0))
        self.listed_source = ListedSource()
        self.source = self.listed_source  # type: ignore[assignment]  # another source of readers

    async def happens(self, step: Json) -> None:
        listed = self.listed_source.listed
        listed.ran.clear()
        listed.holds = step.get("holds", listed.holds)
        if "receives" in step:
            self.agent.request(decode(json.dumps(step["receives"])))
        else:
            listed.lets_go.set()
        if "holds" in step:
            assert await asyncio.to_thread(listed.held.wait, LIMIT_S)
        expected: list[Json] = step.get("sends", [])
        sent = [await self._next() for _ in expected]
        if listed.holds is None or listed.lets_go.is_set():
            await self.settled()
        assert [each for each in map(_text, self.said) if not _is_report(each)] == []
        assert _match(sent, expected, any_order=step.get("any_order", False)), sent
        assert listed.ran == step.get("runs", [])

    async def _next(self) -> Json:
        while True:
            text = _text(await self.hear(m.Message))
            if not _is_report(text):
                return text


def _text(message: m.Message) -> Json:
    text: Json = json.loads(encode(message))
    return text


def _is_report(text: Json) -> bool:
    return text["msg_type"] == "reader_state"


def _match(sent: list[Json], expected: list[Json], *, any_order: bool) -> bool:
    left = list(expected)
    for each in sent:
        fits = [want for want in (left if any_order else left[:1]) if not differs(each, want)]
        if not fits:
            return False
        left.remove(fits[0])
    return not left


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_e35_a_card_client_does_as_the_vectors_say(case: Json) -> None:
    async with running(VectorBench()) as bench:
        try:
            for step in case["steps"]:
                await bench.happens(step)
        finally:
            bench.listed_source.listed.lets_go.set()


def test_e35_every_entry_declares_all_that_it_uses() -> None:
    used: set[str] = set()
    for case in CASES:
        assert set(case) == {"name", "steps"}
        for step in case["steps"]:
            assert set(step) <= STEP
            assert ("receives" in step) != ("lets_go" in step)
            assert set(step.get("runs", ())) <= set(CARD)
            used |= set(step)
    assert used == STEP
    assert {*used, "card", "cases", "read_ahead"} == set(FILE["how_to_run"])
    assert len({case["name"] for case in CASES}) == len(CASES)
