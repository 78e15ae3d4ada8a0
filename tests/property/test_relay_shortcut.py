# SPDX-License-Identifier: Apache-2.0
"""A relay that takes the short way does what one that never takes it does, on any traffic."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings

from tests.support import relay_world
from tests.support.models.relay_machine import RelayMachine
from wsrc.card.slot import Share
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError
from wsrc.relay import shortcut
from wsrc.relay.effects import Effect
from wsrc.relay.machine import Relay

TAKEN: Counter[str] = Counter()


class Both:
    """Two relays that are told the same; one of them never takes the short way."""

    def __init__(
        self,
        limits: Any,
        epoch: Any,
        new_session: Callable[[], str],
        *,
        new_nonce: Callable[[], bytes],
        **fields: Any,
    ) -> None:
        names: deque[str] = deque()
        nonces: deque[bytes] = deque()

        def nonce() -> bytes:
            nonces.append(new_nonce())
            return nonces[-1]

        def named() -> str:
            names.append(new_session())
            return names[-1]

        self.short = Relay(limits, epoch, named, new_nonce=nonce, **fields)
        self.general = Relay(limits, epoch, names.popleft, new_nonce=nonces.popleft, **fields)

    def received(self, peer: int, message: m.Message, text: bytes, now: float) -> list[Effect]:
        send_on = shortcut.send_on

        def counted(*args: Any) -> Effect | None:
            effect = send_on(*args)
            TAKEN[type(message).__name__] += effect is not None
            return effect

        with patch.object(shortcut, "send_on", counted):
            short = self.short.received(peer, message, text, now)
        with patch.object(shortcut, "send_on", lambda *_: None):
            assert short == self.general.received(peer, message, text, now)
        self.alike()
        return short

    def unreadable(self, peer: int, error: UnreadableError, now: float) -> list[Effect]:
        return self.same(lambda relay: relay.unreadable(peer, error, now))

    def connected(self, *event: Any, **fields: Any) -> list[Effect]:
        return self.same(lambda relay: relay.connected(*event, **fields))

    def malformed(self, peer: int, error: Any, now: float) -> list[Effect]:
        return self.same(lambda relay: relay.malformed(peer, error, now))

    def disconnected(self, peer: int, now: float, *, goodbye: bool) -> list[Effect]:
        return self.same(lambda relay: relay.disconnected(peer, now, goodbye=goodbye))

    def tick(self, now: float) -> list[Effect]:
        return self.same(lambda relay: relay.tick(now))

    def shut_down(self, reconnect_in_s: float, now: float) -> list[Effect]:
        return self.same(lambda relay: relay.shut_down(reconnect_in_s, now))

    def same(self, event: Callable[[Relay], list[Effect]]) -> list[Effect]:
        short = event(self.short)
        assert short == event(self.general)
        self.alike()
        return short

    def alike(self) -> None:
        assert self.short.counts == self.general.counts
        assert self.short.deadline() == self.general.deadline()
        assert self.short.in_flight == self.general.in_flight

    def __getattr__(self, name: str) -> Any:
        return getattr(self.short, name)


class TwoWays(RelayMachine):
    pass


def test_a_sealed_command_and_its_answer_go_the_short_way() -> None:
    """What else is sealed goes the general way, or does as that does."""
    world = relay_world.World()
    host = world.card(relay_world.reader(), features=("batch", "pcsc", "seal", "share"), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=1, iccid=relay_world.ICCID))
    session = host.next(m.Attach).session
    host.say(m.AttachAck(session=session, atr=Octets(b"\x3b")))
    user.one(m.SelectCardAck)
    before = TAKEN.copy()
    for seq, of in enumerate(("c_apdu", "batch", "reconnect", "c_apdu"), start=1):
        share = Share.SHARED if of == "reconnect" else None
        user.say(m.Sealed(id=seq, seq=seq, session=session, of=of, box=b"1", share=share))
        asked = host.next(m.Sealed)
        host.say(m.SealedResp(id=asked.id, seq=seq, session=session, of=f"{of}_ack", box=b"2"))
        assert user.one(m.SealedResp).box == b"2"
    taken = TAKEN - before
    assert (taken["Sealed"], taken["SealedResp"]) == (2, 3)


@pytest.fixture(autouse=True, scope="module")
def two_relays() -> Any:
    with patch.object(relay_world, "Relay", Both):
        yield


class TestTwoWays(TwoWays.TestCase):
    @classmethod
    def tearDownClass(cls) -> None:
        assert TAKEN["CApdu"] > 0 < TAKEN["RApdu"], TAKEN
        assert TAKEN["Sealed"] > 5 < TAKEN["SealedResp"], TAKEN


TestTwoWays.settings = settings(max_examples=60, stateful_step_count=60)
