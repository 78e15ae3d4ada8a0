# SPDX-License-Identifier: Apache-2.0
"""Card hosts of one name, and readers of one id: users tell them apart."""

import pytest

from tests.support.card_watcher import CardWatcher
from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from tests.support.resuming_scene import FEATURES, running
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.names import MAX_HOST_NAME, MAX_READER_ID, HostNames

OTHER = "8949020000087654321"


def at(host: str, name: str = "X", iccid: str = ICCID) -> m.ReaderInfo:
    """Describe a reader that is called by its name and its host."""
    return reader(f"{name}@{host}", iccid)


def readers_of(user: Peer) -> list[tuple[str, str]]:
    asked = m.ListReaders(id=user.new_id())
    return [(each.host, each.reader) for each in user.ask(asked, m.ListReadersAck).readers]


def iccid_by(user: Peer, reader_id: str) -> str | None:
    """Select by the id of a reader, and give the card back."""
    granted = user.select(reader=reader_id)
    user.ask(m.Detach(id=user.new_id(), session=granted.session or ""), m.DetachAck)
    return granted.identities.iccid


def refusal(user: Peer, reader_id: str) -> ErrorCode:
    return code_of(user.refused(m.SelectCard(id=user.new_id(), reader=reader_id)))


def cloned() -> tuple[World, CardClient, CardClient]:
    world = World()
    first = world.card(at("bench"), instance="1")
    return world, first, world.card(at("bench", iccid=OTHER), instance="2")


def test_a1_the_second_host_of_a_name_is_shown_and_told_another() -> None:
    world, first, second = cloned()
    assert (first.shown_as, second.shown_as) == (None, "bench (2)")
    user = world.user()
    assert readers_of(user) == [("bench", "X@bench"), ("bench (2)", "X@bench (2)")]
    cards = user.ask(m.ListCards(id=user.new_id()), m.ListCardsAck).cards
    assert [card.remote_addr[0] for card in cards] == ["bench", "bench (2)"]
    assert (
        "Card client 2: it is shown as bench (2), for bench is another's already; give each card "
        "host a name of its own"
    ) in world.notes
    assert (iccid_by(user, "X@bench"), iccid_by(user, "x@BENCH (2)")) == (ICCID, OTHER)


def test_a1_its_card_client_is_asked_by_its_own_words() -> None:
    world, _, second = cloned()
    second.auto = False
    user = world.user(name="ida")
    user.say(m.SelectCard(id=1, iccid=OTHER))
    attach = second.one(m.Attach)
    assert attach.reader == "X@bench"
    second.answer(attach)
    assert any("at bench (2)" in note for note in world.notes if " took " in note)


def test_a1_a_name_does_not_move_when_the_first_goes() -> None:
    world, first, second = cloned()
    first.leave()
    user = world.user()
    assert readers_of(user) == [("bench (2)", "X@bench (2)")]
    assert refusal(user, "X@bench") is ErrorCode.NO_SUCH_CARD
    second.leave()
    again = world.card(at("bench", iccid=OTHER), instance="2")
    assert again.shown_as == "bench (2)"
    assert world.card(at("bench"), instance="1").shown_as is None
    assert iccid_by(user, "X@bench") == ICCID


def test_a1_another_run_is_given_the_name_that_is_free() -> None:
    world, first, second = cloned()
    second.leave()
    assert world.card(at("bench"), instance="3").shown_as == "bench (2)"
    first.leave()
    assert world.card(at("bench"), instance="4").shown_as is None
    assert world.card(at("bench"), instance="1").shown_as == "bench (3)"


@pytest.mark.parametrize("first_back", [1, 2])
def test_a1_names_outlive_a_restart_of_the_server(first_back: int) -> None:
    world, *_ = cloned()
    world.start()
    for number in (1, 2) if first_back == 1 else (2, 1):
        name = "bench" if number == 1 else "bench (2)"
        iccid = ICCID if number == 1 else OTHER
        host = world.card(at("bench", iccid=iccid), instance=str(number), shown_as=name)
        assert host.shown_as == (None if number == 1 else "bench (2)")
    user = world.user()
    assert (iccid_by(user, "X@bench"), iccid_by(user, "X@bench (2)")) == (ICCID, OTHER)


