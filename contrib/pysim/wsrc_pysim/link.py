# SPDX-License-Identifier: GPL-2.0-or-later
"""The reader: pySim's `LinkBase` on the blocking client of WSRC."""

import argparse
import os
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pySim.exceptions import NoCardError, ProtocolError, ReaderError
from pySim.transport import LinkBase

from wsrc.blocking import Card, Client, Filters, ReaderSnapshot, ReaderView
from wsrc.card.slot import Pick, SlotState
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
from wsrc.settings.held import HeldSettings, held_file
from wsrc.settings.load import UserSettings, load
from wsrc.user_client.naming import exactly, reserved

_WHICH = {
    "iccid": "ICCID of the card, with or without check digit",
    "eid": "EID of the card",
    "reader": "id or name of the reader of the card",
    "label": "label that its host gives the card",
    "card": "any of these, or the ATR",
}
"""What a card is chosen by: the options `--wsrc-…`, and what each is."""

_LONGEST_WAIT_S = 3600.0
"""How long the server is asked to let us wait at a time."""


_TOKEN = "WSRC_RESERVATION"  # noqa: S105 - the name of a variable
"""Variable that has the token of a reservation."""

_OTHERS = "pcsc_dev", "pcsc_regex", "modem_dev", "osmocon_sock"
"""What pySim calls its options for other readers, but for that which has a default."""

_OLD_ATR = not hasattr(LinkBase, "get_atr")
"""Whether this pySim is one that has an ATR as a list of numbers, not as a text."""


class NoReaderError(ReaderError):
    """The reader cannot be opened, for a reason that the person in front of it can mend."""


