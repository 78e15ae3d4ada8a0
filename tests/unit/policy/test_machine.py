# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.support.policies import (
    BANK,
    CONTACTLESS,
    EID,
    EUICC,
    ICCID,
    SOMEBODY,
    UICC,
    card,
    facts,
    granting,
    reader_info,
    rule,
)
from wsrc.card.slot import CardProtocol
from wsrc.policy.facts import FACTS, Facts, described
from wsrc.policy.machine import MAX_REMEMBERED, OPEN, Policy
from wsrc.policy.words import ALL, Kind, Verb
from wsrc.principal import Principal
from wsrc.protocol.messages import ReaderState

OTHER_EID = "89044045930000000000001491596203"

USE = [Verb.USE]


def may(policy: Policy, who: Principal | None, facts: Facts) -> bool:
    return Verb.USE in policy.rights(who, facts)


def test_without_a_grant_nothing_is_allowed() -> None:
    policy = granting()
    assert policy.rights(SOMEBODY, card()) == frozenset()
    assert not policy.announces(SOMEBODY, card())


def test_without_a_policy_everything_is_allowed() -> None:
    for who in (None, SOMEBODY):
        assert OPEN.rights(who, card()) == ALL
        assert OPEN.announces(who, card())
        assert all(each.certain and not each.grounds for each in OPEN.explain(who, card()).values())
        assert OPEN.explain_host(who, card()).certain


def test_every_verb_has_list_with_it_and_no_other() -> None:
    for verb in Verb:
        assert granting(rule("*", [verb])).rights(SOMEBODY, card()) == {verb, Verb.LIST}


def test_grants_add_up() -> None:
    policy = granting(
        rule("somebody", [Verb.USE], label="a"),
        rule("some*", [Verb.RESET], iccid=ICCID),
        rule("else", [Verb.ADMIN]),
    )
    assert policy.rights(SOMEBODY, card(label="a")) == {Verb.LIST, Verb.USE, Verb.RESET}
    assert policy.rights(SOMEBODY, card(label="b")) == {Verb.LIST, Verb.RESET}


@pytest.mark.parametrize(
    ("to", "who", "meant"),
    [
        ("ann@example.org", Principal("ann@example.org"), True),
        ("ann@example.org", Principal("Ann@example.org"), False),
        ("ci-*", Principal("ci-7"), True),
        ("ci-*", Principal("ci-"), True),
        ("ci-*", Principal("a-ci-7"), False),
        ("*", Principal("*"), True),
        ("*", None, False),
        ("anyone", None, True),
        ("anyone", SOMEBODY, True),
        ("idp:sim-lab", Principal("ann", frozenset({"sim-lab"})), True),
        ("idp:sim-*", Principal("ann", frozenset({"x", "sim-lab"})), True),
        ("idp:*", Principal("ann", frozenset({"x"})), True),
        ("idp:*", SOMEBODY, False),
        ("idp:*", None, False),
        ("idp:sim-lab", Principal("ann", frozenset({"Sim-Lab"})), False),
        ("sim-lab", Principal("ann", frozenset({"sim-lab"})), False),
        ("idp:sim-lab", Principal("idp:sim-lab"), False),
        ("idp:sim-lab", Principal("sim-lab"), False),
        ("group:lab", Principal("bob"), True),
        ("group:lab", Principal("carol", frozenset({"sim"})), True),
        ("group:lab", Principal("ci-1"), True),
        ("group:lab", Principal("group:lab"), False),
        ("group:lab", Principal("lab"), False),
        ("group:lab", Principal("dora", frozenset({"lab", "group:lab"})), False),
        ("group:robots", Principal("bob"), False),
        ("group:public", None, True),
    ],
)
def test_whom_a_grant_is_for(to: str, who: Principal | None, meant: bool) -> None:
    groups = {
        "lab": ["bob", "group:robots", "idp:sim"],
        "robots": ["ci-*"],
        "public": ["anyone"],
    }
    policy = granting(rule(to, USE), groups=groups, hosts=[rule(to)])
    assert may(policy, who, card()) == meant
    assert policy.announces(who, card()) == meant
    assert policy.explain(who, card())[Verb.USE].certain == meant


