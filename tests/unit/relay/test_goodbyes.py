# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: card clients that say goodbye, and what is not waited for then."""

from tests.support.relay_world import code_of, reader
from tests.support.resuming_scene import (
    FEATURES,
    comes_back,
    holder_of,
    resume,
    running,
    scene,
    seq_command,
)
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m

LEFT = "Card host bench has said goodbye."


def test_e32_the_users_of_a_card_client_that_says_goodbye_do_not_wait() -> None:
    world, card, user, session = scene()
    card.auto = False
    command = seq_command(user, session, 1)
    card.leave(goodbye=True)
    failed = user.next(m.Error)
    assert (failed.id, code_of(failed)) == (command.id, ErrorCode.CARD_CLIENT_GONE)
    assert (failed.outcome, failed.message) == (Outcome.UNKNOWN, LEFT)
    over = user.one(m.SessionEnded)
    assert (over.session, over.code, over.message) == (session, ErrorCode.CARD_CLIENT_GONE, LEFT)
    assert world.relay.counts["sessions"] == 0


def test_e32_who_is_away_meanwhile_is_told_at_once_as_well() -> None:
    world, card, user, session = scene()
    user.leave()
    waiting = world.user()
    waiting.say(resume(waiting, "not known"))
    card.auto = False
    asking = world.user()
    asking.say(resume(asking, session))
    card.leave(goodbye=True)
    assert code_of(asking.one(m.Error)) is ErrorCode.CARD_CLIENT_GONE
    back = world.user()
    refused = back.refused(resume(back, session))
    assert (code_of(refused), refused.message) == (ErrorCode.CARD_CLIENT_GONE, LEFT)


def test_e32_a_card_client_that_said_goodbye_does_not_bring_its_sessions_back() -> None:
    world, card, _, session = scene()
    card.leave(goodbye=True)
    card = comes_back(world, card, running(session), auto=False)
    assert card.one(m.Detach).code is ErrorCode.CARD_CLIENT_GONE
    assert holder_of(world) is None


def test_e32_a_card_host_that_was_started_again_is_asked() -> None:
    world, card, user, session = scene()
    user.leave()
    card.leave(goodbye=True)
    world.card(reader(), features=FEATURES, instance="d")
    back = world.user()
    refused = back.refused(resume(back, session))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    assert refused.message == "bench was restarted and the card was reset."


def test_e32_who_waits_for_a_card_waits_on_after_a_goodbye() -> None:
    world, card, _, _ = scene()
    waiting = world.user()
    waiting.say(m.SelectCard(id=1, reader="r1", wait_s=60))
    waiting.next(m.Waiting)
    card.leave(goodbye=True)
    assert not any(isinstance(each, m.Error) for each in waiting.inbox)
    waiting.inbox.clear()
    world.card(reader(), features=FEATURES, instance="d")
    waiting.next(m.SelectCardAck)