class WsrcLink(LinkBase):
    """
    A card behind a WSRC server; taken by `connect`, given back by `disconnect`.

    Args:
        opts: Has `wsrc_iccid` and the like, `wsrc_any`, `wsrc_reservation`, `wsrc_server_url`,
            `wsrc_ca`, `wsrc_read_ahead`.
        kwargs: Those of `LinkBase`.

    Raises:
        NoReaderError: If no card is named, a setting is wrong or the server is not reached.
    """

    name = "WSRC"

    def __init__(self, opts: argparse.Namespace, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._card: Card | None = None
        try:
            self._settings = load(UserSettings, os.environ, _flags(opts))
            self._hold = _hold(opts)
            self._which = _which(opts, self._settings)
            self._client = self._open_client()
        except WsrcError as exc:
            raise NoReaderError(str(exc)) from exc

    def __str__(self) -> str:
        """Name the card and the server."""
        tags = [f"TAG {key}={value}" for key, value in (self._which.get("tags") or {}).items()]
        names = {kind: "card" if kind == "any" else kind for kind in self._which if kind != "tags"}
        how = ["a reservation"] if "reservation" in self._hold else ["any"] if self._hold else []
        named = ", ".join([*how, *(f"{names[k].upper()} {self._which[k]}" for k in names), *tags])
        return f"WSRC[{named} at {self._settings.server_url}]"

    @staticmethod
    def argparse_add_reader_args(arg_parser: argparse.ArgumentParser) -> None:
        """
        Add the options of this reader.

        They take the place of those of a pySim that has some of these names itself, such as one
        whose ICCIDs must have an even number of digits.
        """
        group = arg_parser.add_argument_group(
            "WSRC",
            "Use a card that is somewhere else, behind a WSRC server.",
            conflict_handler="resolve",
        )
        options: dict[str, dict[str, Any]] = {
            name: {"metavar": name.upper(), "help": text} for name, text in _WHICH.items()
        }
        options["any"] = {
            "action": "store_true",
            "help": "any free card that matches, which is the same until pySim ends",
        }
        options["reservation"] = {
            "metavar": "TOKEN",
            "help": "token of a reservation (default: that of WSRC_RESERVATION)",
        }
        options["tag"] = {
            "metavar": "KEY=VALUE",
            "action": "append",
            "help": "tag of the card; may be given several times",
        }
        options["server-url"] = {
            "metavar": "URL",
            "help": "URL of the server's port for users (default: that of the settings of wsrc)",
        }
        options["ca"] = {
            "metavar": "FILE",
            "type": Path,
            "help": "PEM file of the CA that signed the server's certificate",
        }
        options["read-ahead"] = {
            "action": "store_true",
            "default": None,
            "help": "have the card's host read ahead what is asked next",
        }
        for name, details in options.items():
            group.add_argument(f"--wsrc-{name}", **details)

    @staticmethod
    def is_wanted(opts: argparse.Namespace) -> bool:
        """
        Return whether any option of this reader is given, or none of another where a card is meant.

        It is inside `wsrc take`, and where WSRC_RESERVATION is set.
        """
        if _given(opts) or _flags(opts):
            return True
        if getattr(opts, "wsrc_any", False) or getattr(opts, "wsrc_reservation", None):
            return True
        meant = held_file(os.environ) is not None or bool(os.environ.get(_TOKEN))
        return meant and all(getattr(opts, name, None) is None for name in _OTHERS)

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

    def get_atr(self) -> str | list[int]:
        """Return the ATR, in hexadecimal or as the numbers that an older pySim takes."""
        atr = self._connected().atr
        return list(atr) if _OLD_ATR else atr.hex()

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
            card = self._client.select(wait_s=wait_s, **self._hold, **self._which)
        except ConnectionLostError:
            self._client.close()
            self._client = self._open_client()
            card = self._client.select(wait_s=wait_s, **self._hold, **self._which)
        if self._hold.get("pick") is Pick.ANY and (again := exactly(card.info)):
            self._hold, self._which = {}, again
        return card

    def _watched(self, client: Client) -> Filters:
        """Return which cards are waited for: of a reservation the one that it is for."""
        token = self._hold.get("reservation")
        found = client.reservations(token=token) if token is not None else ()
        return reserved(found[0]) if found else self._which

    def _open_client(self) -> Client:
        return Client.from_settings(self._settings).open()

    def _connected(self) -> Card:
        if self._card is None:
            raise NoCardError("Not connected to a card.")
        return self._card

    def _wait_for_insertion(self, end: float) -> None:
        """Return when a card that matches was put in; `end` is a monotonic time."""
        left = end - time.monotonic()
        client, over = Client.from_settings(self._settings), threading.Event()
        try:
            with client, ExitStack() as stack:
                if left != float("inf"):
                    timer = threading.Timer(max(left, 0.0), _give_up, (client, over))
                    stack.callback(timer.join)
                    stack.callback(timer.cancel)
                    timer.start()
                _insertion(client, self._watched(client))
        except WsrcError as exc:
            if over.is_set():
                raise NoCardError("No card was put in in time.") from exc
            raise _translated(exc) from exc


def _insertion(client: Client, which: Filters) -> None:
    """Return when a card was put in; one that was out of reach and is back was not."""
    before: dict[tuple[str, str], ReaderView] | None = None
    for news in client.watch_readers(**which):
        views = news.readers if isinstance(news, ReaderSnapshot) else (news.reader,)
        if before is None:
            before = {(view.host, view.reader): view for view in views}
            continue
        if any(_is_put_in(before.get((view.host, view.reader)), view) for view in views):
            return
        before |= {(view.host, view.reader): view for view in views}


def _is_put_in(before: ReaderView | None, now: ReaderView) -> bool:
    """Return whether there is a card that was not in the reader before."""
    if now.card_state is None or (before and before.state is SlotState.UNAVAILABLE):
        return False
    return before is None or before.card_state is None or now.insertion > before.insertion


def _give_up(client: Client, over: threading.Event) -> None:
    over.set()
    client.close()


def _given(opts: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(opts, f"wsrc_{name}", None) for name in _WHICH}
    which = {"any" if name == "card" else name: value for name, value in given.items() if value}
    tags = [text.partition("=") for text in getattr(opts, "wsrc_tag", None) or ()]
    return which | ({"tags": {key: value for key, _, value in tags}} if tags else {})


def _hold(opts: argparse.Namespace) -> dict[str, Any]:
    """Return which of several cards is taken, or by which reservation, if that is said."""
    token = getattr(opts, "wsrc_reservation", None) or os.environ.get(_TOKEN)
    if token:
        return {"reservation": token}
    return {"pick": Pick.ANY} if getattr(opts, "wsrc_any", False) else {}


def _which(opts: argparse.Namespace, settings: UserSettings) -> Filters:
    given = _given(opts)
    hold = _hold(opts)
    if hold and (given or not isinstance(settings, HeldSettings)):
        return Filters(**given)
    if not given and isinstance(settings, HeldSettings):
        return Filters(reader=settings.held_reader)
    if not given:
        options = [f"--wsrc-{name}" for name in (*_WHICH, "tag", "reservation", "any")]
        raise NoReaderError(f"Say which card, with {', '.join(options[:-1])} or {options[-1]}.")
    return Filters(**given)


def _flags(opts: argparse.Namespace) -> dict[str, Any]:
    given = {
        "server_url": getattr(opts, "wsrc_server_url", None),
        "tls_ca": getattr(opts, "wsrc_ca", None),
        "read_ahead": getattr(opts, "wsrc_read_ahead", None),
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
