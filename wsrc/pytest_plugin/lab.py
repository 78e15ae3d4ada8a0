# SPDX-License-Identifier: Apache-2.0
"""The cards of one process of pytest: taken for tests, kept as long as asked, given back."""

import random
import socket
import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest

from wsrc.card.slot import Pick, Share
from wsrc.errors import (
    CardBusyError,
    ConnectionLostError,
    ErrorCode,
    NoSuchCardError,
    RefusedError,
    WsrcError,
)
from wsrc.pytest_plugin.telling import CARD, TITLE, WAITED
from wsrc.pytest_plugin.wanted import (
    NoSuchWantError,
    Want,
    WrongWantError,
    run_of,
    settings_of,
    wanted,
)
from wsrc.trace.recorder import Recorder
from wsrc.user_client.blocking import Card, Client, Recorded
from wsrc.user_client.naming import describe

PATIENCE_S: Final = 0.3
"""How long a test that has some of its cards waits for the next; it doubles each time."""

MOST_PATIENCE_S: Final = 8.0

_NONE_THERE = (ConnectionRefusedError, TimeoutError, socket.gaierror)
_NONE_FREE = (NoSuchCardError, CardBusyError)


class Held:
    """A card that a test has, or that is kept for the next tests."""

    def __init__(self, card: Card, waited_s: float) -> None:
        self.card = card
        self.name = describe(card.info)
        self.waited_s = waited_s
        self.over: WsrcError | None = None
        """Why it is not ours any more."""

        card.when_over(self._is_over)

    def _is_over(self, why: WsrcError) -> None:
        self.over = why

    def give_back(self) -> None:
        """Give it back; whoever lost it has nothing to give."""
        with suppress(WsrcError):
            self.card.detach()


