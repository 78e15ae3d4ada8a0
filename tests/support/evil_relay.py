# SPDX-License-Identifier: Apache-2.0
"""Our relay, which does to messages what it should not."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from unittest.mock import patch

from tests.support.world import World
from wsrc.protocol import messages as m
from wsrc.relay.effects import Effect, Send
from wsrc.relay.records import CardPeer, UserPeer

M = TypeVar("M", bound=m.Message)

Change = Callable[[m.Message], Iterable[m.Message]]


def honest(message: m.Message) -> Iterable[m.Message]:
    """Pass a message on."""
    return (message,)


class EvilRelay:
    """
    The relay of a world; `change` returns what is sent in place of each message.

    `heard` is all that peers said to it, and `said` all that it sent, in their order; `changed`
    counts what it did not send as it should.
    """

    def __init__(self, world: World) -> None:
        self.change: Change = honest
        self.heard: list[m.Message] = []
        self.said: list[m.Message] = []
        self.changed = 0
        self._peers = world.app._peers
        self._received = self._peers.relay.received
        patch.object(self._peers.relay, "received", self._hear).start()

    def of(self, kind: type[M]) -> list[M]:
        """Return what peers said of a kind."""
        return [message for message in self.heard if isinstance(message, kind)]

    def to_card_host(self, message: m.Message) -> None:
        """Say something to the card host that connected last."""
        self._tell(CardPeer, message)

    def to_user(self, message: m.Message) -> None:
        """Say something to the user who connected last."""
        self._tell(UserPeer, message)

    def stop_listening(self) -> None:
        """Be honest from now on."""
        self.change = honest

    def forget(self) -> None:
        """Forget what was heard and said."""
        self.heard.clear()
        self.said.clear()

    def _tell(self, kind: type[CardPeer | UserPeer], message: m.Message) -> None:
        peers = self._peers.relay._state.peers.values()
        number = max(peer.number for peer in peers if isinstance(peer, kind))
        self._peers._perform([Send(number, message)])

    def _hear(self, peer: int, message: m.Message, *more: Any) -> list[Effect]:
        self.heard.append(message)
        done: list[Effect] = []
        for effect in self._received(peer, message, *more):
            if not isinstance(effect, Send):
                done.append(effect)
                continue
            changed = list(self.change(effect.message))
            self.changed += changed != [effect.message]
            for instead in changed:
                self.said.append(instead)
                same = instead is effect.message
                done.append(effect if same else Send(effect.peer, instead))
        return done
