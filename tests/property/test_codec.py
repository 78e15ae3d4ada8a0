# SPDX-License-Identifier: Apache-2.0
"""Messages survive the wire; no text does anything but be read or be refused."""

import json
from typing import Any

from hypothesis import given, strategies as st

from tests.support.models.strategies import json_values, messages, near_messages
from wsrc.errors import RemoteProtocolError
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, decode, encode


def read(text: bytes) -> m.Message | None:
    try:
        return decode(text)
    except (UnreadableError, RemoteProtocolError):
        return None


@given(messages)
def test_a_message_survives_the_wire(message: m.Message) -> None:
    assert decode(encode(message)) == message


@given(messages, st.dictionaries(st.text("xyz", min_size=3), json_values))
def test_unknown_fields_change_nothing(message: m.Message, unknown: dict[str, Any]) -> None:
    fields = unknown | json.loads(encode(message))
    assert decode(json.dumps(fields)) == message


@given(near_messages)
def test_what_looks_like_a_message_is_read_or_refused(fields: dict[str, Any]) -> None:
    message = read(json.dumps(fields).encode())
    assert message is None or decode(encode(message)) == message


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(text: bytes) -> None:
    message = read(text)
    assert message is None or decode(encode(message)) == message


@given(messages, st.data())
def test_a_message_with_an_octet_changed_is_read_or_refused(
    message: m.Message, data: st.DataObject
) -> None:
    text = bytearray(encode(message))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.integers(0, 255))
    changed = read(bytes(text))
    assert changed is None or decode(encode(changed)) == changed
