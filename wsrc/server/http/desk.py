# SPDX-License-Identifier: Apache-2.0
"""Who comes over HTTP, and what each has: sessions, and a user of the relay that looks around."""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from wsrc.card.slot import Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import CloseCode
from wsrc.relay.bulletin import Bulletin
from wsrc.server.admission import Admitted, account_of
from wsrc.server.http.insider import Insider
from wsrc.server.http.problems import ProblemError, of_error, problem, status_of
from wsrc.server.http.values import Card, Connect, Session
from wsrc.server.http.views import utc
from wsrc.server.limits import Limit, Quotas, Refusal, Usage
from wsrc.server.peers import Peers
from wsrc.server.refusals import Refusals

# Longer than the aim: a visitor and what is theirs, from the first request to the last.

MOST = 1_000
"""Users of the relay that are there for HTTP at a time: visitors, sessions, streams of events."""

VISIT_S = 60.0
"""Seconds without a request after which a visitor who has nothing is forgotten."""

LOOK_S = 1.0
"""How often it is looked for what is over, and for what streams are told beside readers, in s."""

BEAT_S = 25.0
"""
Seconds between two beats of all streams. They have one timer, which is that of `LOOK_S`: who wakes
ten times for ten streams takes several times as long.
"""

GRACE_S = 30.0
"""Seconds beyond the limits of the relay after which a request is given up."""


class Times(NamedTuple):
    """Limits in seconds: of a session without requests, of a reset, of a command."""

    idle_s: float
    attach_s: float
    command_s: float


class Visitor:
    """
    A principal who comes over HTTP, or everybody where nobody is asked.

    `admitted` is by what its last request was let in. `lookers` are the users by whom it looks
    around, by whether its requests are of this host.
    """

    def __init__(self, admitted: Admitted, usage: Usage | None) -> None:
        self.admitted = admitted
        self.usage = usage
        self.used = 0.0
        self.at_work = 0
        self.sessions: dict[str, Held] = {}
        self.lookers: dict[bool, Insider] = {}


class Caller(NamedTuple):
    """Whose a request is, by what it was let in, and where it is from."""

    visitor: Visitor
    admitted: Admitted
    address: str
    local: bool = False


