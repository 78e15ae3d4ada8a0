# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.machine: greetings, phases, time limits, the end; and nothing that is left."""

import gc
import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.support.paths import VECTORS
from tests.support.relay_clients import ATR, ICCID
from tests.support.relay_world import World, code_of, reader
from wsrc.card.slot import CardProtocol
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.machine import FEATURES

USER, CARD = m.ClientType.USER, m.ClientType.CARD
CASES: list[dict[str, Any]] = json.loads((VECTORS / "messages.json").read_text())["cases"]

SAID_BY_USERS: tuple[m.Message, ...] = (
    m.ListCards(id=1),
    m.SelectCard(id=1, iccid=ICCID),
    m.CApdu(id=1, session="s", command=Octets(4)),
    m.Batch(id=1, session="s", steps=(m.Step(command=Octets(4)),)),
    m.ResetReq(id=1, session="s"),
    m.Detach(id=1, session="s"),
    m.Cancel(id=1, target=2),
    m.ListReaders(id=1),
    m.WatchReaders(id=1),
)
SAID_BY_CARDS: tuple[m.Message, ...] = (
    m.ReaderReport(id=1, reader=reader()),
    m.ReaderGone(id=1, reader="r1"),
    m.AttachAck(id=1, session="s", atr=ATR),
    m.RApdu(id=1, session="s", response=Octets(), sw="9000"),
    m.BatchResp(id=1, session="s", results=()),
    m.ResetResp(id=1, session="s", atr=ATR, protocol=CardProtocol.T0),
    m.DetachAck(id=1, session="s"),
    m.CancelAck(id=1, session="s", cancelled=True),
    m.SessionEnded(id=1, session="s", code=ErrorCode.INTERNAL, message="?"),
    m.Error(id=1, session="s", message="?"),
)
SAID_BY_THE_SERVER: tuple[m.Message, ...] = (
    m.HelloAck(id=1),
    m.ListCardsAck(id=1, cards=()),
    m.SelectCardAck(id=1, identities=m.Identities()),
    m.Waiting(id=1, position=1),
    m.Attach(id=1, session="s", reader="r", insertion=1),
    m.ListReadersAck(id=1, instance="i", seq=0, readers=()),
    m.WatchReadersAck(id=1, instance="i", seq=0),
    m.Restarting(id=1, reconnect_in_s=1),
    m.StateNotification(id=1, new_state=m.CardState.READY),
)


def hello(role: m.ClientType, **fields: Any) -> m.Hello:
    return m.Hello(client_type=role, **fields)


@pytest.mark.parametrize("version", [1, 2, 99])
@pytest.mark.parametrize("role", [USER, CARD])
def test_hello_is_answered_with_our_version_and_features(role: m.ClientType, version: int) -> None:
    world = World()
    peer = world.stranger(role)
    peer.say(hello(role, id=7, version=version))
    ack = peer.one(m.HelloAck)
    assert (ack.id, ack.version, ack.features, ack.server) == (7, 1, FEATURES, "relay")


@pytest.mark.parametrize("role", [USER, CARD])
def test_hello_without_version_is_answered_with_nothing_else(role: m.ClientType) -> None:
    world = World()
    peer = world.stranger(role, first_form=True)
    peer.say(hello(role, atr=ATR if role is CARD else None))
    peer.next(m.HelloAck)
    assert peer.texts[0] == b'{"msg_type":"hello_ack"}'


@pytest.mark.parametrize("version", [0, -5])
def test_a_version_that_there_cannot_be_ends_the_connection(version: int) -> None:
    user = World().stranger(USER)
    user.say(hello(USER, version=version))
    assert user.one(m.Error).message == f"There is no version {version}; the first is 1."
    assert user.closed is not None
    assert user.closed[0] == 1002


@pytest.mark.parametrize("version", [None, 1])
@pytest.mark.parametrize("role", [USER, CARD])
def test_the_wrong_kind_of_client_on_a_port_is_told_and_closed(
    role: m.ClientType, version: int | None
) -> None:
    world = World()
    peer = world.stranger(CARD if role is USER else USER)
    peer.say(hello(role, version=version))
    here, port = ("card", 4220) if role is USER else ("user", 4221)
    why = (
        f"This port is for {here} clients; {role} clients connect to the other, {port} by default."
    )
    assert peer.one(m.Error).message == why
    assert peer.closed == (1002, why)
    assert world.leftovers() == {}


@pytest.mark.parametrize("role", [USER, CARD])
def test_a_peer_that_does_not_say_hello_in_time_is_closed(role: m.ClientType) -> None:
    world = World(hello_s=10)
    peer = world.stranger(role)
    world.pass_time(10)
    assert code_of(peer.next(m.Error)) is ErrorCode.HELLO_TIMEOUT
    assert peer.closed == (1008, "This peer did not say hello in time.")


