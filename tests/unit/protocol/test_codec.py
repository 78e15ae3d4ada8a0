# SPDX-License-Identifier: Apache-2.0
"""wsrc.protocol.codec: messages to text and back, and which of two errors a bad text is."""

import json
from typing import Any, cast, get_args

import msgspec
import pytest

from tests.support.paths import VECTORS
from wsrc.card.slot import Initialization
from wsrc.errors import ErrorCode, LocalProtocolError, RemoteProtocolError
from wsrc.octets import Octets
from wsrc.protocol import codec, messages as m
from wsrc.protocol.codec import BY_TAG, UnreadableError, check, decode, encode, tag_of

CASES: list[dict[str, Any]] = json.loads((VECTORS / "messages.json").read_text())["cases"]


def test_octets_are_lower_case_digits_and_defaults_are_left_out() -> None:
    command = m.CApdu(id=1, command=Octets.fromhex("00A4"))
    assert encode(command) == b'{"msg_type":"c_apdu","id":1,"command":"00a4"}'
    assert decode(encode(command)) == command


@pytest.mark.parametrize("text", [b'{"msg_type":"c_apdu","command":"00Ff"}', " {} "])
def test_text_may_be_str_or_bytes(text: bytes | str) -> None:
    if isinstance(text, str):
        with pytest.raises(RemoteProtocolError):
            decode(text)
        return
    assert decode(text) == decode(text.decode()) == m.CApdu(command=Octets(b"\0\xff"))


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors(case: dict[str, Any]) -> None:
    if case["decoded"] is not None:
        message = decode(case["text"])
        assert json.loads(encode(message)) == case["decoded"]
        return
    kind = UnreadableError if case["closed"] is None else RemoteProtocolError
    with pytest.raises(kind) as refused:
        decode(case["text"])
    assert refused.value.code == case["answer"]["code"]
    if isinstance(refused.value, UnreadableError):
        assert refused.value.id == case["answer"]["id"]


@pytest.mark.parametrize(("value", "kind"), [("5", "int"), ("[]", "list"), ("true", "bool")])
def test_what_is_no_text_is_no_octets(value: str, kind: str) -> None:
    with pytest.raises((UnreadableError, RemoteProtocolError)) as refused:
        decode(f'{{"msg_type":"c_apdu","command":{value}}}')
    assert f"expected hexadecimal digits, got {kind}" in str(refused.value)


def test_errors_do_not_repeat_octets_which_may_be_a_pin() -> None:
    for text in (
        b'{"msg_type":"c_apdu","command":"0020000108313233g"}',
        b'{"msg_type":"c_apdu","command":["0020000108313233"]}',
    ):
        with pytest.raises((UnreadableError, RemoteProtocolError)) as refused:
            decode(text)
        assert "313233" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b'{"msg_type":"list_cards","label":"\xff"}',
        b"[" * 100_000,
        b'{"msg_type":"list_cards","x":' + b"[" * 100_000,
        b'{"msg_type":"' + b"x" * 100,
    ],
)
def test_what_is_not_json_in_utf_8_is_malformed(text: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(text)


def test_a_long_unknown_name_is_cut() -> None:
    with pytest.raises(UnreadableError) as refused:
        decode(b'{"msg_type":"' + b"x" * 1000 + b'"}')
    assert len(str(refused.value)) < 100
    assert refused.value.code is ErrorCode.UNKNOWN_MESSAGE


def test_nothing_but_octets_is_encoded_specially() -> None:
    with pytest.raises(NotImplementedError, match="object"):
        msgspec.json.Encoder(enc_hook=codec.encode_octets).encode(object())


def test_every_message_has_its_tag() -> None:
    assert set(BY_TAG.values()) == set(get_args(m.AnyMessage))
    assert tag_of(m.ReaderGone(reader="x")) == "reader_gone"
    assert BY_TAG["reader_gone"] is m.ReaderGone


@pytest.mark.parametrize(
    "secret",
    ["002000010831323334ffffffff", "1234 - at `$.id`", pytest.param("1" * 100_000, id="long")],
)
def test_a_value_in_the_wrong_field_is_not_repeated(secret: str) -> None:
    text = json.dumps({"msg_type": "reset_req", "id": 1, "kind": secret})
    with pytest.raises(UnreadableError) as refused:
        decode(text)
    assert str(refused.value) == "This version does not know what 'kind' of 'reset_req' says."


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            m.Reconnect(session="", initialization=cast("Initialization", "eject")),
            "Invalid 'reconnect' request: there is no such 'initialization'.",
        ),
        (m.SelectCard(iccid=cast("str", 8988)), "got `int` - at `$.iccid`"),
        (m.GetAttribute(session="", name="\udcff"), "UTF-8"),
        (m.GetAttribute(session="", name=cast("str", {1j})), "has no form"),
    ],
)
def test_what_a_server_would_not_take_is_refused_before_it_is_sent(
    message: m.Message, sentence: str
) -> None:
    with pytest.raises(LocalProtocolError) as refused:
        check(message)
    assert sentence in str(refused.value)


GOOD = {case["name"]: case["text"] for case in CASES if "msg_type" in (case["decoded"] or {})}


@pytest.mark.parametrize("name", GOOD)
def test_what_can_be_read_is_not_refused_before_it_is_sent(name: str) -> None:
    message = decode(GOOD[name])
    check(message)
    assert decode(encode(message)) == message
