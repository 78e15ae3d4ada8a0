# SPDX-License-Identifier: Apache-2.0
"""The relay as its shell sees it: events in, effects out, and the next deadline."""

# Longer than the aim: each event that a shell can tell of has its method, and says what it means.

from collections.abc import Callable, Mapping, Sequence

from wsrc.card.identify import ISD_R_AIDS
from wsrc.errors import ErrorCode, Outcome, RemoteProtocolError
from wsrc.policy.machine import Policy
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.codec import UnreadableError, canonical, tag_of
from wsrc.protocol.conversation import CloseCode, Phase, Speaker, may_say
from wsrc.protocol.fields import MAX_USER_ID
from wsrc.relay import (
    card_clients,
    draining,
    endings,
    evidence,
    hello,
    judging,
    leases,
    lending,
    listing,
    noting,
    operating,
    operators,
    picking,
    policies,
    queue,
    reserving,
    resuming,
    shortcut,
    users,
)
from wsrc.relay.bulletin import Bulletin
from wsrc.relay.effects import Close, Effect, Send
from wsrc.relay.first_form import Adapter, FirstFormCard, FirstFormUser, Traffic
from wsrc.relay.kept import Kept
from wsrc.relay.recalled import Recalled
from wsrc.relay.records import CardPeer, Peer, UserPeer
from wsrc.relay.reservations import Booking
from wsrc.relay.state import LENT, SESSION_TIMERS, Limits, RelayState, TimerKey
from wsrc.relay.tally import Tally
from wsrc.relay.timers import Deadlines

# Longer than the aim: every event of a peer, and every deadline, has its method here.

FEATURES = (
    "batch",
    "cancel",
    "detach_after",
    "operations",
    "pcsc",
    "pick",
    "raw_tpdu",
    "read_ahead",
    "readers",
    "reservations",
    "resume",
    "seal",
    "share",
    "tags",
    "wait",
)
"""What `hello_ack` announces."""

MAX_EXPIRED, MAX_EFFECTS = 64, 256
"""Deadlines that are acted on in one `tick`, and effects beyond which no further one is."""


_STOPS = m.error(ErrorCode.SHUTTING_DOWN, queue.RESTARTS)


