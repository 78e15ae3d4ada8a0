# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.handshake: what is asked with HTTP, and which answers are taken."""

import base64
import itertools

import pytest
from hypothesis import given, strategies as st

from wsrc.net.answers import AnswerError, NoHttpError, RedirectedError
from wsrc.net.handshake import (
    MAX_HEAD_OCTETS,
    Answer,
    Head,
    Upgrade,
    accept_of,
    connect_request,
    place,
)
from wsrc.settings.address import Address, Login

KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455 section 1.3."""

TAKEN = {"upgrade": "WebSocket", "connection": "keep-alive, Upgrade"}
HEAD = b"HTTP/1.1 503 No\r\nServer: nginx\r\nVia: a\r\nvia:  b \r\nEmpty:\r\n\r\n"


def fields(request: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = request.decode().removesuffix("\r\n\r\n").split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines)


def test_the_answer_to_a_key_is_that_of_the_rfc() -> None:
    assert accept_of(KEY) == ACCEPT


@pytest.mark.parametrize(
    ("url", "first", "host"),
    [
        ("ws://relay", "GET / HTTP/1.1", "relay"),
        ("wss://relay:443/user", "GET /user HTTP/1.1", "relay"),
        ("wss://relay:80/", "GET / HTTP/1.1", "relay:80"),
        ("ws://[::1]:4220/a%20b?x=1&y=ü", "GET /a%20b?x=1&y=%C3%BC HTTP/1.1", "[::1]:4220"),
        ("wss://bücher.example/b c", "GET /b%20c HTTP/1.1", "xn--bcher-kva.example"),
    ],
)
def test_an_upgrade_is_asked_for_as_rfc_6455_has_it(url: str, first: str, host: str) -> None:
    asked, headers = fields(Upgrade(Address(url)).request)
    key = headers.pop("Sec-WebSocket-Key")
    assert len(base64.b64decode(key, validate=True)) == 16
    assert (asked, headers.pop("Host")) == (first, host)
    assert headers == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "wsrc.v1",
        "User-Agent": "wsrc",
    }


def test_each_upgrade_has_a_key_of_its_own() -> None:
    assert Upgrade(Address("ws://h")).request != Upgrade(Address("ws://h")).request


def test_a_user_and_a_password_are_sent_and_no_part_of_the_host() -> None:
    _, headers = fields(Upgrade(Address("ws://ida:s3cr%3Aet@relay/")).request)
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"ida:s3cr:et").decode()
    assert headers["Host"] == "relay"
    first, headers = fields(connect_request("::1", 4220, Login("ida", "x")))
    assert (first, headers["Host"]) == ("CONNECT [::1]:4220 HTTP/1.1", "[::1]:4220")
    assert headers["Proxy-Authorization"] == "Basic aWRhOng="
    assert "Authorization" not in headers
    assert set(fields(connect_request("h", 1, None))[1]) == {"Host", "User-Agent"}


def test_no_character_of_a_url_begins_a_header() -> None:
    request = Upgrade(Address("ws://h/\x00\x7f a?b\u2028c")).request
    assert request.count(b"\r\n") == 9
    with pytest.raises(ValueError, match=r"idna|label|codepoint"):
        place("a" * 70 + "ü", 1)


def chosen(status: int = 101, **changes: str | None) -> str | None:
    upgrade = Upgrade(Address("ws://h"))
    key = fields(upgrade.request)[1]["Sec-WebSocket-Key"]
    headers = TAKEN | {"sec-websocket-accept": accept_of(key)}
    for name, value in changes.items():
        headers.pop(name.replace("_", "-"), None)
        if value is not None:
            headers[name.replace("_", "-")] = value
    return upgrade.chosen(Answer(status, headers))


def test_a_websocket_and_its_subprotocol_are_taken() -> None:
    assert chosen() is None
    assert chosen(sec_websocket_protocol="wsrc.v1") == "wsrc.v1"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 200},
        {"upgrade": None},
        {"upgrade": "h2c"},
        {"connection": None},
        {"connection": "Upgraded"},
        {"sec_websocket_accept": None},
        {"sec_websocket_accept": ACCEPT},
        {"sec_websocket_extensions": "permessage-deflate"},
        {"status": 302},
        {"status": 304, "location": "/"},
    ],
)
def test_an_answer_that_makes_no_websocket_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(AnswerError) as caught:
        chosen(**changes)  # type: ignore[arg-type]
    assert caught.value.status == changes.get("status", 101)


def test_another_url_is_not_followed() -> None:
    with pytest.raises(RedirectedError) as caught:
        chosen(307, location="ws://elsewhere/")
    assert (caught.value.status, caught.value.location) == (307, "ws://elsewhere/")


def fed(octets: bytes, step: int) -> None:
    """Feed all octets, some at a time."""
    head = Head()
    for at in range(0, len(octets), step):
        head.feed(octets[at : at + step])


@given(cuts=st.lists(st.integers(0, len(HEAD) + 3), max_size=6))
def test_an_answer_is_read_wherever_it_is_cut(cuts: list[int]) -> None:
    octets, head, found = HEAD + b"abc", Head(), None
    places = [0, *sorted(cuts), len(octets)]
    after = b""
    for start, end in itertools.pairwise(places):
        if found is None:
            found = head.feed(octets[start:end])
        else:
            after += octets[start:end]
    assert found is not None
    answer, rest = found
    assert answer.status == 503
    assert answer.headers == {"server": "nginx", "via": "a, b", "empty": ""}
    assert rest + after == b"abc"


def test_answers_for_information_are_passed_over() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
    found = Head().feed(early + b"HTTP/1.0 200\r\n\r\nrest")
    assert found == (Answer(200, {}), b"rest")
    with pytest.raises(NoHttpError):
        fed(early * MAX_HEAD_OCTETS, 50)


@pytest.mark.parametrize(
    "octets",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02F",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/1.1 20x No\r\n\r\n",
        b"HTTP/1.1 2000 No\r\n\r\n",
        b"HTTP/1.1 200 No\r\nno field\r\n\r\n",
        b"HTTP/1.1 200 No\r\nA b: c\r\n\r\n",
        b"HTTP/1.1 200 No\r\nA : c\r\n\r\n",
        b"HTTP/1.1 200 No\r\nA: c\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 No\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 200 No\r\nA: " + b"x" * MAX_HEAD_OCTETS,
    ],
)
def test_what_is_no_http_or_has_no_end_is_refused(octets: bytes) -> None:
    for step in (1, len(octets)):
        with pytest.raises(NoHttpError) as caught:
            fed(octets, step)
        assert octets.startswith(caught.value.began)
