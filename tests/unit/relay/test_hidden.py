# SPDX-License-Identifier: Apache-2.0
"""
wsrc.relay: whatever a user asks for, a hidden card is answered in the octets and work of none.

Each request is made in two worlds. One has cards that are hidden from the user: on the card host
that it sees, on others of other principals and of none, free, held, waited for, mute, being
identified. The other has none of them, and nobody who uses them.
"""

import re
from functools import partial
from typing import NamedTuple, get_args

import msgspec
import pytest

from tests.support.policies import EID, granting, rule
from tests.support.relay_clients import ATR, Peer
from tests.support.relay_world import World, empty, reader
from tests.support.steps import steps
from wsrc.card.slot import Share
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.policy.words import ALL, Verb
from wsrc.protocol import messages as m
from wsrc.protocol.codec import tag_of
from wsrc.protocol.conversation import MAY_SAY, Phase, Speaker
from wsrc.protocol.later import WORDS_ASKED
from wsrc.relay import listing, shelves

SEEN, SEEN_TOO, DARK = "8949020000000000018", "8949020000000000026", "8949020000000000034"
OTHER = "8949020000000000042"
FEATURES = ("batch", "cancel", "pcsc", "raw_tpdu", "read_ahead", "resume", "share")
NOBODYS = Octets.fromhex("3b00")
COMMAND = Octets.fromhex("00a40004023f00")

MORE_WORK = 140
"""
Lines of code that are run more at most for each hidden card that has a name that is asked for.

It is what is remembered of the card that is looked at, wherever cards are looked up by name.
"""

A_SESSION = 50
"""
Lines of code that are run more at most where a session is named that somebody else has.

It is what is recorded of a claim to it; nothing in there depends on the session.
"""

CROWD = 200
"""Hidden cards of which nobody asks."""


class Half(NamedTuple):
    """One of the worlds, and the user."""

    world: World
    bob: Peer


def half(*, bare: bool = False, crowd: int = 0) -> Half:
    """Make a world; `bare` is without what is hidden, and a `crowd` is that many hidden cards."""
    policy = granting(
        rule("bob", list(ALL), label="seen*"), rule("ann", list(Verb)), hosts=[rule("*")]
    )
    world = World(policy=policy, max_sessions_per_user=3, max_readers_per_card_client=1000)
    ann, cid = world.user(who="ann"), world.user(who="ann")
    seen, both = {"kind": "seen"}, {"kind": "both"}
    mine = [
        reader("r1", SEEN, label="seen", eids=(EID,), tags=seen),
        reader("r2", SEEN_TOO, label="seen 2", tags=both),
    ]
    dark = () if bare else (reader("r3", DARK, label="dark", eids=(EID,), tags=both),)
    if not bare:
        first = [
            reader("r1", DARK, label="dark", tags={"kind": "dark"}),
            reader("r2", None, label="dark", state=m.ReaderState.MUTE, atr=None),
            reader("r4", None, label="dark", state=m.ReaderState.IDENTIFYING),
            empty("r1@host (bench)"),
        ]
        world.card(*first, name="bench", who="vault", features=FEATURES)
    world.card(*dark, *mine, name="bench", who="host", features=FEATURES)
    if not bare:
        world.card(reader("r1", SEEN[:-1], label="dark"), name="x", who="v", features=FEATURES)
        world.card(empty("r5"), reader("r2", OTHER), name="y", who="w", features=FEATURES)
        ann.select(reader="r3@host (bench)", secret="secret", keep_s=60.0)
        cid.say(m.SelectCard(id=1, reader="r3@host (bench)", wait_s=500.0))
    many = [reader(f"c{n}", f"{89490210000000000 + n}0", atr=NOBODYS) for n in range(crowd)]
    world.card(*many, name="crowd", who="crowd", features=FEATURES)
    bob = world.user(who="bob")
    world.pass_time(1.0)
    return Half(world, bob)


BY: tuple[dict[str, str], ...] = (
    {"iccid": DARK}, {"iccid": DARK[:-1]}, {"iccid": SEEN}, {"iccid": SEEN[:-1]},
    {"label": "dark"}, {"eid": EID}, {"atr": ATR.hex()}, {"reader": "r1"}, {"reader": "r3"},
    {"reader": "r3@host (bench)"}, {"reader": "r1@vault (bench)"}, {"reader": "Reader r1"},
    {"reader": "r5"}, {"any": DARK}, {"any": "r3"}, {"any": "dark"}, {"any": EID},
    {"iccid": DARK, "label": "dark"}, {"iccid": SEEN, "label": "dark"}, {"iccid": OTHER},
)  # fmt: skip
"""Names of cards that are hidden, that are seen, and that both have."""

