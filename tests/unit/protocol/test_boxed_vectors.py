# SPDX-License-Identifier: Apache-2.0
"""Messages of sealed sessions against tests/vectors/sealing.json."""

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest

from tests.support.paths import VECTORS
from tests.support.sealing_vectors import Json, ask_of, keys_of, octets, offer_of, terms_of
from wsrc.protocol import messages as m
from wsrc.protocol.boxed import CardBoxes, UserBoxes, ask_of as said_by_user, asked_of, said_of
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS, decode, encode
from wsrc.sealing.ends import CardSeal, UserSeal
from wsrc.sealing.handshake import Offered, Secret
from wsrc.sealing.suites import Suite, key_of

V: Json = json.loads((VECTORS / "sealing.json").read_text("utf-8"))
NOW = datetime.fromisoformat(V["now"])


def each(list_: str) -> Any:
    return pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in V[list_]])


def session_of(v: Json) -> Json:
    (found,) = [s for s in V["sessions"] if s["name"] == v["session"]]
    return dict(found)


def read(message: Json) -> Any:
    return decode(json.dumps(message))


def shown(message: m.Message) -> Json:
    return dict(json.loads(encode(message)))


def ends(v: Json) -> tuple[UserBoxes, CardBoxes, UserSeal]:
    """Return both ends of the session of a vector, and the user's keys."""
    s, pad = session_of(v), v.get("pad_octets", 1)
    secret = Secret(octets(s["sealed"]))
    key = key_of(Suite(s["said"]["suite"]), octets(s["private_key"]))
    card = CardSeal(Offered(offer_of(s), terms_of(s), key, None), pad)
    card.accept(secret, NOW)
    user = UserSeal(secret, keys_of(s), pad)
    nonce = octets(v.get("nonce", ""))
    return (
        UserBoxes(user, lambda: nonce),
        CardBoxes(card, lambda: NOW, lambda: MAX_MESSAGE_OCTETS, pad),
        user,
    )


@each("messages")
def test_a_message_is_sealed_as_any_other_implementation_does(v: Json) -> None:
    user, card, keys = ends(v)
    if v["heard"]:
        keys.secret = None
    keys.settled(v["ran"])
    inside, message = read(v["inside"]), read(v["message"])
    if v["from"] == "user":
        assert shown(user.seal(inside)) == v["message"]
        assert card.open(message, v["ran"]) == inside
    else:
        assert shown(card.seal(inside)) == v["message"]
        assert user.open(message) == inside


def test_messages_of_the_start_have_what_the_session_has() -> None:
    select, attach, attached, selected = (read(v["message"]) for v in V["messages_of_the_start"])
    s = session_of(V["messages_of_the_start"][0])
    assert said_by_user(select.seal) == said_by_user(attach.seal) == ask_of(s)
    assert asked_of(attach) == terms_of(s).asked
    assert attached.seal == selected.seal == said_of(offer_of(s))


def test_a_session_is_resumed_refused_and_ended() -> None:
    proved, resumed, refused, ended = V["messages_on_resuming"]
    user, card, _ = ends(proved)
    resume = read(proved["message"])
    bare = msgspec.structs.replace(resume, proof=None, seal=None)
    assert shown(user.prove(bare)) == proved["message"]
    assert card.proves(msgspec.structs.replace(resume, nonce=octets(proved["nonce"])))
    said = read(resumed["message"])
    assert card.resumed(resumed["asked"], said.seq) == said.word
    assert user.resumed(resumed["asked"], said)
    assert card.refused(refused["number"]) == read(refused["message"]).word
    assert card.ended(2) == read(ended["message"]).word