class Lab:
    """
    Takes cards for the tests of a process, and gives all of them back.

    It is a plugin of pytest from the first test on that wants a card.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._run = run_of(config)
        self._recorder = Recorder(self._run.most_apdus)
        self._client: Client | None = None
        self._was_open = False
        self._unreached: WsrcError | None = None
        self._missing: set[str] = set()
        """Selections for which nothing came in time: nobody waits for them again."""

        self._of_tests: dict[str, list[Held]] = {}
        self._kept: dict[tuple[str, str], Held] = {}

    # Hooks

    def pytest_runtest_logstart(self) -> None:
        """Forget the commands of the test before."""
        self._recorder.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the latest commands to the report of a test that failed."""
        report = yield
        if report.failed and (lines := self._recorder.lines()):
            report.sections.append((TITLE, "\n".join(lines)))
            self._recorder.clear()
        return report

    def pytest_unconfigure(self) -> None:
        """Give back all that is left; the client's end does that."""
        if self._client is not None:
            self._client.close()

    # Fixtures

    def client(self) -> Client:
        """Return the client, open; a test that cannot have one is skipped or fails."""
        with self._judged():
            return self._open()

    def card(self, request: pytest.FixtureRequest) -> Card:
        """Return the card of a test, its own or one that is kept for several."""
        node: pytest.Item = request.node
        with self._judged():
            want = wanted(self._run, node)
            place = _place(node, want.scope)
            if place is node:
                held = self._take(want, want.wait_s)
                self._of_tests.setdefault(node.nodeid, []).append(held)
                request.addfinalizer(lambda: self.give_back_all(node.nodeid))
                _note(node, [held], held.waited_s)
                return held.card
            return self._shared_by_tests(node, place, want)

    def cards(
        self, request: pytest.FixtureRequest, wants: Sequence[int | Mapping[str, Any]]
    ) -> list[Card]:
        """Return several cards, all of them or none, in the order of what is wanted."""
        node: pytest.Item = request.node
        if self._of_tests.get(node.nodeid):
            pytest.fail(
                "A test that has a card and waits for more may wait for another test that does "
                "the same; take all in one call, such as cards(2), and without `card`.",
                pytrace=False,
            )
        with self._judged():
            each = [want for some in wants for want in self._several(node, some)]
            begun = time.monotonic()
            held = self._gather(each)
            self._of_tests[node.nodeid] = held
            _note(node, held, time.monotonic() - begun)
            return [each.card for each in held]

    def give_back_all(self, nodeid: str) -> None:
        """Give back what a test has."""
        for held in self._of_tests.pop(nodeid, ()):
            held.give_back()

    # How cards are taken

    def _several(self, node: pytest.Item, some: int | Mapping[str, Any]) -> list[Want]:
        if isinstance(some, Mapping):
            return [wanted(self._run, node, some)]
        return [wanted(self._run, node)] * some

    def _shared_by_tests(self, node: pytest.Item, place: pytest.Item, want: Want) -> Card:
        key = place.nodeid, repr(want)
        held, waited_s = self._kept.get(key), 0.0
        if held is not None and held.over is not None:
            node.add_report_section("setup", "wsrc", f"Another card was taken: {held.over}")
            held = None
        if held is None:
            held = self._take(want, want.wait_s)
            waited_s = held.waited_s
            if key not in self._kept:
                place.addfinalizer(lambda: self._kept.pop(key).give_back())
            self._kept[key] = held
        _note(node, [held], waited_s)
        return held.card

    def _take(self, want: Want, wait_s: float, *, again: bool = False) -> Held:
        """
        Take one card; `again` says that it is waited for once more if it does not come.

        Raises:
            NoSuchCardError: If none was there in time.
            CardBusyError: If none was free in time.
        """
        client = self._open()
        if want.text in self._missing:
            wait_s = 0
        pick = Pick.ANY if want.share is Share.EXCLUSIVE else Pick.ONE
        begun = time.monotonic()
        try:
            card = client.select(wait_s=wait_s, pick=pick, share=want.share, **want.which)
        except NoSuchCardError as exc:
            if not again:
                self._missing.add(want.text)
            raise NoSuchCardError(f"Wanted: {want.text}. {exc}") from exc
        self._missing.discard(want.text)
        assert isinstance(card, Card)
        return Held(card, time.monotonic() - begun)

    def _gather(self, wants: Sequence[Want]) -> list[Held]:
        """
        Take several cards, all of them or none.

        Who has some and waits for the next does so for a short and random time, gives all back
        and begins again: of two tests that wait for each other, the first to lose patience lets
        the other, which waits in the server's queue, have what it wants. What did not come is
        waited for first the next time, while nothing is held.

        Raises as `_take`, when the longest of their waits is over.
        """
        order = list(range(len(wants)))
        until = time.monotonic() + max((want.wait_s for want in wants), default=0.0)
        patience_s = PATIENCE_S
        while True:
            held: dict[int, Held] = {}
            try:
                for index in order:
                    left_s = max(0.0, until - time.monotonic())
                    if held:
                        left_s = min(left_s, patience_s * random.uniform(0.3, 1.7))  # noqa: S311
                    held[index] = self._take(wants[index], left_s, again=bool(held))
            except BaseException as exc:
                for each in held.values():
                    each.give_back()
                if not isinstance(exc, _NONE_FREE) or not held:
                    raise
                if time.monotonic() >= until:
                    told = f"{len(wants)} cards were wanted at once; {len(held)} could be had."
                    raise CardBusyError(f"{told} {exc}") from exc
                order.insert(0, order.pop(len(held)))
            else:
                return [held[index] for index in range(len(wants))]
            patience_s = min(2 * patience_s, MOST_PATIENCE_S)

    # The client

    def _open(self) -> Client:
        """Return the client, open; one whose connection is lost for good is opened once more."""
        if self._unreached is not None:
            raise self._unreached
        try:
            if self._client is None:
                settings = settings_of(self._config)
                self._client = Recorded(settings, self._recorder)
            client = self._client.open()
        except WsrcError as exc:
            self._unreached = exc
            raise
        self._was_open = True
        return client

    @contextmanager
    def _judged(self) -> Generator[None]:
        """Skip a test that can have no card, or let it fail, as the run wants it."""
        try:
            yield
        except WrongWantError as exc:
            pytest.fail(str(exc), pytrace=False)
        except (NoSuchWantError, *_NONE_FREE) as exc:
            _end(f"There is no card for this test. {exc}", skips=self._run.skips_without_card)
        except RefusedError as exc:
            drained = exc.code is ErrorCode.DRAINING and self._run.skips_without_card
            _end(str(exc), skips=drained)
        except WsrcError as exc:
            skips = self._run.skips_without_server and self._is_absent(exc)
            _end(f"There is no WSRC server. {exc}" if skips else str(exc), skips=skips)

    def _is_absent(self, exc: WsrcError) -> bool:
        """Return whether nobody was there from the beginning, and not whether we are refused."""
        cause = exc.__cause__
        nobody = isinstance(cause, _NONE_THERE) and not isinstance(cause, ssl.SSLError)
        return isinstance(exc, ConnectionLostError) and nobody and not self._was_open


def _end(sentence: str, *, skips: bool) -> None:
    if skips:
        pytest.skip(sentence)
    pytest.fail(sentence, pytrace=False)


def _place(node: pytest.Item, scope: str) -> Any:
    """Return the node at whose end a card is given back."""
    kinds = {"class": pytest.Class, "module": pytest.Module, "session": pytest.Session}
    return node if scope == "function" else node.getparent(kinds[scope]) or node


def _note(node: pytest.Item, held: Sequence[Held], waited_s: float) -> None:
    """Say in the report of a test which cards it had, and how long it waited for them."""
    node.user_properties.extend((CARD, each.name) for each in held)
    node.user_properties.append((WAITED, f"{waited_s:.2f}"))
