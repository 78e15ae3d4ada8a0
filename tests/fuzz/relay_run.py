# SPDX-License-Identifier: Apache-2.0
"""A relay among hostile peers: what they say and do, and what must hold after each event."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.fuzz.records import Record, joined
from tests.support.models.relay_peers import LIMITS as SOON
from tests.support.relay_clients import Peer
from tests.support.relay_world import World
from tests.support.server_vectors import CASES
from wsrc.card.slot import Share
from wsrc.errors import RemoteProtocolError
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, check_utf8, decode, encode
from wsrc.relay.records import MAX_HOLDERS

USER, CARD, LEAVE, TIME, DRAIN, *TEXT = range(8)
"""What happens; the five bits above say to which of the peers that came."""

LIMITS: dict[str, float] = SOON | {"max_reader_changes": 8}
MOST_PEERS = 8
MOST_EFFECTS = 1_500
"""What one event may lead to among so few peers; 256 in a tick and those of its last deadline."""

MOST_TEXT_OCTETS = 1 << 20


class Hostile(Peer):
    """A peer that says anything; each of its requests is answered once at most."""

    def __init__(self, world: World, role: m.ClientType) -> None:
        super().__init__(world, role)
        self.asked: Counter[int | None] = Counter()
        self.answered: Counter[int | None] = Counter()
        self.heard = 0

    def say_text(self, text: bytes) -> None:
        """Send a text, as the server's shell would pass it on."""
        relay, now = self.world.relay, self.world.now
        try:
            check_utf8(text)
            message = decode(text)
            self.asked[message.id] += 1
            if isinstance(message, m.SelectCard) and message.then is not None:
                self.asked[message.then.id] += 1
            effects = relay.received(self.number, message, text, now)
        except UnreadableError as exc:
            self.asked[exc.id] += 1
            effects = relay.unreadable(self.number, exc, now)
        except RemoteProtocolError as exc:
            effects = relay.malformed(self.number, exc, now)
        self.first_form = self.first_form or self.number in relay._adapters
        assert len(effects) <= MOST_EFFECTS
        self.world.perform(effects)

    def take_in(self, message: m.Message, text: bytes) -> None:
        """Take what the relay sends; a user's request has one answer, some in parts."""
        self.first_form = self.first_form or self.number in self.world.relay._adapters
        super().take_in(message, text)
        assert len(text) <= MOST_TEXT_OCTETS
        self.heard += 1
        self.inbox.clear()
        self.texts.clear()
        if self.role is m.ClientType.USER and not self.first_form and message.id is not None:
            in_part = isinstance(message, m.Waiting) or getattr(message, "more", False)
            self.answered[message.id] += not in_part
            assert self.answered[message.id] <= self.asked[message.id], message