def test_a_user_that_selects_nothing_is_not_cut_off() -> None:
    world = World(hello_s=10)
    world.card(reader())
    for user in (world.user(), world.user(first_form=True)):
        world.pass_time(1000)
        assert user.closed is None
        assert user.quiet()


@pytest.mark.parametrize("message", [*SAID_BY_USERS, *SAID_BY_CARDS, *SAID_BY_THE_SERVER])
@pytest.mark.parametrize("role", [USER, CARD])
def test_nothing_but_hello_is_heard_before_hello(role: m.ClientType, message: m.Message) -> None:
    world = World()
    peer = world.stranger(role)
    refused = peer.refused(message)
    assert code_of(refused) is ErrorCode.UNEXPECTED_MESSAGE
    assert refused.message.endswith("has no place here; say hello first.")
    assert peer.closed is None


@pytest.mark.parametrize(
    "message",
    [*SAID_BY_THE_SERVER, *SAID_BY_CARDS, hello(USER, id=1), hello(USER, id=1, version=1)],
)
def test_what_users_do_not_say_is_refused(message: m.Message) -> None:
    user = World().user()
    assert code_of(user.refused(message)) is ErrorCode.UNEXPECTED_MESSAGE
    assert user.closed is None


@pytest.mark.parametrize(
    "message",
    [*SAID_BY_THE_SERVER, *SAID_BY_USERS, hello(CARD, id=1), hello(CARD, id=1, version=1)],
)
def test_what_card_clients_do_not_say_is_refused(message: m.Message) -> None:
    card = World().card()
    assert code_of(card.refused(message)) is ErrorCode.UNEXPECTED_MESSAGE
    assert card.closed is None


@pytest.mark.parametrize("message", SAID_BY_USERS)
def test_every_message_of_a_user_is_answered(message: m.Message) -> None:
    user = World().user()
    user.say(message)
    assert user.one(m.Message).id == 1


@pytest.mark.parametrize("message", SAID_BY_CARDS)
def test_every_message_of_a_card_client_is_taken(message: m.Message) -> None:
    card = World().card(reader())
    card.say(message)
    assert card.quiet()
    assert card.closed is None


@pytest.mark.parametrize("message", SAID_BY_USERS)
def test_a_request_without_an_id_is_refused(message: m.Message) -> None:
    user = World().user()
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    refused = user.refused(type(message)(**{**fields, "id": None}))
    assert code_of(refused) is ErrorCode.BAD_MESSAGE
    assert "has no id" in refused.message


def test_names_are_fit_for_a_terminal() -> None:
    world = World()
    world.card(reader(), name="\x1b[31mred\n" + "x" * 100)
    card = world.user().ask(m.ListCards(id=1), m.ListCardsAck).cards[0]
    assert card.host == "[31mred" + "x" * 57
    world.user(name="\t ")
    assert world.notes[-1].endswith("is a user")


def test_a_card_client_that_comes_back_replaces_itself_at_once() -> None:
    world = World()
    before = world.card(reader(), instance="i")
    user, waiting = world.user(), world.user()
    user.hold(iccid=ICCID)
    waiting.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    waiting.one(m.Waiting)
    world.card(reader(), instance="i")
    assert before.closed == (1008, "The card client has connected again.")
    assert user.one(m.SessionEnded).code is ErrorCode.CARD_CLIENT_GONE
    waiting.one(m.SelectCardAck)
    before.say(m.ReaderGone(reader="r1"))
    before.say_text(b"no json")
    before.say_text(b'{"msg_type":"what"}')
    before.leave()
    assert world.relay.counts["cards"] == 1


@pytest.mark.parametrize("instances", [("", None), (None, None), ("a", "b")])
def test_other_card_clients_are_not_replaced(instances: tuple[str | None, str | None]) -> None:
    world = World()
    cards = [world.card(reader(), instance=instance) for instance in instances]
    assert [card.closed for card in cards] == [None, None]
    for card in cards:
        card.leave()
    assert world.leftovers() == {}


def test_a_restart_is_told_to_all_who_said_hello_and_know_the_word() -> None:
    world = World()
    card, user, waiting = world.card(reader()), world.user(), world.user()
    session = user.hold(iccid=ICCID)
    old, mute = world.user(first_form=True), world.stranger(USER)
    waiting.say(m.SelectCard(id=1, iccid=ICCID, wait_s=60))
    waiting.one(m.Waiting)
    card.auto = False
    command = user.command(session)
    world.perform(world.relay.shut_down(3.0, world.now))
    card.next(m.CApdu)
    for peer in (card, user):
        assert peer.one(m.Restarting).reconnect_in_s == 3.0
    refused = waiting.next(m.Error)
    assert (refused.id, code_of(refused)) == (1, ErrorCode.SHUTTING_DOWN)
    waiting.one(m.Restarting)
    assert old.quiet()
    assert mute.quiet()
    assert world.relay.in_flight == 1
    card.say(m.RApdu(id=command.id, session=session, response=Octets(), sw="9000"))
    user.one(m.RApdu)
    refused = user.refused(m.CApdu(id=88, session=session, command=Octets(4)))
    assert code_of(refused) is ErrorCode.SHUTTING_DOWN
    assert refused.outcome is Outcome.NOT_EXECUTED
    assert code_of(waiting.refused(m.SelectCard(id=2, label="x"))) is ErrorCode.SHUTTING_DOWN
    user.ask(m.ListCards(id=89), m.ListCardsAck)
    user.ask(m.Detach(id=90, session=session), m.DetachAck)


