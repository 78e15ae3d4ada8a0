# SPDX-License-Identifier: Apache-2.0
"""What the relay says of its limits, and when what passes may be asked again."""

import pytest

from tests.support.relay_clients import ICCID, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, running
from wsrc.audit.events import GaveBack
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import SOON_S
from wsrc.relay.records import MAX_HOLDERS


def limits_of(world: World, role: m.ClientType) -> m.ServerLimits:
    peer = world.stranger(role)
    peer.say(m.Hello(client_type=role, version=1))
    limits = peer.one(m.HelloAck).limits
    assert limits is not None
    return limits


def test_e34_a_user_is_told_what_the_server_takes_and_grants() -> None:
    world = World(wait_max_s=5, keep_s=6, lease_idle_s=7, command_s=8, max_sessions_per_user=9)
    assert limits_of(world, m.ClientType.USER) == m.ServerLimits(
        message_octets=MAX_MESSAGE_OCTETS,
        batch_commands=256,
        sessions=9,
        wait_max_s=5,
        keep_s=6,
        lease_idle_s=7,
        command_s=8,
    )


def test_e34_a_card_client_is_told_what_concerns_it() -> None:
    world = World(keep_s=6, command_s=8, attach_s=10, max_readers_per_card_client=11)
    assert limits_of(world, m.ClientType.CARD) == m.ServerLimits(
        message_octets=MAX_MESSAGE_OCTETS, readers=11, keep_s=6, command_s=8, attach_s=10
    )


COUNTED = {
    "max_sessions_per_principal": 3,
    "max_waiting_per_principal": 4,
    "max_connections_per_principal": 5,
    "max_connections_per_address": 6,
    "requests_per_s": 7.0,
    "octets_per_s": 8.0,
}


@pytest.mark.parametrize("who", [None, "ann"])
@pytest.mark.parametrize("account", [None, "somebody"])
@pytest.mark.parametrize("role", list(m.ClientType))
def test_13_a_client_is_told_the_limits_that_hold_for_it(
    role: m.ClientType, account: str | None, who: str | None
) -> None:
    world = World(max_sessions_per_user=9, **COUNTED)
    peer = world.stranger(role, who=who, account=account)
    peer.say(m.Hello(client_type=role, version=1))
    limits = peer.one(m.HelloAck).limits
    assert limits is not None
    counted = {"octets_per_s": 8.0, "connections": 6 if who is None else 5}
    if role is m.ClientType.USER:
        counted |= {"sessions_of_all": 3, "waiting_of_all": 4, "requests_per_s": 7.0}
        assert limits.sessions == (9 if account is None else 3)
    told = {name: getattr(limits, name) for name in counted}
    assert told == (dict.fromkeys(counted) if account is None else counted)


def test_13_what_is_no_limit_is_not_told() -> None:
    peer = World().stranger(m.ClientType.USER, account="somebody")
    peer.say(m.Hello(client_type=m.ClientType.USER, version=1))
    limits = peer.one(m.HelloAck).limits
    assert limits is not None
    assert limits.connections is limits.requests_per_s is limits.sessions_of_all is None


def test_e34_what_a_restart_refuses_may_be_asked_after_it() -> None:
    world = World()
    world.card(reader(), auto=False)
    user, waits = world.user(), world.user()
    waits.say(m.SelectCard(id=1, label="later", wait_s=60))
    waits.next(m.Waiting)
    world.perform(world.relay.shut_down(3.5, world.now))
    user.next(m.Restarting)
    refused = user.refused(m.SelectCard(id=1, iccid=ICCID))
    assert (code_of(refused), refused.retry_after_s) == (ErrorCode.SHUTTING_DOWN, 3.5)
    assert waits.next(m.Error).retry_after_s == 3.5


def test_e34_a_full_queue_and_a_card_that_settles_pass_soon_and_a_held_card_does_not() -> None:
    world = World(max_waiting=1)
    bench = world.card(reader(), reader("r2", "8949020000099999999"))
    user = world.user()
    user.hold(iccid=ICCID)
    held = world.user().refused(m.SelectCard(id=1, iccid=ICCID))
    assert (code_of(held), held.retry_after_s) == (ErrorCode.CARD_BUSY, None)
    world.user().say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    full = world.user().refused(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    assert (code_of(full), full.retry_after_s) == (ErrorCode.TOO_MANY, SOON_S)
    bench.report(reader("r2", "8949020000099999999", state=m.ReaderState.IN_USE))
    used = world.user().refused(m.SelectCard(id=1, reader="r2"))
    assert (code_of(used), used.retry_after_s) == (ErrorCode.READER_IN_USE, SOON_S)


@pytest.mark.parametrize("role", m.ClientType)
def test_e34_a_peer_of_the_first_form_is_told_no_limits(role: m.ClientType) -> None:
    peer = World().stranger(role, first_form=True)
    peer.say(m.Hello(client_type=role))
    assert peer.next(m.HelloAck) == m.HelloAck()


def test_13_a_user_is_told_of_no_more_cards_than_all_its_connections_may_have() -> None:
    world = World(max_sessions_per_user=9, max_sessions_per_principal=3)
    peer = Peer(world, m.ClientType.USER)
    world._connect(peer, "ann", "principal ann")
    peer.say(m.Hello(client_type=m.ClientType.USER, version=1))
    limits = peer.one(m.HelloAck).limits
    assert limits is not None
    assert limits.sessions == 3


def test_13_a_card_client_that_complains_for_ever_fills_no_log() -> None:
    world = World()
    card = world.card(reader())
    card.say(m.Error(code=ErrorCode.INTERNAL, message="so"))
    (note,) = (each for each in world.noted if each.sentence.endswith("says: so"))
    assert note.by == card.number


def test_13_a_card_client_that_comes_and_goes_for_ever_fills_no_log() -> None:
    world = World()
    world.card(reader(), name="a")
    other = world.card(name="b")
    for _ in range(3):
        other.report(reader())
        other.say(m.ReaderGone(reader="r1"))
    noted = [each for each in world.noted if "claim one id" in each.sentence]
    assert len(noted) == 3
    assert all(each.by is not None and each.warns for each in noted)


def test_13_a_card_client_brings_no_more_sessions_than_a_card_can_have() -> None:
    world = World()
    kept = tuple(running(f"s{number}") for number in range(500))
    card = world.card(reader(), features=FEATURES, sessions=kept, auto=False)
    assert sum(isinstance(each, GaveBack) for each in world.events) < MAX_HOLDERS
    told = []
    while not card.quiet():
        told.append(card.next(m.Detach).session)
    assert len(told) == len(kept) - 1
