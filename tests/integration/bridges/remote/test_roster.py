# SPDX-License-Identifier: Apache-2.0
"""The cards of a roster, and those of them that are ours, while connections come and go."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator

import pytest

from certs.make_certs import Certificates
from tests.support.gate import Gate
from tests.support.in_thread import Elsewhere, elsewhere
from tests.support.proxy import listening
from tests.support.world import EUICC, UICC, Host, hosting, until
from wsrc.bridges.remote.roster import FollowingClient, Roster
from wsrc.errors import ConnectionLostError, OutcomeUnknownError, SessionLostError, WsrcError
from wsrc.protocol.messages import CardInfo, CardState
from wsrc.readers.simulation import default_cards

LIMIT_S = 20.0
MF = bytes.fromhex("00a40004023f00")
ASK_PIN = bytes.fromhex("00200001")
VERIFY = bytes.fromhex("0020000108 31323334ffffffff")
AGAIN, FOR_GOOD = "It is being made again", "could not be made again"


class Bench:
    """A card host, and a gate before each port of the server."""

    def __init__(self, there: Elsewhere, certificates: Certificates) -> None:
        self.there = there
        self.notes: list[str] = []
        self._certificates = certificates
        self._stack = contextlib.AsyncExitStack()
        self._users = self._gate(there.world.app.user_port)
        self._cards = self._gate(there.world.app.card_port)

    def host(self) -> Host:
        async def start() -> Host:
            url = f"wss://localhost:{self._cards.port}/card"
            host = await self._stack.enter_async_context(
                hosting(url, self._certificates, default_cards(), "bench")
            )
            await host.ready(self.there.world)
            return host

        return self.there.do(start())

    @contextlib.contextmanager
    def roster(self, keep_s: float = 600.0, timeout_s: float = 180.0) -> Iterator[Roster]:
        follower = functools.partial(
            FollowingClient,
            f"wss://localhost:{self._users.port}/user",
            ca=self._certificates.ca,
            keep_s=keep_s,
            timeout_s=timeout_s,
        )
        roster = Roster(follower, {}, self.notes.append)
        roster.open()
        try:
            yield roster
        finally:
            roster.close()
            assert not roster._ours
            assert not roster._thread.is_alive()

    def shut(self, *, cards: bool = False) -> None:
        """Cut the way to users, or to card hosts, until it is open again."""
        self._do((self._cards if cards else self._users).shut)

    def end(self, host: Host) -> None:
        self._do(host.stop.set)

    def open(self) -> None:
        for gate in (self._users, self._cards):
            self._do(gate.open)

    def noted(self, text: str) -> None:
        """Wait until a text was noted."""

        async def is_so() -> bool:
            return any(text in note for note in self.notes)

        self.there.do(until(is_so))

    def becomes(self, state: CardState | None, **which: str) -> None:
        """Wait until the server shows a card so."""

        async def is_so() -> bool:
            return await self.there.world.state_of(**which) is state

        self.there.do(until(is_so))

    def close(self) -> None:
        self.there.do(self._stack.aclose())

    def _gate(self, port: int) -> Gate:
        return self.there.do(self._stack.enter_async_context(listening(Gate(port))))

    def _do(self, doing: Callable[[], None]) -> None:
        async def do() -> None:
            doing()

        self.there.do(do())


@pytest.fixture
def bench(certificates: Certificates) -> Iterator[Bench]:
    with elsewhere(certificates) as there:
        bench = Bench(there, certificates)
        yield bench
        bench.close()


@pytest.fixture
def host(bench: Bench) -> Host:
    return bench.host()


def becomes(roster: Roster, true: Callable[[list[CardInfo]], bool]) -> None:
    """Wait until the cards of a roster are as wanted."""
    while True:
        version = roster.version
        if true(roster.cards):
            return
        assert roster.wait(version, LIMIT_S), roster.cards


def named(cards: list[CardInfo]) -> set[str | None]:
    return {card.identities.iccid for card in cards}


def the_uicc(roster: Roster) -> CardInfo:
    return next(card for card in roster.cards if card.identities.iccid == UICC)


def test_all_cards_are_kept_while_the_connection_is_made_again(bench: Bench, host: Host) -> None:
    with bench.roster() as roster:
        taken = roster.take(the_uicc(roster))
        becomes(roster, lambda _: the_uicc(roster).lease is not None)
        changes: list[set[str | None]] = []
        roster.listen(lambda: changes.append(named(roster.cards)))
        before = named(roster.cards)
        bench.shut()
        bench.noted(AGAIN)
        assert (named(roster.cards), roster.fault) == (before, None)
        host.source.remove(next(n for n in host.source.names if "UICC" not in n or "eUICC" in n))
        bench.becomes(None, eid=EUICC)
        bench.open()
        assert taken.transmit(ASK_PIN).sw == 0x63C3
        becomes(roster, lambda cards: named(cards) == {UICC})
        assert all(UICC in change for change in changes)
        taken.detach()
        bench.becomes(CardState.READY, iccid=UICC)


def test_our_card_is_kept_while_its_host_is_away(bench: Bench, host: Host) -> None:
    with bench.roster() as roster:
        taken = roster.take(the_uicc(roster))
        assert taken.transmit(VERIFY).sw == 0x9000
        becomes(roster, lambda _: the_uicc(roster).lease is not None)
        bench.shut(cards=True)
        becomes(roster, lambda cards: named(cards) == {UICC})
        bench.open()
        assert taken.transmit(ASK_PIN).sw == 0x9000
        becomes(roster, lambda cards: len(cards) == 2)


def test_our_card_goes_when_it_is_taken_out(bench: Bench, host: Host) -> None:
    with bench.roster() as roster:
        taken = roster.take(the_uicc(roster))
        seen: list[set[str | None]] = []
        roster.listen(lambda: seen.append(named(roster.cards)))
        host.source.remove(next(n for n in host.source.names if " UICC" in n))
        becomes(roster, lambda cards: UICC not in named(cards))
        assert not roster._ours
        assert UICC not in seen[-1]
        with pytest.raises(SessionLostError):
            taken.transmit(MF)


def test_our_card_goes_with_a_host_that_ends(bench: Bench, host: Host) -> None:
    with bench.roster() as roster:
        taken = roster.take(the_uicc(roster))
        bench.end(host)
        becomes(roster, lambda cards: not cards)
        with pytest.raises(WsrcError):
            taken.transmit(MF)


def test_card_that_is_given_back_while_the_server_is_away_is_not_ours(
    bench: Bench, host: Host
) -> None:
    with bench.roster(timeout_s=2.0) as roster:
        taken = roster.take(the_uicc(roster))
        bench.shut()
        bench.noted(AGAIN)
        taken.detach()
        assert not roster._ours
        bench.open()
        again = roster.take(the_uicc(roster), wait_s=LIMIT_S)
        assert again.transmit(ASK_PIN).sw == 0x63C3


def test_connection_that_is_lost_for_good_takes_all_cards_along(bench: Bench, host: Host) -> None:
    with bench.roster(keep_s=0.3) as roster:
        taken = roster.take(the_uicc(roster))
        bench.shut()
        becomes(roster, lambda cards: not cards)
        assert isinstance(roster.fault, ConnectionLostError)
        assert not roster._ours
        bench.noted(FOR_GOOD)
        with pytest.raises(WsrcError):
            roster.take(bench.there.do(bench.there.world.cards(iccid=UICC))[0])
        with pytest.raises(WsrcError):
            taken.transmit(MF)
        taken.detach()
        bench.open()
        becomes(roster, lambda cards: len(cards) == 2)
        assert roster.fault is None
        bench.becomes(CardState.READY, iccid=UICC)


def test_end_does_not_wait_for_a_server_that_is_away(bench: Bench, host: Host) -> None:
    told: list[WsrcError] = []

    def transmit() -> None:
        try:
            taken.transmit(MF)
        except WsrcError as exc:
            told.append(exc)

    with bench.roster() as roster:
        taken = roster.take(the_uicc(roster))
        bench.shut()
        bench.noted(AGAIN)
        waiting = threading.Thread(target=transmit)
        waiting.start()
    waiting.join(LIMIT_S)
    [exc] = told
    assert isinstance(exc, ConnectionLostError | OutcomeUnknownError | SessionLostError)


def test_threads_that_take_and_give_back_while_connections_break(bench: Bench, host: Host) -> None:
    troubles: list[WsrcError] = []

    def use(card: CardInfo) -> None:
        try:
            for _ in range(10):
                with roster.take(card, wait_s=LIMIT_S) as taken:
                    assert taken.transmit(ASK_PIN).sw == 0x63C3
        except WsrcError as exc:
            troubles.append(exc)

    with bench.roster() as roster:
        users = [threading.Thread(target=use, args=(card,)) for card in roster.cards * 2]
        for user in users:
            user.start()
        for cards in (False, True) * 4:
            bench.shut(cards=cards)
            bench.open()
            users[0].join(0.2)
        for user in users:
            user.join(2 * LIMIT_S)
        assert not troubles
        assert not roster._ours
        becomes(roster, lambda cards: len(cards) == 2)
