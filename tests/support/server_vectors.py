# SPDX-License-Identifier: Apache-2.0
"""Runs `tests/vectors/server.json` against anything that peers can connect to."""

import json
from typing import Any, Protocol

from tests.support.paths import VECTORS

Json = dict[str, Any]

FILE: Json = json.loads((VECTORS / "server.json").read_text("utf-8"))
CASES: list[Json] = FILE["cases"]

KINDS = ("connects", "says", "hears", "answers", "closes", "loses", "closed", "restarts")
FIELDS = {"peer", "until", *KINDS}


class Connection(Protocol):
    """One connection of a peer to a server."""

    async def say(self, text: str) -> None:
        """Send a text frame."""
        ...

    async def hear(self) -> Json:
        """Return the next message."""
        ...

    async def close(self, code: int | None) -> None:
        """Close with a code, or break off without."""
        ...

    async def closed(self) -> int:
        """Return the code with which the server closed."""
        ...

    def unheard(self) -> list[Json]:
        """Return what came and was not asked for."""
        ...


class Host(Protocol):
    """A server under test."""

    async def connect(self, role: str) -> Connection:
        """Connect a client of this type."""
        ...

    async def restart(self) -> None:
        """End the server, and with it all connections; start another."""
        ...


class Run:
    """One case."""

    def __init__(self, host: Host, case: Json) -> None:
        self._host = host
        self._roles: dict[str, str] = case["peers"]
        self._open: dict[str, Connection] = {}
        self._chosen: dict[str, Any] = {}

    async def step(self, step: Json) -> None:
        (kind,) = set(KINDS) & set(step)
        if kind == "restarts":
            await self._host.restart()
            self._open.clear()
            return
        name = step["peer"]
        if kind == "connects":
            self._open[name] = await self._host.connect(self._roles[name])
            return
        peer = self._open[name]
        match kind:
            case "says":
                await peer.say(json.dumps(self._filled(step[kind])))
            case "hears":
                self._compare(await self._next(peer, step[kind]), step[kind])
            case "answers":
                await self._answer(peer, step[kind], step["until"])
            case "closed":
                assert await peer.closed() == step[kind]
                del self._open[name]
            case _:
                await self._open.pop(name).close(step[kind] if kind == "closes" else None)

    def leftovers(self) -> dict[str, list[Json]]:
        """Return what peers were told beyond the steps."""
        return {name: heard for name, peer in self._open.items() if (heard := _told(peer))}

    async def _next(self, peer: Connection, expected: Json) -> Json:
        while True:
            message = await peer.hear()
            waits = message.get("msg_type") == "waiting" != expected.get("msg_type")
            if not waits:
                return message

    async def _answer(self, peer: Connection, answers: Json, until: Json) -> None:
        """Answer each message by its type until another comes."""
        while True:
            message = await peer.hear()
            if message["msg_type"] not in answers:
                self._compare(message, until)
                return
            await peer.say(json.dumps(answers[message["msg_type"]]))

    def _filled(self, value: Any) -> Any:
        match value:
            case dict():
                return {name: self._filled(each) for name, each in value.items()}
            case list():
                return [self._filled(each) for each in value]
            case str() if _is_name(value):
                return self._chosen[value]
            case _:
                return value

    def _compare(self, given: Any, expected: Any) -> None:
        match expected:
            case dict():
                assert isinstance(given, dict), given
                for name, each in expected.items():
                    self._compare(given.get(name), each)
            case list():
                assert isinstance(given, list), (given, expected)
                assert len(given) == len(expected), (given, expected)
                for one, each in zip(given, expected, strict=True):
                    self._compare(one, each)
            case str() if _is_name(expected):
                assert given is not None, expected
                assert self._chosen.setdefault(expected, given) == given
            case _:
                assert given == expected, (given, expected)


def _is_name(text: str) -> bool:
    return text.startswith("<") and text.endswith(">")


def _told(peer: Connection) -> list[Json]:
    return [message for message in peer.unheard() if message.get("msg_type") != "waiting"]
