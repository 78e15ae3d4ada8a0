# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.readers: readers as users see them, and who is told of their changes."""

# Longer than the aim: what a reader says, and who is told of which change of it.

import json
from typing import Any

import pytest

from tests.support.relay_clients import ATR, ICCID, Peer
from tests.support.relay_watchers import RUN, events, watch
from tests.support.relay_world import World, empty, reader
from wsrc.card.slot import CardProtocol, SlotState
from wsrc.protocol import messages as m
from wsrc.relay.card_clients import MAX_EIDS, MAX_TEXT
from wsrc.relay.readers import PAGE
from wsrc.relay.records import CardPeer


def listed(user: Peer, after: int = 0) -> m.ListReadersAck:
    return user.ask(m.ListReaders(id=user.new_id(), after=after), m.ListReadersAck)


FAMILY = "8031a073be21136743200718000001"
"""Historical bytes of the ATR."""


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
            tags={"card": "uicc", "atr_family": FAMILY, "host": "bench"},
            card_state=m.CardState.READY,
            iccid=ICCID,
        ),
        m.ReaderView(
            number=2,
            reader="r2",
            name="Reader r2",
            host="bench",
            state=SlotState.EMPTY,
            tags={"host": "bench"},
        ),
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
    user, old = world.user(), world.user(first_form=True)
    host = world.card(empty())
    host.leave()
    assert user.quiet()
    assert old.quiet()


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


def test_a_reader_says_of_its_card_what_a_list_of_cards_says() -> None:
    world = World()
    host = world.card(
        reader(eids=("89" * 16, "90" * 16), label="blue", protocol=CardProtocol.T1), empty("r2")
    )
    watcher, user = world.user(), world.user(name="ida")
    watch(watcher)
    user.hold(iccid=ICCID, share="shared")
    world.user(name="max").hold(iccid=ICCID, share="shared")
    last = [e for e in watcher.inbox if isinstance(e, m.ReaderEvent)][-1].reader
    watcher.inbox = []
    listed_cards = watcher.ask(m.ListCards(id=1), m.ListCardsAck)
    assert [m.card_of(last)] == [*listed_cards.cards]
    assert last.lease is not None
    assert [last.lease.holder, *(other.holder for other in last.others)] == ["ida", "max"]
    assert [m.card_of(view) for view in listed(watcher).readers] == [*listed_cards.cards, None]
    host.report(empty())
    assert m.card_of(watcher.one(m.ReaderEvent).reader) is None


@pytest.mark.parametrize(
    "other",
    [
        {"iccid": "8949020000099999999"},
        {"eids": ("90" * 16,)},
        {"label": "blue"},
        {"protocol": CardProtocol.T1},
    ],
)
def test_what_a_card_is_called_is_a_change_with_a_number(other: dict[str, Any]) -> None:
    world = World()
    host = world.card(reader())
    watcher = world.user()
    seq = watch(watcher).seq
    host.report(reader(**other))
    event = watcher.one(m.ReaderEvent)
    assert (event.seq, event.change) == (seq + 1, m.Change.CHANGED)
    for name, value in other.items():
        assert getattr(event.reader, name) == value


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
    assert (event.reader.card_state, event.reader.lease) == (m.CardState.RESETTING, None)
    host.say(m.DetachAck(session=attach.session))
    assert watcher.one(m.ReaderEvent).reader.card_state is m.CardState.READY


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
    event = watcher.one(m.ReaderEvent)
    assert (event.reader.card_state, event.reader.iccid) == (m.CardState.READY, ICCID)
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


def test_who_watches_with_a_filter_is_told_of_what_matches_before_or_after() -> None:
    world = World()
    host = world.card(reader("r1", label="yours"), reader("r2", None, label="mine"), empty("r3"))
    user = world.user()
    ack = watch(user, label="mine*")
    assert [view.reader for view in ack.readers or ()] == ["r2"]
    host.report(reader("r1", label="mine too"))
    host.report(reader("r3", "8949020000099999999", label="yours", insertion=2))
    host.report(reader("r1", label="yours"))
    host.report(reader("r1", label="yours", state=m.ReaderState.MUTE))
    host.report(empty("r2"))
    host.report(empty("r2", insertion=2))
    host.say(m.ReaderGone(reader="r3"))
    assert events(user) == [(4, "changed", "r1"), (6, "changed", "r1"), (8, "changed", "r2")]


def test_who_comes_back_with_a_filter_is_given_what_matches_of_what_was_missed() -> None:
    world = World()
    host = world.card(reader("r1", label="mine"), reader("r2", None))
    mark = watch(world.user()).seq
    host.report(reader("r2", None, label="mine"))
    host.report(empty("r1"))
    user = world.user()
    ack = watch(user, reader="r1", since=mark, instance=RUN)
    assert (ack.readers, ack.seq) == (None, mark)
    assert events(user) == [(4, "changed", "r1")]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ({"reader": "r*"}, ["r1", "r2"]),
        ({"reader": "reader r2"}, ["r2"]),
        ({"iccid": "8949*"}, ["r1"]),
        ({"label": "*"}, ["r1"]),
        ({"any": "r2"}, ["r2"]),
        ({"any": "*", "atr": "3b*"}, ["r1"]),
        ({"eid": "89*"}, []),
    ],
)
def test_a_reader_without_a_card_is_found_by_its_id_and_name_only(
    which: dict[str, str], found: list[str]
) -> None:
    world = World()
    world.card(reader("r1"), empty("r2"))
    user = world.user()
    ack = user.ask(m.ListReaders(id=1, **which), m.ListReadersAck)
    assert [view.reader for view in ack.readers] == found
    assert [view.reader for view in watch(user, **which).readers or ()] == found


def test_the_longest_readers_fit_into_answers() -> None:
    world = World(max_readers_per_card_client=1024)
    text = "\u0001" * (MAX_TEXT - 10)
    eids = tuple(text + str(number) for number in range(MAX_EIDS))
    world.card(*(reader(f"{text}{n}", None, eids=eids, label=text) for n in range(100)))
    user = world.user()
    ack = watch(user)
    seen, after = len(ack.readers or ()), ack.next
    while after is not None:
        page = listed(user, after=after)
        seen, after = seen + len(page.readers), page.next
    assert seen == 100
    assert max(map(len, user.texts)) < 1 << 20


def test_a_list_tells_until_when_a_lease_goes_on_now() -> None:
    world = World(lease_idle_s=60)
    world.card(reader())
    user, watcher = world.user(), world.user()
    session = user.hold(iccid=ICCID)
    seq = watch(watcher).seq
    world.pass_time(30)
    user.command(session)
    [view] = listed(watcher).readers
    assert view.lease is not None
    assert view.lease.until == world.relay._state.utc(world.now + 60)
    assert listed(watcher).seq == seq
