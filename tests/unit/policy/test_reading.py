# SPDX-License-Identifier: Apache-2.0
# Longer than the aim: each slip of the pen in a policy, and the line that tells of it.

import textwrap
import tomllib
from functools import partial

import pytest
from hypothesis import given, strategies as st

from tests.support.policies import card
from tests.support.steps import steps
from wsrc.errors import ConfigError
from wsrc.policy.lines import Lines
from wsrc.policy.reading import Document, facts, principal, read
from wsrc.policy.telling import quota_text
from wsrc.policy.words import Verb
from wsrc.principal import Principal

# Longer than the aim: each way to write a policy wrongly is a line here.

EXAMPLE = """\
[groups]
lab = ["tester@example.org", "ci-*"]
[[grant]]
to = ["group:lab"]
cards = { label = "bench*", kind = "uicc" }
may = ["list", "use", "share", "reset"]
[[host]]
who = ["bench-*"]
announces = { iccid = "8988211*" }
[[expect]]
who = "tester@example.org"
card = { label = "bench-3" }
may = ["use"]
may_not = ["control"]
"""


def load(text: str) -> Document:
    return read(textwrap.dedent(text), "policy.toml")


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text)
    sentence = str(caught.value)
    assert caught.value.setting == "policy"
    assert "\n" not in sentence
    return sentence.removeprefix("policy: ")


def test_the_example() -> None:
    document = load(EXAMPLE)
    assert (document.expectations, document.notes) == (1, ())
    policy, this = document.policy, card(label="Bench 3")
    assert policy.rights(Principal("ci-7"), this) == {Verb.LIST, Verb.USE, Verb.SHARE, Verb.RESET}
    assert policy.rights(Principal("else"), this) == frozenset()
    assert policy.announces(Principal("bench-1"), this)
    assert not policy.announces(Principal("bench-1"), card(iccid="8949020000000000018"))
    assert policy.explain(Principal("ci-7"), this)[Verb.USE].grounds[0].line == 3


def test_an_empty_file_allows_nothing_and_says_so() -> None:
    document = load("")
    assert document.policy.rights(Principal("a"), card()) == frozenset()
    assert document.notes == (
        "it has no [[host]], so that no card host may announce a card",
        "it has no [[grant]], so that no user may do anything",
    )


def test_a_group_of_which_nothing_is_said_is_noted() -> None:
    assert load(EXAMPLE.replace("[[grant]]", "left = []\n[[grant]]")).notes == (
        "nothing is given to group:left",
    )


def test_a_quota_is_the_most_of_those_that_are_for_a_user() -> None:
    text = """
        [groups]
        lab = ["ann", "bob"]
        [[quota]]
        to = ["group:lab"]
        reservations = 2
        reserve_s = 3600
        [[quota]]
        to = ["ann"]
        reservations = 0
        priority = 4
    """
    document = load(text)
    policy = document.policy
    assert policy.quota(Principal("ann")) == (2, 3600, 4, ())
    assert policy.quota(Principal("bob")) == (2, 3600, 0, ())
    assert policy.quota(Principal("cid")) == policy.quota(None) == (None, None, 0, ())
    assert not [note for note in document.notes if "group" in note]
    assert quota_text(policy.quota(Principal("ann"))) == (
        "2 reservations at a time, each of at most 3600 s, with a priority of at most 4"
    )
    assert quota_text(policy.quota(None)) == (
        "as many reservations as the server allows, each as long as any, with a priority of at "
        "most 0"
    )


def test_every_card_is_a_star() -> None:
    policy = load("[[grant]]\nto = ['anyone']\ncards = '*'\nmay = ['list']").policy
    assert policy.rights(None, card()) == {Verb.LIST}


