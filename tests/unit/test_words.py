# SPDX-License-Identifier: Apache-2.0
import importlib
import json
import pickle
from enum import IntEnum
from pathlib import Path

import msgspec
import pytest

import wsrc
from wsrc.words import Word

PACKAGE = Path(wsrc.__file__).parent


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


def numbered() -> list[type[IntEnum]]:
    """Return every class of numbers that wsrc has."""
    files = [path for path in PACKAGE.rglob("*.py") if "(IntEnum)" in path.read_text("utf-8")]
    names = (".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files)
    modules = [importlib.import_module(name) for name in sorted(names)]
    return [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, IntEnum)
        and kind.__module__ == module.__name__
    ]


@pytest.mark.parametrize("kind", numbered(), ids=lambda kind: kind.__name__)
def test_no_number_has_two_names(kind: type[IntEnum]) -> None:
    assert [each.name for each in kind] == [*kind.__members__]
