# SPDX-License-Identifier: Apache-2.0
"""
A remote card in a reader of the system's own pcscd, by way of the virtual reader driver vpcd.

The driver listens, we dial it. Both send a length of 2 octets, big-endian, and as many octets.
The driver speaks first, and asks for the ATR every 400 ms:

    length 1    00 power off, 01 power on, 02 reset (none is answered), 04 give the ATR
    otherwise   a TPDU or APDU as the application sent it, answered by the card's response

Only the last crosses the network.
"""

import socket
import threading
import time
from collections.abc import Callable

from wsrc.bridges.remote.roster import Roster
from wsrc.card.atr import read_atr
from wsrc.card.identity import shorten
from wsrc.card.slot import ResetKind
from wsrc.card.vpcd_line import receive
from wsrc.errors import BadApduError, SessionLostError, WsrcError
from wsrc.octets import from_wire
from wsrc.protocol.messages import CardInfo, CardState
from wsrc.user_client.blocking import Card
from wsrc.user_client.naming import CardKey, key_of, place

PORT = 0x8C7B
"""Port of the first slot in a stock configuration of vpcd."""

_NO_ATR = b"\x00"
_WRONG_LENGTH = b"\x67\x00"
_MAX_ANSWER_OCTETS = 0xFFFF

_DIAL_TIMEOUT_S = 5.0
_SILENCE_S = 60.0
_FIRST_RETRY_S, _LAST_RETRY_S = 0.05, 1.0
_EMPTY_S = 1.0
"""How long a slot stays empty at least, for pcscd to notice: it looks every 400 ms."""


class Contacts:
    """
    The contacts of a remote card: taken at the first command, reset no sooner than needed.

    A power cycle or a reset is carried out just before the next command, and only if the card ran
    one since the last; who takes a card gets it freshly reset.

    Args:
        roster: Where the card is.
        key: Its place.
        idle_s: How long the card stays ours after it was powered off.
    """

    def __init__(self, roster: Roster, key: CardKey, idle_s: float) -> None:
        self.own_lease: str | None = None
        self._roster = roster
        self._key = key
        self._idle_s = idle_s
        self._card: Card | None = None
        self._taking = False
        self._off_since: float | None = None
        self._used = False
        self._due: ResetKind | None = None

    @property
    def taken(self) -> bool:
        """Whether the card is ours, or about to be."""
        return self._card is not None or self._taking

    @property
    def atr(self) -> bytes:
        """ATR of the last reset; empty if the card is gone."""
        if self._card is not None:
            return self._card.atr
        info = self._roster.find(self._key)
        return bytes(from_wire(info.identities.atr)) if info is not None else b""

    def power_off(self, now: float) -> None:
        """Take the supply away."""
        self._off_since = now
        self._due = ResetKind.COLD

    def power_on(self) -> None:
        """Give the supply back."""
        self._off_since = None

    def reset(self) -> None:
        """Reset without taking the supply away."""
        self._due = self._due or ResetKind.WARM

    def transmit(self, octets: bytes) -> bytes:
        """
        Send what the application sent; give the card's answer with its status word.

        Raises:
            WsrcError: If the card cannot be had, or it or the way to it failed.
        """
        self._off_since = None
        card = self._ready()
        self._used = True
        try:
            answer = card.transmit(octets).encode()
        except BadApduError:
            return _WRONG_LENGTH
        return answer if len(answer) <= _MAX_ANSWER_OCTETS else _WRONG_LENGTH

    def rest(self, now: float) -> None:
        """Give the card back if it was powered off long enough ago."""
        if self._off_since is not None and now - self._off_since >= self._idle_s:
            self.let_go()

    def let_go(self) -> None:
        """Give the card back."""
        card, self._card = self._card, None
        if card is not None:
            card.detach()

    def hear(self, info: CardInfo) -> None:
        """Learn which lease of the card is ours."""
        if self.taken and info.lease is not None:
            self.own_lease = info.lease.since

    def _ready(self) -> Card:
        if self._card is not None and self._due is not None and self._used:
            self._carry_out(self._card, self._due)
        if self._card is None:
            self._take()
        assert self._card is not None
        self._due = None
        return self._card

    def _carry_out(self, card: Card, kind: ResetKind) -> None:
        try:
            card.reset(kind)
            self._used = False
        except SessionLostError:
            # What the card knew was to be forgotten anyway; taken again, it is as new.
            self._card = None

    def _take(self) -> None:
        info = self._roster.find(self._key)
        if info is None:
            raise SessionLostError("The card is gone.")
        self._taking = True
        try:
            self._card = self._roster.take(info, raw_tpdu=not _offers_t1(self.atr))
            self._used = False
        finally:
            self._taking = False


