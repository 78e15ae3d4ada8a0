# SPDX-License-Identifier: Apache-2.0
"""
What a user is told where cards are hidden from it is what it is told where they are not there.

The same happens in two worlds, of which one lacks the cards that are hidden from a user, and all
that is done with them. The user is sent the same octets in both, but for the names of sessions.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec
from hypothesis import given, settings, strategies as st

from tests.support.policies import granting, rule
from tests.support.relay_clients import ATR, CardClient
from tests.support.relay_world import World, empty, reader
from wsrc.card.slot import Pick, Share
from wsrc.octets import Octets
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m

ICCIDS = ("894902000001234567", "8949020000012345670", "8949020000012345686")
"""The second is the first with its check digit."""

OTHER_ATR = Octets.fromhex("3b00")

SEEN, DARK = "seen", "dark"
"""Labels of cards that the user may list, and of those that it may not."""

HOSTS = (("bench", (SEEN,)), ("vault", (DARK,)), ("mixed", (SEEN, DARK)), ("bench", (DARK,)))
"""Names of card hosts, and the labels of their cards; each has a principal of its own."""

FEATURES = ("batch", "cancel", "pcsc", "raw_tpdu", "resume", "share")

Step = tuple[str, int, int, int]

FARM = (
    "who", "tags", "comment", "revoke", "reserve", "by token", "unreserve", "reservations",
)  # fmt: skip
"""What is asked of cards that many use."""

KINDS = (
    "list", "readers", "watch", "rpc", "select", "wait", "shared", "direct", "cancel", "command",
    "detach", "resume", "report", "take out", "unplug", "relabel", "leave", "come", "other takes",
    "other waits", "other gives", "time", *FARM,
)  # fmt: skip

ANY = tuple({*KINDS} - {"relabel"} | {"any", "wait any", "reserve any", "other reserves"})
"""What is done where cards are taken of which any will do; a card that was used goes last."""


def steps(kinds: Sequence[str]) -> st.SearchStrategy[list[Step]]:
    number = st.integers(0, 3)
    step = st.tuples(st.sampled_from(sorted(kinds)), number, number, number)
    return st.lists(step, min_size=1, max_size=30)


rights = st.sets(
    st.sampled_from((Verb.USE, Verb.SHARE, Verb.DIRECT, Verb.EVENTS, Verb.LIST, Verb.TAG,
                     Verb.RESERVE, Verb.REVOKE))
)  # fmt: skip


class Half:
    """
    One of the two worlds; `bare` is the one without what is hidden.

    Cards in it are `unique`, or some have the same ICCID.
    """

    def __init__(self, may: set[Verb], *, bare: bool, unique: bool = False) -> None:
        self.bare, self.unique = bare, unique
        policy = granting(
            rule("bob", [*may, Verb.LIST], label=f"{SEEN}*"),
            rule("ann", list(Verb)),
            hosts=[rule("*")],
        )
        self.world = World(policy=policy)
        self.hosts: dict[int, CardClient | None] = {}
        self.infos: dict[tuple[int, int], m.ReaderInfo] = {}
        self.ann = self.world.user(who="ann", name=None)
        self.bob = self.world.user(who="bob", name=None)
        self.held: dict[tuple[int, int], str] = {}
        self.last_id = 0
        self.sessions: list[str] = []
        self.tokens: list[str] = []
        for number in range(len(HOSTS)):
            self.come(number)

    def come(self, number: int) -> None:
        name, labels = HOSTS[number]
        if number in self.hosts:
            return
        for at, label in enumerate(labels):
            self.infos[number, at] = self.info(number, at, label, number, 1)
        there = [self.infos[number, at] for at in range(len(labels)) if self.is_there(number, at)]
        if self.bare and not there:
            self.hosts[number] = None
            return
        who = f"host-{number}"
        self.hosts[number] = self.world.card(*there, name=name, who=who, features=FEATURES)

    def is_there(self, number: int, at: int) -> bool:
        """Return whether a reader is in this world."""
        info = self.infos.get((number, at))
        return info is not None and not (self.bare and info.label == DARK)

    def info(self, number: int, at: int, label: str, iccid: int, insertion: int) -> m.ReaderInfo:
        # The ids and names of readers are alike on all hosts, and so are ICCIDs and ATRs.
        atr = ATR if iccid < 2 else OTHER_ATR
        name = f"r{at + 1}"
        own = f"89490200000012{number}{at}{iccid}0"
        text = own if self.unique else ICCIDS[iccid % 3]
        return reader(name, text, label=label, insertion=insertion, atr=atr)

    def is_busy(self, number: int, at: int) -> bool:
        """Return whether somebody has the card in a reader."""
        host, info = self.hosts.get(number), self.infos.get((number, at % len(HOSTS[number][1])))
        if host is None or info is None:
            return True
        peer = self.world.relay._state.peers[host.number]
        return bool(peer.slots[info.reader].leases)

    def do(self, step: Step) -> None:
        kind, a, b, c = step
        if kind in {"report", "take out", "unplug", "relabel"}:
            self.of_host(kind, a, b, c)
        elif kind == "leave":
            host = self.hosts.pop(a, None)
            for place in [each for each in self.infos if each[0] == a]:
                del self.infos[place]
            if host is not None:
                host.leave(goodbye=bool(b % 2))
        elif kind == "come":
            self.come(a)
        elif kind.startswith("other"):
            self.of_ann(kind, a, b)
        elif kind == "time":
            self.world.pass_time((0.0, 0.5, 3.0, 100.0)[a])
        else:
            self.of_bob(kind, a, b, c)
        self.world.pass_time(2.0)

    def place(self, a: int, b: int) -> tuple[CardClient, tuple[int, int]] | None:
        host, at = self.hosts.get(a), b % len(HOSTS[a][1])
        if host is None or not self.is_there(a, at):
            return None
        return host, (a, at)

    def of_host(self, kind: str, a: int, b: int, c: int) -> None:
        if kind == "relabel":
            self.relabel(a, b % len(HOSTS[a][1]))
            return
        place = (a, b % len(HOSTS[a][1]))
        before, found = self.infos.get(place), self.place(a, b)
        if self.hosts.get(a, 0) == 0 or before is None:
            return
        after = None
        if kind == "report":
            label = before.label or ""
            after = self.info(a, place[1], label, c, before.insertion + c % 2)
        elif kind == "take out":
            after = before
        if after is None:
            del self.infos[place]
        else:
            self.infos[place] = after
        if found is None:
            return
        if kind == "unplug":
            found[0].say(m.ReaderGone(reader=before.reader))
        elif kind == "take out":
            found[0].report(empty(before.reader, insertion=before.insertion + 1))
        elif after is not None:
            found[0].report(after)

    def relabel(self, number: int, at: int) -> None:
        """Let a hidden card be seen, or the other way round: it comes or goes in the bare world."""
        before, host = self.infos.get((number, at)), self.hosts.get(number)
        if before is None:
            return
        label = SEEN if before.label == DARK else DARK
        after = msgspec.structs.replace(before, label=label)
        self.infos[number, at] = after
        if host is None:
            return
        if self.bare and label == DARK:
            host.say(m.ReaderGone(reader=before.reader))
        else:
            host.report(after)

    def of_ann(self, kind: str, a: int, b: int) -> None:
        found = self.place(a, b)
        if found is None:
            return
        _, place = found
        if kind == "other reserves":
            if self.infos[place].label == DARK:
                self.of_hidden(place)
            return
        session = self.held.pop(place, None)
        if kind == "other gives":
            if session is not None:
                self.ann.say(m.Detach(id=self.ann.new_id(), session=session))
        else:
            name = self.infos[place].reader
            wait_s = 200.0 if kind == "other waits" else 0.0
            shown = self.shown(a, name)
            select = m.SelectCard(
                id=self.ann.new_id(), reader=shown, wait_s=wait_s, secret="s", keep_s=60.0
            )
            self.ann.say(select)
        for message in self.ann.inbox:
            if isinstance(message, m.SelectCardAck):
                assert message.session is not None
                self.held[place] = message.session
        self.ann.inbox.clear()

    def of_hidden(self, place: tuple[int, int]) -> None:
        """Reserve a card that bob does not see."""
        begins = datetime.fromtimestamp(self.world.now + 300.0, UTC).isoformat()
        name = self.shown(place[0], self.infos[place].reader)
        self.ann.say(m.Reserve(id=self.ann.new_id(), reader=name, begins=begins, for_s=200.0))
        self.ann.inbox.clear()

    def shown(self, number: int, name: str) -> str:
        return f"{name}@host-{number} ({HOSTS[number][0]})"

    def of_bob(self, kind: str, a: int, b: int, c: int) -> None:
        bob, id_ = self.bob, self.bob.new_id()
        by = self.which(a, b, c)
        match kind:
            case "list":
                bob.say(m.ListCards(id=id_, **by) if c % 2 else m.ListCards(id=id_))
            case "readers":
                bob.say(m.ListReaders(id=id_, **by) if c % 2 else m.ListReaders(id=id_))
            case "watch" | "rpc":
                form = m.ReaderForm.WSRC if kind == "watch" else m.ReaderForm.JSON_RPC
                bob.say(m.WatchReaders(id=id_, form=form, **(by if c % 2 else {})))
            case "cancel":
                bob.say(m.Cancel(id=id_, target=self.last_id))
            case "command" | "detach":
                session = self.sessions[-1] if self.sessions else None
                if session is not None and kind == "command":
                    bob.command(session)
                elif session is not None:
                    bob.say(m.Detach(id=id_, session=session))
            case "resume":
                # The world without the hidden card has no such session either.
                session = self.held.get((1, 0), "nothing")
                place = ("host-1 (vault)", self.shown(1, "r1"))
                bob.say(
                    m.Resume(id=id_, session=session, secret="s", host=place[0], reader=place[1])
                )
            case _ if kind in {*FARM, "reserve any"}:
                bob.say(self.of_farm(kind, id_, by if c % 2 else {}, a))
            case _:
                self.last_id = id_
                wait_s = 50.0 if kind.startswith("wait") else 0.0
                share = {"shared": Share.SHARED, "direct": Share.DIRECT}.get(kind, Share.EXCLUSIVE)
                pick = Pick.ANY if kind.endswith("any") else Pick.ONE
                bob.say(m.SelectCard(id=id_, wait_s=wait_s, share=share, pick=pick, **by))
        self.hear()

    def hear(self) -> None:
        """Note the sessions and tokens that bob was told of."""
        for message in self.bob.inbox:
            if isinstance(message, m.ReserveAck):
                self.tokens.append(message.token)
            if isinstance(message, m.SelectCardAck) and message.session is not None:
                self.sessions.append(message.session)
        self.bob.inbox.clear()

    def of_farm(self, kind: str, id_: int, by: dict[str, str], a: int) -> m.Message:
        """Return what bob asks of cards that many use."""
        token = self.tokens[-1] if self.tokens else "none"
        begins = datetime.fromtimestamp(self.world.now + 300.0 * a, UTC).isoformat()
        made: dict[str, m.Message] = {
            "who": m.Who(id=id_, busy=a == 1, free=a == 2, **by),
            "tags": m.SetTags(id=id_, set={"rack": str(a)}, **by),
            "comment": m.SetComment(id=id_, comment=f"note {a}", **by),
            "revoke": m.Revoke(id=id_, **by),
            "reserve": m.Reserve(id=id_, begins=begins, for_s=200.0, **by),
            "reserve any": m.Reserve(id=id_, pick=Pick.ANY, for_s=200.0, **by),
            "by token": m.SelectCard(id=id_, reservation=token, wait_s=50.0 if a == 1 else 0.0),
            "unreserve": m.CancelReservation(id=id_, token=token),
            "reservations": m.ListReservations(id=id_),
        }
        return made[kind]

    def which(self, a: int, b: int, c: int) -> dict[str, str]:
        kinds = (
            {"iccid": ICCIDS[b % 3]},
            {"reader": ("r1", "r2", "Reader r1", self.shown(c, "r1"))[b]},
            {"label": (SEEN, DARK)[b % 2]},
            {"any": (ICCIDS[b % 3], ATR.hex(), OTHER_ATR.hex(), "r1")[c]},
        )
        both = dict(kinds[a])
        if b == c:
            both["atr"] = ATR.hex()
        return both

    def told(self) -> list[str]:
        """Return what the user was sent since the last call."""
        texts, self.bob.texts[:] = list(self.bob.texts), []
        return [text.decode() for text in texts]


def renamed(texts: Iterator[str] | list[str], names: dict[str, str]) -> list[str]:
    """
    Return texts in which what is random is numbered in the order in which the user saw it.

    That is names of sessions, and numbers of reservations, which say in which order they are told.
    """

    def number(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"random {len(names)}")

    return [re.sub(r'session-\d+|nothing|"number":\d{6}', number, _sorted(t)) for t in texts]


def _sorted(text: str) -> str:
    said = json.loads(text)
    if said.get("msg_type") == "list_reservations_ack":
        said["reservations"].sort(key=lambda each: (each["begins"], each["card"]))
    return json.dumps(said, separators=(",", ":"))


@settings(deadline=None)
@given(steps(KINDS), rights)
def test_13_hidden_cards_are_as_if_they_were_not_there(done: list[Step], may: set[Verb]) -> None:
    both_are_told_the_same(done, may, unique=False)


@settings(deadline=None)
@given(steps(ANY), rights)
def test_13_any_card_is_one_as_if_the_hidden_were_not_there(
    done: list[Step], may: set[Verb]
) -> None:
    both_are_told_the_same(done, may, unique=True)


def both_are_told_the_same(done: list[Step], may: set[Verb], *, unique: bool) -> None:
    full, bare = (Half(may, bare=each, unique=unique) for each in (False, True))
    in_full: dict[str, str] = {}
    in_bare: dict[str, str] = {}
    for step in done:
        kind, number, at, _ = step
        if kind == "relabel" and (number in {1, 3} or full.is_busy(number, at)):
            continue  # who has a card that becomes hidden is told so, and not that it went
        full.do(step)
        bare.do(step)
        assert renamed(full.told(), in_full) == renamed(bare.told(), in_bare), step
