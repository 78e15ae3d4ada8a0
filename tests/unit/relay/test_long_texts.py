# SPDX-License-Identifier: Apache-2.0
"""Nothing that a peer says at length is kept: a message may have a mebioctet (issue 13, 5)."""

import pytest

from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

LONG = "x" * 300_000
KINDS = ("iccid", "eid", "atr", "reader", "label", "any")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", [m.SelectCard, m.ListCards, m.ListReaders, m.WatchReaders])
def test_13_a_name_that_no_card_can_have_is_refused(
    kind: str, asked: type[m.SelectCard] | type[m.ListCards]
) -> None:
    world = World()
    world.card(reader())
    refused = world.user().refused(asked(id=1, **{kind: "*" + LONG}))
    assert code_of(refused) is ErrorCode.BAD_MESSAGE
    assert len(refused.message) < 200


def test_13_a_long_value_of_the_first_form_is_refused() -> None:
    world = World()
    user = world.user(first_form=True)
    user.say(m.SelectCard(id=1, id_type="ICCID", id_str=LONG))
    assert len(user.next(m.Error).message) < 200


def test_13_nothing_long_that_a_peer_says_of_itself_is_kept() -> None:
    world = World()
    features = (*FEATURES, *(f"{LONG}{number}" for number in range(3)))
    for number in range(2):
        card = world.card(
            reader(), name=LONG, instance=f"{LONG}{number}", shown_as=LONG, features=features
        )
        assert "resume" in world.relay._state.peers[card.number].features
        world.user(name=LONG, instance=LONG)
        card.leave()
    world.card(reader(), name=LONG, instance=LONG, shown_as=LONG, features=features)
    state = world.relay._state
    kept = (*state.peers.values(), *state.instances, state.host_names._last._by_session)
    assert sum(len(repr(each)) for each in kept) < 20_000


def test_13_a_session_name_that_a_user_claims_has_a_bound() -> None:
    world = World()
    user = world.user()
    refused = user.refused(m.Resume(id=1, session=LONG, secret="s", seq=0))
    assert code_of(refused) is ErrorCode.BAD_MESSAGE
