# SPDX-License-Identifier: Apache-2.0
"""wsrc.tags: what can be a tag, and what cannot."""

import pytest

from wsrc import tags


@pytest.mark.parametrize("key", ["a", "kind", "sim.v2_x-9", "z" * 32])
def test_a_key(key: str) -> None:
    assert tags.wrong({key: "value"}) is None
    assert tags.wrong_filter({key: "value*"}) is None


@pytest.mark.parametrize(
    "key", ["", "A", "1a", "-a", "kInd", "a b", "a=b", "a\n", "é", "a*", "z" * 33, "a\x00", "<b>"]
)
def test_no_key(key: str) -> None:
    for why in (tags.wrong({key: "value"}), tags.wrong_filter({key: "value"})):
        assert why is not None
        assert "is no key of a tag" in why
        assert why.isprintable()


@pytest.mark.parametrize("value", ["a", "sgp22", "Orange FR", "é日本", "a=b", "<b>", "x" * 64])
def test_a_value(value: str) -> None:
    assert tags.wrong({"k": value}) is None


@pytest.mark.parametrize(
    "value", ["", "x" * 65, "a\nb", "\x1b[2J", "a\x00", " a", "a ", "\u202egnp", "a*", "\ud800"]
)
def test_no_value(value: str) -> None:
    why = tags.wrong({"k": value})
    assert why is not None
    assert why.startswith("the tag 'k' has")
    assert why.isprintable()


@pytest.mark.parametrize("key", tags.DERIVED)
def test_a_derived_tag_is_looked_for_and_not_set(key: str) -> None:
    assert "cannot be set" in (tags.wrong({key: "uicc"}) or "")
    assert tags.wrong_filter({key: "uicc"}) is None


def test_so_many_tags_and_no_more() -> None:
    many = {f"k{number}": "v" for number in range(10_000)}
    some = {key: many[key] for key in list(many)[: tags.MOST]}
    few = {key: many[key] for key in list(many)[: tags.MOST_ASKED]}
    assert (tags.wrong(some), tags.wrong_filter(few)) == (None, None)
    assert tags.wrong(many) == "10000 tags are more than 32"
    assert tags.wrong_filter(many) == "10000 tags are more than 8"
    assert "at most 256" in (tags.wrong_filter({"k": "v" * 257}) or "")


def test_a_comment_is_printable_and_short() -> None:
    assert tags.wrong_comment("PIN is in the drawer") is None
    assert tags.wrong_comment("") is None
    assert "256" in (tags.wrong_comment("x" * 257) or "")
    assert "printed" in (tags.wrong_comment("a\nb") or "")