GRANT = "[[grant]]\nto = ['*']\ncards = '*'\nmay = ['use']\n"
HOST = "[[host]]\nwho = ['*']\nannounces = '*'\n"
QUOTA = "[[quota]]\nto = ['*']\n"
EXPECT = "[[expect]]\nwho = 'ann'\ncard = { label = 'a' }\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grant", "policy.toml is not TOML: "),
        ("a = " + 5000 * "[", "policy.toml is not a policy: it is nested too deep"),
        ("a = " + 5000 * "9", "policy.toml is not TOML: "),
        (
            "\n[[grants]]",
            "policy.toml, line 2, grants: there is no such table; did you mean grant?",
        ),
        (
            "x = 1",
            "line 1, x: there is no such table; there are: groups, grant, host, quota, expect",
        ),
        ("groups = 3", "line 1, groups: write a table [groups]"),
        ("[groups]\n\nlab = 'ann'", "line 3, groups.lab: 'ann' is no list of texts"),
        ("[groups]\nlab = [1]", "line 2, groups.lab: '[1]' is no list of texts"),
        ("[groups]\n'la*' = []", "line 2, groups.la*: a group is named without *"),
        ("[groups]\n'' = []", "a group is named without *"),
        ("[groups]\na = ['group:b']", "line 2, groups.a: there is no 'group:b'; the groups are: a"),
        (
            "[groups]\na = ['group:b']\nb = ['group:a']",
            "line 2, groups.a: groups within themselves, or too deep: a > b > a",
        ),
        ("[groups]\na = ['group:a']", "too deep: a > a"),
        ("[groups]\na = []\na = []", "policy.toml is not TOML: "),
        (
            "[[expect]]\ngroups = []\n[[expect]]\n[ groups ]\na = 1",
            "line 5, groups.a: '1' is no list of texts",
        ),
        (
            "[groups]\n[[expect]]\nwho = 'a'\ncard = '*'\nmay = ['use']\ngroups = 1",
            "line 6, groups: '1'",
        ),
        ("[grant]", "line 1, grant: write each as a table of its own that begins with a line"),
        ("grant = []", "line 1, grant: write each as a table"),
        ("\ngrant = [{to = ['*'], cards = '*', may = ['use']}]", "line 2, grant: write each as"),
        ("[['grant']]", "grant: write each as"),
        ("[[grant]]", "line 1, to: this [[grant]] has none; give one"),
        ("[[quota]]\nreservations = 1", "line 1, to: this [[quota]] has none; give one"),
        ("[[quota]]\nto = ['*']", "line 1, quota: say what they may: reservations, reserve_s, "),
        (QUOTA + "most = 1", "line 3, most: [[quota]] has no most; there are: to, "),
        (QUOTA + "reservations = true", "line 3, reservations: write a whole number from 0 to 1"),
        (QUOTA + "reservations = 1.5", "line 3, reservations: write a whole number from 0 to 1"),
        (QUOTA + "reservations = -1", "line 3, reservations: write a whole number from 0 to 10000"),
        (QUOTA + "reserve_s = '1h'", "line 3, reserve_s: write a number from 0 to 2678400"),
        (QUOTA + "reserve_s = nan", "line 3, reserve_s: write a number from 0 to 2678400"),
        (QUOTA + "priority = 10", "line 3, priority: write a whole number from 0 to 9"),
        ("[[quota]]\nto = ['group:x']\npriority = 1", "line 2, to: there is no 'group:x'"),
        ("[[host]]\nwho = ['*']", "line 1, announces: this [[host]] has none; give one"),
        ("[[expect]]\nwho = 'a'", "line 1, card: this [[expect]] has none; give one"),
        (GRANT + "mai = []", "line 5, mai: [[grant]] has no mai; did you mean may?"),
        (
            GRANT.replace("'use'", "'uses'"),
            "line 4, may: there is no verb 'uses'; did you mean use?",
        ),
        (GRANT.replace("'use'", "'*'"), "line 4, may: there is no verb '*'; write out those that"),
        (GRANT.replace("'use'", ""), "line 4, may: the list is empty, which says nothing"),
        (GRANT.replace("['*']", "[]"), "line 2, to: the list is empty"),
        (GRANT.replace("['*']", "'*'"), "line 2, to: '*' is no list of texts; write"),
        (GRANT.replace("['*']", "['']"), "line 2, to: '' is empty, has space around it or"),
        (GRANT.replace("['*']", "['ann ']"), "line 2, to: 'ann ' is empty, has space around it or"),
        (
            GRANT.replace("['*']", "['group:lab']"),
            "line 2, to: there is no 'group:lab'; the groups",
        ),
        (GRANT.replace("['*']", "['Group:lab']"), "line 2, to: 'Group:lab' is written group: in"),
        (GRANT.replace("['*']", "['IDP:lab']"), "line 2, to: 'IDP:lab' is written idp: in small"),
        (GRANT.replace("['*']", "['Anyone']"), "line 2, to: 'Anyone' is written anyone in small"),
        (GRANT.replace("['*']", "['idp:']"), "line 2, to: after idp: comes the name of a group"),
        (GRANT.replace("= '*'", "= {}"), 'line 3, cards: write { label = "…" }, or "*" for every'),
        (GRANT.replace("= '*'", "= 'a'"), "line 3, cards: write { label"),
        (GRANT.replace("= '*'", "= { eids = 'a' }"), "there is no fact 'eids'; did you mean eid?"),
        (GRANT.replace("= '*'", "= { label = [] }"), "line 3, cards.label: the list is empty"),
        (
            GRANT.replace("= '*'", "= { iccid = 89 }"),
            "line 3, cards.iccid: '89' is no list of texts",
        ),
        (GRANT.replace("= '*'", "= { iccid = '89' }"), "iccid: '89' has 2 digits, and an ICCID 18"),
        (GRANT.replace("= '*'", "= { iccid = '89O*' }"), "iccid: '89O*' is not hexadecimal digits"),
        (GRANT.replace("= '*'", "= { eid = '89' }"), "eid: '89' has 2 digits, and an EID 32"),
        (
            GRANT.replace("= '*'", "= { atr = '3B0' }"),
            "atr: '3B0' has 3 digits, and an ATR 4 to 66",
        ),
        (
            GRANT.replace("= '*'", "= { kind = 'sim' }"),
            "kind: there is no kind 'sim'; the kinds are",
        ),
        (
            GRANT.replace("= '*'", "= { tag = 'x' }"),
            "tag: a tag is compared as NAME=VALUE, and 'x'",
        ),
        (
            GRANT.replace("= '*'", "= { host = '' }"),
            "host: only iccid, eid, label, tag can be empty",
        ),
        (GRANT.replace("= '*'", "= { label = ' a' }"), "label: ' a' has space around it"),
        (EXPECT, "line 1, expect: say what is expected: may, may_not or announces"),
        (EXPECT + "may = ['us']", "line 4, may: there is no verb 'us'; did you mean use?"),
        (EXPECT + "announces = 1", "line 4, announces: write true or false"),
        (
            EXPECT.replace("'ann'", "'a*'") + "may_not=['use']",
            "line 2, who: 'a*' is not the name of",
        ),
        (EXPECT.replace("'ann'", "['a']") + "may_not=['use']", "line 2, who: \"['a']\" is not the"),
        (EXPECT.replace("'ann'", "'group:a'") + "may=['use']", "line 2, who: 'group:a' is not the"),
        (
            EXPECT.replace("'ann'", "'anyone'\ngroups = ['a']") + "may=['use']",
            "line 2, who: anyone has no name, and so no groups",
        ),
        ('[groups]\n"a\\nb" = 1', "line 1, groups.a\\nb: '1' is no list of texts"),
        (EXPECT.replace("'a'", "'a*'") + "may=['use']", "line 3, card: 'a*' is a pattern, and"),
        (EXPECT.replace("label", "lable") + "may=['use']", "no fact 'lable'; did you mean label?"),
        (
            EXPECT.replace("label", "iccid = '', kind = ['uicc', 'other'], label") + "may=['use']",
            "line 3, card: a card has one kind, and there are several here",
        ),
        (
            EXPECT + "may = ['use']",
            "line 4, may: the policy fails this: ann may not use, since no line gives it",
        ),
        (
            EXPECT + "may = ['use']\n" + GRANT.replace("= '*'", "= { label = 'b' }"),
            "ann may not use, since line 5 is for cards with another label",
        ),
        (
            EXPECT + "may = ['use']\n" + GRANT.replace("['*']", "['b']"),
            "ann may not use, since line 5 is for others",
        ),
        (
            EXPECT + "may_not = ['use']\n" + GRANT,
            "line 4, may_not: the policy fails this: ann may use, since line 5 for *",
        ),
        (
            EXPECT + "may_not = ['list']\n" + GRANT,
            "line 4, may_not: the policy fails this: ann may list, since line 5 for *",
        ),
        (
            EXPECT + "announces = true",
            "line 4, announces: the policy fails this: ann may not announce it, since no line",
        ),
        (
            EXPECT
            + "announces = false\n"
            + HOST.replace("= '*'", "= { kind = 'uicc', label = 'a' }"),
            "fails this: ann may announce it, since line 5 for *, if kind fits",
        ),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(text: str, said: str) -> None:
    assert said in refusal(text)


