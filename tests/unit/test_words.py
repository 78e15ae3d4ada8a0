# SPDX-License-Identifier: Apache-2.0
import json
import pickle

import msgspec
import pytest

from wsrc.words import Word


class Colour(Word):
    RED = "red", "As blood"
    BLUE = "blue", "As the sky"


def test_a_word_is_its_text_and_has_a_meaning() -> None:
    assert Colour.RED == "red"
    assert f"{Colour.RED} {Colour.RED.value}" == "red red"
    assert [each.meaning for each in Colour] == ["As blood", "As the sky"]


def test_a_word_is_found_by_its_text_alone() -> None:
    assert Colour("blue") is Colour.BLUE
    assert pickle.loads(pickle.dumps(Colour.BLUE)) is Colour.BLUE
    with pytest.raises(ValueError, match="green"):
        Colour("green")


def test_a_word_goes_through_json_as_its_text() -> None:
    assert json.loads(msgspec.json.encode([Colour.RED])) == ["red"]
    assert msgspec.json.decode(b'"blue"', type=Colour) is Colour.BLUE


def test_a_word_without_a_meaning_cannot_be() -> None:
    with pytest.raises(TypeError, match="The meaning of 'green' is missing"):
        Word("Colour", {"GREEN": "green"})
