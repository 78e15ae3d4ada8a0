# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.listing: pages that follow one another to one request."""

import pytest

from tests.support.relay_world import World, reader
from wsrc.protocol import messages as m
from wsrc.relay import listing
from wsrc.relay.listing import PAGE, STEP_S

CARDS = 3 * PAGE + 1


@pytest.fixture
def world() -> World:
    world = World()
    for first in range(0, CARDS, PAGE):
        world.card(*(reader(f"r{n}") for n in range(first, min(first + PAGE, CARDS))))
    return world


def test_j5_pages_follow_one_another_to_one_request(world: World) -> None:
    user = world.user()
    user.say(m.ListCards(id=1, pages=8))
    pages = [user.next(m.ListCardsAck)]
    assert user.quiet, "others have their turn first"
    while pages[-1].more:
        world.pass_time(STEP_S)
        pages.append(user.next(m.ListCardsAck))
    assert {page.id for page in pages} == {1}
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    readers = [card.reader for page in pages for card in page.cards]
    assert len(readers) == len(set(readers)) == CARDS
    assert pages[-1].next is None
    world.pass_time(1)
    assert user.quiet


def test_j5_no_more_pages_than_were_asked_for(world: World) -> None:
    user = world.user()
    user.say(m.ListCards(id=1, pages=2))
    first = user.next(m.ListCardsAck)
    world.pass_time(1)
    last = user.next(m.ListCardsAck)
    assert (first.more, last.more) == (True, False)
    assert last.next is not None
    world.pass_time(1)
    assert user.quiet


def test_j5_no_more_pages_than_the_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "PAGE", 10)
    user = world.user()
    user.say(m.ListCards(id=1, pages=1_000_000))
    pages = [user.next(m.ListCardsAck)]
    while pages[-1].more:
        world.pass_time(STEP_S)
        pages.append(user.next(m.ListCardsAck))
    assert len(pages) == m.MAX_PAGES
    assert pages[-1].next is not None


@pytest.mark.parametrize("pages", [-1, 0, 1])
def test_j5_one_page_is_the_least(world: World, pages: int) -> None:
    user = world.user()
    user.say(m.ListCards(id=1, pages=pages))
    page = user.next(m.ListCardsAck)
    assert (page.more, len(page.cards)) == (False, PAGE)
    world.pass_time(1)
    assert user.quiet


def test_j5_a_second_list_meanwhile_has_one_page(world: World) -> None:
    user = world.user()
    user.say(m.ListCards(id=1, pages=8))
    assert user.next(m.ListCardsAck).more
    user.say(m.ListCards(id=2, pages=8))
    second = user.next(m.ListCardsAck)
    assert (second.id, second.more) == (2, False)
    world.pass_time(STEP_S)
    assert user.next(m.ListCardsAck).id == 1


def test_j5_a_user_who_leaves_is_sent_no_more(world: World) -> None:
    user = world.user()
    timers = world.relay.counts["timers"]
    user.say(m.ListCards(id=1, pages=8))
    user.leave()
    assert world.relay.counts["timers"] == timers
    world.pass_time(1)


def test_j5_readers_come_in_pages_as_cards_do(world: World) -> None:
    user = world.user()
    user.say(m.ListReaders(id=1, pages=3))
    pages = [user.next(m.ListReadersAck)]
    while pages[-1].more:
        world.pass_time(STEP_S)
        pages.append(user.next(m.ListReadersAck))
    assert [page.id for page in pages] == [1, 1, 1]
    numbers = [view.number for page in pages for view in page.readers]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 600
