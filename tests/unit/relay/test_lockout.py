# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.resuming: wrong secrets are in nobody's way, however many come."""

import pytest

from tests.support.relay_clients import Peer
from tests.support.relay_world import World, code_of
from tests.support.resuming_scene import comes_back, resume, running, scene
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay import resuming
from wsrc.relay.resuming import MAX_CLAIMS


def thieves(world: World, session: str, number: int) -> list[Peer]:
    """Let strangers say `resume` with wrong secrets, on a connection each."""
    peers = [world.user(name="thief") for _ in range(number)]
    for peer in peers:
        peer.say(resume(peer, session, "wrong"))
    return peers


def test_e33_wrong_secrets_are_refused_at_once_where_the_server_saw_the_right_one() -> None:
    world, card, user, session = scene()
    card.auto = False
    user.leave()
    for thief in thieves(world, session, 3 * MAX_CLAIMS):
        assert code_of(thief.one(m.Error)) is ErrorCode.NO_SUCH_SESSION
    assert card.quiet()
    card.auto = True
    owner = world.user()
    owner.ask(resume(owner, session), m.Resumed)


def test_e33_wrong_secrets_do_not_count_where_only_the_card_client_knows_the_right_one() -> None:
    world, card, _, session = scene()
    world.start()
    others = thieves(world, session, 3 * MAX_CLAIMS)
    owner = world.user()
    owner.say(resume(owner, session))
    assert owner.quiet()
    comes_back(world, card, running(session))
    assert owner.one(m.Resumed).session == session
    for other in others:
        assert code_of(other.one(m.Error)) is ErrorCode.NO_SUCH_SESSION


def test_e33_a_server_that_was_restarted_knows_the_secret_once_it_was_right() -> None:
    world, card, _, session = scene()
    world.start()
    card = comes_back(world, card, running(session))
    first = world.user()
    first.ask(resume(first, session), m.Resumed)
    first.leave()
    card.auto = False
    (thief,) = thieves(world, session, 1)
    assert code_of(thief.one(m.Error)) is ErrorCode.NO_SUCH_SESSION
    assert card.quiet()


def test_e33_one_connection_has_its_own_bound() -> None:
    world, card, _, session = scene()
    world.start()
    thief, owner = world.user(), world.user()
    for _ in range(MAX_CLAIMS):
        thief.say(resume(thief, session, "wrong"))
    assert code_of(thief.refused(resume(thief, session, "wrong"))) is ErrorCode.TOO_MANY
    owner.say(resume(owner, session))
    comes_back(world, card, running(session))
    owner.one(m.Resumed)


def test_e33_a_card_host_is_not_flooded_with_claims_to_sessions_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who has a session that is there is asked about however many others are."""
    monkeypatch.setattr(resuming, "MAX_ASKED", 5)
    world, card, _, session = scene()
    world.start()
    strangers = [world.user() for _ in range(20)]
    for number, stranger in enumerate(strangers):
        stranger.say(resume(stranger, f"made up {number}"))
    owner = world.user()
    owner.say(resume(owner, session))
    card = comes_back(world, card, running(session), auto=False)
    asked = [each for each in card.inbox if isinstance(each, m.Resume)]
    assert len(asked) == 6
    told = [code_of(each.one(m.Error)) for each in strangers if not each.quiet()]
    assert told == [ErrorCode.TOO_MANY] * 15
    for each in asked:
        card.answer(each)
    owner.one(m.Resumed)
