# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.several."""

from hypothesis import given, strategies as st

from wsrc.relay.several import Several

KEYS, THINGS = st.sampled_from("abc"), st.integers(0, 4)


@given(steps=st.lists(st.tuples(st.booleans(), KEYS, THINGS), max_size=40))
def test_it_is_as_a_dictionary_of_each_key(steps: list[tuple[bool, str, int]]) -> None:
    several: Several[str, int] = Several()
    expected: dict[str, dict[int, None]] = {}
    for enters, key, thing in steps:
        before = several.copy()
        held = {each: list(before.under(each)) for each in "abc"}
        if enters:
            several.enter(key, thing)
            expected.setdefault(key, {})[thing] = None
        else:
            several.strike(key, thing)
            expected.get(key, {}).pop(thing, None)
        expected = {each: things for each, things in expected.items() if things}
        assert {each: list(before.under(each)) for each in "abc"} == held
        assert {each: list(several.under(each)) for each in "abc"} == {
            each: list(expected.get(each, ())) for each in "abc"
        }
        assert [each in several for each in "abc"] == [each in expected for each in "abc"]
        assert len(several) == len(expected)


def test_the_only_thing_of_a_key_takes_no_collection() -> None:
    several: Several[str, str] = Several()
    several.enter("key", "thing")
    several.enter("key", "thing")
    assert several._found == {"key": "thing"}
