# SPDX-License-Identifier: Apache-2.0
"""
A relay with a policy, and users who reserve, note, lend, revoke and operate, as octets say.

Each request is made whole, so that few octets lead deep; `relay_run` has what is broken.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from tests.fuzz.records import Record
from tests.fuzz.relay_run import LIMITS, MOST_EFFECTS, Hostile, Hostiles
from tests.support.policies import granting, rule
from tests.support.relay_clients import CardClient
from tests.support.relay_world import World, empty, reader
from wsrc.card.slot import Disposition, Initialization, Pick, Share
from wsrc.octets import Octets
from wsrc.policy.machine import Policy
from wsrc.policy.words import Verb
from wsrc.principal import Principal
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.records import LEAVING

T = TypeVar("T")

ICCIDS: Final = ("8988211000000430010", "8988211000000430028", "8988211000000430036")
COMMAND: Final = Octets.fromhex("00a40004023f00")
HIDDEN: Final = b"unseen"
"""In the name of the host that bob may not see, whatever happens."""

USERS: Final = ("ann", "bob", "eve")
"""
Ann may do everything; bob and eve what the policy that is in force gives them.

The director comes at the end, and takes back what is reserved.
"""

BENCH: Final = "bench"
FEATURES: Final = ("batch", "pcsc", "resume", "share")

HOST: Final = rule("*")


def policy(may: Sequence[Verb], label: str) -> Policy:
    """Return a policy that lets bob and eve do so much with cards of a label."""
    return granting(
        rule(("ann", "director"), list(Verb)),
        rule("bob", may, host=["bench*"], label=label),
        rule("eve", [Verb.LIST, Verb.RESERVE, Verb.SHARE], host=["bench*"]),
        hosts=[HOST],
    )


POLICIES: Final = (
    policy(list(Verb), "*"),
    policy([Verb.USE, Verb.EVENTS, Verb.RESERVE, Verb.TAG], "*"),
    policy([Verb.LIST], "a"),
    policy([Verb.SHARE, Verb.RESERVE, Verb.REVOKE], "b"),
)


class Octet:
    """Chooses by the octets of an event, one after another; then always the first."""

    def __init__(self, octets: bytes) -> None:
        self._octets = iter(octets)

    def of(self, choices: Sequence[T]) -> T:
        """Return one of these."""
        return choices[next(self._octets, 0) % len(choices)]

    def cards(self) -> dict[str, Any]:
        """Return a selection."""
        return self.of((
            {"reader": self.of(("r1@bench", "r2", "r1", "r3"))},
            {"iccid": self.of(ICCIDS)},
            {},
            {"label": self.of(("a", "b"))},
            {"tags": {"rack": self.of(("7", "8"))}},
            {"any": self.of((*ICCIDS, "r1"))},
        ))  # fmt: skip


Make = Callable[["Farm", "Hostile", Octet], m.Message]

WHO: Final = ("bob", "eve", "ann", "nobody", "*", "")
FOR_S: Final = (30.0, 1.0, 3600.0, 86_400.0, 0.0, -1.0, 4e6)


def _reserve(farm: "Farm", _user: Hostile, octet: Octet) -> m.Message:
    ahead = octet.of((None, 0, 5, 60, 4000, -30, -3000))
    now = farm.world.epoch_s + farm.world.now
    begins = None if ahead is None else datetime.fromtimestamp(now + ahead, UTC).isoformat()
    pick, for_s = octet.of((Pick.ONE, Pick.ANY)), octet.of(FOR_S)
    return m.Reserve(id=0, pick=pick, begins=begins, for_s=for_s, **octet.cards())


def _select(farm: "Farm", _user: Hostile, octet: Octet) -> m.Message:
    share, pick = octet.of((Share.EXCLUSIVE, Share.SHARED, Share.DIRECT)), octet.of(list(Pick))
    token = octet.of((None, None, farm.token(octet)))
    wait_s, keep_s = octet.of((0.0, 3.0, 7.0)), octet.of((0.0, 4.0))
    then = m.CApdu(id=1_000_000, seq=1, command=COMMAND) if octet.of((0, 0, 1)) else None
    by = octet.cards() if token is None or octet.of((0, 0, 1)) else {}
    return m.SelectCard(
        id=0, share=share, pick=pick, reservation=token, wait_s=wait_s, keep_s=keep_s,
        secret="s" * 64, then=then, **by,
    )  # fmt: skip


def _tags(_farm: "Farm", _user: Hostile, octet: Octet) -> m.Message:
    given = octet.of(({"rack": "7"}, {"rack": "8"}, {"card": "x"}, {}, {"k" * 300: "v"}))
    return m.SetTags(id=0, set=given, unset=octet.of(((), ("rack",))), **octet.cards())


def _cancel(farm: "Farm", _user: Hostile, octet: Octet) -> m.Message:
    if octet.of((True, False)):
        return m.CancelReservation(id=0, number=octet.of(range(8)))
    return m.CancelReservation(id=0, token=farm.token(octet))


def _resume(farm: "Farm", _user: Hostile, octet: Octet) -> m.Message:
    session, guests = farm.session(octet), octet.of(((), ("bob",), ("x",) * 40))
    return m.Resume(id=0, session=session, secret="s" * 64, guests=guests)


def _peer(farm: "Farm", octet: Octet) -> int:
    return octet.of([*farm.world.peers, 0])


MADE: Final[Sequence[Make]] = (
    _select,
    _reserve,
    _tags,
    _cancel,
    _resume,
    lambda _f, _u, o: m.ListReservations(id=0, after=o.of(range(4))),
    lambda _f, _u, o: m.SetComment(id=0, comment=o.of(("x", "", "y" * 300)), **o.cards()),
    lambda _f, _u, o: m.Who(
        id=0, free=o.of((False, True)), busy=o.of((False, True)), holder=o.of((None, *WHO)),
        pages=o.of((1, 8)), **o.cards(),
    ),
    lambda _f, _u, o: m.Revoke(id=0, holder=o.of((None, *WHO)), why=o.of(("", "\n")), **o.cards()),
    lambda f, _u, o: m.Allow(id=0, session=f.session(o), who=o.of(WHO)),
    lambda f, _u, o: m.Lend(id=0, session=f.session(o), who=o.of(WHO)),
    lambda f, _u, o: m.Detach(
        id=0, session=f.session(o), disposition=o.of(list(Disposition)),
        after_answer=o.of((False, True)),
    ),
    lambda f, _u, o: m.CApdu(id=0, session=f.session(o), command=COMMAND),
    lambda f, _u, o: m.Reconnect(
        id=0, session=f.session(o), share=o.of((Share.SHARED, Share.EXCLUSIVE, None)),
        initialization=o.of(list(Initialization)),
    ),
    lambda _f, u, o: m.Cancel(id=0, target=max(0, u._id - o.of(range(3)))),
    lambda _f, _u, o: m.WatchReaders(id=0, form=o.of(list(m.ReaderForm)), **o.cards()),
    lambda _f, _u, o: m.ListCards(id=0, **o.cards()),
    lambda _f, _u, o: m.ListPeers(id=0, after=o.of(range(4))),
    lambda f, _u, o: m.Kick(
        id=0, peer=_peer(f, o), end=o.of((False, True)), instance=o.of((None, "run-1", "x"))
    ),
    lambda _f, _u, o: m.Ban(id=0, who=o.of(WHO), for_s=o.of(FOR_S)),
    lambda _f, _u, o: m.Unban(id=0, who=o.of(WHO)),
    lambda _f, _u, _o: m.ListBans(id=0),
    lambda f, _u, o: m.Drain(id=0, host=f.host(o), wait_s=o.of((0.0, 3.0))),
    lambda f, _u, o: m.Undrain(id=0, host=f.host(o)),
    lambda _f, _u, _o: m.Stop(id=0),
)  # fmt: skip
"""What a user may ask for, of which the first octet of an event says which."""

ASK, HOSTS, TIME, CLOCK, POLICY, KEEP, LEAVE, RESTS = range(8)
"""What happens; the bits above say by whom."""


class User(Hostile):
    """A user who knows what was told of a session or a token, and is told of nothing hidden."""

    def __init__(self, farm: "Farm", who: str) -> None:
        super().__init__(farm.world, m.ClientType.USER)
        self.farm, self.who = farm, who

    def take_in(self, message: m.Message, text: bytes) -> None:
        """Note what others may try as well."""
        super().take_in(message, text)
        assert self.who == "ann" or HIDDEN not in text, text
        if isinstance(message, m.SelectCardAck) and message.session is not None:
            self.farm.sessions.append(message.session)
        elif isinstance(message, m.ReserveAck):
            self.farm.tokens.append(message.token)


class Farm(Hostiles):
    """A relay with two card hosts, one of which is hidden from all but ann, and three users."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(policy=POLICIES[0], max_reservations_per_principal=4, **LIMITS)
        self.sessions: list[str] = []
        self.tokens: list[str] = []
        self.hosts = [self.bench(number) for number in range(2)]
        self.users = [self.user(who) for who in USERS]

    def forget_closed(self) -> None:
        """Tell the relay of the end of each connection that it closed, as its shell does."""
        super().forget_closed()
        for host in self.hosts:
            if host.closed is not None and not host.gone:
                host.leave()

    def bench(self, number: int) -> CardClient:
        """Connect a card host; that of number 1 is hidden."""
        name = (BENCH, HIDDEN.decode())[number]
        infos = [reader(f"r{at + 1}", ICCIDS[at], label="ab"[at]) for at in range(2 - number)]
        return self.world.card(*infos, name=name, who=name, features=FEATURES)

    def user(self, who: str) -> User:
        """Connect a user."""
        user = User(self, who)
        self.world._connect(user, Principal(who), who)
        said = m.Hello(client_type=m.ClientType.USER, version=m.VERSION, features=("idle",))
        user.say_text(encode(said))
        self.peers.append(user)
        return user

    def session(self, octet: Octet) -> str:
        """Return a session that somebody was told of."""
        return octet.of([*self.sessions[-4:], "session-0"])

    def token(self, octet: Octet) -> str:
        """Return a token that somebody was told of."""
        return octet.of([*self.tokens[-4:], "none"])

    def host(self, octet: Octet) -> str:
        """Return what a host is called, or nobody."""
        names = [
            self.world.relay._state.peers[each.number].name for each in self.hosts if not each.gone
        ]
        return octet.of([*names, "nobody"])

    def act(self, record: Record) -> None:
        """Do what an event says, and see that all is sound."""
        (what, octets), world = record, self.world
        number, kind = what >> 3, what & 7
        at = number % len(self.users)
        user, octet = self.users[at], Octet(octets)
        if kind == ASK:
            if user.closed is not None or user.gone:
                self.users[at] = user = self.user(user.who)
            if user.closed is None:
                self.ask(user, octet.of(MADE)(self, user, octet))
        elif kind == HOSTS:
            self.of_host(number % 2, octet)
        elif kind == TIME:
            world.pass_time(octet.of((0.1, 1.0, 5.0, 30.0, 61.0)))
        elif kind == CLOCK:
            world.epoch_s += octet.of((1.0, -1.0, 3600.0, -3600.0, 90_000.0, -90_000.0))
            world.pass_time(61.0)
        elif kind == POLICY:
            world.obey(octet.of(POLICIES))
        elif kind == KEEP:
            world.keeps_late = octet.of((False, True))
            while world.to_keep:
                world.keep(octet.of(("", "The disk is full.")))
        elif kind == LEAVE and not user.gone and user.closed is None:
            user.leave(goodbye=octet.of((False, True)))
        self.forget_closed()
        self.check()
        self.look()

    def ask(self, user: User, request: m.Message) -> None:
        """Send a request under a number of its own."""
        request = msgspec.structs.replace(request, id=user.new_id())
        then = getattr(request, "then", None)
        if then is not None:
            then = msgspec.structs.replace(then, id=user.new_id())
            request = msgspec.structs.replace(request, then=then)  # type: ignore[call-arg]
        user.say_text(encode(request))

    def of_host(self, number: int, octet: Octet) -> None:
        """Have a card pulled, put in or switched, or answers be held back."""
        what, at = octet.of(range(4)), octet.of(range(2))
        label, host = octet.of(("a", "b")), self.hosts[number]
        if host.closed is not None or host.gone:
            self.hosts[number] = self.bench(number)
            return
        if what == 0:
            host.report(
                reader(f"r{at + 1}", octet.of(ICCIDS), label=label, insertion=octet.of((1, 2)))
            )
        elif what == 1:
            host.report(empty(f"r{at + 1}", insertion=3))
        elif what == 2:
            host.say(m.ReaderGone(reader=f"r{at + 1}"))
        else:
            host.auto = not host.auto
            asked, host.inbox = host.inbox, []
            for each in asked if host.auto else ():
                if not isinstance(each, (m.HelloAck, m.Error, m.Restarting)):
                    host.answer(each)

    def look(self) -> None:
        """See that who was to lose a reserved card has it no more, and that all is bounded."""
        state = self.world.relay._state
        table = state.reservations
        for slot in state.slots.values():
            if slot.reserved is None:
                continue
            assert table.get(slot.reserved) is not None
            # A card may be put into a reader that somebody uses without one, and keeps.
            held = [
                each
                for each in slot.leases.values()
                if each.phase not in LEAVING and each.share is not Share.DIRECT
            ]
            assert not any(each.loses_to(slot.reserved) for each in held)
        assert len(table) <= 4 * len(USERS)
        assert len(state.pending) + len(state.booked) <= MOST_EFFECTS

    def end(self) -> None:
        """Give up what was reserved, have everybody leave, and all limits pass."""
        self.world.keeps_late = False
        self.world.obey(POLICIES[0])
        while self.world.to_keep:
            self.world.keep()
        boss = self.world.user(who="director")
        listed = boss.ask(m.ListReservations(id=boss.new_id()), m.ListReservationsAck)
        for each in listed.reservations:
            cancel = m.CancelReservation(id=boss.new_id(), number=each.number)
            boss.ask(cancel, m.CancelReservationAck)
        boss.leave(goodbye=True)
        self.forget_closed()
        for host in self.hosts:
            if not host.gone:
                host.leave()
        super().end()
