# SPDX-License-Identifier: Apache-2.0
"""
Each request of a user is answered as the document says, whoever sends it and for whichever card.

Beside lists, selects and sessions this has what users note, reserve, revoke, lend and let share,
and what operators ask for; and it sees that no request of the protocol is left out.
"""

import os
from collections import Counter

import pytest

from tests.support import policy_table as table
from tests.support.models import authorisation as book
from tests.support.models.authorisation import Verdict
from tests.support.policy_asked import OF_CARDS, OPERATING, Ask, Asking, any_card
from tests.support.policy_served import REQUESTS
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import MAY_SAY, Phase, Speaker

POLICIES = int(os.environ.get("WSRC_TABLE_POLICIES", "8"))
"""So many policies are drawn, each with a relay of its own."""

SAID = MAY_SAY[Speaker.USER, Phase.GREETING] | MAY_SAY[Speaker.USER, Phase.OPEN]

ELSEWHERE = (
    m.Hello, m.ListCards, m.ListReaders, m.WatchReaders, m.SelectCard, m.Resume, m.Detach, m.Cancel,
    m.Sealed,
)  # fmt: skip
"""Drawn in `test_authorisation_served`; `sealed` is each request of a session once more."""


def tag(kind: type[m.Message]) -> str:
    return str(kind.__struct_config__.tag)


def test_13_every_request_of_the_protocol_is_in_the_table() -> None:
    in_sessions = {kind for kind, _ in REQUESTS}
    assert Counter([*ELSEWHERE, *in_sessions, *OF_CARDS, *OPERATING]) == Counter(SAID)


def test_13_the_document_as_it_was_read_has_every_request() -> None:
    assert {tag(kind) for kind in SAID} == book.REQUESTS


def drawn(ask: Ask) -> tuple[Counter[Verdict], Counter[type[m.Message]]]:
    """Have each user of each policy ask; return what became of it, and what was said."""
    met, said = Counter[Verdict](), Counter[type[m.Message]]()
    for number in range(POLICIES):
        asking = Asking(number)
        for who in table.USERS:
            ask(asking, who)
            cards = asking.had(who, m.ListReaders, m.ListReadersAck).readers
            visible = asking.served.visible(who)
            assert {each.reader for each in cards} == {each.shown for each in visible}
        met += asking.met
        said += asking.said
    return met, said


@pytest.mark.parametrize("kind", OF_CARDS, ids=tag)
def test_13_what_is_asked_for_a_card_is_answered_as_the_document_says(
    kind: type[m.Message],
) -> None:
    met, said = drawn(OF_CARDS[kind])
    assert said[kind] >= POLICIES * len(table.USERS)
    assert len([each for each in Verdict if met[each] > 20]) >= 2, met


@pytest.mark.parametrize("kind", OPERATING, ids=tag)
def test_13_only_operators_operate(kind: type[m.Message]) -> None:
    met, said = drawn(OPERATING[kind])
    assert said[kind] >= POLICIES * len(table.USERS)
    assert min(met[Verdict.ALLOWED], met[Verdict.FORBIDDEN]) > said[kind] / 20, met


def test_13_any_card_is_one_that_the_document_gives() -> None:
    met, _ = drawn(any_card)
    assert min(met[Verdict.ALLOWED], met[Verdict.HIDDEN]) > 10, met
