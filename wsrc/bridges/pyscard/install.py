# SPDX-License-Identifier: Apache-2.0
"""
Remote cards for programs that use pyscard, in the same process; no PC/SC service is needed.

    with wsrc.pyscard.install("wss://cards.example:4220", label="bench*"):
        for reader in smartcard.System.readers():
            ...

While it is installed, `readers`, `CardRequest`, `CardMonitor`, `ReaderMonitor`, `Session` and the
exclusive decorators know the remote cards besides the readers of the system.
"""

import atexit
import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self, Unpack, cast

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.pyscard.connection import RemoteCardConnection, RemoteReader, innermost
from wsrc.bridges.pyscard.request import MergedCardRequest
from wsrc.bridges.pyscard.service import Service
from wsrc.bridges.pyscard.types import (
    CardConnectionDecorator,
    CardRequest,
    ExclusiveConnectCardConnection,
    ExclusiveTransmitCardConnection,
    PcscException,
    ReaderFactory,
    ReaderGroups,
    ReadersOf,
    SmartcardException,
)
from wsrc.bridges.remote.cards import RemoteCards, clients
from wsrc.bridges.remote.one_card import OneCard, booked_by
from wsrc.card.pcsc_numbers import ShareMode
from wsrc.card.slot import Pick
from wsrc.errors import LocalProtocolError
from wsrc.settings.held import HeldSettings
from wsrc.settings.load import ARGUMENT, UserSettings, load
from wsrc.user_client.core import arguments
from wsrc.user_client.naming import Filters, alternatives

__all__ = ["Installation", "RemoteReader", "install"]

DEFAULT_GROUP = ("SCard$DefaultReaders",)
"""Groups that pcsc-lite has."""

EVERY_GROUP = frozenset({"SCard$AllReaders", *DEFAULT_GROUP})
"""Groups of which every reader is a member."""

_one = threading.Lock()
_installed: "Installation | None" = None


def install(  # noqa: PLR0913 - the settings of a user, each by its name
    server_url: str | None = None,
    *,
    ca: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
    name: str | None = None,
    timeout_s: float | None = None,
    read_ahead: bool | None = None,
    all_cards: bool = False,
    pick: Pick | Literal["one", "any"] = Pick.ONE,
    reservation: str | None = None,
    wait_s: float = 0.0,
    **which: Unpack[Filters],
) -> "Installation":
    """
    Make the remote cards known to pyscard, until `uninstall` or the end of `with`.

    What is not given is as in the settings of `wsrc`: its file, then the environment. Inside
    `wsrc take` the card that it holds is meant, unless the server is given.

    Args:
        server_url: URL of the server's port for users.
        ca: PEM file of the CA that signed the server's certificate.
        cert: PEM file of the certificate that says who we are, where the server asks for one.
        key: PEM file of its private key, not encrypted.
        name: What others are shown as the holder of a card.
        timeout_s: How long an answer may take.
        read_ahead: Whether cards are read ahead; see `aio.Client.select`.
        all_cards: Whether all cards of the server are meant, instead of those of `which`.
        pick: `any`: one reader has any free card of those that match, without `*`.
        reservation: Token of a reservation, in place of `which`: one reader has its card.
        wait_s: With either, how long to wait in turn while no card is free; the reader is empty.
        which: Which cards; all fields must hold, `*` stands for any text.

    Raises:
        ConfigError: If a setting cannot work.
        ConnectionLostError: If the server is not reached.
        RefusedError: If it refuses us, or there is no such reservation.
        LocalProtocolError: If it is installed already, or not said which cards are meant.
    """
    # Longer than the aim: each setting by its name, in three places.
    given = {
        "server_url": server_url,
        "tls_ca": ca,
        "tls_cert": cert,
        "tls_key": key,
        "name": name,
        "timeout_s": timeout_s,
        "read_ahead": read_ahead,
    }
    flags = {setting: value for setting, value in given.items() if value is not None}
    settings = load(UserSettings, os.environ, flags, source=ARGUMENT)
    source = _source(settings, which, pick, reservation, wait_s, all_cards=all_cards)
    with _one:
        if _installed is not None:
            raise LocalProtocolError("Remote cards are installed already; uninstall them first.")
        return Installation(Service(source))


def _source(  # noqa: PLR0913 - what `install` was given
    settings: UserSettings,
    which: Filters,
    pick: Pick | Literal["one", "any"],
    reservation: str | None,
    wait_s: float,
    *,
    all_cards: bool,
) -> RemoteCards:
    """Return the cards that are meant; see `install`."""
    tags = arguments.filters(which).get("tags")
    named = {kind: (text,) for kind, text in which.items() if isinstance(text, str)}
    inside = isinstance(settings, HeldSettings) and not named and not tags
    picks = arguments.member(pick, Pick, "pick") is Pick.ANY
    wishes = [bool(named or tags), all_cards or inside, reservation is not None]
    if (picks and all_cards) or sum(wishes) > 1 or not (picks or any(wishes)):
        raise LocalProtocolError(
            "Say which cards, by iccid, eid, atr, reader, label, any or tags, or by a reservation; "
            "or all_cards=True for all."
        )
    if picks or reservation is not None:
        booked = None if reservation is None else booked_by(settings, reservation)
        limit_s = arguments.number(wait_s, "wait_s")
        return OneCard(clients(settings), which, _silent, booked, limit_s)
    if wait_s:
        raise LocalProtocolError("wait_s needs pick='any' or a reservation.")
    return RemoteCards(clients(settings), alternatives(named, tags), _silent)


