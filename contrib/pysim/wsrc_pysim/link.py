# SPDX-License-Identifier: GPL-2.0-or-later
"""The reader: pySim's `LinkBase` on the blocking client of WSRC."""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pySim.exceptions import NoCardError, ProtocolError, ReaderError
from pySim.transport import LinkBase

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards, clients
from wsrc.errors import (
    CardBusyError,
    CardError,
    CardNotPresentError,
    ConnectionLostError,
    ErrorCode,
    NoSuchCardError,
    SessionError,
    SessionLostError,
    WsrcError,
)
from wsrc.settings.load import UserSettings, load
from wsrc.user_client.blocking import Card, Client
from wsrc.user_client.client_options import client_options
from wsrc.user_client.naming import Filters, alternatives
from wsrc.user_client.portal import Portal

_LONGEST_WAIT_S = 3600.0
"""How long the server is asked to let us wait at a time."""


class WsrcLink(LinkBase):
    """
    A card behind a WSRC server; taken by `connect`, given back by `disconnect`.

    Args:
        opts: Has `wsrc_eid`, `wsrc_iccid`, `wsrc_server_url` and `wsrc_ca`.
        kwargs: Those of `LinkBase`.

    Raises:
        ReaderError: If no card is named, a setting is wrong or the server is not reached.
    """

    name = "WSRC"

    def __init__(self, opts: argparse.Namespace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._card: Card | None = None
        self._which = _which(opts)
        try:
            self._settings = load(UserSettings, os.environ, _flags(opts))
            self._client = self._open_client()
        except WsrcError as exc:
            raise ReaderError(str(exc)) from exc

    def __str__(self) -> str:
        """Name the card and the server."""
        named = ", ".join(f"{kind.upper()} {value}" for kind, value in self._which.items())
        return f"WSRC[{named} at {self._settings.server_url}]"

    @staticmethod
    def argparse_add_reader_args(arg_parser: argparse.ArgumentParser) -> None:
        """Add the options of this reader."""
        group = arg_parser.add_argument_group(
            "WSRC", "Use a card that is somewhere else, behind a WSRC server."
        )
        group.add_argument("--wsrc-eid", metavar="EID", help="EID of the card")
        group.add_argument(
            "--wsrc-iccid", metavar="ICCID", help="ICCID of the card, with or without check digit"
        )
        group.add_argument(
            "--wsrc-server-url",
            metavar="URL",
            help="URL of the server's port for users (default: that of the settings of wsrc)",
        )
        group.add_argument(
            "--wsrc-ca",
            metavar="FILE",
            type=Path,
            help="PEM file of the CA that signed the server's certificate",
        )

    @staticmethod
    def is_wanted(opts: argparse.Namespace) -> bool:
        """Return whether the options name a card."""
        return bool(getattr(opts, "wsrc_eid", None) or getattr(opts, "wsrc_iccid", None))

    def wait_for_card(self, timeout: int | None = None, newcardonly: bool = False) -> None:
        """
        Wait for the card and connect to it.

        Args:
            timeout: Seconds; None waits for ever.
            newcardonly: Wait until the card is put in, though it is there.

        Raises:
            NoCardError: If it did not come in time.
            ReaderError: If the server is lost, or several cards match.
        """
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        if newcardonly:
            self.disconnect()
            self._wait_for_insertion(end)
        while True:
            left = max(end - time.monotonic(), 0.0)
            try:
                self._take(min(left, _LONGEST_WAIT_S))
            except (NoSuchCardError, CardBusyError, CardNotPresentError) as exc:
                if left <= _LONGEST_WAIT_S:
                    raise NoCardError(str(exc)) from exc
            except WsrcError as exc:
                raise _translated(exc) from exc
            else:
                return

    def connect(self) -> None:
        """
        Take the card freshly reset, or reset it if it is ours; connect to the server if need be.

        Raises:
            NoCardError: If it is not there.
            ProtocolError: If it fails, or another user holds it.
            ReaderError: If the server is lost.
        """
        try:
            self._take(0.0)
        except WsrcError as exc:
            raise _translated(exc) from exc

    def get_atr(self) -> str:
        """Return the ATR in hexadecimal."""
        return self._connected().atr.hex()

    def disconnect(self) -> None:
        """Give the card back."""
        card, self._card = self._card, None
        if card is not None:
            with suppress(WsrcError):
                card.detach()

    def _reset_card(self) -> int:
        """Cold reset the card."""
        self.connect()
        return 1

    def _send_apdu(self, apdu: str) -> tuple[str, str]:
        """Send a command APDU; give data and status word of the whole response."""
        try:
            response = self._connected().transmit(bytes.fromhex(apdu))
        except (WsrcError, ValueError) as exc:
            raise _translated(exc) from exc
        return response.data.hex(), f"{response.sw:04x}"

    _send_apdu_raw = _send_apdu
    """What earlier versions of pySim call."""

    def close(self) -> None:
        """Give the card back and end the connection to the server."""
        self._card = None
        self._client.close()

    def __del__(self) -> None:
        """Give the card back when pySim forgets the reader."""
        if hasattr(self, "_client"):
            with suppress(WsrcError):
                self.close()

    def _take(self, wait_s: float) -> None:
        if self._card is not None:
            try:
                self._card.reset()
            except (ConnectionLostError, SessionError, CardError):
                self.disconnect()
            else:
                return
        self._card = self._select(wait_s)

    def _select(self, wait_s: float) -> Card:
        try:
            return self._client.select(wait_s=wait_s, **self._which)
        except ConnectionLostError:
            self._client.close()
        self._client = self._open_client()
        return self._client.select(wait_s=wait_s, **self._which)

    def _open_client(self) -> Client:
        return Client(**client_options(self._settings)).__enter__()

    def _connected(self) -> Card:
        if self._card is None:
            raise NoCardError("Not connected to a card.")
        return self._card

    def _wait_for_insertion(self, end: float) -> None:
        """Return when a card that matches was put in; `end` is a monotonic time."""
        kinds = {kind: [value] for kind, value in self._which.items() if isinstance(value, str)}
        cards = RemoteCards(clients(self._settings), alternatives(kinds), lambda _: None)
        portal = Portal()
        try:
            portal.call(_insertion(cards, end))
        except TimeoutError:
            raise NoCardError("No card was put in in time.") from None
        except WsrcError as exc:
            raise _translated(exc) from exc
        finally:
            portal.stop()


async def _insertion(cards: RemoteCards, end: float) -> None:
    """Return when a card was put in; one that was out of reach and is back was not."""
    put_in = asyncio.Event()
    before: dict[bytes, Seen] | None = None

    def look(seen: Sequence[Seen]) -> None:
        nonlocal before
        if before is not None and any(_is_put_in(before.get(each.name), each) for each in seen):
            put_in.set()
        before = {each.name: each for each in seen}

    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(cards.run(look))
            await cards.begun()
            before = before or {}
            left_s = None if end == float("inf") else max(end - time.monotonic(), 0.0)
            async with asyncio.timeout(left_s):
                await put_in.wait()
            watching.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def _is_put_in(before: Seen | None, now: Seen) -> bool:
    """Return whether a card is in a reader that was not in it before."""
    counted = before.event_count if before is not None else 0
    return now.present and now.event_count > counted and not (before and before.unavailable)


def _which(opts: argparse.Namespace) -> Filters:
    which: Filters = {}
    if getattr(opts, "wsrc_eid", None):
        which["eid"] = opts.wsrc_eid
    if getattr(opts, "wsrc_iccid", None):
        which["iccid"] = opts.wsrc_iccid
    if not which:
        raise ReaderError("Say which card, with --wsrc-eid or --wsrc-iccid.")
    return which


def _flags(opts: argparse.Namespace) -> dict[str, Any]:
    given = {
        "server_url": getattr(opts, "wsrc_server_url", None),
        "tls_ca": getattr(opts, "wsrc_ca", None),
    }
    return {name: value for name, value in given.items() if value is not None}


def _translated(exc: Exception) -> Exception:
    match exc:
        case NoSuchCardError() | CardNotPresentError():
            return NoCardError(str(exc))
        case SessionLostError(code=ErrorCode.CONNECTION_LOST):
            return ReaderError(str(exc))
        case CardError() | CardBusyError() | SessionLostError() | ValueError():
            return ProtocolError(str(exc))
        case _:
            return ReaderError(str(exc))
