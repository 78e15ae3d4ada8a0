# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.readers: watchers who are told in JSON-RPC."""

from tests.support.relay_clients import Peer
from tests.support.relay_watchers import RUN, events, watch
from tests.support.relay_world import World, code_of, empty, reader
from wsrc.card.slot import SlotState
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.relay.readers import LIST_OCTETS


def rpc(user: Peer) -> list[tuple[str, object]]:
    """Take the notifications that came; give the event and what tells them apart."""
    heard, user.inbox = user.inbox, []
    told: list[tuple[str, object]] = []
    for message in heard:
        match message:
            case m.StateChange(event=event, params=params):
                told.append((event, (params.reader_id, params.status)))
            case m.ListChange(event=event, params=params):
                told.append((event, params.reader_ids))
            case _:
                assert isinstance(message, m.ReaderMark)
                told.append(("mark", message.seq))
    return told


STATE, LIST = "Pcsc.Reader.StateChange", "Pcsc.Readers.ListChange"


def test_in_json_rpc_readers_come_and_go_in_a_list() -> None:
    world = World()
    user = world.user()
    watch(user, form=m.ReaderForm.JSON_RPC)
    host = world.card(empty("r1"), reader("r2"))
    assert rpc(user) == [
        (LIST, ("r1", "r2")),
        (STATE, ("r1", "empty")),
        (STATE, ("r2", "present")),
        ("mark", 2),
    ]
    host.report(reader("r1", insertion=2))
    assert rpc(user) == [(STATE, ("r1", "present")), ("mark", 3)]
    host.say(m.ReaderGone(reader="r1"))
    assert rpc(user) == [(LIST, ("r2",)), ("mark", 4)]


def test_in_json_rpc_readers_too_many_for_a_message_are_not_listed() -> None:
    world = World(max_readers_per_card_client=1024)
    user = world.user()
    watch(user, form=m.ReaderForm.JSON_RPC)
    names = ["\u0001" * 240 + str(number) for number in range(250)]
    host = world.card(*(empty(name) for name in names))
    texts = [text for text in user.texts if b"ListChange" in text]
    assert texts == [b'{"jsonrpc":"2.0","event":"Pcsc.Readers.ListChange","params":{}}']
    assert max(map(len, user.texts)) < LIST_OCTETS
    told = rpc(user)
    assert (told[0], len(told)) == ((LIST, None), 252)
    for name in names[150:]:
        host.say(m.ReaderGone(reader=name))
    assert rpc(user)[-2] == (LIST, tuple(names[:150]))
    assert max(map(len, user.texts)) < LIST_OCTETS


def test_in_json_rpc_a_label_is_no_change_of_state() -> None:
    world = World()
    user = world.user()
    host = world.card(reader())
    watch(user, form=m.ReaderForm.JSON_RPC)
    host.report(reader(label="blue"))
    assert rpc(user) == [("mark", 2)]
    host.report(reader(label="blue", insertion=2))
    assert rpc(user) == [(STATE, ("r1", "present")), ("mark", 3)]


def test_in_json_rpc_what_was_missed_comes_as_notifications() -> None:
    world = World()
    host = world.card(empty("r1"))
    host.report(reader("r1", insertion=2))
    user = world.user()
    ack = watch(user, form=m.ReaderForm.JSON_RPC, since=1, instance=RUN)
    assert ack.readers is None
    assert rpc(user) == [(STATE, ("r1", "present")), ("mark", 2)]


def test_each_watcher_is_told_in_its_form() -> None:
    world = World()
    ours, theirs = world.user(), world.user()
    watch(ours)
    watch(theirs, form=m.ReaderForm.JSON_RPC)
    world.card(empty())
    assert events(ours) == [(1, "added", "r1")]
    assert rpc(theirs) == [(LIST, ("r1",)), (STATE, ("r1", "empty")), ("mark", 1)]


def test_a_notification_has_no_place_in_the_mouth_of_a_client() -> None:
    world = World()
    user = world.user()
    view = m.ReaderView(number=1, reader="r", name="R", host="h", state=SlotState.EMPTY)
    user.say(m.state_change(view))
    assert code_of(user.one(m.Error)) is ErrorCode.UNEXPECTED_MESSAGE
    user.say(m.list_change([view]))
    assert "'Pcsc.Readers.ListChange' has no place" in user.one(m.Error).message
