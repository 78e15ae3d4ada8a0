# SPDX-License-Identifier: Apache-2.0
"""wsrc.guard.rules: which commands a rule of the owner's is for."""

from collections.abc import Iterable

import pytest

from tests.support.guard_talk import UNBLOCK, VERIFY, Talk, select
from wsrc.guard.machine import Orders
from wsrc.guard.rules import rule_of
from wsrc.guard.tables import Table

USIM = "a0000000871002"


def ruled(tables: Iterable[dict[str, str]], *profiles: str) -> Talk:
    rules = tuple(rule_of(Table(**table), n) for n, table in enumerate(tables, start=1))
    return Talk(Orders(frozenset(profiles or ("full",)), rules=rules, answer="6985"))


def test_the_first_rule_decides() -> None:
    talk = ruled(
        [
            {"match": "00 d6 00 00", "answer": "allow"},
            {"match": "00 d6 xx xx"},
            {"match": "00 xx xx xx", "answer": "error"},
        ]
    )
    assert talk.passes("00d6000001aa")
    refusal = talk.give("00d6000101aa")
    assert refusal is not None
    assert (refusal.rule, refusal.sw) == ("table 2 of guard", "6985")
    refusal = talk.give("00b000000a")
    assert refusal is not None
    assert (refusal.rule, refusal.sw) == ("table 3 of guard", None)
    assert talk.passes("80f2000000")
    assert talk.passes("00c0000010")


@pytest.mark.parametrize(
    "octets", ["00d6000001aa", "03d6000001aa", "10d6000001aa", "4fd6000001aa", "0cd7000001aa"]
)
def test_a_rule_is_for_all_channels(octets: str) -> None:
    assert not ruled([{"match": "00d6xxxx"}]).passes(octets)
    assert ruled([{"match": "80d6xxxx"}]).passes(octets)


def test_a_rule_of_one_channel_is_for_that_alone() -> None:
    talk = ruled([{"match": "01xxxxxx"}])
    assert not talk.passes("01b000000a")
    assert talk.passes("02b000000a")


def test_a_rule_looks_at_the_beginning_of_the_data() -> None:
    talk = ruled([{"match": "80e2xxxx", "data": "bf3x"}])
    assert not talk.passes("80e2910003bf3100")
    assert talk.passes("80e2910003bf2d00")
    assert not talk.passes("00c2000008" + "80e2910003bf3200")


def test_a_rule_that_refuses_by_aid_holds_where_the_application_may_be_the_one() -> None:
    table = {"aid": "a0000005591010", "match": "80e2xxxx"}
    talk = ruled([table])
    assert not talk.passes("80e2910003bf2d00")
    for aid, refused in ((USIM, False), ("a000000559", True), ("a0000005591010ffff", True)):
        assert talk.passes(select(aid))
        assert talk.passes("80e2910003bf2d00") is not refused


def test_a_rule_that_allows_by_aid_holds_where_nothing_else_can_be_meant() -> None:
    talk = ruled([{"aid": USIM, "match": "00d6xxxx", "answer": "allow"}], "read-only")
    assert not talk.passes("00d6000001aa")
    assert talk.passes(select("a00000"))
    assert not talk.passes("00d6000001aa")
    assert talk.passes(select(USIM + "ff"))
    assert talk.passes("00d6000001aa")


def test_a_rule_that_allows_leaves_the_last_try() -> None:
    talk = ruled([{"match": "0020xxxx", "answer": "allow"}], "no-pin")
    assert talk.passes(VERIFY, "63c1")
    assert not talk.passes(VERIFY)
    assert not talk.passes(UNBLOCK)