def _silent(_: str) -> None:
    """Tell nobody what becomes of the connection."""


class Installation:
    """What `install` did, and the way back."""

    def __init__(self, service: Service) -> None:
        global _installed  # noqa: PLW0603 - pyscard's own state is as global
        self._service = service
        self._groups: dict[str, set[str]] = {}
        self._wrapped: dict[ReadersOf, ReadersOf] = {}
        self._replaced: list[tuple[Any, str, Any]] = []
        self._add_readers()
        local = CardRequest.PCSCCardRequest
        merged = functools.partial(MergedCardRequest, service, self._reader_of, local)
        self._replace(CardRequest, "PCSCCardRequest", lambda _: merged)
        self._replace(ReaderGroups, "getreadergroups", _surviving_groups)
        self._replace(ExclusiveConnectCardConnection, "connect", _unless_remote(_connect))
        exclusive: Any = ExclusiveTransmitCardConnection
        self._replace(exclusive, "lock", _unless_remote(_lock))
        self._replace(exclusive, "unlock", _unless_remote(_unlock))
        self._replace(exclusive, "transmit", _unless_remote(_transmit))
        RemoteReader.Factory.make = self.reader
        atexit.register(self.uninstall)
        _installed = self

    def __enter__(self) -> Self:
        """Return itself: it is installed already."""
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def uninstall(self) -> None:
        """Restore pyscard as it was, and give all cards back; it may be called again."""
        global _installed  # noqa: PLW0603 - see above
        if _installed is self:
            _installed = None
            RemoteReader.Factory.make = None
            methods = ReaderFactory.factorymethods
            methods[:] = [self._wrapped.get(m, m) for m in methods if m != self.readers]
            for owner, attribute, was in reversed(self._replaced):
                setattr(owner, attribute, was)
        atexit.unregister(self.uninstall)
        self._service.close()

    def readers(self, groups: Any = None) -> list[Any]:
        """Return the remote readers, or those in any of some groups."""
        asked = {groups} if isinstance(groups, str) else set(groups or ())
        there = [self._reader_of(seen) for seen in self._service.readers]
        if not asked or asked & EVERY_GROUP:
            return there
        members = set[str]().union(*(self._groups.get(group, ()) for group in asked))
        return [reader for reader in there if reader.name in members]

    def reader(self, name: str) -> RemoteReader:
        """Return the reader of that name, whether it is there or not."""
        return RemoteReader(name, self._service, self._groups)

    def _reader_of(self, seen: Seen) -> RemoteReader:
        return self.reader(seen.name.decode())

    def _add_readers(self) -> None:
        methods = ReaderFactory.factorymethods
        self._wrapped = {_surviving(method): method for method in methods}
        methods[:] = [*self._wrapped, self.readers]

    def _replace(self, owner: Any, attribute: str, make: Callable[[Any], Any]) -> None:
        was: Any = cast("dict[str, Any]", vars(owner))[attribute]
        self._replaced.append((owner, attribute, was))
        setattr(owner, attribute, make(was))


def _surviving(method: ReadersOf) -> ReadersOf:
    """Make readers whose service is away an empty list, so that they do not hide the others."""

    @functools.wraps(method)
    def readers(groups: Any = None) -> list[Any]:
        try:
            return method(groups)
        except (PcscException, SmartcardException):
            return []

    return readers


def _surviving_groups(method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let the system have the group that it always has, where its service is away."""

    @functools.wraps(method)
    def groups(self: Any) -> Any:
        try:
            return method(self)
        except (PcscException, SmartcardException):
            return list(DEFAULT_GROUP)

    return groups


def _unless_remote(remotely: Callable[..., Any]) -> Callable[[Any], Any]:
    """
    Return what makes a method of a decorator one for both worlds.

    Args:
        remotely: Takes its place where a remote connection is inside, which is its first argument.
    """

    def make(was: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(was)
        def method(self: Any, *given: Any, **named: Any) -> Any:
            remote = innermost(self)
            if remote is None:
                return was(self, *given, **named)
            return remotely(remote, self, *given, **named)

        return method

    return make


def _connect(
    _: Any, self: Any, protocol: Any = None, mode: Any = None, disposition: Any = None
) -> None:
    del mode
    CardConnectionDecorator.connect(self, protocol, int(ShareMode.EXCLUSIVE), disposition)


def _lock(remote: RemoteCardConnection, _: Any) -> None:
    remote.lock()


def _unlock(remote: RemoteCardConnection, _: Any) -> None:
    remote.unlock()


def _transmit(
    remote: RemoteCardConnection, self: Any, command: list[int], protocol: Any = None
) -> Any:
    """Send a command in a transaction of its own."""
    remote.lock()
    try:
        return CardConnectionDecorator.transmit(self, command, protocol)
    finally:
        remote.unlock()
