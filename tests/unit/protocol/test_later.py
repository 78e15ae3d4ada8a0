# SPDX-License-Identifier: Apache-2.0
"""What a peer of a later version may say: every field, every word and every number of a message."""

import itertools
import json
from typing import Any, get_args

import pytest
from msgspec import inspect

from tests.support.samples import (
    NUMBERS,
    WRITTEN,
    Place,
    at,
    every_field,
    number_at,
    places,
    sample,
)
from wsrc.errors import ErrorCode, Outcome, RemoteProtocolError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import BY_TAG, UnreadableError, canonical, decode
from wsrc.protocol.conversation import ANSWERS
from wsrc.protocol.fields import MAX_WHOLE
from wsrc.protocol.later import WORDS_ASKED
from wsrc.words import OpenWord, Word

LATER = "word_of_tomorrow"
FIELDS = [place for place in every_field() if isinstance(place.path[-1], str)]
OPTIONAL = [place for place in FIELDS if not place.field.required]
REQUIRED = [place for place in FIELDS if place.field.required]
WORDS = places(lambda held: isinstance(held, inspect.EnumType))


def of_each_message(found: list[Place]) -> Any:
    """Give a test the places of one message after the other."""
    tags = dict.fromkeys(str(place.kind.__struct_config__.tag) for place in found)
    groups = [[p for p in found if p.kind is BY_TAG[tag]] for tag in tags]
    return pytest.mark.parametrize("there", groups, ids=list(tags))


def read(text: dict[str, Any]) -> m.Message:
    return decode(json.dumps(text))


@pytest.mark.parametrize("kind", BY_TAG.values(), ids=list(BY_TAG))
def test_every_message_has_a_sample(kind: type[m.Message]) -> None:
    assert type(read(sample(kind))) is kind


@of_each_message(OPTIONAL)
def test_e31_null_in_an_optional_field_is_as_if_it_were_absent(there: list[Place]) -> None:
    for place in there:
        without = place.holding(None)
        inside: Any = without
        for step in place.path[:-1]:
            inside = inside[step]
        del inside[place.path[-1]]
        assert read(place.holding(None)) == read(without), place.name


@of_each_message(REQUIRED)
def test_e31_null_in_a_field_that_must_be_there_is_malformed(there: list[Place]) -> None:
    for place in there:
        with pytest.raises(RemoteProtocolError):
            read(place.holding(None))


@of_each_message(WORDS)
def test_e31_a_word_of_a_later_version_never_ends_the_connection(there: list[Place]) -> None:
    for place in there:
        text = place.holding(LATER) | {"id": 7}
        name = str(place.path[0])
        if name in WORDS_ASKED[place.kind]:
            with pytest.raises(UnreadableError) as refused:
                read(text)
            assert (refused.value.id, refused.value.code) == (7, ErrorCode.NOT_SUPPORTED)
            assert refused.value.session == text.get("session")
            assert LATER not in str(refused.value)
            continue
        expected: str = LATER
        if place.kind is m.Detach and name == "disposition":
            expected = "reset"
        elif isinstance(place.holds, inspect.EnumType) and place.holds.cls is Outcome:
            expected = "unknown"
        assert at(read(text), place) == expected, place.name


@of_each_message(WORDS)
def test_e31_every_word_of_this_version_is_read(there: list[Place]) -> None:
    for place in there:
        assert isinstance(place.holds, inspect.EnumType)
        for word in place.holds.cls:
            read(place.holding(word.value))


def test_e31_every_list_of_words_on_the_wire_is_open() -> None:
    lists = {place.holds.cls for place in WORDS if isinstance(place.holds, inspect.EnumType)}
    assert {kind for kind in lists if not issubclass(kind, OpenWord)} == {Outcome}
    assert all(issubclass(kind, Word) for kind in lists)


def test_e31_every_request_with_a_word_is_refused_for_one_that_is_not_known() -> None:
    asked = {place.kind for place in WORDS if place.kind in ANSWERS and len(place.path) <= 2}
    with_words = {kind for kind in get_args(m.AnyMessage) if WORDS_ASKED[kind]}
    assert asked - with_words == {m.Detach}
    assert with_words <= asked


@pytest.mark.parametrize("text", ["", "two words", "\x1b[2J", "x" * 65, "9th", "Grün"])
def test_e31_a_text_that_cannot_be_a_word_is_kept_nowhere(text: str) -> None:
    for kind in OpenWord.__subclasses__():
        assert kind(text) == "unknown"


@of_each_message(NUMBERS)
def test_e31_a_whole_number_is_taken_however_it_is_written(there: list[Place]) -> None:
    for place, value in itertools.product(there, (0, 1, -1, MAX_WHOLE, -MAX_WHOLE)):
        for digits in WRITTEN:
            assert at(decode(number_at(place, digits.format(value))), place) == value, place.name


@of_each_message(NUMBERS)
def test_e31_what_is_no_whole_number_of_53_bits_is_malformed(there: list[Place]) -> None:
    wrong = (MAX_WHOLE + 1, -MAX_WHOLE - 1, "9007199254740992.0", "1.5", "true", '"1"')
    for place, value in itertools.product(there, wrong):
        with pytest.raises(RemoteProtocolError):
            decode(number_at(place, str(value)))


def test_e31_a_text_that_is_passed_on_has_no_null_and_no_fraction_of_zero() -> None:
    text = b'{"msg_type":"c_apdu","id":1.0,"session":"s","command":"00A40000","new":null,"n":[2.0]}'
    message = decode(text)
    assert message == m.CApdu(id=1, session="s", command=Octets.fromhex("00a40000"))
    passed = b'{"msg_type":"c_apdu","id":1,"session":"s","command":"00A40000","n":[2]}'
    assert canonical(text, message) == passed
