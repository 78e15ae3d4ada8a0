# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay: what is passed on from one peer to another can be read by any."""

import json

import pytest

from tests.support.relay_clients import ICCID, CardClient, Peer
from tests.support.relay_world import World, code_of, reader
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.conversation import CloseCode

BAD_VALUES = {
    "not UTF-8": b'"\xe4"',
    "overlong UTF-8": b'"\xc0\x80"',
    "surrogate in UTF-8": b'"\xed\xa0\x80"',
    "half a surrogate pair": b'"\\ud800"',
    "beyond IEEE 754": b"1e999",
    "5,000 digits": b"1" * 5000,
    "too deep": b"[" * 100_000 + b"]" * 100_000,
}
BAD = pytest.mark.parametrize("value", BAD_VALUES.values(), ids=BAD_VALUES.keys())


def scene() -> tuple[World, CardClient, Peer, bytes]:
    world = World()
    card, user = world.card(reader()), world.user()
    session = user.hold(iccid=ICCID)
    card.auto = False
    card.inbox.clear()
    return world, card, user, session.encode()


@BAD
def test_a12_a_field_that_no_reader_takes_is_not_passed_on_to_a_card_client(value: bytes) -> None:
    _, card, user, session = scene()
    text = b'{"msg_type":"c_apdu","id":7,"session":"%b","command":"00a40004","x":%b}'
    user.say_text(text % (session, value))
    assert not any(isinstance(each, m.CApdu) for each in card.inbox)
    assert user.closed is not None
    assert user.closed[0] == CloseCode.PROTOCOL_ERROR
    assert card.closed is None


@BAD
def test_a12_a_field_that_no_reader_takes_is_not_passed_on_to_a_user(value: bytes) -> None:
    _, card, user, session = scene()
    user.say(m.CApdu(id=7, session=session.decode(), command=m.Octets(bytes(4))))
    text = b'{"msg_type":"r_apdu","id":7,"session":"%b","response":"","sw":"9000","x":%b}'
    card.say_text(text % (session, value))
    assert card.closed is not None
    assert card.closed[0] == CloseCode.PROTOCOL_ERROR
    assert user.closed is None
    assert code_of(user.next(m.Error)) is ErrorCode.CARD_CLIENT_GONE


@BAD
@pytest.mark.parametrize("name", ["cancel", "list_cards", "select_card"])
def test_a12_it_is_the_same_for_what_is_not_passed_on(name: str, value: bytes) -> None:
    user = World().user()
    user.say_text(b'{"msg_type":"%b","id":7,"target":1,"any":"x","x":%b}' % (name.encode(), value))
    assert user.closed is not None
    assert user.closed[0] == CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [
        (b'"command":"00a40000","command":"00a40004"', b'"command":"00a40004"'),
        (b'"session":"another\'s","command":"00a40004"', b'"command":"00a40004"'),
        (b'"command":"00a40004","x":{"a":1,"a":2}', b'"command":"00a40004","x":{"a":2}'),
        (b'"command" : "00a40004"\n', b'"command":"00a40004"'),
        (
            b'"command":"00a40004","x":1.' + b"1" * 500,
            b'"command":"00a40004","x":1.1111111111111112',
        ),
        (b'"command":"00a40004","x":"\\u00e4"', b'"command":"00a40004","x":"\xc3\xa4"'),
    ],
    ids=["twice", "another's session first", "twice within", "spaces", "digits", "escape"],
)
def test_a12_what_readers_could_take_in_two_ways_is_written_anew(
    sent: bytes, passed_on: bytes
) -> None:
    _, card, user, session = scene()
    user.say_text(b'{"msg_type":"c_apdu","id":7,%b,"session":"%b"}' % (sent, session))
    said = card.texts[-1]
    assert sorted(json.loads(said)) == sorted({*json.loads(said)})
    fields = b'{"msg_type":"c_apdu","id":7,%b,"session":"%b"}' % (passed_on, session)
    assert json.loads(said) == json.loads(fields)
    assert len(said) == len(fields)
    assert said.count(b'"session"') == said.count(b'"command"') == 1


def test_a11_a_text_that_grows_beyond_a_message_is_not_passed_on() -> None:
    _, card, user, session = scene()
    numbers = b",".join([b"1e15"] * 100_000)
    text = b'{"msg_type":"c_apdu","id":7,"session":"%b","command":"00a40004","x":[%b]}'
    text %= (session, numbers)
    assert len(text) < MAX_MESSAGE_OCTETS
    user.say_text(text)
    assert user.closed is not None
    assert not any(isinstance(each, m.CApdu) for each in card.inbox)


@pytest.mark.parametrize(
    "long",
    [
        m.SelectCard(id=7, iccid=ICCID, secret="s" * MAX_MESSAGE_OCTETS, keep_s=30.0),
        m.SelectCard(id=7, iccid=ICCID, protocols=("T0",) * 100_000),  # type: ignore[arg-type]
        m.Resume(id=7, session="s" * MAX_MESSAGE_OCTETS, secret="s", host="bench", reader="r1"),
        m.Resume(id=7, session="s", secret="s" * MAX_MESSAGE_OCTETS, host="bench", reader="r1"),
    ],
    ids=["secret", "protocols", "session", "secret of resume"],
)
def test_a11_nothing_that_a_user_says_makes_a_card_client_a_message_that_is_too_long(
    long: m.Message,
) -> None:
    world = World()
    card = world.card(reader(), features=("pcsc", "resume", "seal", "share"), auto=False)
    refused = world.user().refused(long)
    assert code_of(refused) is ErrorCode.BAD_MESSAGE
    assert card.quiet()


@pytest.mark.parametrize("said", ["session_ended", "error"])
def test_a11_a_reason_of_any_length_leaves_users_their_connection(said: str) -> None:
    _, card, user, session = scene()
    reason = "x" * (MAX_MESSAGE_OCTETS - 300)
    if said == "session_ended":
        why = m.SessionEnded(session=session.decode(), code=ErrorCode.INTERNAL, message=reason)
        card.say(why)
        assert len(user.one(m.SessionEnded).message) == 1_000
    else:
        user.say(m.SelectCard(id=8, reader="r1", wait_s=9.0))
        user.inbox.clear()
        user.say(m.Detach(id=9, session=session.decode()))
        card.answer(card.next(m.Detach))
        attach = card.next(m.Attach)
        user.inbox.clear()
        card.say(m.error(ErrorCode.CARD_UNRESPONSIVE, reason, session=attach.session))
        assert len(user.one(m.Error).message) == 1_000
    assert all(len(text) < 10_000 for text in user.texts)