FILTERS = (
    *BY,
    {},
    {"iccid": "8949*"},
    {"label": "*"},
    {"label": "d*"},
    {"reader": "*"},
    {"any": ""},
)

TAGGED: tuple[dict[str, str], ...] = (
    {"kind": "dark"}, {"kind": "seen"}, {"card": "uicc"}, {"host": "host (bench)"},
    {"host": "vault (bench)"}, {"kind": "both"}, {"kind": "both", "card": "euicc"},
)  # fmt: skip
"""Tags that hidden cards have, those that are seen, and both."""

AND = {"id": 5, "session": "session-1"}
"""Of the session that somebody has with a hidden card."""

REQUESTS: list[m.Message] = [
    *(m.ListCards(id=5, **by) for by in FILTERS),
    *(m.ListReaders(id=5, **by) for by in FILTERS),
    *(m.ListReaders(id=5, after=after, pages=8) for after in (0, 1, 2, 50)),
    *(m.ListCards(id=5, after=after, pages=8) for after in (0, 1, 2, 50)),
    *(m.WatchReaders(id=5, form=form, **by) for by in FILTERS for form in m.ReaderForm),  # type: ignore[arg-type]
    *(m.WatchReaders(id=5, since=since, instance="run-1") for since in (0, 1, 2, 9)),
    *(
        m.SelectCard(id=5, share=share, wait_s=wait_s, **by)  # type: ignore[arg-type]
        for by in BY
        for share in Share
        for wait_s in (0, 50.0)
    ),
    *(
        m.SelectCard(id=5, pick=m.Pick.ANY, share=share, wait_s=wait_s, **by)  # type: ignore[arg-type]
        for by in (*BY, {})
        for share in (Share.EXCLUSIVE, Share.SHARED)
        for wait_s in (0, 50.0)
    ),
    *(m.ListCards(id=5, tags=tags) for tags in TAGGED),
    *(m.SelectCard(id=5, tags=tags, pick=pick) for tags in TAGGED for pick in m.Pick),
    *(m.SelectCard(id=5, tags=tags, pick=m.Pick.ANY, wait_s=50.0) for tags in TAGGED),
    *(m.SetTags(id=5, set={"kind": "mine"}, **by) for by in BY),  # type: ignore[arg-type]
    *(m.SetComment(id=5, comment="mine", **by) for by in BY),  # type: ignore[arg-type]
    *(m.Reserve(id=5, for_s=60.0, **by) for by in BY),  # type: ignore[arg-type]
    m.Reserve(id=5, for_s=60.0, pick=m.Pick.ANY, iccid=DARK),
    m.ListReservations(id=5),
    m.CancelReservation(id=5, number=1),
    m.SelectCard(id=5, reservation="none"),
    m.SelectCard(id=5, id_type="ICCID", id_str=DARK),
    m.SelectCard(id=5, iccid=DARK, then=m.CApdu(id=6, seq=1, command=COMMAND)),
    m.SelectCard(id=5, iccid=DARK, raw_tpdu=True, read_ahead=True, protocols=()),
    m.SelectCard(id=5, iccid=DARK, waited_s=40.0, wait_s=50.0, secret="s", keep_s=5.0),
    m.Resume(id=5, session="session-1", secret="secret"),
    m.Resume(id=5, session="session-1", secret="wrong", host="host (bench)", reader="r3"),
    m.Resume(id=5, session="session-9", secret="secret", host="vault (bench)", reader="r1"),
    m.CApdu(command=COMMAND, **AND),  # type: ignore[arg-type]
    m.Sealed(of="c_apdu", box=b"box", **AND),  # type: ignore[arg-type]
    m.Batch(steps=(m.Step(COMMAND),), **AND),  # type: ignore[arg-type]
    m.ResetReq(**AND),  # type: ignore[arg-type]
    m.Reconnect(**AND),  # type: ignore[arg-type]
    m.BeginTransaction(**AND),  # type: ignore[arg-type]
    m.EndTransaction(**AND),  # type: ignore[arg-type]
    m.Status(**AND),  # type: ignore[arg-type]
    m.Control(number=1, data=Octets(), **AND),  # type: ignore[arg-type]
    m.GetAttribute(name="ATTR_ATR_STRING", **AND),  # type: ignore[arg-type]
    m.SetAttribute(name="ATTR_X", value=Octets(), **AND),  # type: ignore[arg-type]
    m.Detach(**AND),  # type: ignore[arg-type]
    m.Cancel(target=1, **AND),  # type: ignore[arg-type]
    m.Who(id=5),
    m.Who(id=5, iccid=DARK),
    m.Who(id=5, holder="*", busy=True),
    m.Revoke(id=5, iccid=DARK),
    m.Revoke(id=5, reader="r3", holder="*"),
    m.Allow(who="ann", **AND),  # type: ignore[arg-type]
    m.Lend(who="ann", **AND),  # type: ignore[arg-type]
    m.ListPeers(id=5),
    m.Kick(id=5, peer=1, instance="run-1"),
    m.Ban(id=5, who="ann", for_s=60.0),
    m.Unban(id=5, who="ann"),
    m.ListBans(id=5),
    m.Drain(id=5, host="vault (bench)"),
    m.Undrain(id=5, host="vault (bench)"),
    m.Stop(id=5),
    m.Hello(client_type=m.ClientType.USER, version=1),
]  # fmt: skip


