# SPDX-License-Identifier: Apache-2.0
"""What a peer of a later version may say: every field, every word and every number of a message."""

import json
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st
from msgspec import inspect

from tests.support.samples import Place, every_field, places, sample
from wsrc.errors import ErrorCode, Outcome, RemoteProtocolError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import BY_TAG, UnreadableError, canonical, decode, encode
from wsrc.protocol.conversation import ANSWERS
from wsrc.protocol.fields import MAX_WHOLE
from wsrc.protocol.later import WORDS_ASKED
from wsrc.words import OpenWord, Word

LATER = "word_of_tomorrow"
FIELDS = [place for place in every_field() if isinstance(place.path[-1], str)]
OPTIONAL = [place for place in FIELDS if not place.field.required]
REQUIRED = [place for place in FIELDS if place.field.required]
WORDS = places(lambda held: isinstance(held, inspect.EnumType))
NUMBERS = places(lambda held: isinstance(held, inspect.IntType))


def each(found: list[Place]) -> Any:
    assert found
    return pytest.mark.parametrize("place", found, ids=[place.name for place in found])


def read(text: dict[str, Any]) -> m.Message:
    return decode(json.dumps(text))


def at(message: m.Message, place: Place) -> Any:
    """Return what a message has at a place, as it is written."""
    inside: Any = json.loads(encode(message))
    for step in place.path:
        inside = inside[step] if isinstance(step, int) else inside.get(step, place.field.default)
    return inside


@pytest.mark.parametrize("kind", BY_TAG.values(), ids=list(BY_TAG))
def test_every_message_has_a_sample(kind: type[m.Message]) -> None:
    assert type(read(sample(kind))) is kind


@each(OPTIONAL)
def test_e31_null_in_an_optional_field_is_as_if_it_were_absent(place: Place) -> None:
    without = place.holding(None)
    inside: Any = without
    for step in place.path[:-1]:
        inside = inside[step]
    del inside[place.path[-1]]
    assert read(place.holding(None)) == read(without)


@each(REQUIRED)
def test_e31_null_in_a_field_that_must_be_there_is_malformed(place: Place) -> None:
    with pytest.raises(RemoteProtocolError):
        read(place.holding(None))


@each(WORDS)
def test_e31_a_word_of_a_later_version_never_ends_the_connection(place: Place) -> None:
    text = place.holding(LATER) | {"id": 7}
    name = str(place.path[0])
    if name in WORDS_ASKED.get(place.kind, ()):
        with pytest.raises(UnreadableError) as refused:
            read(text)
        assert (refused.value.id, refused.value.code) == (7, ErrorCode.NOT_SUPPORTED)
        assert refused.value.session == text.get("session")
        assert LATER not in str(refused.value)
        return
    expected: str = LATER
    if place.kind is m.Detach and name == "disposition":
        expected = "reset"
    elif isinstance(place.holds, inspect.EnumType) and place.holds.cls is Outcome:
        expected = "unknown"
    assert at(read(text), place) == expected


@each(WORDS)
def test_e31_every_word_of_this_version_is_read(place: Place) -> None:
    assert isinstance(place.holds, inspect.EnumType)
    for word in place.holds.cls:
        read(place.holding(word.value))


def test_e31_every_list_of_words_on_the_wire_is_open() -> None:
    lists = {place.holds.cls for place in WORDS if isinstance(place.holds, inspect.EnumType)}
    assert {kind for kind in lists if not issubclass(kind, OpenWord)} == {Outcome}
    assert all(issubclass(kind, Word) for kind in lists)


def test_e31_every_request_with_a_word_is_refused_for_one_that_is_not_known() -> None:
    asked = {place.kind for place in WORDS if place.kind in ANSWERS and len(place.path) <= 2}
    assert asked - set(WORDS_ASKED) == {m.Detach}
    assert set(WORDS_ASKED) <= asked


@pytest.mark.parametrize("text", ["", "two words", "\x1b[2J", "x" * 65, "9th", "Grün"])
def test_e31_a_text_that_cannot_be_a_word_is_kept_nowhere(text: str) -> None:
    for kind in OpenWord.__subclasses__():
        assert kind(text) == "unknown"


WRITTEN = ("{}", "{}.0", "{}e0")


def number_at(place: Place, digits: str) -> str:
    return json.dumps(place.holding("NUMBER")).replace('"NUMBER"', digits)


@each(NUMBERS)
@pytest.mark.parametrize("value", [0, 1, -1, MAX_WHOLE, -MAX_WHOLE])
def test_e31_a_whole_number_is_taken_however_it_is_written(place: Place, value: int) -> None:
    for digits in WRITTEN:
        assert at(decode(number_at(place, digits.format(value))), place) == value


@each(NUMBERS)
@pytest.mark.parametrize(
    "value", [str(MAX_WHOLE + 1), str(-MAX_WHOLE - 1), "9007199254740992.0", "1.5", "true", '"1"']
)
def test_e31_what_is_no_whole_number_of_53_bits_is_malformed(place: Place, value: str) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(number_at(place, value))


@given(
    place=st.sampled_from(NUMBERS),
    value=st.integers(-MAX_WHOLE, MAX_WHOLE),
    digits=st.sampled_from(WRITTEN),
)
def test_e31_any_whole_number_of_53_bits_is_read_exactly(
    place: Place, value: int, digits: str
) -> None:
    got = at(decode(number_at(place, digits.format(value))), place)
    assert (got, type(got)) == (value, int)


@given(
    place=st.sampled_from(NUMBERS),
    value=st.integers().filter(lambda value: abs(value) > MAX_WHOLE) | st.floats(allow_nan=False),
)
def test_e31_any_other_number_is_malformed(place: Place, value: float) -> None:
    assume(abs(value) > MAX_WHOLE or value != int(value))
    with pytest.raises(RemoteProtocolError):
        decode(number_at(place, json.dumps(value)))


def test_e31_a_text_that_is_passed_on_has_no_null_and_no_fraction_of_zero() -> None:
    text = b'{"msg_type":"c_apdu","id":1.0,"session":"s","command":"00A40000","new":null,"n":[2.0]}'
    message = decode(text)
    assert message == m.CApdu(id=1, session="s", command=Octets.fromhex("00a40000"))
    passed = b'{"msg_type":"c_apdu","id":1,"session":"s","command":"00A40000","n":[2]}'
    assert canonical(text, message) == passed
