# SPDX-License-Identifier: Apache-2.0
"""What answers a client's upgrade or CONNECT: HTTP of any kind, cut anywhere, and its sentence."""

from wsrc.net.answers import (
    AnswerError,
    AtProxyError,
    NoHttpError,
    RedirectedError,
    explain_handshake,
    explain_proxy,
    retry_after,
)
from wsrc.net.handshake import MAX_HEAD_OCTETS, Answer, Head, Upgrade, accept_of, connect_request
from wsrc.net.proxy import proxy_for
from wsrc.settings.address import Address

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_ADDRESS = Address("wss://user:pa55w0rd@relay.example:4220/user?x=y")
_PROXY = proxy_for("wss://relay.example", {"https_proxy": "http://me:0therpa55@proxy:3128"})

_SWITCH = (
    f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {accept_of(_KEY)}\r\nSec-WebSocket-Protocol: wsrc.v1\r\n\r\n"
).encode()
SEEDS = [
    b"\0" + _SWITCH + b"\x81\x02{}",
    b"\5HTTP/1.1 100 Continue\r\n\r\n" + _SWITCH,
    b"\1HTTP/1.1 302 Found\r\nLocation: https://elsewhere/\r\n\r\n",
    b"\3HTTP/1.0 503 Service Unavailable\r\nRetry-After: 5\r\nServer: aiohttp/3\r\n\r\n",
    b"\7HTTP/1.1 403 Forbidden\r\nWsrc-Reason: revoked\r\n\r\n",
    b"\2HTTP/1.1 407 Proxy Authentication Required\r\nServer: squid\x1b[31m\r\n\r\n",
    b"\0SSH-2.0-OpenSSH\r\n",
]
WORDS = [
    b"\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 ",
    b"HTTP/1.0 101 \r\n",
    b"Upgrade: websocket\r\n",
    b"Location: ",
    b"Connection: keep-alive, Upgrade\r\n",
    b"Sec-WebSocket-Accept: ",
    accept_of(_KEY).encode(),
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n",
    b"Sec-WebSocket-Protocol: ",
    b"Server: ",
    b"Retry-After: 9",
    b"Wsrc-Reason: ",
    b"100",
    b"199",
    b"401",
    b"{0}",
    b"%s",
    b"\x1b",
    b"\xff",
]
SHARE = 20


def one(data: bytes) -> None:
    """An answer is taken or refused; nobody is told a password, and no sentence has controls."""
    size, octets = (data[0], data[1:]) if data else (0, b"")
    whole, cut = _answer(octets, len(octets) or 1), _answer(octets, size or 1)
    assert cut == whole
    if whole is None:
        return
    answer, rest = whole
    assert octets.endswith(rest)
    upgrade = Upgrade(_ADDRESS)
    upgrade._key = _KEY
    try:
        chosen = upgrade.chosen(answer)
        assert answer.status == 101
        assert chosen is None or repr(chosen).isprintable()
    except RedirectedError as exc:
        assert 300 <= exc.status < 400
    except AnswerError as exc:
        _said(explain_handshake(exc, _ADDRESS))
        assert _PROXY is not None
        _said(explain_proxy(AtProxyError(exc), _PROXY) or "")
        wait_s = retry_after(exc)
        assert wait_s is None or 0 <= wait_s < 1e9
    assert connect_request("relay.example", 4220, None).endswith(b"\r\n\r\n")


def _answer(octets: bytes, size: int) -> tuple[Answer, bytes] | None:
    head = Head()
    try:
        for at in range(0, len(octets), size):
            found = head.feed(octets[at : at + size])
            if found is not None:
                return found[0], found[1] + octets[at + size :]
            assert len(head._octets) <= MAX_HEAD_OCTETS + 4
    except NoHttpError as exc:
        assert len(exc.began) <= 2
    return None


def _said(sentence: str) -> None:
    assert len(sentence) < 500
    assert sentence.isprintable()
    assert "pa55w0rd" not in sentence
    assert "0therpa55" not in sentence