class Relay:
    """
    The server's mind: which card is where, who holds it, who waits.

    Every method that takes an event returns the effects that the shell performs in their order.
    Peers are numbers that the shell gives out and never uses again. A peer that is closed is
    forgotten at once; what it still says is ignored.

    Args:
        limits: Bounds.
        epoch: Returns what to add to a monotonic time to get seconds since 1970 in UTC.
        new_session: Returns a new session name that nobody can guess.
        new_nonce: Returns 32 octets that no other connection to any server is given.
        name: Name of this server, for `hello_ack`.
        isd_r_aids: Applications to ask for an EID behind first-form card clients.
        instance: Name of this run of the server, which no other run has.
        open_to_operators: Whether users may do what is an operator's where there is no policy.
    """

    def __init__(  # noqa: PLR0913 - what the server is, each by its name
        self,
        limits: Limits,
        epoch: Callable[[], float],
        new_session: Callable[[], str],
        name: str = "wsrc",
        isd_r_aids: Sequence[bytes] = ISD_R_AIDS,
        *,
        new_nonce: Callable[[], bytes],
        instance: str = "",
        open_to_operators: bool = False,
    ) -> None:
        self._state = RelayState(limits, epoch, new_session, instance)
        self._state.open_to_operators = open_to_operators
        self.deadlines: Deadlines = self._state.timers
        """What has its time; `soonest` of it is never later than `deadline`, and costs no call."""
        self.bulletin = Bulletin(self._state)
        self._new_nonce = new_nonce
        self._name = name
        self._isd_r_aids = isd_r_aids
        self._adapters: dict[int, Adapter] = {}
        self._out: list[Effect] = []

    def connected(  # noqa: PLR0913, PLR0917 - what is known of a peer, each once
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
        """
        Enter a peer, which must say `hello` in time.

        `principal` is who it is, if known. `account` names whose cards and connections its own are
        counted among; None is nobody's, and has no limit. `address` is where it comes from,
        `direct` whether for all that is known no proxy is between. Who is banned is closed on.
        """
        state = self._state
        is_user = client is m.ClientType.USER
        record = UserPeer(peer) if is_user else CardPeer(peer)
        record.principal, record.address, record.since = principal, address, now
        if isinstance(record, CardPeer):
            record.limited = account is not None
        else:
            record.direct = direct
            if account is not None:
                record.account = state.account(account)
        state.peers[peer] = record
        state.roll.connected(record)
        ban = self.ban_on(principal, address, now)
        if ban is not None:
            state.close(record, CloseCode.POLICY, ban.sentence)
        state.timers.set(("hello", peer, None), now + state.limits.hello_s)
        return self._effects(now)

    def ban_on(
        self, principal: Principal | None, address: str, now: float
    ) -> operating.Refused | None:
        """Return why whoever comes is not let in for now, if so."""
        return operating.ban_on(self._state, principal, address, now)

    def set_policy(self, policy: Policy, now: float) -> list[Effect]:
        """
        Put a policy into force; until the first there is none, and everything is allowed.

        What users ask for from now on obeys it at once, and new sessions do. What it does not
        allow any more ends soon, some in each turn.
        """
        policies.take(self._state, policy, now)
        return self._effects(now)

    def received(self, peer: int, message: m.Message, text: bytes, now: float) -> list[Effect]:
        """Act on a message; `text` is what it was read from."""
        state = self._state
        record = state.peers.get(peer)
        if record is None:
            return []
        adapter = self._adapters.get(peer)
        try:
            text = canonical(text, message)
            if adapter is None:
                effect = shortcut.send_on(state, record, message, text, now, self._adapters)
                if effect is not None:
                    return self._sent_on(effect)
            if isinstance(record, CardPeer):
                card_clients.check(message)
            if adapter is not None:
                self._from_first_form(record, adapter, message, now)
            elif isinstance(message, m.Hello) and message.version is None:
                self._first_form_hello(record, message, now)
            else:
                hello.check_form(record, message)
                self._act(record, message, text, now)
        except RemoteProtocolError as exc:
            self._break_off(record, exc)
        return self._effects(now)

    def unreadable(self, peer: int, error: UnreadableError, now: float) -> list[Effect]:
        """Answer a message that could not be read but does not end the connection."""
        record, adapter = self._state.peers.get(peer), self._adapters.get(peer)
        if record is not None and adapter is not None:
            try:
                self._from_first_form(record, adapter, error, now)
            except RemoteProtocolError as exc:
                self._break_off(record, exc)
        elif record is not None:
            fields = {"session": error.session} if error.session is not None else {}
            outcome = Outcome.NOT_EXECUTED if fields else None
            self._state.refuse(record, error.id, error.code, str(error), outcome=outcome, **fields)
        return self._effects(now)

    def malformed(self, peer: int, error: RemoteProtocolError, now: float) -> list[Effect]:
        """Close the connection of a peer that broke the protocol, and say why."""
        record = self._state.peers.get(peer)
        if record is not None:
            self._break_off(record, error)
        return self._effects(now)

    def slowed(self, peer: int, limit: str, again_s: float, now: float) -> list[Effect]:
        """Tell a peer that what it says is read later; one of the first form is not told."""
        record = self._state.peers.get(peer)
        if record is not None and record.phase is Phase.OPEN and peer not in self._adapters:
            why = f"More comes from this client than {limit} allows; what is next is read later."
            self._state.refuse(record, None, ErrorCode.TOO_MANY, why, retry_after_s=again_s)
        return self._effects(now)

    def kept(self, number: int, now_kept: Kept | None, why: str, now: float) -> list[Effect]:
        """
        Go on after a `Keep`.

        Args:
            number: Its number.
            now_kept: What is kept under its identity from now on; None if nothing was changed.
            why: A sentence that says why not.
            now: Monotonic seconds.
        """
        noting.kept(self._state, number, now_kept, why, now)
        return self._effects(now)

    def booked(self, number: int, why: str, now: float) -> list[Effect]:
        """Go on after the `Book` of a number; `why` is a sentence where it was not written."""
        reserving.kept(self._state, number, why, now)
        return self._effects(now)

    def upheld(self, number: int, why: str, now: float) -> list[Effect]:
        """Go on after the `Uphold` of a number; `why` is a sentence where it was not written."""
        operating.kept(self._state, number, why, now)
        return self._effects(now)

    def recall(self, recalled: Recalled, now: float) -> None:
        """Know, before there is a peer, what was kept by an earlier run."""
        noting.recall(self._state, recalled.notes)
        reserving.recall(self._state, recalled, now)
        operating.recall(self._state, recalled.orders, now)

    def told(self, identity: str, kept: Kept | tuple[Booking, ...], now: float) -> list[Effect]:
        """Know all that is kept of a card now, which another server may have changed."""
        reserving.told(self._state, identity, kept, now)
        return self._effects(now)

    def disconnected(self, peer: int, now: float, *, goodbye: bool) -> list[Effect]:
        """Strike a peer whose connection is gone; `goodbye` tells that it meant to leave."""
        self._strike(peer, now, goodbye=goodbye)
        return self._effects(now)

    def deadline(self) -> float | None:
        """Return the time at which `tick` is due."""
        return self._state.timers.next()

    def tick(self, now: float) -> list[Effect]:
        """Act on the deadlines that have come; where there are many, the rest is due at once."""
        for _ in range(MAX_EXPIRED):
            key = self._state.timers.pop(now) if len(self._out) <= MAX_EFFECTS else None
            if key is None:
                break
            self._expired(key, now)
            self._perform_all(now)
            if key[0] in {listing.TIMER, judging.TIMER, picking.PICK}:
                break
        return self._effects(now)

    def shut_down(self, reconnect_in_s: float, now: float) -> list[Effect]:
        """
        Tell every peer that the server is about to restart.

        From now on nobody waits, and selects, commands and claims are refused.
        """
        state = self._state
        state.draining = True
        state.reconnect_in_s = reconnect_in_s
        for record in state.peers.values():
            if isinstance(record, UserPeer):
                queue.drain(state, record)
                resuming.drain(state, record)
                for id_ in list(record.drains or ()):
                    draining.cancel(state, record, id_, _STOPS)
            if record.phase is Phase.OPEN:
                instead = self._instead(record.number)
                state.send(record, m.Restarting(reconnect_in_s=reconnect_in_s, instead=instead))
        return self._effects(now)

    def _instead(self, peer: int) -> tuple[str, ...]:
        """Return the hosts of servers that a peer may go to when this one ends."""
        del peer
        return ()

    @property
    def in_flight(self) -> int:
        """Requests that card clients have not answered yet."""
        leases = self._state.sessions.values()
        return sum(1 for lease in leases if lease.in_flight is not None)

    @property
    def tally(self) -> Tally:
        """What was counted since the start."""
        return self._state.tally

    @property
    def beside(self) -> Mapping[str, int]:
        """What is known of the other servers of a cluster; empty without one."""
        return {}

    @property
    def draining(self) -> bool:
        """Whether `shut_down` was called."""
        return self._state.draining

    @property
    def roles(self) -> dict[m.ClientType, int]:
        """How many peers of each role there are."""
        users = sum(1 for peer in self._state.peers.values() if isinstance(peer, UserPeer))
        return {
            m.ClientType.USER: users,
            m.ClientType.CARD: len(self._state.peers) - users,
        }

    def may_operate(self, who: Principal | None, *, direct: bool) -> bool:
        """Return whether somebody may see what is the operator's; `direct` as of `connected`."""
        return operators.may_operate(self._state, who, direct=direct)

    @property
    def policy(self) -> Policy:
        """The policy that is in force."""
        return self._state.readers.policy

    @property
    def counts(self) -> dict[str, int]:
        """Peers, cards, sessions, waiters and claims, and what is kept to find them."""
        state = self._state
        return {
            "peers": len(state.peers),
            "cards": sum(1 for slot in state.slots.values() if slot.has_card),
            "readers": len(state.slots),
            "sessions": len(state.sessions),
            "waiting": len(state.waiting),
            "claims": len(state.claims),
            "keys": len(state.index),
            "places": len(state.places),
            "timers": len(state.timers),
        }

    def _act(self, record: Peer, message: m.Message, text: bytes | None, now: float) -> None:
        speaker = Speaker.USER if isinstance(record, UserPeer) else Speaker.CARD
        if not may_say(speaker, record.phase, message):
            first = record.phase is Phase.GREETING
            why = f"{tag_of(message)!r} has no place here" + (
                "; say hello first." if first else "."
            )
            self._state.refuse(record, message.id, ErrorCode.UNEXPECTED_MESSAGE, why)
        elif isinstance(message, m.Hello):
            self._hello(record, message, now)
        elif isinstance(record, UserPeer) and message.id is None:
            why = f"{tag_of(message)!r} has no id to answer it by."
            self._state.refuse(record, None, ErrorCode.BAD_MESSAGE, why)
        elif isinstance(record, UserPeer) and not 0 <= (message.id or 0) <= MAX_USER_ID:
            why = f"The id of a user client's {tag_of(message)!r} is from 0 to {MAX_USER_ID}."
            self._state.refuse(record, message.id, ErrorCode.BAD_MESSAGE, why)
        elif isinstance(record, UserPeer):
            self._user_said(record, message, text, now)
        else:
            card_clients.received(self._state, record, message, text, now)

    def _user_said(
        self, user: UserPeer, message: m.Message, text: bytes | None, now: float
    ) -> None:
        """Act on what a user asks for."""
        users.received(self._state, user, message, text, now)

    def _sent_on(self, effect: Send) -> list[Effect]:
        """Return what is done of what went the short way."""
        return [effect]

    def _hello(self, record: Peer, message: m.Hello, now: float) -> None:
        state = self._state
        hello.check_type(record, message)
        if message.version is not None and message.version < 1:
            raise RemoteProtocolError(f"There is no version {message.version}; the first is 1.")
        state.timers.clear(("hello", record.number, None))
        record.phase = Phase.OPEN
        hello.name(state, record, message)
        self._replace(record, hello.instance_of(record, message), now)
        other = hello.name_host(state, record, message) if isinstance(record, CardPeer) else None
        if isinstance(record, UserPeer):
            record.nonce = self._new_nonce()
        ack = m.HelloAck(
            id=message.id,
            version=m.VERSION,
            features=FEATURES,
            server=self._name,
            shown_as=other,
            limits=hello.limits_for(record, state.limits),
            nonce=record.nonce if isinstance(record, UserPeer) else None,
        )
        state.send(record, ack)
        state.roll.greeted(record)
        if isinstance(record, UserPeer):
            state.gone.pop(record.instance or "")
            evidence.named(state, record, message)
            new = state.readers.join(record)
            if new is not None:
                judging.later(state, new, now)
            return
        record.features = hello.known(message.features)
        evidence.named(state, record, message)
        draining.greeted(state, record)
        card_clients.greeted(state, record, message, now)

    def _replace(self, record: Peer, instance: str | None, now: float) -> None:
        """Strike the earlier connection of a peer that came back before it was missed."""
        if instance is None:
            return
        key = type(record), instance
        before = self._state.instances.get(key)
        if before is not None:
            who = "user" if isinstance(record, UserPeer) else "card"
            self._state.close(before, CloseCode.POLICY, f"The {who} client has connected again.")
            self._perform_all(now)
        record.instance = instance
        self._state.instances[key] = record

    def _first_form_hello(self, record: Peer, message: m.Hello, now: float) -> None:
        if record.phase is not Phase.GREETING:
            self._act(record, message, None, now)
            return
        adapter: Adapter
        traffic = Traffic()
        hello.check_type(record, message)
        record.first_form = True
        if isinstance(record, UserPeer):
            adapter = FirstFormUser()
            adapter.from_peer(message, traffic)
        else:
            adapter = FirstFormCard(message.atr, self._isd_r_aids)
            adapter.hello(message, traffic)
            identify_s = self._state.limits.attach_s
            self._state.timers.set(("identify", record.number, None), now + identify_s)
        self._adapters[record.number] = adapter
        self._settle(record, traffic, now)

    def _from_first_form(
        self, record: Peer, adapter: Adapter, message: m.Message | UnreadableError, now: float
    ) -> None:
        traffic = Traffic()
        adapter.from_peer(message, traffic)
        self._settle(record, traffic, now)

    def _settle(self, record: Peer, traffic: Traffic, now: float) -> None:
        """Carry out what an adapter made of a message."""
        self._out.extend(Send(record.number, message) for message in traffic.to_peer)
        for message in traffic.to_relay:
            if isinstance(message, m.ReaderReport):
                self._state.timers.clear(("identify", record.number, None))
            self._act(record, message, None, now)

    def _break_off(self, record: Peer, error: RemoteProtocolError) -> None:
        self._state.refuse(record, None, ErrorCode.BAD_MESSAGE, str(error))
        self._state.close(record, CloseCode(error.close_code), str(error))

    def _strike(self, number: int, now: float, *, goodbye: bool = False) -> None:
        state = self._state
        record = state.peers.pop(number, None)
        self._adapters.pop(number, None)
        state.timers.clear(("hello", number, None))
        state.timers.clear(("identify", number, None))
        if record is not None:
            state.roll.left(record)
        if record is not None and record.instance is not None:
            key = type(record), record.instance
            if state.instances[key] is record:
                del state.instances[key]
        if isinstance(record, UserPeer):
            users.disconnected(state, record, now, goodbye=goodbye)
        elif record is not None:
            card_clients.disconnected(state, record, now, goodbye=goodbye)
            if record.phase is Phase.OPEN:
                state.host_names.leave(record.name)

    def _expired(self, key: TimerKey, now: float) -> None:
        kind, who, _ = key
        if kind in SESSION_TIMERS:
            self._session_expired(kind, str(who), now)
            return
        if key in self._state.rounds:
            queue.go_on(self._state, key, now)
        elif kind == judging.TIMER:
            policies.go_on(self._state, now)
        elif kind == "claim":
            resuming.expired(self._state, int(who))
        elif kind == reserving.TIMER:
            reserving.look(self._state, now)
        elif kind == LENT:
            lending.lapsed(self._state, self._state.slots[int(who)], now)
        else:
            self._peer_expired(key, now)

    def _peer_expired(self, key: TimerKey, now: float) -> None:
        kind, who, id_ = key
        record = self._state.peers[int(who)]
        if kind == draining.TIMER and isinstance(record, UserPeer) and id_ is not None:
            draining.expired(self._state, record, id_)
            return
        if kind == listing.TIMER and isinstance(record, UserPeer):
            judging.keep_up(self._state, record, now)
            listing.go_on(self._state, record, now)
            return
        if kind == "wait":
            assert isinstance(record, UserPeer)
            queue.expire(self._state, record.waiting[id_], now)
            return
        what = "say hello" if kind == "hello" else "let its card be identified"
        why = f"This peer did not {what} in time."
        self._state.refuse(record, None, ErrorCode.HELLO_TIMEOUT, why)
        self._state.close(record, CloseCode.POLICY, why)

    def _session_expired(self, kind: str, session: str, now: float) -> None:
        state = self._state
        lease = state.sessions[session]
        if kind == "clean":
            endings.overdue(state, lease, now)
            return
        if kind == "reserved":
            leases.warn_of_reservation(state, lease, now)
            return
        if kind == "idle" and not leases.is_idle(state, lease, now):
            return
        if kind == "command" and not leases.is_late(state, lease, now):
            return
        host = lease.slot.peer.name
        code, why = {
            "attach": (ErrorCode.CARD_UNRESPONSIVE, f"Card host {host} did not reset the card."),
            "command": (ErrorCode.COMMAND_TIMEOUT, f"Card host {host} did not answer in time."),
            "idle": (ErrorCode.LEASE_EXPIRED, "The card was not used for too long."),
            "away": (ErrorCode.LEASE_EXPIRED, "Its user did not come back in time."),
        }[kind]
        evidence.gave_back(state, lease, why, now, code)
        endings.end(state, lease, now, m.error(code, why))

    def _effects(self, now: float) -> list[Effect]:
        """Return what is to be done, translated for peers of the first form."""
        self._perform_all(now)
        done, self._out = self._out, []
        return done

    def _perform_all(self, now: float) -> None:
        state = self._state
        while pending := state.effects or state.readers.settle():
            state.effects = []
            for effect in pending:
                self._perform(effect, now)

    def _perform(self, effect: Effect, now: float) -> None:
        if isinstance(effect, Send):
            self._send(effect, now)
            return
        self._out.append(effect)
        if isinstance(effect, Close):
            self._strike(effect.peer, now)

    def _send(self, effect: Send, now: float) -> None:
        record, adapter = self._state.peers.get(effect.peer), self._adapters.get(effect.peer)
        if record is None:
            return
        if adapter is None:
            self._out.append(effect)
            return
        traffic = Traffic()
        adapter.to_peer(effect.message, traffic)
        self._settle(record, traffic, now)