def test_a1_a_host_that_connects_again_before_it_is_missed_keeps_its_name() -> None:
    world, first, _ = cloned()
    again = world.card(at("bench"), instance="1")
    assert first.closed is not None
    assert again.shown_as is None


@pytest.mark.parametrize("claimed", ["Bench", " bench ", "ben\x07ch"])
def test_a1_names_that_look_alike_are_alike(claimed: str) -> None:
    world = World()
    world.card(reader("r1"), name="bench")
    second = world.card(reader("r2"), name=claimed)
    assert second.shown_as is not None
    assert second.shown_as.casefold() == "bench (2)"


def test_a1_a_host_that_takes_the_name_of_a_second_has_another() -> None:
    world = World()
    world.card(reader("r1"), name="bench (2)")
    world.card(reader("r2"), name="bench")
    assert world.card(reader("r3"), name="bench").shown_as == "bench (3)"
    assert world.card(reader("r4"), name="bench (2)").shown_as == "bench (2) (2)"


def test_a1_long_names_stay_within_their_bound() -> None:
    world = World()
    name = "n" * 200
    hosts = [world.card(reader("i" * 240), name=name) for _ in range(3)]
    shown = [host.shown_as for host in hosts if host.shown_as]
    assert [len(each) for each in shown] == [MAX_HOST_NAME] * 2
    ids = [id_ for _, id_ in readers_of(world.user())]
    assert len(set(ids)) == 3
    assert max(map(len, ids)) <= MAX_READER_ID


def test_a1_nobody_is_given_a_name_that_is_far_off_or_not_theirs() -> None:
    world = World()
    for wish in ("bench (5000)", "oslo", "oslo (2)", "bench (0)", "bench (1)", "bench (02)", ""):
        host = world.card(reader(), name="bench", shown_as=wish)
        assert host.shown_as is None
        host.leave()
    assert world.card(reader(), name="bench", shown_as="bench (7)").shown_as == "bench (7)"
    assert world.card(reader("r2"), name="bench").shown_as is None


def test_a1_names_and_ids_are_forgotten_with_their_hosts() -> None:
    world, first, second = cloned()
    third = world.card(reader("r1"), name="a")
    fourth = world.card(reader("r1"), name="b")
    for host in (fourth, first, second, third):
        host.leave()
    assert world.leftovers() == {}


def test_a1_an_id_that_two_hosts_claim_names_neither() -> None:
    world = World()
    world.card(reader("S1", ICCID), name="a")
    user = world.user()
    assert iccid_by(user, "S1") == ICCID
    world.card(reader("S1", OTHER), name="b")
    assert readers_of(user) == [("a", "S1@a"), ("b", "S1@b")]
    assert refusal(user, "S1") is ErrorCode.AMBIGUOUS
    assert (iccid_by(user, "S1@a"), iccid_by(user, "S1@b")) == (ICCID, OTHER)
    assert (
        "Reader S1 on a and Reader S1 on b claim one id: they are called S1@a and S1@b"
        in world.notes
    )


def test_a1_the_bare_id_goes_on_to_mean_the_reader_that_had_it_and_no_other() -> None:
    world = World()
    first = world.card(reader("S1", ICCID), name="a")
    second = world.card(reader("S1", OTHER), name="b")
    third = world.card(reader("S1", OTHER), name="c")
    user = world.user()
    third.leave()
    assert refusal(user, "S1") is ErrorCode.AMBIGUOUS
    second.leave()
    assert iccid_by(user, "S1") == ICCID
    world.card(reader("S1", OTHER), name="b")
    assert refusal(user, "S1") is ErrorCode.AMBIGUOUS
    first.leave()
    assert refusal(user, "S1") is ErrorCode.NO_SUCH_CARD
    assert iccid_by(user, "S1@b") == OTHER


def test_a1_who_waits_for_an_id_that_becomes_ambiguous_is_told() -> None:
    world = World()
    world.card(reader("S1", ICCID), name="a")
    holder, waiter = world.user(), world.user()
    holder.hold(reader="S1")
    waiter.say(m.SelectCard(id=1, reader="S1", wait_s=99.0))
    waiter.one(m.Waiting)
    world.card(reader("S1", OTHER), name="b")
    assert code_of(waiter.one(m.Error)) is ErrorCode.AMBIGUOUS


