# SPDX-License-Identifier: Apache-2.0
"""A relay among peers in memory: every message goes through the codec, time is a number."""

from collections.abc import Callable
from hashlib import sha256

from tests.support.relay_clients import ATR, ICCID, CardClient, OldCardClient, Peer
from tests.support.seal_way import SEAL
from wsrc.audit.events import Event
from wsrc.errors import ErrorCode
from wsrc.policy.machine import Policy
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.effects import Audit, Book, Close, Effect, Keep, Note, Send, Stop, Uphold
from wsrc.relay.kept import Kept
from wsrc.relay.machine import Relay
from wsrc.relay.recalled import Recalled
from wsrc.relay.records import LEAVING, UserPeer
from wsrc.relay.reservations import Booking
from wsrc.relay.standing import Standing
from wsrc.relay.state import Limits


class World:
    """
    A relay and its peers.

    `notes` is what the operator was told, `noted` the same as effects, `events` what was recorded.
    With `seal` required, the requests and answers of sessions that begin go in boxes: `boxed`.
    """

    def __init__(
        self, *, policy: Policy | None = None, open_to_operators: bool = True, **limits: float
    ) -> None:
        self.now = 1000.0
        self.limits = Limits(**limits)  # type: ignore[arg-type]  # counts are given as whole numbers
        self.runs = 0
        self.policy = policy
        self.open_to_operators = open_to_operators
        self.epoch_s = 0.0
        self.kept: dict[str, Kept] = {}
        self.bookings: dict[int, Booking] = {}
        self.last_booking = 0
        self.orders: dict[tuple[str, str], Standing] = {}
        self.start()
        self.peers: dict[int, Peer] = {}
        self.notes: list[str] = []
        self.noted: list[Note] = []
        self.events: list[Event] = []
        self.stopped = False
        self.to_keep: list[Keep | Book | Uphold] = []
        self.keeps_late = False
        self.last_session = self._nonces = 0
        self.seal = SEAL
        self.boxed: set[str | None] = set()
        self._todo: list[Callable[[], None]] = []
        self._working = False

    def start(self) -> None:
        """Start a server that knows nothing; the peers of the one before are gone."""
        self.runs += 1
        self.relay = Relay(
            self.limits,
            lambda: self.epoch_s,
            self._new_session,
            name="relay",
            isd_r_aids=(),
            new_nonce=self._new_nonce,
            instance=f"run-{self.runs}",
            open_to_operators=self.open_to_operators,
        )
        notes = {name: kept for name, kept in self.kept.items() if not kept.empty}
        bookings, orders = tuple(self.bookings.values()), tuple(self.orders.values())
        recalled = Recalled(notes, bookings, self.last_booking, orders=orders)
        self.relay.recall(recalled, self.now)
        if self.policy is not None:
            assert self.relay.set_policy(self.policy, self.now) == []
        for peer in self.peers.values() if self.runs > 1 else ():
            peer.gone = True

    def obey(self, policy: Policy) -> None:
        """Put another policy into force."""
        self.policy = policy
        self.perform(self.relay.set_policy(policy, self.now))

    def stranger(
        self,
        role: m.ClientType,
        *,
        first_form: bool = False,
        who: str | Principal | None = None,
        account: str | None = None,
    ) -> "Peer":
        """Connect a peer of a principal `who`, or an account, that says nothing by itself."""
        peer = Peer(self, role, first_form=first_form)
        self._connect(peer, who, account)
        return peer

    def user(
        self,
        *,
        first_form: bool = False,
        name: str | None = "a user",
        instance: str | None = None,
        who: str | Principal | None = None,
        account: str | None = "all",
        features: tuple[str, ...] = (),
        address: str = "",
        direct: bool = True,
    ) -> "Peer":
        """Connect a user client of a principal `who`; its cards count among those of an account."""
        peer = Peer(self, m.ClientType.USER, first_form=first_form)
        self._connect(peer, who, account, address, direct=direct)
        hello = m.Hello(
            client_type=m.ClientType.USER,
            version=m.VERSION,
            name=name,
            instance=instance,
            features=features,
        )
        peer.say(m.Hello(client_type=m.ClientType.USER) if first_form else hello)
        peer.one(m.HelloAck)
        return peer

    def card(
        self,
        *readers: m.ReaderInfo,
        name: str = "bench",
        instance: str | None = None,
        auto: bool = True,
        features: tuple[str, ...] = ("batch", "cancel", "pcsc", "raw_tpdu", "seal", "share"),
        before: "CardClient | None" = None,
        sessions: tuple[m.RunningSession, ...] = (),
        shown_as: str | None = None,
        who: str | Principal | None = None,
    ) -> "CardClient":
        """
        Connect a card client with these readers.

        `before` is its earlier connection, `who` its principal.
        """
        peer = CardClient(self, auto=auto, features=features)
        if before is not None:
            peer.ends, peer.ended = before.ends, before.ended
        self._connect(peer, who)
        peer.say(
            m.Hello(
                client_type=m.ClientType.CARD,
                version=m.VERSION,
                name=name,
                features=features,
                instance=instance,
                readers=readers,
                sessions=sessions,
                shown_as=shown_as,
            )
        )
        peer.shown_as = peer.next(m.HelloAck).shown_as
        return peer

    def old_card(
        self,
        iccid: str = ICCID,
        *,
        auto: bool = True,
        channels: bool = True,
        who: str | Principal | None = None,
    ) -> "OldCardClient":
        """Connect a card client of the first form; `who` is its principal."""
        peer = OldCardClient(self, iccid, auto=auto, channels=channels)
        self._connect(peer, who)
        peer.say(m.Hello(client_type=m.ClientType.CARD, atr=ATR))
        peer.next(m.HelloAck)
        return peer

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with every tick at its time."""
        end = self.now + seconds
        while (due := self.relay.deadline()) is not None and due <= end:
            self.now = max(self.now, due)
            self.perform(self.relay.tick(self.now))
        self.now = end

    def perform(self, effects: list[Effect]) -> None:
        """Carry out what the relay decided."""
        for effect in effects:
            match effect:
                case Send(peer=number, message=message, text=text):
                    self.peers[number].take_in(message, text or encode(message))
                case Close(peer=number, code=code, reason=reason):
                    assert self.peers[number].closed is None, "closed twice"
                    self.peers[number].closed = code, reason
                case Note(sentence=sentence):
                    self.notes.append(sentence)
                    self.noted.append(effect)
                case Audit(event=event):
                    self.events.append(event)
                case Stop():
                    self.stopped = True
                case Keep() | Book() | Uphold():
                    self.to_keep.append(effect)
                    if not self.keeps_late:
                        self.later(self.keep)
        self._work()

    def keep(self, why: str = "") -> None:
        """Keep the oldest change that is not kept yet; or with a reason do not."""
        change = self.to_keep.pop(0)
        if isinstance(change, Book):
            self._book(change, why)
            return
        if isinstance(change, Uphold):
            self._uphold(change, why)
            return
        now_kept: Kept | None = None
        if not why:
            now_kept = change.change.of(self.kept.get(change.identity, Kept()))
            self.kept[change.identity] = now_kept
        self.perform(self.relay.kept(change.number, now_kept, why, self.now))

    def _book(self, change: Book, why: str) -> None:
        booking = change.booking
        if not why and change.drops:
            self.bookings.pop(booking.number, None)
        elif not why:
            self.bookings[booking.number] = booking
            self.last_booking = max(self.last_booking, booking.number)
        if change.number:
            self.perform(self.relay.booked(change.number, why, self.now))

    def _uphold(self, change: Uphold, why: str) -> None:
        order = change.order
        if not why:
            self.orders.pop((order.kind, order.key), None)
            if not change.drops:
                self.orders[order.kind, order.key] = order
        if change.number:
            self.perform(self.relay.upheld(change.number, why, self.now))

    def later(self, action: Callable[[], None]) -> None:
        """Do something when the relay is done with the event that it is at."""
        self._todo.append(action)

    def leftovers(self) -> dict[str, int]:
        """Return what the relay still remembers."""
        state = self.relay._state
        kept = {
            "instances": len(state.instances),
            "claims that wait": len(state.claims._waiting),
            "sessions that are claimed": len(state.claims._by_session),
            "leases that are kept": len(state.kept),
            "watchers": len(state.readers.watchers),
            "reader views": len(state.readers),
            "adapters": len(self.relay._adapters),
            "names of hosts": len(state.host_names),
            "ids of readers": len(state.reader_ids),
            "buckets": len(state.waiting._by_key),
            "names of peers": len(state.roll),
            "cards of accounts": sum(each.held for each in state.accounts.values()),
            "places of accounts": sum(each.waiting for each in state.accounts.values()),
        }
        return {name: n for name, n in (self.relay.counts | kept).items() if n}

    def accounts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return what the relay has counted for all accounts, and what there is to count."""
        state = self.relay._state
        accounts, leases = list(state.accounts.values()), state.sessions.values()
        users = [each for each in state.peers.values() if isinstance(each, UserPeer)]
        counted = {
            "held": sum(each.held for each in accounts),
            "waiting": sum(each.waiting for each in accounts),
        }
        theirs = [each for each in leases if each.account is not None]
        assert all(each.user.account is each.account for each in leases if each.user is not None)
        lent = [s.lent for s in state.slots.values() if s.lent is not None and s.lent.by.account]
        there = {
            "held": len(lent) + sum(each.phase not in LEAVING for each in theirs),
            "waiting": sum(len(each.waiting) + len(each.claims) for each in users if each.account),
        }
        return counted, there

    def _work(self) -> None:
        if self._working:
            return
        self._working = True
        try:
            while self._todo:
                self._todo.pop(0)()
        finally:
            self._working = False

    def _connect(
        self,
        peer: "Peer",
        who: str | Principal | None = None,
        account: str | None = None,
        address: str = "",
        *,
        direct: bool = True,
    ) -> None:
        peer.number = len(self.peers) + 1
        self.peers[peer.number] = peer
        principal = Principal(who) if isinstance(who, str) else who
        whose = principal, account, address
        number, role = peer.number, peer.role
        self.perform(self.relay.connected(number, role, self.now, *whose, direct=direct))

    def _new_nonce(self) -> bytes:
        self._nonces += 1
        return sha256(f"{self.runs} {self._nonces}".encode()).digest()

    def _new_session(self) -> str:
        self.last_session += 1
        return f"session-{self.last_session}"


def reader(
    name: str = "r1", iccid: str | None = ICCID, *, insertion: int = 1, **fields: object
) -> m.ReaderInfo:
    """Describe a reader with a card that is ready."""
    given = {"state": m.ReaderState.READY, "atr": ATR, **fields}
    return m.ReaderInfo(
        reader=name,
        name=f"Reader {name}",
        insertion=insertion,
        iccid=iccid,
        **given,  # type: ignore[arg-type]  # fields by name
    )


def empty(name: str = "r1", *, insertion: int = 1) -> m.ReaderInfo:
    """Describe a reader without a card."""
    state = m.ReaderState.EMPTY
    return m.ReaderInfo(reader=name, name=f"Reader {name}", state=state, insertion=insertion)


def code_of(error: m.Error) -> ErrorCode:
    """Return the code of an error, which has its PC/SC name and a sentence as well."""
    assert error.code is not None
    assert error.pcsc == error.code.pcsc
    assert error.message.endswith((".", "!", "?"))
    return error.code
