# SPDX-License-Identifier: Apache-2.0
"""What an event costs the relay by itself, without a network, where there are thousands."""

import functools
import statistics
import time
from collections.abc import Callable, Sequence

from tests.bench.book import Book
from tests.support.relay_world import World, reader
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode
from wsrc.relay.effects import Effect

CARDS = (10, 1000, 50_000)
WAITING = (10, 100, 1000, 10_000)
READERS = 1000
TIMES = 15
WATCHERS = (1, 100)


class Timed:
    """Times what the relay does, and nothing of the peers around it."""

    def __init__(self, world: World, more: Sequence[str] = ()) -> None:
        self.took_s = 0.0
        for name in ("received", "tick", "disconnected", *more):
            setattr(world.relay, name, self._timing(getattr(world.relay, name)))

    def _timing(self, call: Callable[..., list[Effect]]) -> Callable[..., list[Effect]]:
        def timed(*args: object, **kwargs: object) -> list[Effect]:
            begun = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.took_s += time.perf_counter() - begun

        return timed

    def of(self, action: Callable[[], object]) -> float:
        """Return the seconds that the relay took in an action."""
        self.took_s = 0.0
        action()
        return self.took_s


def _world(cards: int) -> World:
    world = World(max_waiting=20_000, wait_max_s=5000.0)
    for first in range(0, cards, READERS):
        numbers = range(first, min(first + READERS, cards))
        world.card(
            *(reader(f"r{number}", f"8988211{number:012}") for number in numbers),
            name=f"host-{first}",
        )
    return world


def lists(book: Book) -> None:
    """Time `list_cards` of one card and of a page, and `select_card`: `lists.WHAT_of_COUNT_ms`."""
    selects: dict[int, float] = {}
    for count in CARDS:
        book.tell(f"lists: {count} cards")
        world = _world(count)
        iccid = f"8988211{count // 2:012}"
        for name, message in {
            "one": m.ListCards(id=1, iccid=iccid),
            "page": m.ListCards(id=1),
        }.items():
            book.add(f"lists.{name}_of_{count}_ms", _asking(world, message) * 1000)
        selects[count] = _selecting(world, iccid)
        book.add(f"lists.select_of_{count}_us", selects[count] * 1e6)
    book.add(f"lists.select_{CARDS[-1]}_over_{CARDS[0]}", selects[CARDS[-1]] / selects[CARDS[0]])


def _asking(world: World, message: m.Message) -> float:
    """Return how long a message of a user takes."""
    timed, user, text = Timed(world), world.user(), encode(message)

    def ask() -> None:
        world.relay.received(user.number, message, text, world.now)

    return statistics.median(timed.of(ask) for _ in range(TIMES))


def _selecting(world: World, iccid: str) -> float:
    """Return how long it takes to give a card to a user and to take it back."""
    timed, user = Timed(world), world.user()

    def select() -> None:
        session = user.hold(iccid=iccid)
        user.ask(m.Detach(id=user.new_id(), session=session), m.DetachAck)

    return statistics.median(timed.of(select) for _ in range(TIMES * 5))


def watchers(book: Book) -> None:
    """Time a change of a reader that many are told: `watchers.COUNT_us`, and for each of them."""
    for count in WATCHERS:
        book.tell(f"watchers: {count}")
        took = _changing(count)
        book.add(f"watchers.{count}_us", took * 1e6)
        book.add(f"watchers.each_of_{count}_us", took * 1e6 / count)


def _changing(watching: int) -> float:
    """Return how long it takes that the label of a card changes."""
    world = World()
    card = world.card(reader())
    for _ in range(watching):
        world.user().ask(m.WatchReaders(id=1), m.WatchReadersAck)
    timed = Timed(world)
    changes = [reader(label=f"label-{number}") for number in range(TIMES)]
    return statistics.median(timed.of(functools.partial(card.report, each)) for each in changes)


def waiters(book: Book) -> None:
    """Time one waiter more, and a release, with many waiting: `waiters.WHAT_COUNT_us`."""
    took: dict[str, dict[int, float]] = {"more": {}, "release": {}}
    for count in WAITING:
        book.tell(f"waiters: {count}")
        more, release = _crowd(count)
        for name, values in (("more", more), ("release", release)):
            took[name][count] = statistics.median(values)
            book.add(f"waiters.{name}_{count}_us", took[name][count] * 1e6)
    for name, each in took.items():
        book.add(f"waiters.{name}_1000_over_10", each[1000] / each[10])


def _crowd(count: int) -> tuple[list[float], list[float]]:
    """Let users wait for one card; return what one more takes, and what each release takes."""
    world = _world(1)
    timed = Timed(world)
    wanted = {"iccid": f"8988211{0:012}"}
    holder = world.user()
    session = holder.hold(**wanted)
    crowd = [world.user() for _ in range(count + TIMES)]
    asked = m.SelectCard(id=1, wait_s=3000.0, **wanted)
    for user in crowd[:count]:
        user.say(asked)
    world.pass_time(2.0)
    more = [timed.of(lambda user=user: user.say(asked)) for user in crowd[count:]]  # type: ignore[misc]
    world.pass_time(2.0)
    release: list[float] = []
    for next_one in crowd[: min(TIMES, count)]:
        next_one.inbox.clear()
        leave = m.Detach(id=900, session=session)
        release.append(timed.of(lambda holder=holder, leave=leave: holder.say(leave)))  # type: ignore[misc]
        [ack] = [each for each in next_one.inbox if isinstance(each, m.SelectCardAck)]
        assert ack.session is not None
        holder, session = next_one, ack.session
    return more, release