class Held:
    """A session of a visitor; `admitted` is by what its last request was let in."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a session is, each once
        self,
        name: str,
        caller: Caller,
        insider: Insider,
        card: Card | None,
        share: Share,
        now: float,
        ends: "list[m.SessionEnded]",
    ) -> None:
        self.name = name
        self.visitor = caller.visitor
        self.insider = insider
        self.card = card
        self.share = share
        self.admitted = caller.admitted
        self.since = datetime.now(UTC).timestamp()
        self.used = now
        self.at_work = 0
        self.ends = ends
        """Why it is over, once the relay has ended it."""
        self.offer: m.SealOffer | None = None
        """What its card host offers, where it is sealed."""


class Listener(Protocol):
    """A stream of events, as a desk sees it."""

    def told(self, message: m.Message) -> None:
        """Take what the relay says unasked."""
        ...

    def wait_for_any(self, number: int) -> None:
        """Take how many wait for any card; 0 is not told at first."""
        ...

    def reserve(self) -> None:
        """Take note that reservations are others than before."""
        ...

    def beat(self) -> None:
        """Note that `BEAT_S` have passed."""
        ...


class _Watching:
    """A stream, by what it was let in, and what it was told of waiters and reservations."""

    def __init__(
        self, admitted: Admitted, listener: Listener, bulletin: Bulletin, number: int
    ) -> None:
        self.admitted = admitted
        self.until = math.inf if admitted.until is None else admitted.until
        self.listener = listener
        self._bulletin = bulletin
        self._number = number
        self._anyone = 0
        self._changes, _ = bulletin.reservations_since(number, 0)
        self.look()

    def look(self) -> None:
        """Tell how many wait for any card, and that reservations are others, if that is new."""
        anyone = self._bulletin.waiting_for_any(self._number)
        if anyone != self._anyone:
            self._anyone = anyone
            self.listener.wait_for_any(anyone)
        self._changes, are_others = self._bulletin.reservations_since(self._number, self._changes)
        if are_others:
            self.listener.reserve()


class Desk:
    """
    All visitors.

    Args:
        peers: Where their users of the relay are entered.
        quotas: Counts what each principal uses.
        refusals: Says who is refused.
        times: Limits.
        is_over: Returns what of a visitor was revoked, for people.
    """

    def __init__(
        self,
        peers: Peers,
        quotas: Quotas,
        refusals: Refusals,
        times: Times,
        is_over: Callable[[Admitted], str | None],
    ) -> None:
        self.times = times
        self._peers = peers
        self._quotas = quotas
        self._refusals = refusals
        self._is_over = is_over
        self._visitors: dict[Principal | None, Visitor] = {}
        self._sessions: dict[str, Held] = {}
        self._insiders: dict[Insider, Usage | None] = {}
        self._streams: dict[Insider, _Watching] = {}
        self._version: tuple[object, ...] = ()
        self._soonest = math.inf
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._insiders)

    @asynccontextmanager
    async def visit(
        self, admitted: Admitted, address: str, octets: int, *, local: bool = False
    ) -> AsyncGenerator[Caller]:
        """
        Have a visitor for the length of a request, whose body has so many octets.

        `local` is whether the request is of a program of this host, for all that is known.

        Raises:
            ProblemError: If its principal asks for too much, or there are too many.
        """
        visitor = self._visitors.get(admitted.principal)
        if visitor is None:
            self._refuse_if_full()
            visitor = Visitor(admitted, self._usage(admitted, address))
            self._visitors[admitted.principal] = visitor
            self._watch()
        visitor.admitted, visitor.used = admitted, self._loop.time()
        if visitor.usage is not None:
            self._charge(visitor.usage, visitor.used, octets)
        visitor.at_work += 1
        try:
            yield Caller(visitor, admitted, address, local)
        finally:
            visitor.at_work -= 1
            visitor.used = self._loop.time()

    def _charge(self, usage: Usage, now: float, octets: int) -> None:
        pauses = {
            Limit.REQUESTS: usage.requests.ask(now),
            Limit.OCTETS: usage.octets.take(now, octets),
        }
        limit, pause_s = max(pauses.items(), key=lambda each: each[1])
        if pause_s:
            self._quotas.bit(limit)
            why = f"More comes from this client than {limit} allows."
            raise problem(429, ErrorCode.TOO_MANY, why, retry_after_s=pause_s)

    def looker(self, caller: Caller) -> Insider:
        """Return the user by whom a visitor looks around."""
        visitor = caller.visitor
        looker = visitor.lookers.get(caller.local)
        if looker is None or looker.over is not None:
            if looker is not None:
                self.gone(looker)
            looker = visitor.lookers[caller.local] = self.enter(caller, "http", count=False)
        return looker

    def enter(
        self,
        caller: Caller,
        name: str,
        told: Callable[[m.Message], None] | None = None,
        *,
        count: bool = True,
    ) -> Insider:
        """
        Return a new user of the relay; `gone` ends it.

        Raises:
            ProblemError: If there are too many, of one principal or of all.
        """
        self._refuse_if_full()
        who, address = caller.admitted.principal, caller.address
        usage = self._usage(caller.admitted, address) if count else caller.visitor.usage
        insider = Insider(self._peers, who, usage, address, name, told, direct=caller.local)
        self._insiders[insider] = usage if count else None
        if insider.over is not None:
            self.gone(insider)
            raise problem(503, ErrorCode.SHUTTING_DOWN, insider.over.message)
        return insider

    def watcher(self, caller: Caller, listener: Listener) -> Insider:
        """Return a new user of the relay for a stream, who may stay while its credentials hold."""
        insider = self.enter(caller, "http", listener.told)
        bulletin = self._peers.relay.bulletin
        watching = _Watching(caller.admitted, listener, bulletin, insider.number)
        self._streams[insider] = watching
        self._soonest = min(self._soonest, watching.until)
        return insider

    def gone(self, insider: Insider) -> None:
        """Strike a user of the relay, if it is one."""
        self._streams.pop(insider, None)
        if insider not in self._insiders:
            return
        usage = self._insiders.pop(insider)
        if usage is not None:
            self._quotas.left(usage)
        insider.leave()

    async def connect(self, caller: Caller, wanted: Connect) -> Held:
        """
        Take a card for a visitor.

        Raises:
            ProblemError: If it is not given.
        """
        # Longer than the aim: each field of the request by its name.
        ends: list[m.SessionEnded] = []

        def told(message: m.Message) -> None:
            if isinstance(message, m.SessionEnded):
                ends.append(message)

        insider = self.enter(caller, wanted.name, told)
        select = m.SelectCard(
            iccid=wanted.iccid,
            eid=wanted.eid,
            atr=wanted.atr,
            reader=wanted.reader,
            label=wanted.label,
            any=wanted.any,
            tags=wanted.tags,
            pick=wanted.pick,
            reservation=wanted.reservation or None,
            wait_s=wanted.wait_s,
            share=wanted.share,
            protocols=wanted.protocols,
            raw_tpdu=wanted.raw_tpdu,
            seal=wanted.seal,
        )
        limit_s = wanted.wait_s + self.times.attach_s + GRACE_S
        try:
            ack = await insider.ask(select, m.SelectCardAck, limit_s)
        except BaseException:
            self.gone(insider)
            raise
        assert ack.session is not None
        card = card_of(ack.card) if ack.card is not None else None
        held = Held(ack.session, caller, insider, card, wanted.share, self._loop.time(), ends)
        held.offer = ack.seal
        caller.visitor.sessions[held.name] = self._sessions[held.name] = held
        return held

    @asynccontextmanager
    async def using(self, caller: Caller, name: str) -> AsyncGenerator[Held]:
        """
        Have a session of a visitor for the length of a request.

        Raises:
            ProblemError: If there is none of this name that is theirs.
        """
        held = caller.visitor.sessions.get(name)
        if held is None:
            why = "There is no such session of yours; it may be over."
            raise problem(
                status_of(ErrorCode.NO_SUCH_SESSION),
                ErrorCode.NO_SUCH_SESSION,
                why,
                outcome="not_executed",
            )
        if held.ends:
            self.release(held)
            code, said = held.ends[0].code, f"The session is over: {held.ends[0].message}"
            raise ProblemError(of_error(m.error(code, said, outcome=Outcome.NOT_EXECUTED)))
        held.admitted = caller.admitted
        held.at_work += 1
        try:
            yield held
        finally:
            held.at_work -= 1
            held.used = self._loop.time()

    def shown(self, held: Held) -> Session:
        """Return a session as its visitor sees it."""
        return Session(
            session=held.name,
            card=held.card,
            share=held.share,
            since=utc(held.since),
            idle_s=self.times.idle_s,
        )

    def release(self, held: Held) -> None:
        """Forget a session, and give its card back if that is not done yet."""
        held.visitor.sessions.pop(held.name, None)
        self._sessions.pop(held.name, None)
        self.gone(held.insider)

    def look(self) -> None:
        """End what is over: what is not used, and what nobody has a right to any more."""
        self._version = ()
        self._look()

    def _look(self) -> None:
        """End what is over; look at streams only where one may end, or be told something."""
        now, utc_now = self._loop.time(), datetime.now(UTC).timestamp()
        for held in list(self._sessions.values()):
            idle = not held.at_work and held.used + self.times.idle_s <= now
            if idle or self._has_ended(held.admitted, utc_now):
                self.release(held)
        version = self._peers.relay.bulletin.version
        if version != self._version or self._soonest <= utc_now:
            self._version = version
            self._look_at_streams(utc_now)
        for key, visitor in list(self._visitors.items()):
            if visitor.at_work or visitor.sessions:
                continue
            if visitor.used + VISIT_S <= now or self._has_ended(visitor.admitted, utc_now):
                self._forget(key, visitor)

    def _look_at_streams(self, utc_now: float) -> None:
        self._soonest = math.inf
        for insider, watching in list(self._streams.items()):
            if self._has_ended(watching.admitted, utc_now):
                insider.close(CloseCode.POLICY, "The credentials have ended.")
            else:
                self._soonest = min(self._soonest, watching.until)
                watching.look()

    def close(self) -> None:
        """End everything."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for held in list(self._sessions.values()):
            self.release(held)
        for key, visitor in list(self._visitors.items()):
            self._forget(key, visitor)
        for insider in list(self._insiders):
            self.gone(insider)

    @property
    def sessions(self) -> Iterator[Held]:
        """All sessions."""
        return iter(self._sessions.values())

    def _has_ended(self, admitted: Admitted, now: float) -> bool:
        until = math.inf if admitted.until is None else admitted.until
        return until <= now or self._is_over(admitted) is not None

    def _usage(self, admitted: Admitted, address: str) -> Usage | None:
        """Count one more of a principal."""
        if admitted.principal is None:
            return None
        usage = self._quotas.let_in(account_of(admitted.principal, address))
        if isinstance(usage, Refusal):
            self._refusals.limited(usage.limit, address, admitted.principal.name)
            why = f"{usage.limit} is reached: close some connections or sessions."
            raise problem(429, ErrorCode.TOO_MANY, why, retry_after_s=usage.retry_after_s)
        return usage

    def _refuse_if_full(self) -> None:
        if self._closed or self._peers.stopping:
            why = "The server is about to restart."
            raise problem(503, ErrorCode.SHUTTING_DOWN, why, retry_after_s=1.0)
        if max(len(self._insiders), len(self._visitors)) >= MOST:
            why = f"There are {MOST} sessions, streams and visitors over HTTP, the most."
            raise problem(429, ErrorCode.TOO_MANY, why, retry_after_s=LOOK_S)

    def _forget(self, key: Principal | None, visitor: Visitor) -> None:
        del self._visitors[key]
        for looker in visitor.lookers.values():
            self.gone(looker)
        if visitor.usage is not None:
            self._quotas.left(visitor.usage)

    def _watch(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(LOOK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._look()
        self._ticks += 1
        if self._ticks * LOOK_S >= BEAT_S:
            self._ticks = 0
            for watching in self._streams.values():
                watching.listener.beat()
        if self._visitors:
            self._watch()


def card_of(info: m.CardInfo) -> Card:
    """Return a card as the relay describes it to who has it."""
    return Card(
        number=0,
        state=info.state,
        host=info.host or "",
        reader=info.reader or "",
        reader_name=info.reader_name or "",
        atr=None if not info.identities.atr else Octets.fromhex(info.identities.atr),
        iccid=info.identities.iccid,
        eids=info.eids,
        label=info.label,
        tags=info.tags or {},
        comment=info.comment,
        protocol=info.protocol,
        draining=info.draining,
        reserved=info.reserved,
    )