def nested(count: int) -> str:
    groups = "".join(f"g{n} = ['group:g{n + 1}']\n" for n in range(1, count))
    return f"[groups]\n{groups}g{count} = ['ann']\n{GRANT.replace('*', 'group:g1', 1)}"


def test_groups_are_16_deep_at_most_and_never_in_themselves() -> None:
    assert Verb.USE in load(nested(16)).policy.rights(Principal("ann"), card())
    assert "too deep: g1 > g2 > g3" in refusal(nested(17))
    assert refusal("[groups]\na = ['group:b']\nb = ['x', 'group:a']").endswith(": a > b > a")


def test_expectations_of_groups_of_the_provider_and_of_anyone() -> None:
    document = load(
        """
        [[grant]]
        to = ["idp:sim"]
        cards = { host = "bench-*" }
        may = ["use"]
        [[grant]]
        to = ["anyone"]
        cards = "*"
        may = ["list"]
        [[host]]
        who = ["bench-1"]
        announces = { eid = "8904*", host = "bench-1" }
        [[expect]]
        who = "ann"
        groups = ["sim", "idp:other"]
        card = "*"
        may = ["use", "list"]
        may_not = ["reset"]
        [[expect]]
        who = "ann"
        card = { host = "bench-1" }
        may_not = ["use"]
        [[expect]]
        who = "anyone"
        card = { label = "" }
        may = ["list"]
        may_not = ["use"]
        announces = false
        [[expect]]
        who = "bench-1"
        card = { eid = ["89049032123451234512345678901235", "89044045930000000000001491596203"] }
        announces = true
        [[expect]]
        who = "bench-1"
        card = { eid = ["89049032123451234512345678901235", "88044045930000000000001491596203"] }
        announces = false
        """
    )
    assert document.expectations == 5


