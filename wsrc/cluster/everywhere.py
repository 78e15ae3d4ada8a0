# SPDX-License-Identifier: Apache-2.0
"""
What operators ask of all nodes, and of one that has a connection.

A ban, its end and the list of bans are asked of our own relay, and then of all others; there is one
answer, which names the nodes that did not do it: they did not answer in time, or refused. Each node
judges by its own policy. A connection of another node is closed by that node.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from wsrc.cluster import items
from wsrc.cluster.gathering import place_of
from wsrc.cluster.outside import ANSWER_S, Home, Outside
from wsrc.errors import ErrorCode
from wsrc.protocol import codec, messages as m
from wsrc.relay.records import UserPeer
from wsrc.relay.state import RelayState

TIMER = "operator"

Everyones = m.Ban | m.Unban | m.ListBans
"""Requests that all nodes are to do."""

_Done = m.BanAck | m.UnbanAck | m.ListBansAck


@dataclass(slots=True, eq=False)
class _Asked:
    """A request: what our own relay said, what others have, and who did not answer yet."""

    number: int
    user: UserPeer
    message: Everyones | m.Kick
    home: m.Message | None = None
    done: dict[str, _Done] = field(default_factory=dict[str, _Done])
    waits: set[str] = field(default_factory=set[str])
    failed: set[str] = field(default_factory=set[str])


class Everywhere:
    """
    All such requests of our users.

    Args:
        state: Of our own relay.
        outside: The other nodes.
        home: Has our own relay act on a request.
        instance_of: Returns the run of the node at a place whose connections were listed, if any.
    """

    def __init__(
        self,
        state: RelayState,
        outside: Outside,
        home: Home,
        instance_of: Callable[[int], str | None],
    ) -> None:
        self._state, self._outside, self._home = state, outside, home
        self._instance_of = instance_of
        self._by_request: dict[tuple[int, int], _Asked] = {}
        self._by_number: dict[int, _Asked] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def takes(self, user: UserPeer, message: m.Message, now: float) -> bool:
        """Take a request that concerns other nodes; return whether it was taken."""
        if not isinstance(message, Everyones | m.Kick) or message.id is None:
            return False
        if self._state.draining or (user.number, message.id) in self._by_request:
            return False
        if isinstance(message, m.Kick):
            return self._kicks(user, message, now)
        if not self._outside.up():
            return False
        self._enter(user, message)
        self._home(user, message, None, now)
        return True

    def holds(self, user: int, message: m.Message, now: float) -> bool:
        """Take what our own relay says to a request; return whether others are asked first."""
        asked = self._by_request.get((user, message.id if message.id is not None else -1))
        if asked is None or asked.home is not None:
            return False
        if isinstance(message, m.Error) and not isinstance(asked.message, m.Unban):
            self._forget(asked)
            return False
        asked.home = message
        for node in self._outside.up():
            self._ask(asked, node, asked.message, now)
        if not asked.waits:
            self._forget(asked)
        return bool(asked.waits)

    def told(self, node: str, link: int, message: m.Message) -> bool:
        """Take the answer of a node; return whether it is one."""
        asked = self._by_request.get((link, message.id if message.id is not None else -1))
        if asked is None or node not in asked.waits:
            return False
        asked.waits.discard(node)
        if isinstance(asked.message, m.Kick):
            self._forget(asked)
            self._state.send(asked.user, message)
            return True
        if isinstance(message, _Done):
            asked.done[node] = message
        elif not _is_unknown(message):
            asked.failed.add(node)
        self._end_if_all_answered(asked)
        return True

    def expired(self, number: int) -> None:
        """Go on without those who did not answer in time."""
        asked = self._by_number.get(number)
        if asked is not None:
            for node in tuple(asked.waits):
                self._fails(asked, node)

    def down(self, node: str) -> None:
        """Go on without a node that is lost."""
        for asked in [each for each in self._by_number.values() if node in each.waits]:
            self._fails(asked, node)

    def gone(self, user: int) -> None:
        """Forget what a user asked for that is gone."""
        for asked in [each for each in self._by_number.values() if each.user.number == user]:
            self._forget(asked)

    def _kicks(self, user: UserPeer, message: m.Kick, now: float) -> bool:
        """Have another node close one of its connections; return whether it is one."""
        place, number = place_of(message.peer)
        node = self._outside.at(place) if place > 0 else None
        if node is None or message.instance not in {None, self._state.instance}:
            return False
        theirs = msgspec.structs.replace(message, peer=number, instance=self._instance_of(place))
        self._ask(self._enter(user, message), node, theirs, now)
        return True

    def _enter(self, user: UserPeer, message: Everyones | m.Kick) -> _Asked:
        self._number += 1
        asked = _Asked(self._number, user, message)
        self._by_number[asked.number] = asked
        self._by_request[user.number, message.id or 0] = asked
        return asked

    def _ask(self, asked: _Asked, node: str, message: m.Message, now: float) -> None:
        asked.waits.add(node)
        self._outside.arrives(asked.user, node)
        self._outside.until((TIMER, asked.number), now + ANSWER_S)
        self._outside.carry(node, items.Say(asked.user.number, codec.encode(message)))

    def _fails(self, asked: _Asked, node: str) -> None:
        asked.waits.discard(node)
        asked.failed.add(node)
        if isinstance(asked.message, m.Kick):
            self._forget(asked)
            why = f"The server {node} of the cluster does not answer. It may have closed it."
            self._state.refuse(asked.user, asked.message.id, ErrorCode.CARD_CLIENT_GONE, why)
        else:
            self._end_if_all_answered(asked)

    def _end_if_all_answered(self, asked: _Asked) -> None:
        if asked.waits:
            return
        self._forget(asked)
        assert asked.home is not None, "others are asked after our own relay"
        self._state.send(asked.user, _together(asked))

    def _forget(self, asked: _Asked) -> None:
        self._outside.until((TIMER, asked.number), None)
        self._by_number.pop(asked.number, None)
        self._by_request.pop((asked.user.number, asked.message.id or 0), None)


def _is_unknown(message: m.Message) -> bool:
    """Return whether a node says that nobody is banned there who was to be let in."""
    return isinstance(message, m.Error) and message.code is ErrorCode.NO_SUCH_PEER


def _together(asked: _Asked) -> m.Message:
    """Return the answer of all nodes in one."""
    home, unanswered = asked.home, tuple(sorted(asked.failed))
    assert home is not None
    match home:
        case m.BanAck():
            closed = (each.closed for each in asked.done.values() if isinstance(each, m.BanAck))
            ban = msgspec.structs.replace(home.ban, unanswered=unanswered)
            return msgspec.structs.replace(home, ban=ban, closed=home.closed + sum(closed))
        case m.ListBansAck():
            bans = {each.who: each for each in home.bans}
            for ack_ in asked.done.values():
                for each in ack_.bans if isinstance(ack_, m.ListBansAck) else ():
                    if each.who not in bans or bans[each.who].until < each.until:
                        bans[each.who] = each
            return msgspec.structs.replace(home, bans=tuple(bans.values()), unanswered=unanswered)
        case _ if isinstance(home, m.UnbanAck) or asked.done:
            return m.UnbanAck(id=asked.message.id, unanswered=unanswered)
        case _:
            return home
