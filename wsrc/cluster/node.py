# SPDX-License-Identifier: Apache-2.0
"""
A relay that is a node of a cluster: what its users want elsewhere is passed on, as it came.

It decides about its own cards alone. To the relay of another node its users are users like others,
who come by way of a road instead of a connection.
"""

# Longer than the aim: each event that a shell can tell of has its method, and each item.

from collections.abc import Callable, Mapping
from functools import lru_cache

from wsrc.audit.events import Connected
from wsrc.cluster import everywhere, items, twins
from wsrc.cluster.abroad import Abroad
from wsrc.cluster.beyond import Beyond
from wsrc.cluster.effects import Carried, Subscribe
from wsrc.cluster.errands import NUMBERS, Named, host_key, meant
from wsrc.cluster.everywhere import Everywhere
from wsrc.cluster.gathering import TIMER, Lists
from wsrc.cluster.guests import Guests, Known, principal_of
from wsrc.cluster.handover import Handover
from wsrc.cluster.joined import Joined
from wsrc.cluster.names import Heard, Topic
from wsrc.cluster.road import Way
from wsrc.cluster.roads import ALONE, Came, Lost, Roads, Said, Strange, Twin
from wsrc.cluster.served import Served, ServedIndex
from wsrc.cluster.watching import Watches
from wsrc.errors import RemoteProtocolError
from wsrc.principal import Principal
from wsrc.protocol import codec, messages as m
from wsrc.protocol.codec import UnreadableError
from wsrc.protocol.conversation import CloseCode
from wsrc.relay import endings, queue
from wsrc.relay.effects import Audit, Carry, Close, Effect, Note, Send
from wsrc.relay.machine import Relay
from wsrc.relay.records import CardPeer, Peer, UserPeer
from wsrc.relay.state import Limits
from wsrc.relay.timers import Soonest
from wsrc.selection import Key

KEPT_SUBJECTS = 1024
"""Subjects whose meaning is kept: those of roads are the same all the time."""

MAX_EXPIRED = 64
"""Deadlines of the node that are acted on in one `tick`."""


_READ_BY_USER = m.DetachAck(session="")
"""Stands for a message whose text alone counts."""


