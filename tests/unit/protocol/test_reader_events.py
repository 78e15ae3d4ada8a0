# SPDX-License-Identifier: Apache-2.0
"""wsrc.protocol.reader_events: readers in JSON-RPC, as SpringCard Companion words them."""

import json
from typing import Any

import pytest

from wsrc.card.slot import SlotState
from wsrc.errors import RemoteProtocolError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, decode, encode, tag_of
from wsrc.protocol.reader_events import status_of

ATR = "3B8F8001804F0CA0000003060300030000000068"

STATE_CHANGE = """{
    "jsonrpc": "2.0",
    "event": "Pcsc.Reader.StateChange",
    "params":
    {
        "ReaderId": "6aiBfYtd_3vVQMrj-EqhRg",
        "Name": "SpringCard Prox'N'Roll Contactless 0",
        "Status": "present",
        "ATR": "3B8F8001804F0CA0000003060300030000000068",
        "Error": false,
        "Present": true,
        "InUse": false
    }
}"""
"""The example of the description of the event."""

LIST_CHANGE: dict[str, Any] = {
    "jsonrpc": "2.0",
    "event": "Pcsc.Readers.ListChange",
    "params": {"Names": ["One", "Two"], "ReaderIds": ["1", "2"]},
}


def view(
    reader: str = "6aiBfYtd_3vVQMrj-EqhRg",
    name: str = "SpringCard Prox'N'Roll Contactless 0",
    state: SlotState = SlotState.PRESENT,
    **more: Any,
) -> m.ReaderView:
    given = {"atr": Octets.fromhex(ATR)} | more
    return m.ReaderView(number=1, reader=reader, name=name, host="bench", state=state, **given)


def test_a_state_change_is_the_example_field_by_field_in_its_order() -> None:
    text = encode(m.state_change(view(label="blue", insertion=4)))
    assert text == json.dumps(json.loads(STATE_CHANGE), separators=(",", ":")).encode()


def test_a_list_change_has_names_and_ids_in_one_order() -> None:
    text = encode(m.list_change([view("1", "One"), view("2", "Two")]))
    assert text == json.dumps(LIST_CHANGE, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("state", "more", "status", "error", "present"),
    [
        (SlotState.UNAVAILABLE, {"atr": None}, "error", True, False),
        (SlotState.EMPTY, {"atr": None}, "empty", False, False),
        (SlotState.PRESENT, {}, "present", False, True),
        (SlotState.PRESENT, {"in_use": True}, "present,in_use", False, True),
        (
            SlotState.PRESENT,
            {"in_use": True, "exclusive": True},
            "present,in_use,exclusive",
            False,
            True,
        ),
        (SlotState.MUTE, {"atr": None}, "present,mute", False, True),
        (SlotState.MUTE, {"atr": None, "in_use": True}, "present,mute,in_use", False, True),
    ],
)
def test_status_words(
    state: SlotState, more: dict[str, Any], status: str, error: bool, present: bool
) -> None:
    reader = view(state=state, **more)
    assert status_of(reader) == status
    params = json.loads(encode(m.state_change(reader)))["params"]
    assert ("ATR" in params) == (reader.atr is not None)
    assert (params["Status"], params["Error"], params["Present"]) == (status, error, present)
    assert params["InUse"] == bool(more.get("in_use"))


def test_without_a_card_there_is_no_atr() -> None:
    params = m.state_change(view(state=SlotState.EMPTY)).params
    assert params.atr is None


@pytest.mark.parametrize("text", [STATE_CHANGE, json.dumps(LIST_CHANGE)])
def test_a_notification_is_read_as_it_was_written(text: str) -> None:
    read = decode(text)
    assert tag_of(read) == json.loads(text)["event"]
    assert json.loads(encode(read)) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        STATE_CHANGE.replace("2.0", "1.0"),
        STATE_CHANGE.replace('"Present"', '"present"'),
        json.dumps(LIST_CHANGE).replace('["1", "2"]', "2"),
    ],
)
def test_what_is_no_notification_of_these_is_malformed(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(text)


def test_e31_a_notification_of_a_later_version_does_not_end_the_connection() -> None:
    text = STATE_CHANGE.replace("Pcsc.Reader.StateChange", "Pcsc.Reader.Other")
    with pytest.raises(UnreadableError, match=r"no notification 'Pcsc\.Reader\.Other'"):
        decode(text)
