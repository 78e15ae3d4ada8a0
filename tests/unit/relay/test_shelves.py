# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.shelves: lists, a page at a time, and what a page costs."""

import pytest

from tests.support.relay_clients import Peer
from tests.support.relay_world import World, empty, reader
from tests.support.steps import steps
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.relay import shelves
from wsrc.relay.index import Index, Places
from wsrc.relay.records import CardPeer, Slot
from wsrc.relay.shelves import LOOKED_AT, Bounds, Shelves
from wsrc.selection import Filter, keys_of, names_of

FEW, MANY = 100, 3 * LOOKED_AT
A_PAGE = 60_000
"""Lines of code that a page takes at most: some milliseconds."""


def iccid(number: int) -> str:
    return f"8949{number:014}"


class Shop:
    """So many cards, without a relay around them."""

    def __init__(self, count: int) -> None:
        index, places = Index(), Places()
        self.shelves = Shelves(places)
        self.index = index
        self.slots: list[Slot] = []
        peer = CardPeer(1, name="bench")
        for n in range(1, count + 1):
            info = reader(f"r{n}", iccid(n), label=f"shelf {n}", atr=Octets.fromhex("3b9f96801f"))
            slot = Slot(n, peer, info, info.reader, (info.reader,), names_of(info))
            self.slots.append(slot)
            index.put(slot, keys_of(info))
            places.put(slot)
            self.shelves.put(slot)

    def one(self, after: int = 0, **which: str) -> tuple[tuple[str, ...], int | None]:
        def describe(slot: Slot) -> m.CardInfo:
            identities = m.Identities(atr="", iccid=slot.info.iccid)
            return m.CardInfo(remote_addr=("", 0), identities=identities, state=slot.state)

        wanted = Filter(m.ListCards(**which))
        page, after_that = self.shelves.page(wanted, after, describe, Bounds(500, 500_000))
        return tuple(card.identities.iccid or "" for card in page), after_that

    def whole_list(self, **which: str) -> list[str]:
        found: list[str] = []
        after: int | None = 0
        while after is not None:
            page, after = self.one(after, **which)
            found += page
        return found


@pytest.fixture(scope="module")
def many() -> Shop:
    return Shop(MANY)


@pytest.fixture(scope="module")
def few() -> Shop:
    return Shop(FEW)


@pytest.mark.parametrize(
    "which", [{"iccid": iccid(77)}, {"any": iccid(77)}, {"reader": "R77"}, {"label": "shelf 77"}]
)
def test_b16_one_that_is_named_is_found_without_looking_through_all(
    which: dict[str, str], few: Shop, many: Shop
) -> None:
    assert few.one(**which) == many.one(**which) == ((iccid(77),), None)
    assert steps(lambda: many.one(**which)) == steps(lambda: few.one(**which))


@pytest.mark.parametrize(
    "which", [{}, {"any": "*0*77*"}, {"any": "*nothing*"}, {"label": "shelf 1*", "any": "*7"}]
)
def test_b16_a_page_looks_at_so_many_cards_and_no_more(which: dict[str, str], many: Shop) -> None:
    worst = max(steps(lambda at=at: many.one(at, **which)) for at in (0, MANY // 2))
    assert worst <= A_PAGE


def test_b16_what_is_too_common_to_be_looked_up_is_looked_through(many: Shop) -> None:
    atr = "3B 9F 96 80 1F"
    assert steps(lambda: many.one(atr=atr)) <= A_PAGE
    assert len(many.whole_list(atr=atr)) == MANY


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ({"label": "*77"}, [n for n in range(1, MANY + 1) if n % 100 == 77]),
        ({"any": "*elf 77"}, [77]),
        ({"any": "*f*5555"}, [5555]),
        ({"reader": "r12*", "label": "*234"}, [n for n in (1234,) if n <= MANY]),
        ({"any": "nothing"}, []),
        ({"iccid": "--"}, []),
        ({"label": "shelf 5", "iccid": iccid(6)}, []),
    ],
)
def test_b16_pages_have_together_what_matches_once_each(
    which: dict[str, str], found: list[int], many: Shop
) -> None:
    assert many.whole_list(**which) == [iccid(n) for n in found]


def test_readers_that_go_leave_nothing() -> None:
    shop = Shop(FEW)
    assert shop.one(50, label="*")[0] == tuple(iccid(n) for n in range(51, FEW + 1))
    for n, slot in enumerate(shop.slots, start=1):
        shop.index.put(slot, ())
        shop.shelves.remove(slot)
        assert shop.whole_list() == [iccid(each) for each in range(n + 1, FEW + 1)]
    assert shop.shelves._numbers == []
    assert not shop.shelves._filed
    assert not shop.shelves._keys


def test_what_is_named_otherwise_is_found_by_its_new_names_alone() -> None:
    shop = Shop(FEW)
    slot = shop.slots[6]
    slot.renamed(names_of(reader("r7", iccid(500), label="shelf 8")))
    shop.index.put(slot, keys_of(reader("r7", iccid(500), label="shelf 8")))
    before = shop.shelves.copy()
    shop.shelves.put(slot)
    assert shop.one(label="shelf 7")[0] == ()
    assert shop.shelves._under([("label", "shelf 7")]) == []
    assert len(shop.one(label="shelf 8")[0]) == 2
    assert len(shop.one(iccid=iccid(500))[0]) == 1
    shop.shelves = before
    assert shop.one(label="shelf 8")[0] == (iccid(8),)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Peer:
    """Return a user of a world whose pages look at two readers."""
    monkeypatch.setattr(shelves, "LOOKED_AT", 2)
    world = World()
    named = (reader(f"r{n}", iccid(n), label="in" if n == 5 else "out") for n in range(6))
    world.card(*named, empty("none"))
    return world.user()


def test_b16_a_page_of_the_protocol_may_be_empty_and_go_on(small: Peer) -> None:
    seen: list[tuple[int, int | None]] = []
    after: int | None = 0
    while after is not None:
        ack = small.ask(m.ListCards(id=small.new_id(), after=after, label="i*"), m.ListCardsAck)
        after = ack.next
        seen.append((len(ack.cards), after))
    assert seen == [(0, 2), (0, 4), (1, 6), (0, None)]


def test_b16_so_may_one_of_readers(small: Peer) -> None:
    watched = small.ask(m.WatchReaders(id=small.new_id(), any="*ne"), m.WatchReadersAck)
    assert (watched.readers, watched.next) == ((), 2)
    asked = m.ListReaders(id=small.new_id(), after=6, any="*ne")
    ack = small.ask(asked, m.ListReadersAck)
    assert ([view.reader for view in ack.readers], ack.next) == (["none"], None)
