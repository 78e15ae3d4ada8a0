# SPDX-License-Identifier: Apache-2.0
"""Who asks a server over HTTP in tests: answers as JSON, streams of events as they come."""

import io
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import ClientResponse, ClientSession, ClientTimeout

from tests.support.world import LIMIT_S

API = "/api/v1"


class Answer(NamedTuple):
    """What came: the status, the headers, and the body as JSON, None where it is none."""

    status: int
    headers: dict[str, str]
    body: Any
    text: str

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["content-type"].startswith("application/problem+json"), self
        assert self.body["status"] == self.status
        assert self.body["type"] == f"urn:wsrc:{self.body['code']}"
        assert self.body["detail"].endswith(".")
        return str(self.body["code"])


class Asker:
    """One client; made by `asking`."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        tls: ssl.SSLContext | None = None,
        **headers: str,
    ) -> Answer:
        """Send a request; names of headers have `_` for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        if body is not None:
            given.setdefault("Content-Type", "application/json")
        async with self._session.request(
            method, path, data=data, headers=given, ssl=tls or True
        ) as response:
            return await _read(response)

    async def get(self, path: str, **headers: str) -> Answer:
        """Read from the REST interface."""
        return await self.ask("GET", API + path, **headers)

    async def post(self, path: str, body: object, **headers: str) -> Answer:
        """Post to the REST interface."""
        return await self.ask("POST", API + path, body, **headers)

    async def session(self, **selection: Any) -> str:
        """Take a card, and return the path of the session."""
        answer = await self.post("/sessions", selection)
        assert answer.status == 201, answer
        return str(answer.headers["location"]).removeprefix(API)

    @asynccontextmanager
    async def events(self, query: str = "", **headers: str) -> AsyncIterator["Events"]:
        """Follow a stream."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.get(f"{API}/events{query}", headers=given) as response:
            assert response.status == 200, await response.text()
            yield Events(response)


class Events:
    """A stream of server-sent events, by a reader of the form of the HTML standard."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        """Return the name and the data of the next event; comments are passed over."""
        name, data = "message", ""
        while line := (await self.response.content.readline()).decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data += value
            elif not field and data:
                return name, json.loads(data)
        raise EOFError


async def _read(response: ClientResponse) -> Answer:
    text = await response.text()
    headers = {name.lower(): value for name, value in response.headers.items()}
    is_json = headers.get("content-type", "").split(";")[0].endswith("json")
    return Answer(response.status, headers, json.loads(text) if is_json else None, text)


@asynccontextmanager
async def asking(url: str, token: Path | None = None, **options: Any) -> AsyncIterator[Asker]:
    """Connect to a server, with the token in a file if one is given."""
    headers = {} if token is None else {"Authorization": f"Bearer {token.read_text().strip()}"}
    limit = ClientTimeout(total=LIMIT_S, sock_read=LIMIT_S)
    async with ClientSession(url, headers=headers, timeout=limit, **options) as session:
        yield Asker(session)
