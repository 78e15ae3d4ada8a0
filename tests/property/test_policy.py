# SPDX-License-Identifier: Apache-2.0
"""What holds for any policy, peer and card."""

from hypothesis import given, strategies as st

from tests.support.policies import BANK, CONTACTLESS, EID, EUICC, ICCID, UICC, card, rule
from wsrc.policy.facts import Facts
from wsrc.policy.machine import NOTHING, Policy, Rule
from wsrc.policy.words import Verb
from wsrc.principal import Principal

NAMES = ("ann", "bob", "ci-1", "ci-2", "*", "group:lab")
GROUPS = {
    "lab": ("ann", "group:robots"),
    "robots": ("ci-*", "idp:robots"),
    "nobody": (),
    "public": ("anyone", "bob"),
}
MEMBERS = (*NAMES[:4], "*", "c*", "anyone", "idp:lab", "idp:*", *(f"group:{g}" for g in GROUPS))

PATTERNS = {
    "iccid": (ICCID, ICCID[:-1], "8988*", "*", "", "8949000000000000000"),
    "eid": (EID, "8904*", "*", ""),
    "atr": (UICC, "3b9f*", BANK),
    "label": ("desk", "bench*", "*", ""),
    "tag": ("rack=7", "rack=*", ""),
    "host": ("farm-a", "farm-*"),
    "reader": ("SN-1", "array*", "other"),
    "kind": ("uicc", "euicc", "*uicc", "other", "contactless"),
}

principals = st.none() | st.builds(
    Principal, st.sampled_from(NAMES), st.frozensets(st.sampled_from(("lab", "robots", "x")))
)
cards = st.builds(
    card,
    iccid=st.sampled_from((None, ICCID, ICCID[:-1])),
    eids=st.sampled_from(((), (EID,), ("8" * 32, EID))),
    label=st.sampled_from((None, "Desk", "bench-3")),
    atr=st.sampled_from((UICC, EUICC, BANK, CONTACTLESS)),
    host=st.sampled_from(("farm-a", "farm-b", "else")),
    tags=st.sampled_from(({}, {"rack": "7"})),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kinds = draw(st.lists(st.sampled_from(sorted(PATTERNS)), unique=True, max_size=2))
    patterns = {
        kind: draw(st.lists(st.sampled_from(PATTERNS[kind]), min_size=1, max_size=2))
        for kind in kinds
    }
    to = draw(st.lists(st.sampled_from(MEMBERS), min_size=1, max_size=2))
    may = draw(st.lists(st.sampled_from(Verb), min_size=1, max_size=3))
    return rule(to, may, line=draw(st.integers(1, 99)), **patterns)


policies = st.lists(rules(), max_size=5)


def policy(given: list[Rule]) -> Policy:
    return Policy(given, given, GROUPS)


@given(policies, rules(), principals, cards)
def test_one_grant_more_takes_nothing_away(
    some: list[Rule], more: Rule, who: Principal | None, this: Facts
) -> None:
    before, after = policy(some), policy([*some, more])
    assert before.rights(who, this) <= after.rights(who, this)
    assert before.announces(who, this) <= after.announces(who, this)
    added = after.rights(who, this) - before.rights(who, this)
    assert added <= more.may | {Verb.LIST}


@given(st.data(), policies, principals, cards)
def test_the_order_of_grants_is_of_no_account(
    data: st.DataObject, some: list[Rule], who: Principal | None, this: Facts
) -> None:
    other = data.draw(st.permutations(some))
    assert policy(other).rights(who, this) == policy(some).rights(who, this)
    assert policy(other).announces(who, this) == policy(some).announces(who, this)


@given(principals, cards)
def test_no_grant_gives_nothing(who: Principal | None, this: Facts) -> None:
    assert policy([]).rights(who, this) == NOTHING
    assert not policy([]).announces(who, this)


@given(policies, principals, cards)
def test_what_is_decided_is_what_is_explained(
    some: list[Rule], who: Principal | None, this: Facts
) -> None:
    judge = policy(some)
    said = judge.explain(who, this)
    assert judge.rights(who, this) == {verb for verb in Verb if said[verb].allowed}
    assert all(ruling.allowed == ruling.certain for ruling in said.values())
    assert judge.announces(who, this) == judge.explain_host(who, this).certain


@given(policies, principals, cards)
def test_whoever_may_do_anything_may_list(
    some: list[Rule], who: Principal | None, this: Facts
) -> None:
    may = policy(some).rights(who, this)
    assert (Verb.LIST in may) == bool(may)


@given(policies, principals, cards, st.sets(st.sampled_from(sorted(PATTERNS))))
def test_what_is_not_known_of_a_card_takes_nothing_away(
    some: list[Rule], who: Principal | None, this: Facts, unknown: set[str]
) -> None:
    known = tuple(key for key in this.keys if key[0] not in unknown)
    partly = Facts(known, frozenset(unknown))
    judge = policy(some)
    assert judge.rights(who, this) <= judge.rights(who, partly)
    assert judge.announces(who, this) <= judge.announces(who, partly)
    said = judge.explain(who, partly)
    assert judge.rights(who, partly) == {verb for verb in Verb if said[verb].allowed}


@given(policies, st.lists(st.tuples(principals, cards), max_size=6))
def test_what_was_asked_before_is_of_no_account(
    some: list[Rule], asked: list[tuple[Principal | None, Facts]]
) -> None:
    one = policy(some)
    for who, this in asked:
        assert one.rights(who, this) == policy(some).rights(who, this)
