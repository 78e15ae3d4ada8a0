# SPDX-License-Identifier: Apache-2.0
"""
A remote card in a reader of the system's own pcscd, by way of the virtual reader driver vpcd.

The driver listens, we dial it. Both send a length of 2 octets, big-endian, and as many octets.
The driver speaks first, and asks for the ATR every 400 ms:

    length 1    00 power off, 01 power on, 02 reset (none is answered), 04 give the ATR
    otherwise   a TPDU or APDU as the application sent it, answered by the card's response

Only the last crosses the network.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence

from wsrc.bridges.pcscd.source import Seen
from wsrc.bridges.remote.cards import RemoteCards
from wsrc.bridges.remote.session import RemoteSession
from wsrc.bridges.remote.shelf import Place
from wsrc.card.atr import read_atr
from wsrc.card.identity import shorten
from wsrc.card.slot import ResetKind
from wsrc.errors import BadApduError, SessionLostError, WsrcError
from wsrc.octets import from_wire
from wsrc.protocol.messages import CardInfo, CardState
from wsrc.user_client.naming import place as place_of

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
    one since the last; whoever takes a card gets it freshly reset.

    Args:
        cards: Where the card is taken from.
        place: The reader that it is in.
        idle_s: How long the card stays ours after it was powered off.
    """

    def __init__(self, cards: RemoteCards, place: Place, idle_s: float) -> None:
        self._cards = cards
        self._place = place
        self._idle_s = idle_s
        self._session: RemoteSession | None = None
        self._off_since: float | None = None
        self._used = False
        self._due: ResetKind | None = None

    @property
    def atr(self) -> bytes:
        """ATR of the last reset; empty where it is not known."""
        if self._session is not None:
            return self._session.atr
        return bytes(from_wire(self._place.card.identities.atr))

    def power_off(self, now: float) -> None:
        """Take the supply away."""
        self._off_since = now
        self._due = ResetKind.COLD

    def power_on(self) -> None:
        """Restore the supply."""
        self._off_since = None

    def reset(self) -> None:
        """Reset without taking the supply away."""
        self._due = self._due or ResetKind.WARM

    async def transmit(self, octets: bytes) -> bytes:
        """
        Send what the application sent; return the card's answer with its status word.

        Raises:
            WsrcError: If the card cannot be had, or it or the way to it failed.
        """
        self._off_since = None
        session = await self._ready()
        self._used = True
        try:
            answer = await session.transmit(octets)
        except BadApduError:
            return _WRONG_LENGTH
        return answer if len(answer) <= _MAX_ANSWER_OCTETS else _WRONG_LENGTH

    async def rest(self, now: float) -> None:
        """Give the card back if it was powered off long enough ago."""
        if self._off_since is not None and now - self._off_since >= self._idle_s:
            await self.let_go()

    async def let_go(self) -> None:
        """Give the card back."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ready(self) -> RemoteSession:
        if self._session is not None and self._due is not None and self._used:
            await self._carry_out(self._session, self._due)
        if self._session is None:
            if not (self._place.seen.present or self._place.returning):
                raise SessionLostError("The card is gone.")
            raw_tpdu = not _offers_t1(self.atr)
            session = await self._cards.open(self._place.seen.name, raw_tpdu=raw_tpdu)
            if session.place is not self._place:  # pcscd has the ATR of the one before
                await session.close()
                raise SessionLostError("Another card is given in its place.")
            self._session = session
            # This tells its place as well; programs learn it from the next command.
            self._session.when_over(lambda _: None)
            self._used = False
        self._due = None
        return self._session

    async def _carry_out(self, session: RemoteSession, kind: ResetKind) -> None:
        try:
            await session.reset(kind)
            self._used = False
        except SessionLostError:
            # What the card knew was to be forgotten anyway; taken again, it is as new.
            self._session = None


class VpcdSlot:
    """
    One slot of vpcd that follows remote cards, of which at most one is in it.

    The slot is empty while there is none and while another user or a program of its host holds it.
    After a fault it is empty for a second, so that programs see that what the card knew is lost.
    A card that pcscd has already is never in it, nor is the card of the slot where a card client
    of the same host offers that once more.

    Args:
        cards: Whoever runs them reports changes to `look`.
        address: Where pcscd runs, and the port of the slot.
        idle_s: How long the card stays ours after pcscd powered it off.
        note: Called with a sentence when the slot is filled or emptied, and why.
        is_own: Returns whether the reader of a card is one of that pcscd; None where nobody knows.
    """

    def __init__(
        self,
        cards: RemoteCards,
        address: tuple[str, int],
        idle_s: float,
        note: Callable[[str], None],
        *,
        is_own: Callable[[CardInfo], bool] | None = None,
    ) -> None:
        self._cards = cards
        self._address = address
        self._idle_s = idle_s
        self._note = note
        self._news = asyncio.Event()
        self._place: Place | None = None
        self._line: _Line | None = None
        self._unheard = False
        self._is_own = is_own
        self._own: dict[tuple[str, str], bool] = {}
        """Readers, and whether they are of that pcscd; it is asked once for each."""

    @property
    def places(self) -> list[Place]:
        """The readers whose cards may be in the slot."""
        return [place for place in self._cards.places if not self._leaves_out(place)]

    async def run(self) -> None:
        """Serve until cancelled; the card is not given back then, but with its connection."""
        retry_s = _FIRST_RETRY_S
        while True:
            place = await self._next_place()
            line = await self._dial()
            if line is not None:
                retry_s = _FIRST_RETRY_S
                await self._insert(line, place)
            else:
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, _LAST_RETRY_S)

    def look(self, _: Sequence[Seen]) -> None:
        """Take the card out if it is no longer there for us, and say which are left out."""
        for place in self._cards.places:
            self._leaves_out(place)
        if self._line is not None and self._reason() is not None:
            self._line.close()
        self._news.set()

    async def _next_place(self) -> Place:
        while True:
            self._news.clear()
            free = [each for each in self.places if each.seen.present and not _use_of(each)]
            if free:
                return self._place if self._place in free else free[0]
            await self._news.wait()

    def _leaves_out(self, place: Place) -> bool:
        """Return whether pcscd has the card itself; say so once."""
        known = self._own.get(place.where)
        if known is None and self._is_own is not None:
            known = self._own[place.where] = self._is_own(place.card)
            if known:
                reader = place.card.reader_name
                self._note(
                    f"Left out: the card {_shortly(place.card)}, which is this host itself. Its "
                    "programs have the card there; if that reader is the slot, leave it out of "
                    f"the card client, with --reader-exclude '{reader}'."
                )
        return bool(known)

    async def _dial(self) -> "_Line | None":
        host, port = self._address
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                line = _Line(*await asyncio.open_connection(host, port))
        except OSError as exc:
            if not self._unheard:
                why = exc.strerror or str(exc)
                self._note(
                    f"No slot at {host} port {port} ({why}): pcscd must run there, with the "
                    "driver vpcd. Trying again every second."
                )
            self._unheard = True
            return None
        self._unheard = False
        return line

    async def _insert(self, line: "_Line", place: Place) -> None:
        """Keep a card in the slot until it goes, something fails, or pcscd ends."""
        contacts = Contacts(self._cards, place, self._idle_s)
        self._place, self._line = place, line
        try:
            self.look(())
            self._note(f"In the slot: the card {_shortly(place.card)}.")
            why = await self._serve(line, contacts)
        finally:
            self._line = None
            line.close()
        self._note(f"The slot is empty: {why}")
        await contacts.let_go()
        await asyncio.sleep(_EMPTY_S)

    async def _serve(self, line: "_Line", contacts: Contacts) -> str:
        """Answer the driver; return the reason why it ended."""
        now = asyncio.get_running_loop().time
        try:
            while request := await line.receive():
                answer = await _answer(contacts, request, now())
                if answer:
                    await line.send(answer)
                await contacts.rest(now())
        except WsrcError as exc:
            return str(exc)
        except OSError as exc:
            return (
                self._reason()
                or f"pcscd does not answer ({exc.strerror or str(exc) or 'it is silent'})."
            )
        return self._reason() or "pcscd closed the connection."

    def _reason(self) -> str | None:
        """Return why the card of the slot is not there for us; None if it is."""
        place = self._place
        if place is None or place.returning:
            return None
        if place.seen.unavailable:
            return str(
                self._cards.trouble or "the card is out of reach: its host or its reader is."
            )
        if not place.seen.present:
            return "the card was removed."
        return _use_of(place)


class _Line:
    """
    The connection to the driver.

    Its octets are acknowledged at once, where the system can: the driver sends length and octets
    apart, and its kernel holds the second back until the first is acknowledged, which is 40 ms for
    each command otherwise.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes:
        """
        Return the next request; empty at the end of the connection.

        Raises:
            OSError: If the connection fails, or nothing comes for too long.
        """
        try:
            async with asyncio.timeout(_SILENCE_S):
                return await self._read(int.from_bytes(await self._read(2)))
        except asyncio.IncompleteReadError:
            return b""

    async def send(self, answer: bytes) -> None:
        """
        Send an answer.

        Raises:
            OSError: If the connection fails, or the driver does not take it in time.
        """
        self._writer.write(len(answer).to_bytes(2) + answer)
        async with asyncio.timeout(_SILENCE_S):
            await self._writer.drain()

    def close(self) -> None:
        """End the connection, from any place, any number of times."""
        self._writer.close()

    async def _read(self, octets: int) -> bytes:
        option = getattr(socket, "TCP_QUICKACK", None)
        if option is not None and not self._writer.is_closing():
            self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, 1)
        return await self._reader.readexactly(octets)


async def _answer(contacts: Contacts, request: bytes, now: float) -> bytes:
    """Return what to answer; empty for nothing, since an empty answer would hang the driver."""
    if len(request) > 1:
        return await contacts.transmit(request)
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


def _use_of(place: Place) -> str | None:
    """Return how others use the card, so that it is not there for us; None if they do not."""
    if place.seen.mute or place.card.state is CardState.IN_USE:
        return "another program on its host uses the card, or the card is mute."
    if place.seen.others:
        return f"the card is held by {place.others[0].holder}."
    return None


def _offers_t1(atr: bytes) -> bool:
    """
    Return whether pcscd runs T=1 with this card: it decides by the ATR and prefers T=1.

    A program on T=0 fetches responses itself and must find them there; on T=1 it must not see
    that the card's host runs T=0.
    """
    facts = read_atr(atr)
    return facts is not None and "T=1" in facts.protocols


def _shortly(card: CardInfo) -> str:
    """Name a card in what may be a log."""
    iccid = card.identities.iccid
    return f"{shorten(iccid) if iccid else 'without ICCID'} in reader {place_of(card)}"