def named(request: m.Message) -> int:
    """Return how many hidden cards have one of the names that are asked for, or both have."""
    kinds = ("iccid", "eid", "atr", "reader", "label", "any", "id_str")
    names = [getattr(request, kind, None) for kind in kinds]
    names += [f"{key}={value}" for key, value in (getattr(request, "tags", None) or {}).items()]
    return sum(HAVE.get(name.lower(), 1) for name in names if name)


HAVE = {
    DARK: 2, DARK[:-1]: 2, SEEN: 1, "dark": 5, EID.lower(): 1, ATR.hex(): 5, "r1": 2,
    "r2": 2, "reader r1": 2, "card=uicc": 3, "card=euicc": 1, "host=vault (bench)": 3,
}  # fmt: skip
"""How many hidden cards have a name."""


def told(half: Half) -> list[str]:
    """Return what the user was sent, without names of sessions and their digests."""
    texts, half.bob.texts[:] = list(half.bob.texts), []
    random = r"session-\d+|(?<=\"reservation\":{\"number\":)\d{6}"
    return [re.sub(random, "random", text.decode()) for text in texts]


@pytest.fixture(autouse=True, scope="module")
def _known() -> None:
    """What is found out once, and remembered for all, is no work of one request."""
    for kind in get_args(m.AnyMessage):
        assert isinstance(WORDS_ASKED[kind], tuple)
    for bare in (False, True):
        half(bare=bare)


def test_13_every_request_is_made_of_hidden_cards() -> None:
    said = MAY_SAY[Speaker.USER, Phase.GREETING] | MAY_SAY[Speaker.USER, Phase.OPEN]
    assert {type(request) for request in REQUESTS} == said


def took(half: Half, request: m.Message, of: str = "line") -> int:
    """Return how many lines of code it takes to answer, or with `opcode` instructions."""
    return steps(partial(half.bob.say, request), of=of)


@pytest.mark.parametrize("asked", REQUESTS, ids=tag_of)
def test_13_a_hidden_card_is_answered_in_the_octets_of_an_absent_one(asked: m.Message) -> None:
    full, bare = half(), half(bare=True)
    assert told(full) == told(bare)
    more = took(full, asked) - took(bare, asked)
    for each in (full, bare):
        each.world.pass_time(100.0)
    assert told(full) == told(bare)
    assert full.bob.closed == bare.bob.closed
    assert 0 <= more <= MORE_WORK * named(asked) + A_SESSION


@pytest.mark.parametrize("of", ["line", "opcode"])
def test_13_no_work_grows_with_hidden_cards_of_which_nobody_asks(of: str) -> None:
    few, many = half(), half(crowd=CROWD)
    for asked in REQUESTS:
        tags = getattr(asked, "tags", None) or {}
        if tags.get("card") == "uicc" and getattr(asked, "pick", None) is not m.Pick.ANY:
            continue  # that is a name of theirs
        assert took(few, asked, of) == took(many, asked, of), asked
        for each in (few, many):
            each.world.pass_time(100.0)
            for answer in each.bob.inbox:
                if isinstance(answer, m.SelectCardAck):
                    each.bob.say(m.Detach(id=each.bob.new_id(), session=answer.session or ""))
            each.bob.inbox.clear()


