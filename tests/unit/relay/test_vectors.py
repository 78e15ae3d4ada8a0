# SPDX-License-Identifier: Apache-2.0
"""The relay against tests/vectors/server.json."""

import json
from typing import Any

import pytest

from tests.support.relay_clients import Peer
from tests.support.relay_world import World
from tests.support.server_vectors import CASES, FIELDS, FILE, KINDS, Run
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import CloseCode

Json = dict[str, Any]


class Connection:
    """A peer of a relay."""

    def __init__(self, world: World, role: str) -> None:
        self._peer: Peer = world.stranger(m.ClientType(role))

    async def say(self, text: str) -> None:
        self._peer.say_text(text.encode())

    async def hear(self) -> Json:
        assert self._peer.texts, "nothing came"
        self._peer.inbox.pop(0)
        message: Json = json.loads(self._peer.texts.pop(0))
        return message

    async def close(self, code: int | None) -> None:
        self._peer.leave(goodbye=code == CloseCode.DONE)

    async def closed(self) -> int:
        assert self._peer.closed is not None
        return int(self._peer.closed[0])

    def unheard(self) -> list[Json]:
        return [json.loads(text) for text in self._peer.texts]


class Host:
    """A relay without a shell."""

    def __init__(self) -> None:
        self._world = World()

    async def connect(self, role: str) -> Connection:
        return Connection(self._world, role)

    async def restart(self) -> None:
        self._world.start()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_e35_the_relay_does_as_the_vectors_say(case: Json) -> None:
    run = Run(Host(), case)
    for step in case["steps"]:
        await run.step(step)
    assert run.leftovers() == {}


def test_e35_every_entry_declares_all_that_it_uses() -> None:
    used: set[str] = set()
    for case in CASES:
        assert set(case) == {"name", "peers", "steps"}
        assert {step["peer"] for step in case["steps"] if "peer" in step} == set(case["peers"])
        for step in case["steps"]:
            assert set(step) <= FIELDS
            assert ("until" in step) == ("answers" in step)
            used |= set(step) & set(KINDS)
    assert used | {"cases"} == set(FILE["how_to_run"])
    assert len({case["name"] for case in CASES}) == len(CASES)