@pytest.mark.parametrize(
    ("kind", "text", "fits"),
    [
        ("iccid", ICCID, True),
        ("iccid", ICCID[:-1], True),
        ("iccid", "8988 2110 0000 0430 010F", True),
        ("iccid", "8988211*", True),
        ("iccid", "8988-211*", True),
        ("iccid", "*10", True),
        ("iccid", "8988212*", False),
        ("iccid", "", False),
        ("eid", EID, True),
        ("eid", EID.replace("8904", "8904 "), True),
        ("eid", OTHER_EID, True),
        ("eid", "8904*", True),
        ("eid", "8905*", False),
        ("eid", "", False),
        ("atr", EUICC.upper(), True),
        ("atr", "3B 9F*", True),
        ("atr", "3b9f" + "00" * 31, False),
        ("atr", "3b9e*", False),
        ("label", "BENCH 3", True),
        ("label", "bench*", True),
        ("label", "bench", False),
        ("label", "", False),
        ("tag", "rack=7", True),
        ("tag", "rack=*", True),
        ("tag", "*=7", True),
        ("tag", "RACK=7", False),
        ("tag", "", False),
        ("host", "bench-1", True),
        ("host", "bench-*", True),
        ("host", "Bench-1", False),
        ("reader", "sn-1", True),
        ("reader", "array a*", True),
        ("reader", "other", False),
        ("kind", "euicc", True),
        ("kind", "*uicc", True),
        ("kind", "uicc", False),
    ],
)
def test_which_cards_a_pattern_fits(kind: str, text: str, fits: bool) -> None:
    eids = (EID, OTHER_EID)
    this = card(eids=eids, label="Bench 3", atr=EUICC, tags={"rack": "7", "row": "b"})
    assert may(granting(rule("*", USE, **{kind: text})), SOMEBODY, this) == fits


@pytest.mark.parametrize("kind", ["iccid", "eid", "label", "tag"])
def test_what_a_card_lacks_fits_the_empty_text_and_no_pattern(kind: str) -> None:
    bare = card(iccid=None, atr=BANK)
    assert may(granting(rule("*", USE, **{kind: ""})), SOMEBODY, bare)
    assert not may(granting(rule("*", USE, **{kind: "*"})), SOMEBODY, bare)
    assert may(granting(rule("*", USE, **{kind: ["", "*"]})), SOMEBODY, bare)


@pytest.mark.parametrize("kind", sorted(set(FACTS) - {"host", "reader", "tag"}))
def test_an_empty_reader_has_no_facts_of_a_card(kind: str) -> None:
    empty = facts(reader_info(ReaderState.EMPTY, atr=None))
    for text in ("*",) if kind in {"kind", "atr"} else ("*", ""):
        assert not may(granting(rule("*", USE, **{kind: text})), SOMEBODY, empty)
    for policy in (
        granting(rule("*", USE)),
        granting(rule("*", USE, reader="SN-1")),
        granting(rule("*", USE, reader="array*", host="bench*")),
    ):
        assert may(policy, SOMEBODY, empty)


@pytest.mark.parametrize("text", ["", "*"])
@pytest.mark.parametrize("kind", ["iccid", "eid", "label"])
def test_of_a_card_that_is_being_identified_nothing_is_taken_to_be_missing(
    kind: str, text: str
) -> None:
    new = facts(reader_info(ReaderState.IDENTIFYING))
    assert not may(granting(rule("*", USE, **{kind: text})), SOMEBODY, new)
    assert not may(granting(rule("*", USE, kind="*")), SOMEBODY, new)
    assert may(granting(rule("*", USE, atr="3b9f*")), SOMEBODY, new)


@pytest.mark.parametrize(
    ("atr", "iccid", "eids", "kind"),
    [
        (UICC, ICCID, (), Kind.UICC),
        (UICC, None, (), Kind.UICC),
        (BANK, ICCID, (), Kind.UICC),
        (EUICC, ICCID, (), Kind.EUICC),
        (UICC, ICCID, (EID,), Kind.EUICC),
        (BANK, None, (EID,), Kind.EUICC),
        (CONTACTLESS, None, (), Kind.CONTACTLESS),
        (CONTACTLESS, ICCID, (), Kind.UICC),
        (BANK, None, (), Kind.OTHER),
        ("3b80800100", None, (), Kind.CONTACTLESS),
        ("3b90800100", None, (), Kind.OTHER),
        ("3f80800100", None, (), Kind.OTHER),
        ("3b8f80", None, (), Kind.OTHER),
        ("3b", None, (), Kind.OTHER),
    ],
)
def test_what_kind_a_card_is(
    atr: str, iccid: str | None, eids: tuple[str, ...], kind: Kind
) -> None:
    this = card(atr=atr, iccid=iccid, eids=eids)
    assert [each for each in Kind if may(granting(rule("*", USE, kind=each)), SOMEBODY, this)] == [
        kind
    ]


def test_a_card_that_gives_no_atr_is_of_no_kind() -> None:
    mute = facts(reader_info(ReaderState.MUTE, atr=None))
    assert not may(granting(rule("*", USE, kind="*")), SOMEBODY, mute)


def test_a_card_in_use_elsewhere_is_what_it_was_found_to_be() -> None:
    known = reader_info(ReaderState.IN_USE, atr=BANK, protocol=CardProtocol.T0)
    assert may(granting(rule("*", USE, kind="other", iccid="")), SOMEBODY, facts(known))
    unknown = facts(reader_info(ReaderState.IN_USE, atr=BANK))
    assert not may(granting(rule("*", USE, kind="*")), SOMEBODY, unknown)