class Hostiles:
    """A relay, and peers of which each event says what they do."""

    def __init__(self, *, of_first_form: bool = False) -> None:
        self.world = World(**LIMITS)
        self.peers: list[Hostile] = []
        self._of_first_form = of_first_form

    def act(self, record: Record) -> None:
        """Do what an event says, and see that all is sound."""
        what, octets = record
        number, kind = what >> 3, what & 7
        there = [each for each in self.peers if not each.gone and each.closed is None]
        peer = self.peers[number % len(self.peers)] if self.peers else None
        if kind in {USER, CARD}:
            if len(there) < MOST_PEERS:
                self.come(m.ClientType.USER if kind == USER else m.ClientType.CARD)
        elif kind == TIME:
            self.world.pass_time(int.from_bytes(octets[:2]) / 100)
        elif kind == DRAIN:
            self.world.perform(self.world.relay.shut_down(1.0, self.world.now))
        elif peer is None or peer not in there:
            return
        elif kind == LEAVE:
            peer.leave(goodbye=octets[:1] == b"g")
        else:
            peer.say_text(octets)
        self.forget_closed()
        self.check()

    def come(self, role: m.ClientType) -> Hostile:
        """Connect a peer; one of the first form says hello at once."""
        peer = Hostile(self.world, role)
        self.peers.append(peer)
        self.world._connect(peer)
        if self._of_first_form and (role is m.ClientType.CARD or len(self.peers) % 2):
            peer.say_text(encode(m.Hello(client_type=role)))
        return peer

    def forget_closed(self) -> None:
        """Tell the relay of the end of each connection that it closed, as its shell does."""
        for peer in self.peers:
            if peer.closed is not None and not peer.gone:
                peer.leave()

    def check(self) -> None:
        """See that no card has two users who do not share it, and that nothing is without bound."""
        relay = self.world.relay
        state = relay._state
        for slot in state.slots.values():
            shares = [lease.share for lease in slot.holders]
            assert len(shares) <= 1 or set(shares) == {Share.SHARED}, shares
            assert len(slot.leases) <= MAX_HOLDERS
            assert all(each.slot is slot for each in slot.leases.values())
        counts = relay.counts
        most = MOST_PEERS * 64
        assert counts["waiting"] <= LIMITS["max_waiting"]
        assert counts["readers"] <= MOST_PEERS * LIMITS["max_readers_per_card_client"]
        assert max(counts.values()) <= most, counts
        assert sum(len(each.leases) for each in state.slots.values()) <= most
        remembered = (state.past, state.lost, state.gone, state.left)
        assert all(len(each._by_session) <= most for each in remembered)

    def end(self) -> None:
        """Have everybody leave, and all limits pass: nothing is left."""
        for peer in self.peers:
            if not peer.gone:
                peer.leave()
        self.world.pass_time(60.0)
        left = self.world.leftovers()
        assert left == {}, left
        assert self.world.relay.deadline() is None


# Seeds


def seeds() -> Iterator[bytes]:
    """Yield the cases of `tests/vectors/server.json` as inputs."""
    for case in CASES:
        yield joined(_Case(case).records())


class _Case:
    """A case of the vectors, run once so that it is known what sessions are called."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._case = case
        self._chosen: dict[str, Any] = {}
        self._world = World()
        self._peers: dict[str, tuple[int, Peer]] = {}

    def records(self) -> list[Record]:
        records: list[Record] = []
        for step in self._case["steps"]:
            if "restarts" in step:
                break
            records += self._step(step["peer"], step)
        return records

    def _step(self, name: str, step: dict[str, Any]) -> Iterator[Record]:
        if "connects" in step:
            role = self._case["peers"][name]
            peer = Peer(self._world, m.ClientType(role))
            self._peers[name] = len(self._peers), peer
            self._world._connect(peer)
            yield (USER if role == "user" else CARD), b""
            return
        number, peer = self._peers[name]
        if "says" in step:
            yield self._say(number, peer, step["says"])
        elif "answers" in step:
            while peer.texts:
                heard = json.loads(peer.texts.pop(0))
                if heard.get("msg_type") not in step["answers"]:
                    break
                yield self._say(number, peer, step["answers"][heard["msg_type"]])
        elif "hears" in step:
            while peer.texts:
                heard = json.loads(peer.texts.pop(0))
                if heard.get("msg_type") == step["hears"].get("msg_type"):
                    self._learn(heard, step["hears"])
                    break
        elif "closes" in step or "loses" in step:
            peer.leave(goodbye="closes" in step)
            yield number << 3 | LEAVE, b"g" if "closes" in step else b""

    def _say(self, number: int, peer: Peer, said: dict[str, Any]) -> Record:
        text = json.dumps(self._filled(said)).encode()
        if peer.closed is None and not peer.gone:
            peer.say_text(text)
            peer.first_form = peer.number in self._world.relay._adapters
        return number << 3 | TEXT[0], text

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return self._chosen.get(value, value) if isinstance(value, str) else value

    def _learn(self, heard: Any, expected: Any) -> None:
        if isinstance(expected, dict):
            for name, each in expected.items():
                self._learn(heard.get(name) if isinstance(heard, dict) else None, each)
        elif isinstance(expected, list) and isinstance(heard, list):
            for one, each in zip(heard, expected, strict=False):
                self._learn(one, each)
        elif isinstance(expected, str) and expected.startswith("<") and heard is not None:
            self._chosen.setdefault(expected, heard)
