# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.readers: readers as users see them, and who is told of their changes."""

import json

import pytest

from tests.support.relay_clients import ATR, ICCID, Peer
from tests.support.relay_watchers import RUN, events, watch
from tests.support.relay_world import World, empty, reader
from wsrc.card.slot import SlotState
from wsrc.protocol import messages as m
from wsrc.relay.readers import PAGE
from wsrc.relay.records import CardPeer


def listed(user: Peer, after: int = 0) -> m.ListReadersAck:
    return user.ask(m.ListReaders(id=user.new_id(), after=after), m.ListReadersAck)


def test_all_readers_are_listed_empty_ones_too() -> None:
    world = World()
    world.card(reader("r1", label="blue"), empty("r2", insertion=0))
    ack = listed(world.user())
    assert (ack.instance, ack.seq, ack.next) == (RUN, 2, None)
    assert ack.readers == (
        m.ReaderView(
            number=1,
            reader="r1",
            name="Reader r1",
            host="bench",
            state=SlotState.PRESENT,
            insertion=1,
            atr=ATR,
            label="blue",
        ),
        m.ReaderView(number=2, reader="r2", name="Reader r2", host="bench", state=SlotState.EMPTY),
    )


@pytest.mark.parametrize(
    ("told", "state", "in_use"),
    [
        (m.ReaderState.EMPTY, SlotState.EMPTY, False),
        (m.ReaderState.IDENTIFYING, SlotState.PRESENT, False),
        (m.ReaderState.READY, SlotState.PRESENT, False),
        (m.ReaderState.MUTE, SlotState.MUTE, False),
        (m.ReaderState.IN_USE, SlotState.PRESENT, True),
        (m.ReaderState.UNAVAILABLE, SlotState.UNAVAILABLE, False),
    ],
)
def test_the_state_is_that_of_the_slot_whether_or_not_the_card_is_known(
    told: m.ReaderState, state: SlotState, in_use: bool
) -> None:
    world = World()
    world.card(reader(state=told))
    [view] = listed(world.user()).readers
    assert (view.state, view.in_use, view.exclusive) == (state, in_use, False)
    assert (view.atr is None) == (told in {m.ReaderState.EMPTY, m.ReaderState.UNAVAILABLE})


def test_a_list_goes_on_after_a_page() -> None:
    world = World()
    count = 2 * PAGE
    world.card(*(empty(f"r{n}") for n in range(count)))
    user = world.user()
    first = listed(user)
    assert (len(first.readers), first.next) == (PAGE, PAGE)
    second = listed(user, after=PAGE)
    assert (len(second.readers), second.next) == (PAGE, None)
    assert {view.reader for view in first.readers + second.readers} == {
        f"r{n}" for n in range(count)
    }
    assert listed(user, after=count).readers == ()


def test_who_watches_is_given_what_is_there_and_then_what_happens() -> None:
    world = World()
    host = world.card(reader("r1"))
    user = world.user()
    ack = watch(user)
    assert (ack.instance, ack.seq, ack.next) == (RUN, 1, None)
    assert ack.readers == listed(user).readers
    host.report(empty("r2"))
    host.report(reader("r2", insertion=2))
    host.report(empty("r1"))
    host.say(m.ReaderGone(reader="r2"))
    host.leave()
    assert events(user) == [
        (2, "added", "r2"),
        (3, "changed", "r2"),
        (4, "changed", "r1"),
        (5, "removed", "r2"),
        (6, "removed", "r1"),
    ]


def test_who_did_not_ask_is_told_nothing() -> None:
    world = World()
    user, old, cards = world.user(), world.user(first_form=True), world.user()
    cards.ask(m.Watch(id=1), m.WatchAck)
    host = world.card(empty())
    host.leave()
    assert user.quiet()
    assert old.quiet()
    assert cards.quiet()


def test_a_user_of_the_first_form_cannot_ask() -> None:
    world = World()
    old = world.user(first_form=True)
    world.card(empty())
    for request in (m.WatchReaders(id=1), m.ListReaders(id=2)):
        old.say(request)
        assert "message" in json.loads(old.texts[-1])
        old.next(m.Error)
    assert world.relay._state.readers.watchers == {}


def test_who_went_is_not_told_anything() -> None:
    world = World()
    user = world.user()
    watch(user)
    user.leave()
    host = world.card(empty())
    assert user.quiet()
    host.leave()
    assert world.leftovers() == {}


def test_what_card_and_reader_are_called_is_not_told() -> None:
    world = World()
    user = world.user()
    watch(user)
    host = world.card(reader(eids=("89" * 16,)))
    host.report(reader(eids=("90" * 16,), iccid="8949020000099999999"))
    event = user.one(m.ReaderEvent)
    assert event.reader.atr == ATR
    assert ICCID not in str(user.texts)
    assert "8989" not in str(user.texts)


def test_a_lease_is_use_until_it_ends() -> None:
    world = World()
    host = world.card(reader(), auto=False)
    watcher, user = world.user(), world.user()
    watch(watcher)
    user.say(m.SelectCard(id=1, iccid=ICCID))
    attach = host.one(m.Attach)
    event = watcher.one(m.ReaderEvent)
    assert (event.reader.in_use, event.reader.exclusive) == (True, True)
    host.say(m.AttachAck(session=attach.session, atr=ATR))
    assert watcher.quiet()
    user.leave()
    event = watcher.one(m.ReaderEvent)
    assert (event.reader.in_use, event.reader.exclusive) == (False, False)
    host.say(m.DetachAck(session=attach.session))
    assert watcher.quiet()


