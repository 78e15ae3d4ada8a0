# SPDX-License-Identifier: Apache-2.0
"""Both ends of a session, each with a hostile other end, and a watcher of a hostile server."""

import json
import random
from typing import Any, get_args

from tests.fuzz import json_inputs, records
from tests.support.paths import VECTORS
from wsrc.card_client.ended import MAX_ENDED, Ended
from wsrc.errors import ErrorCode, RemoteProtocolError, WsrcError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, decode, encode
from wsrc.selection import Filter
from wsrc.session import CardEnd, Settled, UserEnd, Verdict
from wsrc.user_client.core.feeds import CardEvents, ReaderChange, ReaderFeed, ReaderSnapshot

HEAR, ASK, CUT, BACK, TIME, GIVE_UP, ANSWER, END = range(8)

_FORWARDED: tuple[type[m.Message], ...] = get_args(m.Forwarded)
_ANSWERS: tuple[type[m.Message], ...] = get_args(m.ForwardedAck)
_SESSION, _SECRET = "session-1", "secret 1"
_COMMAND = m.CApdu(session=_SESSION, command=Octets(b"\0\xa4\0\0"))


def _messages(value: Any) -> list[bytes]:
    """Return every message that is anywhere in a vector."""
    if isinstance(value, list):
        return [each for part in value for each in _messages(part)]
    if not isinstance(value, dict):
        return []
    inner = [each for part in value.values() for each in _messages(part)]
    return inner + ([json.dumps(value).encode()] if "msg_type" in value else [])


_VECTORS = json.loads((VECTORS / "session.json").read_text("utf-8"))
_SAID = list(dict.fromkeys(_messages(_VECTORS)))[:200]
_POOL = [(HEAR, text) for text in (*_SAID, *json_inputs.MESSAGES)] + [
    (what, b"\0\xc8") for what in (ASK, CUT, BACK, TIME, GIVE_UP, ANSWER, END)
]
SEEDS = [
    records.joined(
        [
            (ASK, b""),
            (CUT, b""),
            (BACK, b""),
            *((HEAR, t) for t in _SAID[at : at + 6]),
            (ANSWER, b""),
        ]
    )
    for at in range(0, len(_SAID), 6)
]
WORDS = json_inputs.WORDS
SHARE = 16


class _Both:
    """A user's end and a card's end that do not know each other."""

    def __init__(self) -> None:
        self.now = 100.0
        self.user = UserEnd(_SESSION, _SECRET, 30.0, "bench", "r1")
        self.card = CardEnd(_SESSION, _SECRET, 30.0)
        self.ended = Ended()
        self.feed = ReaderFeed()
        self.events = CardEvents(Filter(m.ListCards()))
        self.open = 0
        self.taken: list[int] = []

    def act(self, what: int, octets: bytes) -> None:
        """Do what an event says."""
        match what & 7:
            case 0:
                self._hear(octets)
            case 1 if self.user.idle and self.user.over is None:
                self.open += 1
                self._did(self.user.ask(_COMMAND))
            case 2:
                self._did(self.user.disconnected(self.now))
                self.card.disconnected(self.now)
            case 3 if self.user.state == "cut":
                self._did(self.user.connected())
                self.card.connected()
            case 4:
                self.now += int.from_bytes(octets[:2]) / 100
                self._did(self.user.expired(self.now))
                self.card.expired(self.now)
            case 5:
                self.user.abandon()
            case 6 if self.card.taken:
                self.card.answered(
                    m.RApdu(session=_SESSION, response=Octets(octets[:4]), sw="9000")
                )
            case 7:
                self.ended.put(self.card, self.card.ended(ErrorCode.LEASE_EXPIRED, "Over."))
            case _:
                pass
        assert self.open == (not self.user.idle)
        assert len(self.ended._by_name) <= MAX_ENDED

    def _hear(self, text: bytes) -> None:
        try:
            message = decode(text)
        except (UnreadableError, RemoteProtocolError):
            return
        if isinstance(message, _FORWARDED):
            self._forwarded(message)
        elif isinstance(message, m.Resume):
            if self.card.owns(message.secret):
                encode(self.card.resumed(message))
            self.ended.answer(message)
        elif isinstance(message, m.Resumed):
            self._did(self.user.resumed(message))
        elif isinstance(message, m.SessionEnded):
            self._did(self.user.ended(message))
        elif isinstance(message, m.Error) and self.user.state == "resuming":
            self._did(self.user.refused(message, self.now))
        elif isinstance(message, (m.Error, *_ANSWERS)):
            self._did(self.user.answered(message))
        elif isinstance(message, m.SessionInterrupted):
            self._did(self.user.interrupted(self.now))
        self._watch(message)

    def _forwarded(self, request: Any) -> None:
        """Give the card's end a request: a number is executed once, and they go up."""
        verdict = self.card.receive(request)
        if verdict is Verdict.EXECUTE:
            assert request.seq not in self.taken
            assert not self.taken or request.seq > self.taken[-1]
            self.taken.append(request.seq)
        elif verdict is Verdict.REPEAT:
            encode(self.card.repeated(request))
        else:
            self.card.outcome_of(request)
            self.card.refused(request)

    def _watch(self, message: m.Message) -> None:
        """Tell a watcher, and have it told of cards."""
        self.feed.hear(message)
        while self.feed._unread:
            news = self.feed._unread.popleft()
            if isinstance(news, ReaderSnapshot | ReaderChange):
                self.events.of(news)

    def _did(self, effects: Any) -> None:
        """Count what is settled: an open request is, once."""
        for each in effects:
            if isinstance(each, Settled):
                self.open -= 1
                assert self.open == 0
                assert isinstance(each.answer, m.Message | WsrcError)
            else:
                encode(each.message)


def one(data: bytes) -> None:
    """Whatever the other end says, a request is settled once, and a number is executed once."""
    both = _Both()
    for what, octets in records.split(data):
        both.act(what, octets)
    both._did(both.user.closed("It was given up."))
    assert both.user.idle


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change what happens, or what is said in it."""
    return records.mutated(data, rng, json_inputs.mutated, _POOL)
