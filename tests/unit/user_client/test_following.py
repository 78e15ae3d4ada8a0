# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.following: what becomes of a command that is sent within a select."""

import pytest

from wsrc.card.identity import Identities
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.user_client.core.following import Then

SELECT = m.SelectCard(id=1, reader="r")
GRANTED = m.SelectCardAck(id=1, session="s", then=True, identities=Identities())


@pytest.fixture
def then() -> Then:
    return Then(m.CApdu(command=Octets.fromhex("00a40004023f00")), 2)


def test_it_is_sent_within_the_select(then: Then) -> None:
    sent = then.within(SELECT)
    assert sent.then == m.CApdu(id=2, seq=1, command=Octets.fromhex("00a40004023f00"))
    then.sent()
    then.heard(GRANTED)
    assert (then.taken(GRANTED), then.in_doubt) == (sent.then, False)


def test_a_loss_leaves_it_in_doubt_and_it_is_not_sent_again(then: Then) -> None:
    then.sent()
    then.cut(in_order=False)
    assert then.within(SELECT) == SELECT
    then.heard(GRANTED)
    assert (then.taken(GRANTED), then.in_doubt) == (None, True)


def test_a_server_that_restarts_leaves_no_doubt_and_it_is_sent_again(then: Then) -> None:
    then.sent()
    then.cut(in_order=True)
    assert not then.in_doubt
    assert then.within(SELECT).then is not None


def test_a_restart_after_a_loss_takes_no_doubt_away(then: Then) -> None:
    then.sent()
    then.cut(in_order=False)
    then.sent()
    then.cut(in_order=True)
    assert (then.within(SELECT), then.in_doubt) == (SELECT, True)


def test_a_loss_before_it_is_sent_leaves_no_doubt(then: Then) -> None:
    then.cut(in_order=False)
    assert not then.in_doubt
    assert then.within(SELECT).then is not None