def test_of_one_card_there_is_no_fact_that_cards_do_not_have() -> None:
    with pytest.raises(ValueError, match="there is no fact 'lable'; did you mean label"):
        facts([("lable", "a")])
    assert facts([("eid", "")]).keys == (("eid", ""),)


def test_who_a_name_stands_for() -> None:
    assert principal("anyone") is None
    assert principal("ann", ["idp:a", "b"]) == Principal("ann", frozenset({"a", "b"}))
    for name in ("", "idp:a", "group:a"):
        with pytest.raises(ValueError, match="not the name of one"):
            principal(name)
    with pytest.raises(ValueError, match="anyone has no name, and so no groups"):
        principal("anyone", ["a"])


VALUES = st.recursive(
    st.sampled_from(["1", "true", "''", "'*'", "'ann'", "'use'", "'group:lab'", "'a\\'", '"\\n"']),
    lambda inner: (
        st.lists(inner, max_size=2).map(lambda each: f"[{', '.join(each)}]")
        | st.dictionaries(
            st.sampled_from(["label", "iccid", "eid", "kind", "x"]), inner, max_size=2
        ).map(lambda each: "{" + ", ".join(f"{key} = {value}" for key, value in each.items()) + "}")
    ),
    max_leaves=4,
)
LINES = st.sampled_from(
    ["[[grant]]", "[[host]]", "[[expect]]", "[groups]", "[grant]", "[grant.cards]", "[[grant.may]]"]
) | st.builds(
    "{} = {}".format,
    st.sampled_from(
        [
            "to",
            "who",
            "cards",
            "card",
            "may",
            "may_not",
            "announces",
            "groups",
            "lab",
            "'a\tb'",
            "z.y",
        ]
    ),
    VALUES,
)


