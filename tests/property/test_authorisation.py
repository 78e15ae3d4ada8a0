# SPDX-License-Identifier: Apache-2.0
"""Policies give what the document says: a table of policies, peers, cards and verbs."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support import policy_table as table
from tests.support.models import authorisation as book
from tests.support.policies import facts
from tests.support.policy_served import described, principal
from wsrc.policy.reading import read
from wsrc.policy.words import Verb
from wsrc.server.policy_cli import policy as policy_command

POLICIES = int(os.environ.get("WSRC_TABLE_POLICIES", "120"))
"""So many policies are drawn; each other table has a share of that."""

TAGS = ((), ("rack=7",), ("rack=7", "row=b=c"))


def things(policy: int, most: int = 3) -> Iterator[book.Thing]:
    """Yield readers and cards for a policy of this number, of each host some."""
    draw = table.drawn("cards", policy)
    for host in (*table.HOSTS, table.OLD_HOST):
        for number in range(draw.randint(1, most)):
            yield table.thing(draw, host, number, (*table.ATRS, *table.ODD_ATRS))


@pytest.mark.parametrize("share", range(4))
def test_13_rights_and_what_hosts_announce_are_those_of_the_document(share: int) -> None:
    given = judged = 0
    for number in range(share, POLICIES, 4):
        says = table.policy(table.drawn("policy", number))
        policy, draw = read(table.written(says), "policy.toml").policy, table.drawn("tags", number)
        for each in things(number):
            tags = draw.choice(TAGS)
            thing = book.Thing(**{**vars(each), "tags": tags})
            has = facts(
                described(thing), *book.facts(thing)["host"], dict(t.split("=", 1) for t in tags)
            )
            where = number, thing, table.written(says)
            for who in table.USERS:
                rights = policy.rights(principal(who), has)
                assert {str(verb) for verb in rights} == book.verbs(says, who, thing), (who, where)
                given, judged = given + len(rights), judged + len(Verb)
            announced = policy.announces(principal(thing.host), has)
            assert announced == book.announces(says, thing), where
    assert 0.1 * judged < given < 0.9 * judged


def test_13_the_document_has_the_verbs_that_there_are() -> None:
    assert tuple(verb.value for verb in Verb) == book.VERBS


def said_of(thing: book.Thing, draw: Any) -> dict[str, tuple[str, ...]]:
    """Return some of the facts of a card that `explain` can be told."""
    known = book.facts(thing)
    return {kind: known[kind] for kind in draw.sample(sorted(known), draw.randint(0, len(known)))}


def told(known: dict[str, tuple[str, ...]]) -> list[str]:
    return [f"{kind}={text}" for kind, texts in known.items() for text in texts or ("",)]


def test_13_explain_says_what_the_document_says(tmp_path: Path) -> None:
    run, words = CliRunner(), set[str]()
    for number in range(POLICIES // 2):
        says, draw = table.policy(table.drawn("policy", number)), table.drawn("explain", number)
        path = tmp_path / "policy.toml"
        path.write_text(table.written(says), encoding="utf-8")
        path.chmod(0o600)
        found = [each for each in things(number, 1) if "*" not in "".join(told(book.facts(each)))]
        for thing in found:
            who, known = draw.choice(table.USERS), said_of(thing, draw)
            if who.name is None or who.name.startswith(("group:", "idp:")):
                who = book.Who(None)
            groups = [each for name in who.groups for each in ("--group", name)]
            arguments = ["explain", who.name or "anyone", *told(known), "--policy", str(path)]
            result = run.invoke(policy_command, [*arguments, *groups], obj=None)
            assert result.exit_code == 0, (result.output, arguments, table.written(says))
            lines = [line.split() for line in result.output.splitlines() if "as a" not in line]
            answers = {line[0]: line[1] for line in lines}
            if who.name == "anyone":
                who = book.Who(None)
            expected = book.explained(says, who, known)
            assert answers == expected, (arguments, table.written(says))
            words |= set(answers.values())
    assert words == {"yes", "if", "no"}
