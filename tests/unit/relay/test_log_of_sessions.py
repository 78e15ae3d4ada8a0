# SPDX-License-Identifier: Apache-2.0
"""What the operator reads of sessions: how each begins and ends, with which card, and where."""

import re
from collections.abc import Callable

import pytest

from tests.support.relay_clients import Peer
from tests.support.relay_world import World, empty, reader
from tests.support.resuming_scene import comes_back, running, scene
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m

PLACE = "894902…5678 in Reader r1 at bench"


def ends(world: World) -> list[str]:
    return [note for note in world.notes if " gave back " in note or " lost " in note]


def is_done(_: World, user: Peer, session: str) -> str:
    user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)
    return "its user is done"


def is_gone(_: World, user: Peer, session: str) -> str:
    del session
    user.leave()
    return "its user is gone"


def is_idle(world: World, user: Peer, session: str) -> str:
    del user, session
    world.pass_time(3601)
    return "The card was not used for too long."


@pytest.mark.parametrize("what", [is_done, is_gone, is_idle])
def test_36_the_end_of_a_session_names_its_card_and_reader(
    what: Callable[[World, Peer, str], str],
) -> None:
    world = World()
    world.card(reader())
    user = world.user(name="ida@lab")
    session = user.hold(reader="r1")
    why = what(world, user, session)
    assert f"ida@lab took {PLACE} (session {session[:8]})" in world.notes
    (end,) = ends(world)
    assert re.fullmatch(
        rf"ida@lab (gave back|lost) {PLACE} after \d+ s and 0 commands \({session[:8]}\): {why}",
        end,
    )


@pytest.mark.parametrize("report", [empty(), reader(insertion=2), None])
def test_36_so_does_one_whose_card_goes(report: m.ReaderInfo | None) -> None:
    world = World()
    card = world.card(reader())
    world.user(name="ida@lab").hold(reader="r1")
    if report is None:
        card.leave()
    else:
        card.report(report)
    assert [PLACE in note for note in ends(world)] == [True]


def test_36_an_end_is_told_once_though_the_card_host_is_lost_amid_it() -> None:
    world = World()
    card = world.card(reader())
    user = world.user()
    session = user.hold(reader="r1")
    card.auto = False
    user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)
    card.leave()
    assert len(ends(world)) == 1


def test_36_a_session_that_comes_back_too_late_is_told_to_end() -> None:
    world, card, user, session = scene(keep_s=5.0)
    card.leave()
    user.leave()
    world.pass_time(1.0)
    world.start()
    card = comes_back(world, card, running(session, keep_s=0.0))
    (end,) = ends(world)
    assert end.startswith(f"user lost {PLACE} after ")
    assert end.endswith(f"({session[:8]}): it came back too late")


def test_36_a_direct_session_names_no_card() -> None:
    world = World()
    card = world.card(reader())
    user = world.user()
    select = m.SelectCard(id=user.new_id(), reader="r1", share=Share.DIRECT)
    session = user.ask(select, m.SelectCardAck).session
    card.say(m.SessionEnded(session=session or "", code=ErrorCode.INTERNAL, message="It broke."))
    (end,) = ends(world)
    assert end.startswith("a user lost Reader r1 at bench after 0 s and 0 commands (")
    assert end.endswith("): It broke.")