def test_an_unreadable_message_is_answered_and_the_connection_goes_on() -> None:
    user = World().user()
    user.say_text(b'{"msg_type":"teleport","id":7}')
    refused = user.one(m.Error)
    assert (refused.id, code_of(refused)) == (7, ErrorCode.UNKNOWN_MESSAGE)
    user.say_text(b'{"msg_type":"c_apdu","id":8,"command":"00A"}')
    refused = user.one(m.Error)
    assert (refused.id, code_of(refused)) == (8, ErrorCode.BAD_HEX)
    user.ask(m.ListCards(id=9), m.ListCardsAck)


@pytest.mark.parametrize("text", [b"no json", b"[]", b"{}", b'{"msg_type":"select_card","id":"x"}'])
@pytest.mark.parametrize("first_form", [True, False])
def test_a_malformed_message_is_answered_and_ends_the_connection(
    text: bytes, first_form: bool
) -> None:
    world = World()
    user = world.user(first_form=first_form)
    user.say_text(text)
    refused = user.one(m.Error)
    assert code_of(refused) is ErrorCode.BAD_MESSAGE
    assert user.closed == (1002, refused.message)
    assert world.leftovers() == {}
    user.leave()


def test_nothing_is_left_when_all_are_gone() -> None:
    world = World()
    cards = [world.card(reader(f"r{n}"), instance=f"i{n}") for n in range(3)]
    old = world.old_card()
    users = [world.user() for _ in range(4)]
    users[0].ask(m.WatchReaders(id=1), m.WatchReadersAck)
    users[1].hold(reader="r1")
    users[2].say(m.SelectCard(id=9, reader="r1", wait_s=60))
    users[3].command(users[3].hold(reader="r2"))
    first = world.user(first_form=True)
    first.say(m.SelectCard(id_type="reader", id_str="r0"))
    counts = world.relay.counts
    assert (counts["peers"], counts["cards"], counts["waiting"]) == (9, 4, 1)
    assert counts["sessions"] == 3
    for peer in (*users, first, *cards, old):
        peer.leave()
    assert world.leftovers() == {}
    assert world.relay.deadline() is None


def cost_of(action: Callable[[], object]) -> int:
    """Count the calls that an action makes."""
    calls = 0

    def count(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    gc.disable()  # what a collection calls does not belong to the action
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
        gc.enable()
    return calls


def crowded(cards: int, **limits: float) -> World:
    """Make a world with so many cards."""
    world = World(**limits)
    readers = [reader(f"r{n}", f"{8949020000000000000 + n}") for n in range(cards)]
    world.card(*readers, features=FEATURES)
    return world


def cost_of_select(cards: int) -> int:
    """Count what a select and the acknowledgement of its attach cost."""
    user = crowded(cards).user()
    return cost_of(lambda: user.select(iccid="8949020000000000007"))


def cost_of_goodbye(leases: int) -> int:
    """Count what it costs that a user leaves while others hold, or held, so many cards."""
    world = crowded(leases, max_sessions_per_user=leases)
    for name in ("there", "away"):
        other = world.user(instance=name)
        for number in range(leases // 2):
            at = f"r{number + (leases // 2 if name == 'away' else 0)}"
            other.select(reader=at, secret="s" * 32, keep_s=60.0)
    other.leave()
    user = world.user(instance="u")
    return cost_of(lambda: user.leave(goodbye=True))


@pytest.mark.parametrize("cost", [cost_of_select, cost_of_goodbye])
def test_what_one_user_does_costs_the_same_with_100_and_1000_cards(
    cost: Callable[[int], int],
) -> None:
    assert cost(100) == cost(1000)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_vectors(case: dict[str, Any]) -> None:
    world = World()
    peer = world.stranger(m.ClientType(case["role"]))
    if case["greeted"]:
        peer.say(hello(peer.role, version=1))
        peer.next(m.HelloAck)
    peer.say_text(case["text"].encode())
    answer = json.loads(encode(peer.next(m.Message))) if peer.inbox else None
    expected = case["answer"]
    assert (answer is None) == (expected is None)
    for name, value in (expected or {}).items():
        assert answer is not None
        assert answer.get(name) == value
    closed = peer.closed[0] if peer.closed else None
    assert closed == case["closed"]