class VpcdSlot:
    """
    One slot of vpcd that follows the cards of a roster.

    The slot is empty while there is none and while another user or a program of its host holds it.
    After a fault it is empty for a second, so that programs see that what the card knew is lost.

    Args:
        roster: The cards; at most one of them is in the slot.
        host: Where pcscd runs.
        port: Port of the slot.
        idle_s: How long the card stays ours after pcscd powered it off.
        note: Called with a sentence when the slot is filled or emptied, and why.
    """

    def __init__(
        self, roster: Roster, host: str, port: int, idle_s: float, note: Callable[[str], None]
    ) -> None:
        self._roster = roster
        self._address = (host, port)
        self._idle_s = idle_s
        self._note = note
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._stopped = False
        self._contacts: Contacts | None = None
        self._key: CardKey | None = None
        self._socket: socket.socket | None = None
        self._unheard = False
        roster.listen(self._look)

    def run(self) -> None:
        """Serve until `stop`."""
        retry_s = _FIRST_RETRY_S
        while not self._stopped:
            self._news.clear()
            card = self._next_card()
            if card is None and not self._stopped:
                self._news.wait()
            if card is None:
                continue
            connection = self._dial()
            if connection is not None:
                retry_s = _FIRST_RETRY_S
                self._insert(connection, card)
            else:
                self._pause(retry_s)
                retry_s = min(2 * retry_s, _LAST_RETRY_S)

    def stop(self) -> None:
        """Take the card out and end `run`, from any thread, any number of times."""
        with self._lock:
            self._stopped = True
            _shut(self._socket)
        self._news.set()

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopped and (left := end - time.monotonic()) > 0:
            self._news.clear()
            self._news.wait(left)

    def _next_card(self) -> CardInfo | None:
        free = [c for c in self._roster.cards if c.state is CardState.READY and c.lease is None]
        return next((c for c in free if key_of(c) == self._key), free[0] if free else None)

    def _dial(self) -> socket.socket | None:
        try:
            connection = socket.create_connection(self._address, timeout=_DIAL_TIMEOUT_S)
        except OSError as exc:
            if not self._unheard:
                host, port = self._address
                why = exc.strerror or str(exc)
                self._note(
                    f"No slot at {host} port {port} ({why}): pcscd must run there, with the "
                    "driver vpcd. Trying again every second."
                )
            self._unheard = True
            return None
        self._unheard = False
        connection.settimeout(_SILENCE_S)
        return connection

    def _insert(self, connection: socket.socket, card: CardInfo) -> None:
        """Have a card in the slot until it goes, something fails, or pcscd ends."""
        self._key = key_of(card)
        contacts = Contacts(self._roster, self._key, self._idle_s)
        with connection:
            with self._lock:
                self._contacts, self._socket = contacts, connection
            self._look()
            self._note(f"In the slot: the card {_shortly(card)}.")
            why = self._serve(connection, contacts)
            with self._lock:
                self._contacts = self._socket = None
        self._note(f"The slot is empty: {why}")
        try:
            contacts.let_go()
        except WsrcError as exc:
            self._note(f"The card was not given back: {exc}")
        self._pause(_EMPTY_S)

    def _serve(self, connection: socket.socket, contacts: Contacts) -> str:
        """Answer the driver; give the reason why it ended."""
        try:
            while request := receive(connection):
                now = time.monotonic()
                answer = _answer(contacts, request, now)
                if answer:
                    connection.sendall(len(answer).to_bytes(2) + answer)
                contacts.rest(now)
        except WsrcError as exc:
            return str(exc)
        except OSError as exc:
            return f"pcscd does not answer ({exc.strerror or exc})."
        return self._reason() or "pcscd closed the connection."

    def _look(self) -> None:
        """Take the card out if it is no longer there for us."""
        with self._lock:
            if self._contacts is not None and self._key is not None:
                info = self._roster.find(self._key)
                if info is not None:
                    self._contacts.hear(info)
                if self._reason() is not None:
                    _shut(self._socket)
        self._news.set()

    def _reason(self) -> str | None:
        """Say why the card of the slot is not there for us; None if it is."""
        if self._stopped:
            return "the program ends."
        info = self._roster.find(self._key) if self._key is not None else None
        if info is None:
            fault = self._roster.fault
            return str(fault) if fault is not None else "the card was removed."
        if info.state in {CardState.MUTE, CardState.IN_USE}:
            return "another program on its host uses the card, or the card is mute."
        contacts = self._contacts
        ours = contacts is not None and (contacts.taken or _is_own(contacts, info))
        if info.lease is not None and not ours:
            return f"the card is held by {info.lease.holder}."
        return None


def _is_own(contacts: Contacts, info: CardInfo) -> bool:
    """Return whether a lease is the one that we just gave back."""
    return info.lease is not None and info.lease.since == contacts.own_lease


def _answer(contacts: Contacts, request: bytes, now: float) -> bytes:
    """Return what to answer; empty for nothing, since an empty answer would hang the driver."""
    if len(request) > 1:
        return contacts.transmit(request)
    match request[0]:
        case 0:
            contacts.power_off(now)
        case 1:
            contacts.power_on()
        case 2:
            contacts.reset()
        case 4:
            return contacts.atr or _NO_ATR
        case _:
            pass
    return b""


def _offers_t1(atr: bytes) -> bool:
    """
    Return whether pcscd runs T=1 with this card: it decides by the ATR and prefers T=1.

    A program on T=0 fetches responses itself and must find them there; on T=1 it must not see
    that the card's host runs T=0.
    """
    facts = read_atr(atr)
    return facts is not None and "T=1" in facts.protocols


def _shut(connection: socket.socket | None) -> None:
    if connection is None:
        return
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The driver was faster.
        return


def _shortly(card: CardInfo) -> str:
    """Name a card in what may be a log."""
    iccid = card.identities.iccid
    return f"{shorten(iccid) if iccid else 'without ICCID'} in reader {place(card)}"