class Node(Relay):
    """
    A relay with others beside it.

    Every method that takes an event returns effects, as those of the relay do; those of the class
    `Carry` have what `effects` of this folder says. `alone` is whether nobody else was there when
    it was asked last.

    Args:
        joined: What it is in its cluster.
        limits: As all that follow, those of `Relay`.
    """

    def __init__(  # noqa: PLR0913 - what a relay is, each by its name
        self,
        joined: Joined,
        limits: Limits,
        epoch: Callable[[], float],
        new_session: Callable[[], str],
        name: str = "wsrc",
        *,
        new_nonce: Callable[[], bytes],
        instance: str = "",
        open_to_operators: bool = False,
    ) -> None:
        super().__init__(
            limits,
            epoch,
            new_session,
            name,
            new_nonce=new_nonce,
            instance=instance,
            open_to_operators=open_to_operators,
        )
        self._names = joined.names
        self._read = lru_cache(KEPT_SUBJECTS)(joined.names.read)
        self._roads = Roads(joined.names, joined.run, joined.make, self._carry, joined.url)
        self._served = Served()
        index = self._state.index = ServedIndex(self._served, NUMBERS)
        self._beyond = Beyond(joined.names, self._roads, self._served, index, self._carry)
        self.deadlines = Soonest(self._state.timers, self._beyond.clock, self._roads)
        self._hosts: dict[int, Key] = {}
        self._guests = Guests()
        self._handover = Handover(joined.host, self._beyond.carry)
        self._known: dict[int, Known] = {}
        self._accounts: dict[int, str] = {}
        beyond, home = (self._state, self._beyond), super()._user_said
        self._abroad = Abroad(*beyond, self._arrival, home, self._is_over)
        self._beyond.enter = self._abroad.arrives
        self._lists = Lists(*beyond, home)
        self._watches = Watches(*beyond, home)
        self._everywhere = Everywhere(*beyond, home, self._lists.instances.get)
        self._heeds = self.alone = False

    # What happens to the node

    def begin(self, now: float) -> list[Effect]:
        """Join the cluster."""
        self._beyond.now = now
        self._carry(Subscribe(self._names.here))
        self._carry(Subscribe(self._names.roads))
        self._roads.say_soon(now)
        return self._effects(now)

    def serve(self, now: float) -> list[Effect]:
        """Let other nodes send clients here that lose them."""
        self._beyond.now = now
        self._handover.serve()
        return self._effects(now)

    def shut_down(self, reconnect_in_s: float, now: float) -> list[Effect]:
        """Send clients to other nodes, and have those send none here."""
        self._beyond.now = now
        self._handover.end()
        return super().shut_down(reconnect_in_s, now)

    def leave(self, now: float) -> list[Effect]:
        """Tell other nodes that their users are none here any more, and end all roads."""
        self._beyond.now = now
        for node in self._roads.up:
            for number in self._guests.of(node):
                self._dismiss(number, CloseCode.RESTARTING, queue.RESTARTS)
                self._do(super().disconnected(number, now, goodbye=False))
        self._roads.close(now)
        return self._effects(now)

    def heard(self, subject: str, octets: bytes, now: float) -> list[Effect]:
        """Act on what is published under a subject of the node."""
        self._beyond.now = now
        if subject in self._beyond.questions:
            self._beyond.is_asked(self._beyond.questions[subject], octets)
        elif subject in self._beyond.followed:
            self._has_come(self._beyond.followed[subject], octets, now)
        elif (found := self._read(subject)) is not None:
            self._heard_from(found, octets, now)
        return self._effects(now)

    def heard_straight(self, node: str, octets: bytes, now: float) -> list[Effect]:
        """Act on what came over a connection under the name of a node."""
        self._beyond.now = now
        self._roads.received(node, octets, now, Way.DIRECT)
        return self._effects(now)

    def reached(self, node: str, now: float, *, is_there: bool) -> list[Effect]:
        """Take note that there is a connection to a node, or none any more."""
        self._beyond.now = now
        self._roads.reached(node, now, is_there=is_there)
        return self._effects(now)

    def flush(self, now: float) -> list[Effect]:
        """Send other nodes what waits to be sent."""
        self._beyond.now = now
        self._roads.flush(now)
        return self._effects(now)

    def nobody(self, number: int, now: float) -> list[Effect]:
        """Take note that nobody subscribes what was asked by a number."""
        self._beyond.now = now
        if number == ALONE:
            self.alone = True
        self._abroad.nobody(number, now)
        return self._effects(now)

    def carried(self, now: float, *, is_there: bool) -> list[Effect]:
        """Take note that what carries messages is lost, or there again."""
        self._beyond.now, self._beyond.hears = now, is_there
        self.alone = False
        if is_there:
            self._roads.ask_who_is_there()
            self._roads.say_soon(now)
            self._abroad.ask_again(now)
        return self._effects(now)

    def renewed(self, now: float) -> list[Effect]:
        """Take note that what the node proves itself with, or believes others by, has changed."""
        self._beyond.now = now
        self._roads.show()
        self._roads.judge(now)
        return self._effects(now)

    @property
    def beside(self) -> Mapping[str, int]:
        """
        What is known of the other servers.

        `connected` is 1 while there is what carries messages. `known` counts servers that were
        heard of, `nodes` those with a road, `guests` their users here, `elsewhere` sessions of our
        users there.
        """
        return {
            "connected": int(self._beyond.hears),
            "known": len(self._roads.nodes),
            "nodes": len(self._roads.up),
            "guests": len(self._guests),
            "elsewhere": self._abroad.counts["sessions"],
        }

    @property
    def nodes(self) -> dict[str, bool]:
        """The other nodes that were seen, and whether there is a road to each."""
        return self._roads.nodes

    # What happens to a relay

    def connected(  # noqa: PLR0913, PLR0917 - as the relay has it
        self,
        peer: int,
        client: m.ClientType,
        now: float,
        principal: Principal | None = None,
        account: str | None = None,
        address: str = "",
        *,
        direct: bool = True,
    ) -> list[Effect]:
        """Enter a peer, as the relay does."""
        self._beyond.now = now
        if account is not None:
            self._accounts[peer] = account
        return super().connected(peer, client, now, principal, account, address, direct=direct)

    def received(self, peer: int, message: m.Message, text: bytes, now: float) -> list[Effect]:
        """Act on a message, as the relay does, or pass it on."""
        self._beyond.now = now
        if peer not in self._adapters and self._abroad.has_session(peer, message):
            try:
                text = codec.canonical(text, message)
            except RemoteProtocolError as exc:
                return self.malformed(peer, exc, now)
            if self._abroad.passes(peer, message, text):
                return self._effects(now)
        return super().received(peer, message, text, now)

    def disconnected(self, peer: int, now: float, *, goodbye: bool) -> list[Effect]:
        """Strike a peer, as the relay does."""
        self._beyond.now = now
        return super().disconnected(peer, now, goodbye=goodbye)

    def deadline(self) -> float | None:
        """Return the time at which `tick` is due."""
        due = super().deadline(), self._beyond.clock.next(), self._roads.deadline()
        return min(each for each in due if each is not None)

    def tick(self, now: float) -> list[Effect]:
        """Act on the deadlines that have come."""
        self._beyond.now = now
        self._roads.tick(now)
        for _ in range(MAX_EXPIRED):
            key = self._beyond.clock.pop(now)
            if key is None:
                break
            if key[0] == TIMER:
                self._lists.expired(key[1], now)
            elif key[0] == everywhere.TIMER:
                self._everywhere.expired(key[1])
            elif key[0] == twins.TIMER:
                self._beyond.same.expired(now)
            else:
                self._abroad.expired(key, now)
        return super().tick(now)

    @property
    def roles(self) -> dict[m.ClientType, int]:
        """How many peers of each role there are, without those of other nodes."""
        roles = super().roles
        return roles | {m.ClientType.USER: roles[m.ClientType.USER] - len(self._guests)}

    @property
    def counts(self) -> dict[str, int]:
        """Those of the relay, and what is known of other nodes."""
        elsewhere = {f"{name}_elsewhere": each for name, each in self._abroad.counts.items()}
        own = {
            "nodes": len(self._roads.up),
            "guests": len(self._guests),
            "served": len(self._served),
        }
        return super().counts | own | elsewhere

    # What other nodes say

    def _heard_from(self, found: Heard, octets: bytes, now: float) -> None:
        if found.topic is Topic.HERE:
            self._roads.here(octets, now)
        elif found.topic is Topic.ROAD:
            self._roads.received(found.sender, octets, now)

    def _has_come(self, key: Key, octets: bytes, now: float) -> None:
        node = octets.decode(errors="replace")
        if node in self._roads:
            self._abroad.heard_of(key, node, now)

    def _heed_roads(self, now: float) -> None:
        """Act on what has happened on roads; what that leads to comes after it."""
        if self._heeds or not self._roads.events:
            return
        self._heeds = True
        try:
            self._heed(now)
        finally:
            self._heeds = False

    def _heed(self, now: float) -> None:
        while self._roads.events:
            match self._roads.events.popleft():
                case Came(node=node, features=features):
                    self._handover.up(node, features)
                    self._state.note(f"Server {node} of the cluster is there")
                    self._watches.up(node)
                    self._beyond.same.up(now)
                    self._abroad.ask_again(now)
                case Lost(node=node, why=why):
                    self._is_lost(node, why, now)
                case Said(node=node, octets=octets):
                    self._delivered(node, octets, now)
                case Strange(node=node, why=why):
                    self._warn(f"There is no road to a server of the cluster: {node} {why}")
                case Twin():
                    named = f"Another server of the cluster is called {self._names.node} as well"
                    self._warn(f"{named}; name each its own")

    def _is_lost(self, node: str, why: str, now: float) -> None:
        self._warn(f"Server {node} of the cluster is lost: {why}")
        for number in self._guests.of(node):
            self._do(super().disconnected(number, now, goodbye=False))
        self._handover.down(node)
        self._abroad.down(node, now)
        self._lists.down(node, now)
        self._everywhere.down(node)
        self._watches.down(node)
        self._beyond.same.down(node)

    def _warn(self, sentence: str) -> None:
        self._state.effects.append(Note(sentence, warns=True))

    def _delivered(self, node: str, octets: bytes, now: float) -> None:
        """Act on an item."""
        try:
            item = items.decode(octets)
            self._act_on(node, item, now)
        except (RemoteProtocolError, UnreadableError) as exc:
            why = f"Server {node} of the cluster says what is not understood: {exc}"
            self._warn(why)

    def _act_on(self, node: str, item: items.Item, now: float) -> None:
        match item:
            case items.Pass():
                self._pass(node, item)
            case items.Say():
                self._said(node, item, now)
            case items.Tell():
                self._told(node, item, now)
            case items.Arrive():
                self._arrived(node, item, now)
            case items.Leave() | items.Over():
                self._gives_up(node, item, now)
            case items.Dismiss():
                self._abroad.dismissed(node, item, now)
            case _:
                self._learns(node, item, now)

    def _learns(self, node: str, item: items.Knowledge, now: float) -> None:
        """Take note of what another node says of itself and its cards."""
        match item:
            case items.Has():
                self._abroad.has(node, item, now)
            case items.At() | items.Shown():
                self._roads.told(node, item, now)
            case items.Same():
                self._beyond.is_same(node, item)
            case items.Look():
                self._look(node, item)
            case items.Found():
                self._abroad.found(node, item, now)
            case items.Takes():
                self._handover.told(node, item.host)

    def _gives_up(self, node: str, item: items.Leave | items.Over, now: float) -> None:
        """Let a user of another node go, or a session of it."""
        number = self._guests.number(node, item.link)
        if number is None:
            return
        if isinstance(item, items.Leave):
            self._do(super().disconnected(number, now, goodbye=item.goodbye))
            return
        guest = self._state.peers.get(number)
        if isinstance(guest, UserPeer):
            self._is_over(guest, item.session)

    def _is_over(self, user: UserPeer, session: str) -> None:
        """Have a session of a user end, once its card comes up."""
        endings.give_back_early(self._state, user, session, self._beyond.now)

    def _told(self, node: str, item: items.Tell, now: float) -> None:
        """Give one of our users what it is told, as it fits what other nodes say."""
        if not self._abroad.is_at(item.link, node):
            return
        message = codec.decode(item.text)
        if self._lists.told(node, item.link, message, now):
            return
        if self._everywhere.told(node, item.link, message):
            return
        if not self._watches.told(node, item.link, message):
            self._abroad.told(node, item, message, now)

    def _pass(self, node: str, item: items.Pass) -> None:
        """Give one of our users what it is told, unread where it can be."""
        user = self._abroad.passed(node, item)
        if user is None:
            return
        if user.number in self._adapters:
            self._state.send(user, codec.decode(item.text), item.text)
        else:
            self._out.append(Send(user.number, _READ_BY_USER, item.text))

    def _said(self, node: str, item: items.Say, now: float) -> None:
        """Act on what a user of another node says."""
        number = self._guests.number(node, item.link)
        if number is None:
            return
        try:
            message = codec.decode(item.text)
        except UnreadableError as exc:
            self._do(super().unreadable(number, exc, now))
        except RemoteProtocolError as exc:
            self._do(super().malformed(number, exc, now))
        else:
            self._do(super().received(number, message, item.text, now))

    def _arrived(self, node: str, item: items.Arrive, now: float) -> None:
        """Enter a user of another node."""
        before = self._guests.number(node, item.link)
        if before is not None:
            self._do(super().disconnected(before, now, goodbye=False))
        number = self._guests.enter(node, item.link)
        if number is None:
            why = "There are too many users of this server."
            self._beyond.carry(node, items.Dismiss(item.link, CloseCode.TRY_AGAIN_LATER, why))
            return
        principal, role, address = principal_of(item), m.ClientType.USER, item.address
        event = Connected(peer=number, role=str(role), address=address, principal=item.name)
        self._out.append(Audit(event))
        whose = principal, item.account, address
        self._do(super().connected(number, role, now, *whose, direct=False))
        guest = self._state.peers.get(number)
        if guest is not None:
            guest.since = now - max(0.0, item.age_s)
        self._do(super().received(number, codec.decode(item.hello), item.hello, now))
        if isinstance(guest, UserPeer):
            guest.nonce = item.nonce

    def _look(self, node: str, item: items.Look) -> None:
        """Tell a node how many cards a request of its user means."""
        number = self._guests.number(node, item.link)
        user = self._state.peers.get(number) if number is not None else None
        found: tuple[int, int, tuple[m.CardInfo, ...]] = 0, 0, ()
        if isinstance(user, UserPeer):
            message = codec.decode(item.text)
            if isinstance(message, Named):
                found = meant(self._state, user, message)
        cards, free, some = found
        candidates = codec.encode(m.ListCardsAck(cards=some)) if some else b""
        self._beyond.carry(node, items.Found(item.number, cards, free, candidates))

    # What the relay says

    def _instead(self, peer: int) -> tuple[str, ...]:
        return self._handover.instead(peer)

    def _hello(self, record: Peer, message: m.Hello, now: float) -> None:
        super()._hello(record, message, now)
        if isinstance(record, CardPeer):
            self._hosts[record.number] = host_key(record.name)
            self._served.enter(self._hosts[record.number])
        elif record.number > 0:
            self._known[record.number] = Known(self._accounts.get(record.number), message)

    def _replace(self, record: Peer, instance: str | None, now: float) -> None:
        """
        Strike the earlier connection of a peer.

        A guest can be the earlier one: its node has not noticed yet that its user is gone.
        """
        before = self._state.instances.get((type(record), instance or ""))
        if record.number < 0 and before is not None and record.since < before.since:
            why = "The user client has connected again."
            self._state.close(record, CloseCode.POLICY, why)
        else:
            super()._replace(record, instance, now)

    def _strike(self, number: int, now: float, *, goodbye: bool = False) -> None:
        self._accounts.pop(number, None)
        self._known.pop(number, None)
        host = self._hosts.pop(number, None)
        if host is not None:
            self._served.leave(host)
        self._lists.gone(number)
        self._everywhere.gone(number)
        self._watches.gone(number)
        self._abroad.gone(number, goodbye=goodbye)
        super()._strike(number, now, goodbye=goodbye)
        self._guests.leave(number)

    def _user_said(
        self, user: UserPeer, message: m.Message, text: bytes | None, now: float
    ) -> None:
        if user.number > 0:
            if self._abroad.has_session(user.number, message):
                said = text if text is not None else codec.encode(message)
                if self._abroad.passes(user.number, message, said):
                    return
            if self._lists.takes(user, message, now) or self._watches.takes(user, message, now):
                return
            if self._everywhere.takes(user, message, now):
                return
            if self._abroad.takes(user, message, text, now):
                return
            if self._abroad.gives_back(user, message):
                return
        super()._user_said(user, message, text, now)

    def _sent_on(self, effect: Send) -> list[Effect]:
        if effect.peer > 0:
            return super()._sent_on(effect)
        self._guest_told(effect, passed=True)
        return self._effects(self._beyond.now)

    def _perform(self, effect: Effect, now: float) -> None:
        if isinstance(effect, Send) and effect.peer < 0:
            self._guest_told(effect)
        elif isinstance(effect, Close) and effect.peer < 0:
            self._dismiss(effect.peer, effect.code, effect.reason)
            self._strike(effect.peer, now)
        elif isinstance(effect, Send):
            if self._everywhere.holds(effect.peer, effect.message, now):
                return
            if self._abroad.answered(effect.peer, effect.message):
                super()._perform(self._fitted(effect, now), now)
        else:
            super()._perform(effect, now)

    def _fitted(self, effect: Send, now: float) -> Send:
        """Return what one of our peers is sent, as it fits what other nodes say."""
        message = effect.message
        message = self._lists.answered(effect.peer, message, now) or message
        message = self._watches.answered(effect.peer, message) or message
        return effect if message is effect.message else Send(effect.peer, message)

    def _effects(self, now: float) -> list[Effect]:
        self._heed_roads(now)
        self._perform_all(now)
        while self._served.changed:
            for key in self._beyond.tell_changes():
                self._abroad.came_home(key, now)
            self._perform_all(now)
        return super()._effects(now)

    def _guest_told(self, effect: Send, *, passed: bool = False) -> None:
        """Let a user of another node have what it is told."""
        whose = self._guests.whose(effect.peer)
        if whose is None or isinstance(effect.message, m.HelloAck | m.Restarting):
            return
        text = effect.text if effect.text is not None else codec.encode(effect.message)
        lease = self._state.sessions.get(m.session_of(effect.message) or "") if passed else None
        kind = items.Pass if lease is not None and lease.keep_s else items.Tell
        self._beyond.carry(whose.node, kind(whose.link, text))

    def _dismiss(self, number: int, code: int, reason: str) -> None:
        whose = self._guests.whose(number)
        if whose is not None:
            self._beyond.carry(whose.node, items.Dismiss(whose.link, code, reason))

    def _arrival(self, user: UserPeer) -> items.Arrive:
        """Return what other nodes are told of one of our users."""
        return self._known[user.number].arrival(user, self._beyond.now)

    def _carry(self, what: Carried) -> None:
        self._out.append(Carry(what))

    def _do(self, effects: list[Effect]) -> None:
        """Keep what an event within this one leads to, after what was before it."""
        self._out += effects
