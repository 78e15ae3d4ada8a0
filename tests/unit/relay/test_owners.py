# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.resuming and .keeping: a session goes on for its principal alone."""

import msgspec
import pytest

from tests.support.policies import granting, rule
from tests.support.relay_clients import CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, SECRET, resume, running, select
from wsrc.errors import ErrorCode
from wsrc.policy.machine import OPEN, Policy
from wsrc.policy.words import ALL, Verb
from wsrc.principal import Principal, owner_of
from wsrc.protocol import messages as m

EVERYBODY = granting(rule("anyone", list(ALL)), hosts=[rule("anyone")])
OWNERS = [("ann", "bob"), ("ann", None), (None, "bob")]


def scene(who: str | None, policy: Policy = OPEN) -> tuple[World, CardClient, str]:
    """A session whose user is out of reach."""
    world = World(policy=policy)
    card = world.card(reader(), features=FEATURES, instance="c")
    user = world.user(instance="u", who=who)
    session = select(user).session
    assert session is not None
    user.leave()
    return world, card, session


def claimed(user: Peer, session: str) -> m.Message:
    user.say(resume(user, session))
    return user.one(m.Message)


@pytest.mark.parametrize("who", ["ann", None])
def test_13_a_session_goes_on_for_its_principal(who: str | None) -> None:
    world, _, session = scene(who)
    assert isinstance(claimed(world.user(who=who), session), m.Resumed)


@pytest.mark.parametrize(("owner", "other"), OWNERS)
def test_13_a_session_of_another_is_one_that_does_not_exist(
    owner: str | None, other: str | None
) -> None:
    world, _, session = scene(owner)
    stranger = world.user(who=other)
    refused, unknown = claimed(stranger, session), claimed(stranger, "f" * len(session))
    assert isinstance(refused, m.Error)
    assert isinstance(unknown, m.Error)
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    assert refused.message == unknown.message
    assert (refused.session, unknown.session) == (session, "f" * len(session))
    assert isinstance(claimed(world.user(who=owner), session), m.Resumed)


def test_13_the_secret_of_another_is_not_asked_of_the_card_client() -> None:
    world, card, session = scene("ann")
    card.auto = False
    stranger = world.user(who="bob")
    stranger.say(resume(stranger, session))
    assert card.one(m.Resume).session != session
    assert stranger.quiet()


@pytest.mark.parametrize("where", [None, "bench"])
def test_13_one_of_another_is_waited_for_as_one_whose_host_never_came(where: str | None) -> None:
    world, card, session = scene("ann")
    card.leave()
    told = []
    for name in (session, "f" * len(session)):
        stranger = world.user(who="bob")
        stranger.say(m.Resume(id=1, session=name, secret=SECRET, host=where, reader="r1"))
        world.pass_time(1)
        assert stranger.quiet()
        told.append(stranger)
    world.pass_time(world.limits.keep_s)
    both = [user.one(m.Error) for user in told]
    assert both[0].message == both[1].message
    assert both[0].code is both[1].code is ErrorCode.CARD_CLIENT_GONE


@pytest.mark.parametrize(("owner", "other"), OWNERS)
def test_13_after_a_restart_the_card_host_tells_whose_a_session_is(
    owner: str | None, other: str | None
) -> None:
    world = World()
    first = world.card(reader(), features=FEATURES, instance="c", auto=False)
    user = world.user(instance="u", who=owner)
    user.say(m.SelectCard(id=1, iccid=reader().iccid, secret=SECRET, keep_s=60.0))
    attach = first.next(m.Attach)
    assert (attach.instance or "").endswith(
        owner_of(world.relay._state.peers[user.number].principal)
    )
    first.answer(attach)
    world.start()
    kept = running(attach.session, instance=attach.instance, holder=attach.holder)
    # A user who waits since before the card host came, and one who comes after it.
    early = world.user(who=other)
    early.say(resume(early, attach.session))
    world.card(reader(), features=FEATURES, instance="c", before=first, sessions=(kept,))
    assert code_of(early.one(m.Error)) is ErrorCode.NO_SUCH_SESSION
    late = world.user(who=other)
    refused = claimed(late, attach.session)
    assert isinstance(refused, m.Error)
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    assert isinstance(claimed(world.user(who=owner), attach.session), m.Resumed)


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("owner", "other"), OWNERS)
def test_13_the_last_answer_of_a_session_that_is_over_is_its_principals_after_a_restart_too(
    owner: str | None, other: str | None, *, restarts: bool
) -> None:
    world = World()
    card = world.card(reader(), features=FEATURES, instance="c")
    user = world.user(instance="u", who=owner)
    session = select(user).session
    assert session is not None
    command = user.command(session)
    user.say(msgspec.structs.replace(command, seq=1))
    assert user.next(m.RApdu).sw == "9000"
    world.pass_time(1)
    if restarts:
        world.start()
        card = world.card(reader(), features=FEATURES, instance="c", before=card)
    card.end(session, ErrorCode.CARD_NOT_PRESENT)
    if not restarts:
        code = ErrorCode.CARD_NOT_PRESENT
        card.say(m.SessionEnded(session=session, code=code, message="It was pulled."))
    stranger, again = world.user(who=other), world.user(who=owner)
    for name in (session, "f" * len(session)):
        stranger.say(m.Resume(id=9, session=name, secret=SECRET, seq=1, host="bench", reader="r1"))
        refused = stranger.one(m.Error)
        assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
        assert refused.message == "There is no such session here."
    again.say(m.Resume(id=9, session=session, secret=SECRET, seq=1, host="bench", reader="r1"))
    assert again.one(m.SessionEnded).code is ErrorCode.CARD_NOT_PRESENT


