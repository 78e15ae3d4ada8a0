# SPDX-License-Identifier: Apache-2.0
"""Waiting for cards of the system's PC/SC and for remote ones at the same time."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.pyscard.connection import RemoteReader
from wsrc.bridges.pyscard.service import Service
from wsrc.bridges.pyscard.types import (
    AbstractCardRequest,
    Card,
    CardRequestException,
    CardRequestTimeoutException,
    PcscException,
    SmartcardException,
    scard,
)

_CANCEL_S = 0.02
_CANCELS = 100

ReaderOf = Callable[[Seen], RemoteReader]


class RequestTimeoutException(CardRequestTimeoutException, CardRequestException):
    """No card came in time, which is one way for a request to fail."""


class MergedCardRequest(AbstractCardRequest):
    """
    Takes the place of `PCSCCardRequest`: the same for the readers of both worlds.

    Args:
        service: Where the remote readers are.
        reader_of: Returns the reader object for one of them.
        local: The class whose place it takes.
        asked: The arguments of that class.
    """

    def __init__(
        self,
        service: Service,
        reader_of: ReaderOf,
        local: Callable[..., Any],
        *asked: Any,
        **named: Any,
    ) -> None:
        AbstractCardRequest.__init__(self, *asked, **named)
        self._service = service
        self._reader_of = reader_of
        self._known: dict[bytes, Seen] | None = None
        self._local_cards: list[Any] = []
        self._local = self._make_local(local)

    def _make_local(self, local: Callable[..., Any]) -> Any:
        """Make the request to the system; None if none of its readers is asked or it is away."""
        asked = self.readersAsked
        if asked is not None:
            asked = [reader for reader in asked if not isinstance(reader, RemoteReader)]
            remote = {seen.name.decode() for seen in self._service.readers}
            asked = [reader for reader in asked if str(reader) not in remote]
            if not asked:
                return None
        with suppress(SmartcardException, PcscException):
            return local(
                self.newcardonly, asked, self.cardType, self.cardServiceClass, self.timeout
            )
        return None

    def release(self) -> None:
        """Release the system's PC/SC."""
        if self._local is not None:
            self._local.release()

    def waitforcard(self) -> Any:
        """
        Wait for a card that fits; return a card service for it.

        Raises:
            CardRequestTimeoutException: If none came in time.
        """
        before = {seen.name: seen for seen in self._present()} if self.newcardonly else {}

        def look() -> Any:
            for seen in self._present():
                old = before.get(seen.name)
                if old is not None and old.event_count == seen.event_count:
                    continue
                reader = self._reader_of(seen)
                fits = self.cardType.matches(list(seen.atr), reader)
                if fits and self.cardServiceClass.supports("dummy"):
                    return self.cardServiceClass(reader.connection_of_request())
            return None

        return self._wait(look, lambda local: local.waitforcard())

    def waitforcardevent(self) -> list[Any]:
        """
        Wait until a card comes or goes; return all cards that are there then.

        The first call returns at once if there is a reader.

        Raises:
            CardRequestTimeoutException: If nothing happened in time.
        """

        def look() -> list[Any] | None:
            there = {seen.name: seen for seen in self._readers()}
            known, self._known = self._known, there
            changed = bool(there) if known is None else _differ(known, there)
            return self._cards(there.values()) if changed else None

        def look_locally(local: Any) -> list[Any]:
            self._local_cards = local.waitforcardevent()
            return self._cards((self._known or {}).values())

        cards: list[Any] = self._wait(look, look_locally)
        return cards

    def _readers(self) -> list[Seen]:
        asked = self.readersAsked
        names = None if asked is None else {str(reader) for reader in asked}
        there = self._service.readers
        return [seen for seen in there if names is None or seen.name.decode() in names]

    def _present(self) -> list[Seen]:
        return [seen for seen in self._readers() if seen.present and not seen.mute]

    def _cards(self, there: Iterable[Seen]) -> list[Any]:
        remote = [Card(self._reader_of(seen), list(seen.atr)) for seen in there if seen.present]
        return [*self._local_cards, *remote]

    def _wait(self, look: Callable[[], Any], look_locally: Callable[[Any], Any]) -> Any:
        """Return what either finds first."""
        end = None if self.timeout is None else time.monotonic() + self.timeout
        version = self._service.version
        found = look()
        if found is not None:
            return found
        locally = _Locally(self._local, look_locally, self._service.wake)
        try:
            while True:
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise RequestTimeoutException(hresult=scard.SCARD_E_TIMEOUT)
                self._service.wait(version, left)
                version = self._service.version
                found = locally.found()
                if found is None:
                    found = look()
                if found is not None:
                    return found
        finally:
            locally.end()


class _Locally:
    """A wait for the system's PC/SC in a thread of its own."""

    def __init__(self, local: Any, look: Callable[[Any], Any], wake: Callable[[], None]) -> None:
        self._local = local
        self._look = look
        self._wake = wake
        self._found: Any = None
        self._thread = threading.Thread(target=self._run, name="wsrc-local-pcsc", daemon=True)
        if local is not None:
            self._thread.start()

    def found(self) -> Any:
        """Return what was found, if anything."""
        return self._found

    def end(self) -> None:
        """End the wait."""
        for _ in range(_CANCELS):
            if not self._thread.is_alive():
                return
            scard.SCardCancel(self._local.hcontext)
            self._thread.join(_CANCEL_S)

    def _run(self) -> None:
        try:
            self._found = self._look(self._local)
        except (SmartcardException, PcscException):
            # Out of time, cancelled, or without a service: the remote cards are waited for alone.
            return
        self._wake()


def _differ(before: dict[bytes, Seen], after: dict[bytes, Seen]) -> bool:
    """Return whether a card came, went or was changed for another."""

    def cards(seen: dict[bytes, Seen]) -> dict[bytes, int]:
        return {name: each.event_count for name, each in seen.items() if each.present}

    return cards(before) != cards(after)