def test_all_patterns_of_a_grant_must_fit() -> None:
    policy = granting(rule("*", USE, label="bench*", kind="uicc"))
    assert may(policy, SOMEBODY, card(label="bench-3"))
    assert not may(policy, SOMEBODY, card(label="bench-3", atr=EUICC))
    assert not may(policy, SOMEBODY, card(label="desk"))


def test_one_of_several_texts_is_enough() -> None:
    policy = granting(rule("*", USE, label=["desk", "bench*"]))
    assert may(policy, SOMEBODY, card(label="desk"))
    assert may(policy, SOMEBODY, card(label="bench-3"))
    assert not may(policy, SOMEBODY, card(label="rack"))


def test_a_host_may_announce_a_card_only_if_all_its_eids_and_tags_fit() -> None:
    policy = granting(hosts=[rule("*", eid="89049032*"), rule("*", tag="rack=*")])
    assert policy.announces(SOMEBODY, card(eids=(EID,)))
    assert not policy.announces(SOMEBODY, card(eids=(EID, OTHER_EID)))
    assert not policy.announces(SOMEBODY, card())
    assert policy.announces(SOMEBODY, card(tags={"rack": "7"}))
    assert not policy.announces(SOMEBODY, card(tags={"rack": "7", "row": "b"}))


@pytest.mark.parametrize(("kind", "text"), [("eid", "8904*"), ("iccid", "*"), ("tag", "*=*")])
def test_a_host_may_not_announce_by_what_is_not_known(kind: str, text: str) -> None:
    policy = granting(hosts=[rule("*", **{kind: text})])
    for state in (ReaderState.EMPTY, ReaderState.IDENTIFYING, ReaderState.MUTE):
        atr = UICC if state is ReaderState.IDENTIFYING else None
        assert not policy.announces(SOMEBODY, facts(reader_info(state, atr=atr)))


def test_a_host_may_be_kept_to_cards_without_an_eid() -> None:
    policy = granting(hosts=[rule("*", iccid="8988211*", eid=["", "89049032*"])])
    assert policy.announces(SOMEBODY, card())
    assert policy.announces(SOMEBODY, card(eids=(EID,)))
    assert not policy.announces(SOMEBODY, card(eids=(OTHER_EID,)))


def test_an_expected_card_fits_in_what_is_not_said_of_it() -> None:
    policy = granting(rule("*", USE, line=4, label="bench*", kind="uicc"))
    said = described([("label", "Bench-3")])
    assert may(policy, SOMEBODY, said)
    ruling = policy.explain(SOMEBODY, said)[Verb.USE]
    assert (ruling.allowed, ruling.certain) == (True, False)
    assert [(ground.line, ground.unknown) for ground in ruling.grounds] == [(4, ("kind",))]
    assert not may(policy, SOMEBODY, described([("label", "")]))
    assert not may(policy, SOMEBODY, described([("label", "bench-3"), ("kind", "euicc")]))
    assert policy.explain(SOMEBODY, described([("label", "bench-3"), ("kind", "uicc")]))[
        Verb.USE
    ].certain


def test_explaining_names_lines_and_the_way_through_groups() -> None:
    policy = granting(
        rule(["nobody", "group:lab"], [Verb.USE, Verb.RESET], line=7, label="bench*"),
        rule("else", [Verb.USE], line=9),
        rule("*", [Verb.CONTROL], line=12, label="desk", kind="euicc"),
        groups={"lab": ["group:robots"], "robots": ["some*"]},
    )
    said = policy.explain(SOMEBODY, card(label="bench-3"))
    assert list(said) == list(Verb)
    (ground,) = said[Verb.USE].grounds
    assert (ground.line, ground.way) == (7, ("group:lab", "group:robots", "some*"))
    assert [each.line for each in said[Verb.LIST].grounds] == [7]
    (miss,) = said[Verb.CONTROL].misses
    assert (miss.line, miss.meant, miss.misfits) == (12, True, ("label", "kind"))
    assert said[Verb.ADMIN].misses == ()
    stranger = policy.explain(Principal("stranger"), card(label="bench-3"))[Verb.USE]
    assert [(each.line, each.meant) for each in stranger.misses] == [(7, False), (9, False)]


def test_many_peers_are_not_remembered_for_ever() -> None:
    policy = granting(rule("*7", USE, iccid=ICCID), rule("1", USE))
    for number in range(MAX_REMEMBERED + 20):
        name = str(number)
        meant = name.endswith("7") or name == "1"
        assert may(policy, Principal(name), card()) == meant
    assert len(policy._grants._remembered) == MAX_REMEMBERED
