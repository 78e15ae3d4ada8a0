# SPDX-License-Identifier: Apache-2.0
"""Whatever keeps a peer from what it wants is recorded: policy, limits, whose a session is."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, comes_back, resume, select
from wsrc.audit.events import Denied, Withheld
from wsrc.errors import ErrorCode
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m

OTHERS = "8988211000000430010"


def denials(world: World) -> list[tuple[str | None, str, str]]:
    """Return who was denied what, and the code."""
    denied = [each for each in world.events if isinstance(each, Denied)]
    return [(each.who.principal, each.wanted, each.code) for each in denied]


def world_of(*may: Verb) -> tuple[World, Peer]:
    policy = granting(rule("eve", may), hosts=[rule("farm")])
    world = World(policy=policy)
    world.card(reader(iccid=ICCID), who="farm")
    return world, world.user(who="eve")


def test_13_a_card_that_a_policy_does_not_give_is_recorded_as_denied() -> None:
    world, eve = world_of(Verb.LIST)
    assert code_of(eve.refused(m.SelectCard(id=1, iccid=ICCID))) is ErrorCode.FORBIDDEN
    assert denials(world) == [("eve", f"ICCID {ICCID}", "forbidden")]
    assert any(note.startswith("eve") and note.endswith("forbidden") for note in world.notes)
    assert not any(ICCID in note for note in world.notes)


def test_13_who_waits_for_a_card_that_a_new_policy_does_not_give_is_recorded_as_denied() -> None:
    world, eve = world_of(Verb.LIST, Verb.USE)
    world.user(who="eve").hold(iccid=ICCID)
    eve.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    world.obey(granting(rule("eve", [Verb.LIST]), hosts=[rule("farm")]))
    world.pass_time(1)
    assert ("eve", f"ICCID {ICCID}", "forbidden") in denials(world)


def test_13_a_request_that_a_policy_does_not_give_is_recorded_as_denied() -> None:
    world, eve = world_of(Verb.LIST, Verb.USE)
    session = eve.hold(iccid=ICCID)
    assert code_of(eve.refused(m.ResetReq(id=9, session=session))) is ErrorCode.FORBIDDEN
    assert denials(world) == [("eve", f"reset_req in session {session[:8]}", "forbidden")]


@pytest.mark.parametrize("limit", ["max_sessions_per_user", "max_waiting"])
def test_13_who_reaches_a_limit_is_recorded_as_denied(limit: str) -> None:
    world = World(**{limit: 1})
    world.card(reader(iccid=ICCID))
    user = world.user(who="eve")
    user.hold(iccid=ICCID)
    for number in (8, 9):
        user.say(m.SelectCard(id=number, iccid=ICCID, wait_s=60))
    assert ("eve", f"ICCID {ICCID}", "too_many") in denials(world)


def test_13_the_session_of_another_that_is_claimed_with_its_secret_is_recorded() -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c")
    ida = world.user(who="ida", instance="u")
    session = select(ida).session
    assert session is not None
    eve = world.user(who="eve")
    eve.say(resume(eve, session))
    expected = ("eve", f"session {session[:8]}", "no_such_session")
    assert denials(world) == [expected]
    ida.leave()
    card.leave()
    eve.say(resume(eve, session))
    comes_back(world, card)
    assert len([note for note in world.notes if "eve" in note and "session" in note]) >= 2


def test_13_a_card_of_another_that_a_host_announces_is_recorded_as_withheld() -> None:
    world = World(policy=granting(hosts=[rule("farm", iccid=ICCID)]))
    world.card(reader(iccid=OTHERS), who="farm", name="a")
    (withheld,) = (each for each in world.events if isinstance(each, Withheld))
    assert (withheld.card.iccid, withheld.card.host_principal) == (OTHERS, "farm")


def test_13_a_host_that_announces_cards_of_others_for_ever_fills_no_log() -> None:
    world = World(policy=granting(hosts=[rule("farm", iccid=ICCID)]))
    world.card(reader(iccid=OTHERS), who="farm", name="a")
    (note,) = (each for each in world.noted if "may not announce" in each.sentence)
    assert note.by is not None
    assert note.warns