def test_a1_an_id_that_looks_like_that_of_another_is_not_that() -> None:
    world = World()
    world.card(reader("S1", ICCID), name="a")
    world.card(reader("S1", OTHER), name="b")
    world.card(reader("S1@a", "8949020000011111111"), name="c")
    user = world.user()
    assert [id_ for _, id_ in readers_of(user)] == ["S1@a", "S1@b", "S1@a@c"]
    assert iccid_by(user, "S1@a") == ICCID
    late = World()
    late.card(reader("S1@a", "8949020000011111111"), name="c")
    late.card(reader("S1", ICCID), name="a")
    late.card(reader("S1", OTHER), name="b")
    ids = [id_ for _, id_ in readers_of(late.user())]
    assert len(set(ids)) == 3
    assert "S1@a" in ids


def test_a1_one_host_may_not_name_two_readers_alike() -> None:
    world = World()
    world.card(reader("S1", ICCID), reader("s1", OTHER), name="a")
    ids = [id_.casefold() for _, id_ in readers_of(world.user())]
    assert len(set(ids)) == 2


def test_a1_watchers_are_told_of_the_other_name() -> None:
    world = World()
    world.card(reader("S1", ICCID), name="a")
    user = world.user(name="watcher")
    watching = CardWatcher(user)
    watching.told()
    world.card(reader("S1", OTHER), name="b")
    told = [event for message in user.inbox for event in watching.hear(message)]
    assert {(change.value, card.reader) for change, card in told} == {
        ("removed", "S1"),
        ("added", "S1@a"),
        ("added", "S1@b"),
    }


def test_a1_a_session_on_a_second_host_is_resumed_by_the_names_that_users_saw() -> None:
    world = World()
    world.card(at("bench"), name="bench", instance="1", features=FEATURES)
    host = world.card(at("bench", iccid=OTHER), instance="2", features=FEATURES)
    user = world.user(name="user", instance="u")
    wish = m.SelectCard(id=user.new_id(), iccid=OTHER, secret="5e" * 32, keep_s=60.0)
    granted = user.ask(wish, m.SelectCardAck)
    assert granted.card is not None
    assert (granted.card.host, granted.card.reader) == ("bench (2)", "X@bench (2)")
    session = granted.session or ""
    world.start()
    user = world.user(name="user", instance="u")
    claim = m.Resume(
        id=user.new_id(),
        session=session,
        secret="5e" * 32,
        host=granted.card.host,
        reader=granted.card.reader,
    )
    user.say(claim)
    world.card(at("bench"), instance="1", features=FEATURES, auto=False)
    kept = running(session, reader="X@bench")
    world.card(
        at("bench", iccid=OTHER),
        instance="2",
        features=FEATURES,
        before=host,
        sessions=(kept,),
        shown_as="bench (2)",
    )
    assert user.one(m.Resumed).session == session


def test_a1_first_form_card_clients_are_told_apart() -> None:
    world = World()
    for _ in range(2):
        world.old_card()
    hosts, ids = zip(*readers_of(world.user()), strict=True)
    assert hosts == ("first-form card client", "first-form card client (2)")
    assert len(set(ids)) == 2


def test_a1_entering_and_leaving_takes_no_longer_where_many_have_the_name() -> None:
    names = HostNames()
    shown = [names.enter("bench", None, None) for _ in range(20_000)]
    assert shown[-1] == "bench (20000)"
    for name in shown[::2]:
        names.leave(name)
    assert [names.enter("bench", None, None) for _ in range(3)] == [
        "bench",
        "bench (3)",
        "bench (5)",
    ]


def test_a1_a_host_that_comes_and_goes_for_ever_leaves_nothing() -> None:
    names = HostNames()
    names.enter("bench", "1", None)
    for _ in range(50):
        second = names.enter("bench", "2", None)
        third = names.enter("bench", "3", None)
        assert (second, third) == ("bench (2)", "bench (3)")
        names.leave(second)
        names.leave(third)
    (numbers,) = names._numbers.values()
    assert sorted(numbers.listed) == [2, 3]
    assert names.enter("bench", None, None) == "bench (2)"
