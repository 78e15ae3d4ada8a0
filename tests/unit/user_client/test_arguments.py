# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.arguments: what is taken, and the sentence for what is not."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wsrc.card.slot import CardProtocol, Share
from wsrc.errors import LocalProtocolError
from wsrc.octets import Octets
from wsrc.user_client.core import arguments

PIN = "0020000108 31323334ffffffff"


@pytest.mark.parametrize(
    "given", [b"\0\1", bytearray(b"\0\1"), memoryview(b"\0\1"), Octets(b"\0\1")]
)
def test_octets_are_taken_from_what_is_like_bytes(given: Any) -> None:
    taken = arguments.octets(given, "command")
    assert type(taken) is Octets
    assert taken == b"\0\1"


def test_octets_are_copied() -> None:
    given = bytearray(b"\0\1")
    taken = arguments.octets(given, "command")
    given[0] = 2
    assert taken == b"\0\1"


def test_members_are_taken_by_themselves_and_by_their_value() -> None:
    assert arguments.member(Share.SHARED, Share, "share") is Share.SHARED
    assert arguments.member("shared", Share, "share") is Share.SHARED
    both = (CardProtocol.T0, CardProtocol.T1)
    assert arguments.members(["T0", CardProtocol.T1], CardProtocol, "protocols") == both
    assert arguments.members(iter(both), CardProtocol, "protocols") == both


def numbers() -> Iterator[int]:
    yield from (1, 2)


@pytest.mark.parametrize("given", [[1, 2], (1, 2), range(1, 3), numbers(), {1: 0, 2: 0}.keys()])
def test_several_are_taken_from_anything_that_has_items(given: Any) -> None:
    assert arguments.several(given, "steps") == (1, 2)


def test_filters_are_text_or_not_given() -> None:
    given = {"iccid": "8988*", "eid": None, "atr": "", "reader": "r", "label": "l", "any": "a"}
    assert arguments.filters(given) == given


Check = Callable[[Any], object]


@pytest.mark.parametrize(
    ("check", "given", "sentence"),
    [
        (lambda x: arguments.octets(x, "command"), PIN, "command must be bytes, not str; bytes.fr"),
        (lambda x: arguments.octets(x, "command"), [0, 0xA4], "command must be bytes, not list."),
        (lambda x: arguments.octets(x, "value"), 5, "value must be bytes, not int."),
        (lambda x: arguments.octets(x, "value"), None, "value must be bytes, not None."),
        (lambda x: arguments.text(x, "name"), b"x", "name must be text, not bytes."),
        (lambda x: arguments.whole(x, "number"), "1", "number must be a whole number, not str."),
        (lambda x: arguments.whole(x, "number"), True, "number must be a whole number, not bool."),
        (lambda x: arguments.whole(x, "number"), 1.0, "number must be a whole number, not float."),
        (lambda x: arguments.number(x, "wait_s"), "1", "wait_s must be a number, not str."),
        (lambda x: arguments.number(x, "wait_s"), True, "wait_s must be a number, not bool."),
        (lambda x: arguments.flag(x, "raw"), 1, "raw must be True or False, not int."),
        (
            lambda x: arguments.member(x, Share, "share"),
            "alone",
            "share must be one of exclusive, shared, direct, not 'alone'.",
        ),
        (lambda x: arguments.member(x, Share, "share"), 1, "share must be one of exc.*, not int."),
        (lambda x: arguments.member(x, Share, "share"), [], "share must be one of .*, not list."),
        (
            lambda x: arguments.members(x, CardProtocol, "protocols"),
            CardProtocol.T1,
            "protocols must be a list, not CardProtocol.",
        ),
        (lambda x: arguments.members(x, CardProtocol, "protocols"), ["T2"], "T0, T1, not 'T2'."),
        (lambda x: arguments.several(x, "steps"), b"\0\1", "steps must be a list, not bytes."),
        (lambda x: arguments.several(x, "steps"), {}, "steps must be a list, not dict."),
        (lambda x: arguments.several(x, "steps"), 5, "steps must be a list, not int."),
        (lambda x: arguments.function(x, "tell"), "x", "tell must be a function, not str."),
        (
            arguments.filters,
            {"imsi": "901"},
            "cannot be selected by 'imsi'; use iccid, eid, atr, reader",
        ),
        (arguments.filters, {"iccid": 8988}, "iccid must be text, not int."),
        (arguments.filters, {"atr": b"\x3b"}, "atr must be text, not bytes."),
    ],
)
def test_what_is_not_taken_is_named(check: Check, given: Any, sentence: str) -> None:
    with pytest.raises(LocalProtocolError, match=sentence.replace("[", r"\[")) as caught:
        check(given)
    assert not re.search("31323334", str(caught.value))