def crowded(crowd: int, common: int) -> Peer:
    """
    Return a user who sees 50 cards, of which so many have one name, ATR and label.

    So has a crowd that is hidden.
    """
    policy = granting(rule("ann", [Verb.LIST], host="ours"), hosts=[rule("anyone")])
    world = World(policy=policy)
    for host, count, same in (("theirs", crowd, crowd), ("ours", 50, common)):
        world.card(
            *(
                msgspec.structs.replace(
                    reader(f"{host}-{n}", None, label="x" if n < same else "y"),
                    name="x" if n < same else "y",
                    atr=NOBODYS if n < same else ATR,
                )
                for n in range(count)
            ),
            who=host,
        )
    return world.user(who="ann")


@pytest.mark.parametrize(
    "which", [{"atr": "3b00"}, {"label": "x"}, {"reader": "x"}, {"any": "x"}, {"label": "*x*"}]
)
@pytest.mark.parametrize("common", [1, 6, 30])
def test_13_pages_end_where_they_end_without_hidden_cards_of_the_same_name(
    which: dict[str, str], common: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelves, "LOOKED_AT", 10)
    told: list[list[object]] = []
    for crowd in (0, 100):
        user, after = crowded(crowd, common), 0
        user.world.pass_time(10.0)
        told.append([])
        for at in range(20):
            for listed in (m.ListCards, m.ListReaders):
                asked = listed(id=at, after=after, **which)
                told[-1].append(steps(partial(user.say, asked)))
                answer = user.one(m.Message)
                assert isinstance(answer, m.ListCardsAck | m.ListReadersAck)
                told[-1].append(user.texts[-1].replace(b"no instance", b""))
            if answer.next is None:
                break
            after = answer.next
    assert told[0] == told[1]
    assert len(told[0]) // 4 == (1 if common <= 10 and "*x*" not in which.values() else 5)


def test_13_a_page_that_is_asked_for_at_once_ends_where_it_ends_without_hidden_cards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Users who see other readers than anybody before them wait until all are looked at."""
    monkeypatch.setattr(listing, "LOOKED_AT", 10)
    monkeypatch.setattr(listing, "MAX_ASKED", 16)
    for crowd in (0, 300):
        user = crowded(crowd, 6)
        for at in range(listing.MAX_ASKED + 2):
            user.say(m.ListReaders(id=at, label="x"))
        user.world.pass_time(10.0)
        refused = [each for each in user.inbox if isinstance(each, m.Error)]
        assert [each.code for each in refused] == [ErrorCode.TOO_MANY] * (2 if crowd else 0)
        acks = [each for each in user.inbox if isinstance(each, m.ListReadersAck)]
        assert all(each.next is None and len(each.readers) == 6 for each in acks)
        assert {each.id for each in (*acks, *refused)} == set(range(listing.MAX_ASKED + 2))


def test_13_who_leaves_while_lists_wait_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 10)
    user = crowded(300, 6)
    user.say(m.ListReaders(id=1))
    user.leave()
    user.world.pass_time(10.0)
    assert user.quiet()


def test_13_which_of_two_is_used_next_tells_nothing_of_a_hidden_card_with_the_iccid_of_one() -> (
    None
):
    taken: list[object] = []
    for there in (False, True):
        policy = granting(
            rule("bob", [Verb.USE], host="ours"), rule("ann", [Verb.USE]), hosts=[rule("*")]
        )
        world = World(policy=policy)
        ours = world.card(reader("r1", SEEN), reader("r2", SEEN_TOO), who="ours", name=None)
        bob, ann = world.user(who="bob"), world.user(who="ann")
        if there:
            world.card(reader("r1", SEEN), who="theirs", name=None)
            ann.say(m.Detach(id=9, session=ann.hold(reader="r1@theirs")))
        for name, iccid in (("r2", SEEN_TOO), ("r1", SEEN)):
            ours.report(empty(name, insertion=2))
            ours.report(reader(name, iccid, insertion=3))
        taken.append(bob.select(pick=m.Pick.ANY).card)
    assert taken[0] == taken[1]
