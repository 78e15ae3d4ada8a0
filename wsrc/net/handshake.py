# SPDX-License-Identifier: Apache-2.0
"""What HTTP a client speaks to have a WebSocket (RFC 6455 section 4), or a tunnel (RFC 9110)."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from wsrc.net.answers import AnswerError, NoHttpError, RedirectedError
from wsrc.net.bearer import Token
from wsrc.protocol.conversation import SUBPROTOCOL
from wsrc.settings.address import Address, Login

SWITCHING = 101

MAX_HEAD_OCTETS = 16 << 10
"""The longest head of an answer, with what comes before it for information."""

DEFAULT_PORTS = {"ws": 80, "wss": 443}

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_INFORMATION = range(100, 200)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [\t -\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t -\x7e\x80-\xff]*)")
_OF_A_PATH = "/%:@!$&'()*+,;=~-._?"


class Answer(NamedTuple):
    """The head of an answer; the names of `headers` are in lower case, equal ones are joined."""

    status: int
    headers: Mapping[str, str]


class Head:
    """Collects the head of an answer, wherever it is cut."""

    def __init__(self) -> None:
        self._octets = b""
        self._passed = 0

    def feed(self, data: bytes) -> tuple[Answer, bytes] | None:
        """
        Take the next octets; return the answer and what came after its head, once it is there.

        Answers for information are passed over (RFC 9110 section 15.2).

        Raises:
            NoHttpError: If that is no HTTP, or its head is too long.
        """
        self._octets += data
        while True:
            if not b"HTTP/1.".startswith(self._octets[:7]):
                raise NoHttpError(self._octets[:2])
            head, end, rest = self._octets.partition(b"\r\n\r\n")
            if self._passed + len(head) > MAX_HEAD_OCTETS:
                raise NoHttpError(b"")
            if not end:
                return None
            answer = _answer(head)
            if answer.status == SWITCHING or answer.status not in _INFORMATION:
                return answer, rest
            self._passed += len(head)
            self._octets = rest


def _answer(head: bytes) -> Answer:
    first, *fields = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    if status is None:
        raise NoHttpError(first[:2])
    headers: dict[str, str] = {}
    for each in fields:
        field = _FIELD.fullmatch(each)
        if field is None:
            raise NoHttpError(b"")
        name, value = field[1].decode().lower(), field[2].decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Answer(int(status[1]), headers)


class Upgrade:
    """
    The upgrade of one connection to a WebSocket.

    `request` is what is sent.

    Args:
        address: Of the server; its user part is sent as RFC 7617 has it.
        token: What is sent instead, as RFC 6750 has it.
    """

    def __init__(self, address: Address, token: Token | None = None) -> None:
        parts = urlsplit(address.whole)
        self._key = base64.b64encode(os.urandom(16)).decode()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        port = None if parts.port == DEFAULT_PORTS.get(parts.scheme) else parts.port
        self.request = _request(
            f"GET {quote(target, safe=_OF_A_PATH)}",
            {
                "Host": place(parts.hostname or "", port),
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": self._key,
                "Sec-WebSocket-Protocol": SUBPROTOCOL,
                **_authorization(address.login, token),
            },
        )

    def chosen(self, answer: Answer) -> str | None:
        """
        Return the subprotocol that a server chose as it made a WebSocket, None if it chose none.

        Raises:
            RedirectedError: If it names another URL.
            AnswerError: If it made none, or not as RFC 6455 section 4.1 has it.
        """
        headers = answer.headers
        if answer.status in _REDIRECTS and "location" in headers:
            raise RedirectedError(answer.status, headers["location"])
        connection = [each.strip() for each in headers.get("connection", "").lower().split(",")]
        if (
            answer.status != SWITCHING
            or headers.get("upgrade", "").lower() != "websocket"
            or "upgrade" not in connection
            or headers.get("sec-websocket-accept") != accept_of(self._key)
            or headers.get("sec-websocket-extensions")
        ):
            raise AnswerError(answer.status, headers)
        return headers.get("sec-websocket-protocol")


def connect_request(host: str, port: int, login: Login | None) -> bytes:
    """Return what asks a proxy for a tunnel (RFC 9110 section 9.3.6)."""
    to = place(host, port)
    return _request(f"CONNECT {to}", {"Host": to, **_basic("Proxy-Authorization", login)})


def accept_of(key: str) -> str:
    """Return what a server answers to the key of a client (RFC 6455 section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def place(host: str, port: int | None) -> str:
    """Return a host and its port as HTTP writes them."""
    name = host if host.isascii() else host.encode("idna").decode()
    name = f"[{name}]" if ":" in name else name
    return name if port is None else f"{name}:{port}"


def _request(what: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{what} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "User-Agent: wsrc", "", ""]).encode()


def _authorization(login: Login | None, token: Token | None) -> dict[str, str]:
    if token is not None:
        return {"Authorization": f"Bearer {token.text}"}
    return _basic("Authorization", login)


def _basic(header: str, login: Login | None) -> dict[str, str]:
    """Return a header with user and password (RFC 7617), or none."""
    if login is None:
        return {}
    octets = f"{login.user}:{login.password}".encode()
    return {header: f"Basic {base64.b64encode(octets).decode()}"}
