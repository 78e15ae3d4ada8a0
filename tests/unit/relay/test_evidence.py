# SPDX-License-Identifier: Apache-2.0
"""What the relay has recorded: who had which card, for how long and how much (issue 13, 4)."""

import pytest

from tests.support.relay_clients import ICCID, SELECT_MF, Peer
from tests.support.relay_world import World, empty, reader
from tests.support.resuming_scene import comes_back, resume, running, scene
from wsrc.audit.events import Denied, Event, GaveBack, Named, Reset, SessionTurned, Took
from wsrc.card.slot import Initialization
from wsrc.principal import Principal
from wsrc.protocol import messages as m


def of(world: World, *kinds: type[Event]) -> list[Event]:
    return [event for event in world.events if isinstance(event, kinds)]


def known(world: World, peer: Peer, name: str) -> None:
    """Have a peer be who a certificate says, as its shell would."""
    world.relay._state.peers[peer.number].principal = Principal(name)


def test_13_a_session_is_recorded_with_user_card_time_and_commands() -> None:
    world = World()
    world.seal = "off"
    card = world.card(reader(iccid=ICCID))
    user = world.user(name="ida@lab")
    known(world, user, "ida@example.org")
    known(world, card, "bench-1")
    session = user.hold(reader="r1")
    for _ in range(3):
        user.command(session)
        user.next(m.RApdu)
    steps = (m.Step(command=SELECT_MF),) * 4
    user.ask(m.Batch(id=user.new_id(), session=session, steps=steps), m.BatchResp)
    world.pass_time(12)
    user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)
    took, gave = of(world, Took, GaveBack)
    assert isinstance(took, Took)
    assert isinstance(gave, GaveBack)
    assert took.who == gave.who
    assert (took.who.name, took.who.principal) == ("ida@lab", "ida@example.org")
    assert (took.card.iccid, took.card.host_principal) == (ICCID, "bench-1")
    assert took.session == session[:8]
    assert (gave.held_s, gave.commands, gave.asked) == (12, 7, True)
    place = "894902…5678 in Reader r1 at bench"
    sentence = f"ida@lab gave back {place} after 12 s and 7 commands ({session[:8]}): "
    assert f"{sentence}its user is done" in world.notes


def test_13_a_card_that_is_taken_from_its_user_is_recorded_as_that() -> None:
    world = World()
    card = world.card(reader())
    world.user().hold(reader="r1")
    card.report(empty())
    (gave,) = of(world, GaveBack)
    assert isinstance(gave, GaveBack)
    assert (gave.asked, gave.why) == (False, "The card was taken out of the reader.")


def test_13_a_card_that_was_never_given_is_not_recorded_as_taken() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=1, reader="r1"))
    card.one(m.Attach)
    user.leave()
    (denied,) = of(world, Took, GaveBack, Denied)
    assert isinstance(denied, Denied)
    assert any("was not given" in note for note in world.notes)


@pytest.mark.parametrize("wanted", [{"iccid": ICCID[::-1]}, {"reader": "r1"}])
def test_13_a_refusal_is_recorded_in_full_and_logged_without_identities(
    wanted: dict[str, str],
) -> None:
    world = World()
    world.card(reader(iccid=ICCID))
    world.user().hold(reader="r1")
    other = world.user(name="eve")
    refused = other.refused(m.SelectCard(id=1, **wanted))
    (denied,) = of(world, Denied)
    assert isinstance(denied, Denied)
    assert (denied.who.name, denied.code) == ("eve", refused.code)
    assert next(iter(wanted.values())) in denied.wanted
    assert any(note.startswith("eve was refused the card with ") for note in world.notes)
    assert not any(ICCID in note or ICCID[::-1] in note for note in world.notes)


def test_13_a_wait_is_logged_and_its_length_recorded() -> None:
    world = World()
    world.card(reader())
    first, second = world.user(), world.user(name="bob")
    session = first.hold(reader="r1")
    second.say(m.SelectCard(id=1, reader="r1", wait_s=60))
    assert any(n == "bob waits for the card with READER r1; place 1" for n in world.notes)
    world.pass_time(5)
    first.ask(m.Detach(id=first.new_id(), session=session), m.DetachAck)
    (_, took) = of(world, Took)
    assert isinstance(took, Took)
    assert took.waited_s == 5
    assert any("bob took" in n and "after a wait of 5 s" in n for n in world.notes)


def test_13_resets_are_recorded_and_a_reconnect_that_leaves_the_card_is_none() -> None:
    world = World()
    world.seal = "off"
    world.card(reader())
    user = world.user()
    session = user.hold(reader="r1")
    user.ask(m.ResetReq(id=user.new_id(), session=session), m.ResetResp)
    for initialization in (Initialization.LEAVE, Initialization.UNPOWER):
        request = m.Reconnect(id=user.new_id(), session=session, initialization=initialization)
        user.ask(request, m.ReconnectAck)
    kinds = [event.kind for event in of(world, Reset) if isinstance(event, Reset)]
    assert kinds == ["cold", "unpower"]


def test_13_what_becomes_of_a_session_without_its_user_is_recorded() -> None:
    world, card, user, session = scene()
    user.command(session)
    user.next(m.RApdu)
    user.leave()
    card.leave()
    card = comes_back(world, card, running(session))
    back = world.user(instance="u", name="again")
    back.ask(resume(back, session), m.Resumed)
    back.ask(m.Detach(id=back.new_id(), session=session), m.DetachAck)
    turns = [event.turn for event in of(world, SessionTurned) if isinstance(event, SessionTurned)]
    assert [turn.split(":")[0].split(" card host")[0] for turn in turns] == [
        "is kept for 60 s",
        "is interrupted",
        "came back with",
        "is resumed",
    ]
    (gave,) = of(world, GaveBack)
    assert isinstance(gave, GaveBack)
    assert (gave.who.name, gave.commands) == ("again", 1)


def test_13_a_claim_with_a_wrong_secret_is_recorded() -> None:
    world, _, user, session = scene()
    user.leave()
    thief = world.user(name="eve")
    thief.refused(resume(thief, session, secret="wrong"))
    (denied,) = of(world, Denied)
    assert isinstance(denied, Denied)
    assert (denied.who.name, denied.wanted) == ("eve", f"session {session[:8]}")


def test_13_a_peer_is_recorded_by_what_it_claims_and_what_it_is_called() -> None:
    world = World()
    world.card(reader())
    world.card(reader("r2"))
    first, second = of(world, Named)
    assert isinstance(first, Named)
    assert isinstance(second, Named)
    assert (first.name, first.claimed) == ("bench", None)
    assert (second.name, second.claimed) == ("bench (2)", "bench")


def test_13_no_session_and_no_secret_is_recorded() -> None:
    world, _, user, session = scene()
    user.leave()
    texts = str(world.events) + str(world.notes)
    assert session not in texts
    assert "secret" not in texts