def test_13_the_first_card_client_that_kept_a_session_names_the_run_alone_without_a_principal() -> (
    None
):
    world = World()
    card = world.card(reader(), features=FEATURES, auto=False)
    user = world.user(instance="u")
    user.say(m.SelectCard(id=1, iccid=reader().iccid, secret=SECRET, keep_s=60.0))
    assert "." not in (card.next(m.Attach).instance or "")


def test_13_another_with_the_same_instance_replaces_nobody_and_ends_nothing() -> None:
    world, _, session = scene("ann")
    ann = world.user(who="ann", instance="u")
    bob = world.user(who="bob", instance="u")
    assert ann.closed is None
    refused = bob.refused(m.Detach(id=1, session=session))
    assert code_of(refused) is ErrorCode.NO_SUCH_SESSION
    bob.leave(goodbye=True)
    assert isinstance(claimed(ann, session), m.Resumed)
    assert world.user(who="ann", instance="u").closed is None
    assert ann.closed is not None


def test_13_a_card_host_of_another_principal_replaces_nobody() -> None:
    world = World(policy=EVERYBODY)
    first = world.card(reader(), instance="c", who="host-1")
    world.card(reader("r2", None), instance="c", who="host-2")
    assert first.closed is None
    world.card(reader(), instance="c", who="host-1")
    assert first.closed is not None


def test_13_a_session_that_may_not_go_on_ends_when_it_is_claimed() -> None:
    world, card, session = scene("ann", EVERYBODY)
    world.start()
    world.obey(granting(rule("ann", [Verb.LIST]), hosts=[rule("anyone")]))
    owner = f"x.{owner_of(Principal('ann'))}"
    kept = running(session, instance=owner)
    world.card(reader(), features=FEATURES, instance="c", before=card, sessions=(kept,))
    ann = world.user(who="ann")
    ended = claimed(ann, session)
    assert isinstance(ended, m.SessionEnded)
    assert ended.code is ErrorCode.FORBIDDEN
    world.pass_time(1)
    assert world.relay.counts["sessions"] == 0


def test_13_where_a_reader_is_hidden_its_card_client_is_not_asked() -> None:
    world = World(policy=granting(rule("ann", list(ALL)), hosts=[rule("anyone")]))
    card = world.card(reader(), features=FEATURES, who="host", auto=False)
    user = world.user(who="bob")
    user.say(m.Resume(id=1, session="s", secret="x", host="host (bench)", reader="r1"))
    assert card.quiet()
    assert user.quiet()
    ann = world.user(who="ann")
    ann.say(m.Resume(id=1, session="s", secret="x", host="host (bench)", reader="r1"))
    assert card.one(m.Resume).session == "s"


def test_13_a_session_that_comes_back_with_its_host_obeys_the_policy_of_now() -> None:
    world, card, session = scene("ann", EVERYBODY)
    card.leave()
    world.obey(granting(rule("ann", [Verb.LIST]), hosts=[rule("anyone")]))
    back = world.card(
        reader(), features=FEATURES, instance="c", before=card, sessions=(running(session),)
    )
    assert session not in back.ends
    assert world.relay.counts["sessions"] == 0