@given(st.lists(LINES, max_size=8).map("\n".join) | st.text(max_size=60))
def test_any_text_is_a_policy_or_is_refused_in_one_line(text: str) -> None:
    document = policy_or_refusal(text)
    if document is not None:
        assert document.policy.rights(None, card()) <= set(Verb)


def policy_or_refusal(text: str) -> Document | None:
    said = "a policy"
    try:
        return read(text, "policy.toml")
    except ConfigError as exc:
        said = str(exc)
        return None
    finally:
        assert said.isprintable()


@given(st.data())
def test_a_policy_with_a_slip_is_a_policy_or_is_refused_in_one_line(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(EXAMPLE)))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.text("[]{}=\"'\\\n#,.* gram", max_size=3))
    text = EXAMPLE[:at] + put + EXAMPLE[at + cut :]
    document = policy_or_refusal(text)
    if document is not None:
        lines = text.split("\n")
        assert [lines[rule.line - 1].split("#")[0].strip() for rule in document.policy.grants] == [
            "[[grant]]"
        ] * len(document.policy.grants)


TABLES = st.sampled_from(
    [
        "[[grant]]\n",
        "  [[ grant ]]  # [[grant]]\n",
        '[[grant]]\nx = """\n[[grant]]\n\\"""" \n',
        "[[grant]]\ny = '''\n[[grant]]\n''''\nz = '[[grant]]'\n",
        "[[grant]]\nv = \"#\"\nw = ''\nu = [\n'\"', # it's\n'''\n[[grant]]'''\n]\n",
        "# [[grant]]\n\n",
        '[[grant]]\n"a\'b" = 1\n[grant.sub]\nq = """"a""""\n',
        '[[other]]\na = ""\nb = "\\\\"\n',
        "[groups]\n",
    ]
)


@given(st.lists(TABLES, max_size=6).filter(lambda parts: parts.count("[groups]\n") < 2))
def test_lines_of_tables_are_those_that_the_parser_of_toml_finds(parts: list[str]) -> None:
    text = "".join(parts)
    wanted: list[int] = []
    lines = text.split("\n")
    for at in range(1, len(lines) + 1):
        # A header: the lines until there are TOML with one table more.
        found = [tables("\n".join(lines[:end])) for end in (at - 1, at)]
        if None not in found and found[1] != found[0]:
            wanted.append(at)
    assert Lines(text).tables("grant") == wanted
    assert len(wanted) == tables(text)


def tables(text: str) -> int | None:
    try:
        return len(tomllib.loads(text).get("grant", []))
    except tomllib.TOMLDecodeError:
        return None


def _of_many(count: int, to: str) -> str:
    grants = (
        f'[[grant]]\nto = ["{to.format(n)}"]\ncards = {{ label = "bench-{n}" }}\nmay = ["use"]\n'
        for n in range(count)
    )
    expects = (
        f'[[expect]]\nwho = "u{n}@x"\ncard = {{ label = "bench-{n}" }}\n'
        'may = ["use"]\nmay_not = ["control"]\n'
        for n in range(count)
    )
    return "".join((*grants, *expects))


@pytest.mark.parametrize("to", ["u{}@x", "anyone"])
def test_13_an_expectation_costs_the_same_however_many_grants_there_are(to: str) -> None:
    few, many = (steps(partial(read, _of_many(count, to), "p")) for count in (50, 200))
    assert many < 5 * few