def test_a_card_that_goes_straight_to_the_next_user_stays_in_use() -> None:
    world = World()
    host = world.card(reader())
    first, second = world.user(), world.user()
    session = first.hold(iccid=ICCID)
    second.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    watcher = world.user()
    watch(watcher)
    host.auto = False
    first.ask(m.Detach(id=9, session=session), m.DetachAck)
    assert [seq for seq, _, _ in events(watcher)] == [3]
    host.answer(host.one(m.Detach))
    assert [seq for seq, _, _ in events(watcher)] == [4]
    host.answer(host.one(m.Attach))
    second.next(m.Waiting)
    second.one(m.SelectCardAck)
    assert watcher.quiet()


def test_a_card_that_is_taken_out_of_a_session_is_one_change() -> None:
    world = World()
    host = world.card(reader())
    user, watcher = world.user(), world.user()
    user.hold(iccid=ICCID)
    watch(watcher)
    host.report(empty())
    event = watcher.one(m.ReaderEvent)
    assert (event.reader.state, event.reader.in_use) == (SlotState.EMPTY, False)


def test_an_atr_that_a_lease_brings_to_light_is_a_change() -> None:
    world = World()
    world.card(reader(atr=None))
    user, watcher = world.user(), world.user()
    watch(watcher)
    user.hold(iccid=ICCID)
    heard = [e for e in watcher.inbox if isinstance(e, m.ReaderEvent)]
    assert [e.reader.atr for e in heard] == [None, ATR]


def test_another_card_is_a_change_even_if_nobody_saw_the_reader_empty() -> None:
    world = World()
    host = world.card(reader())
    watcher = world.user()
    watch(watcher)
    host.report(reader(insertion=2))
    assert watcher.one(m.ReaderEvent).reader.insertion == 2


def test_what_does_not_concern_the_reader_is_no_change() -> None:
    world = World()
    host = world.card(reader(state=m.ReaderState.IDENTIFYING, iccid=None))
    watcher = world.user()
    watch(watcher)
    host.report(reader())
    host.report(reader())
    assert watcher.quiet()


def test_a_card_client_that_comes_back_has_new_readers() -> None:
    world = World()
    world.card(empty(), instance="i")
    watcher = world.user()
    watch(watcher)
    world.card(empty(), instance="i")
    assert events(watcher) == [(2, "removed", "r1"), (3, "added", "r1")]


def test_who_comes_back_is_given_just_what_was_missed() -> None:
    world = World()
    host = world.card(empty("r1"))
    first = world.user()
    ack = watch(first)
    host.report(empty("r2"))
    seq = first.one(m.ReaderEvent).seq
    first.leave()
    host.report(empty("r3"))
    host.say(m.ReaderGone(reader="r1"))
    again = world.user()
    resumed = watch(again, since=seq, instance=ack.instance)
    assert (resumed.seq, resumed.readers, resumed.instance) == (seq, None, RUN)
    assert events(again) == [(3, "added", "r3"), (4, "removed", "r1")]
    host.report(empty("r4"))
    assert events(again) == [(5, "added", "r4")]


def test_who_missed_nothing_is_sent_nothing() -> None:
    world = World()
    world.card(empty())
    user = world.user()
    resumed = watch(user, since=1, instance=RUN)
    assert (resumed.seq, resumed.readers) == (1, None)
    assert user.quiet()


@pytest.mark.parametrize(
    ("since", "instance"), [(1, RUN), (9, RUN), (-1, RUN), (5, "run-0"), (5, None), (None, RUN)]
)
def test_who_cannot_go_on_is_given_what_is_there(since: int | None, instance: str | None) -> None:
    world = World(max_reader_changes=3)
    world.card(*(empty(f"r{n}") for n in range(5)))
    user = world.user()
    ack = watch(user, since=since, instance=instance)
    assert ack.readers is not None
    assert (ack.seq, len(ack.readers)) == (5, 5)
    assert user.quiet()


def test_a_long_snapshot_goes_on_in_a_list() -> None:
    world = World()
    world.card(*(empty(f"r{n}") for n in range(PAGE + 1)))
    user = world.user()
    ack = watch(user)
    assert ack.readers is not None
    assert ack.next == PAGE
    assert [view.number for view in listed(user, after=ack.next).readers] == [PAGE + 1]


def test_an_empty_snapshot_is_a_snapshot() -> None:
    world = World()
    user = world.user()
    ack = watch(user)
    assert (ack.seq, ack.readers) == (0, ())
    assert json.loads(user.texts[-1])["readers"] == []


def test_a_second_watch_replaces_the_first() -> None:
    world = World()
    user = world.user()
    watch(user)
    watch(user, form=m.ReaderForm.JSON_RPC)
    world.card(empty())
    assert [type(message) for message in user.inbox] == [m.ListChange, m.StateChange, m.ReaderMark]


def test_a_reader_that_comes_and_goes_within_one_event_was_never_there() -> None:
    world = World()
    watcher = world.user()
    watch(watcher)
    state = world.relay._state
    slot = state.new_slot(CardPeer(9), empty("ghost"))
    state.file(slot)
    del state.slots[slot.number]
    assert state.readers.settle() == []
