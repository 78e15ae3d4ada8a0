# SPDX-License-Identifier: Apache-2.0
"""What is done with a card in the thread of its reader: exchange, identify, reset."""

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import TypeVar

import msgspec

from wsrc.card.ahead import NextReads
from wsrc.card.apdu import Command, Response, parse_command, parse_response
from wsrc.card.atr import read_atr
from wsrc.card.identify import Absent, identify, identify_again
from wsrc.card.identity import Identities
from wsrc.card.pcsc_numbers import GET_FEATURE_REQUEST
from wsrc.card.tpdu import Channels, carrier_cla, exchange, is_certain
from wsrc.errors import CardError, CardTransmissionError, WsrcError
from wsrc.readers.base import CardProtocol, Connection, Found, Known, Reader, ResetKind, Share
from wsrc.trace.tracer import CardTrace

R = TypeVar("R")


class WasReset(msgspec.Struct, frozen=True):
    """A card after a reset; `iccid` is None where it could not be asked."""

    atr: bytes
    protocol: CardProtocol
    iccid: str | None


class Line:
    """
    A powered card, and what its host must remember to carry commands to it.

    `next_reads` is what may be read ahead of the program that uses it. `trace` is told what is
    exchanged, if anybody wants to know.

    Args:
        connection: The card, which was just reset.
        bare: The card for what its host asks, which no guard looks at.
        features: What its reader answers to the question for its features, if it was asked.
        read_ahead: Whether anything is to be read ahead.
    """

    def __init__(
        self,
        connection: Connection,
        bare: Connection | None = None,
        features: bytes | None = None,
        *,
        read_ahead: bool = False,
    ) -> None:
        self.connection = connection
        self.bare = bare or connection
        self.features = features
        self.trace: CardTrace | None = None
        self._read_ahead = read_ahead
        self._begin()

    def _begin(self) -> None:
        """Know nothing of the card but its ATR: it has been reset."""
        facts = read_atr(self.connection.atr)
        self._uicc = facts is not None and facts.uicc
        self._channels = Channels()
        self.next_reads = NextReads(uicc=self._uicc and self._read_ahead)

    def transmit(self, octets: bytes, *, raw_tpdu: bool, ahead: bool = False) -> bytes:
        """
        Run one command APDU, over T=0 with all that belongs to it.

        Args:
            octets: Command APDU; with `raw_tpdu` what the reader is given, as it is.
            raw_tpdu: Leave T=0 to the caller.
            ahead: It is one of `next_reads`, which nobody has asked for yet.

        Raises:
            BadApduError: If the octets are no command APDU; nothing was sent.
            CardError: If the exchange failed.
        """
        try:
            answer = self._carry(octets, raw_tpdu=raw_tpdu)
        except CardError:
            self.next_reads.stop()
            raise
        self._channels.saw(octets, answer)
        if not ahead:
            self.next_reads.saw(octets, answer)
        return answer

    def _carry(self, octets: bytes, *, raw_tpdu: bool) -> bytes:
        if raw_tpdu:
            answer = self.connection.transmit(octets)
        elif self.connection.protocol is CardProtocol.T0:
            answer = exchange(octets, self.connection.transmit, self._channels.open)
        else:
            parse_command(octets)
            answer = self.connection.transmit(octets)
        parse_response(answer)
        return answer

    def look_ahead(self, command: bytes, sw: str) -> bytes | None:
        """
        Return the GET RESPONSE for what a command announced at T=0.

        None where nothing waits, or where only the program knows the class of its card.
        """
        waits = self.connection.protocol is CardProtocol.T0 and sw.startswith("61")
        if not waits or not is_certain(command[0], self._channels.open, uicc=self._uicc):
            return None
        cla = carrier_cla(command[0], self._channels.open)
        return bytes((cla, 0xC0, 0, 0)) + bytes.fromhex(sw[2:])

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        """Reset the card and return the new ATR; as `Connection.reset`."""
        self._channels = Channels()
        self.next_reads.stop()
        atr = self.connection.reset(kind, protocols)
        self._begin()
        return atr


def take(
    reader: Reader,
    protocols: Sequence[CardProtocol],
    behind: Callable[[Connection], Connection],
    *,
    read_ahead: bool,
) -> Line:
    """
    Power a card for a session, and ask its reader for its features; as `Reader.connect`.

    Programs ask for them right after they have connected; drivers answer without the card.
    `behind` puts the card behind its guard.
    """
    bare = reader.connect(protocols)
    features: bytes | None = None
    with suppress(WsrcError):
        features = bare.control(GET_FEATURE_REQUEST, b"")
    return Line(behind(bare), bare, features, read_ahead=read_ahead)


def find_out(
    reader: Reader,
    isd_r_aids: Sequence[bytes],
    eids: Sequence[str] | None = None,
    absent_by_atr: dict[bytes, Absent] | None = None,
) -> Found:
    """
    Cold reset a card, ask it who it is, and power it off.

    One that is known is left alone.
    Programs of this host that want the card meanwhile wait for that, where PC/SC lets them. A card
    that breaks off the questions is known by its ATR alone. `eids` are as in `identify`, and so
    is what is absent of the cards of each ATR.

    Raises:
        CardError: If there is no card that can be talked to.
    """
    if isinstance(reader, Known):
        return reader.found
    connection = reader.connect(share=Share.SHARED)
    whole = True
    try:
        atr, protocol = connection.atr, connection.protocol
        absent = None if absent_by_atr is None else absent_by_atr.setdefault(atr, {})
        try:
            identities = _ask(Line(connection), identify(isd_r_aids, eids, absent)).identities
        except CardTransmissionError:
            identities, whole = Identities(eids=tuple(eids or ())), False
    finally:
        connection.close()
    return Found(atr, protocol, identities, whole, connection.event_count)


def read_iccid(line: Line, protocols: Sequence[CardProtocol]) -> str | None:
    """
    Ask a freshly reset card for its ICCID, and cold reset it again into one of the protocols.

    Raises:
        CardError: If the card breaks off the questions, or does not come up again.
    """
    if isinstance(line.bare, Known):
        return line.bare.found.identities.iccid
    identities = _ask(line, identify((), ())).identities
    line.reset(ResetKind.COLD, protocols)
    return identities.iccid


def reset(line: Line, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> WasReset:
    """
    Reset a card; where it has logical channels, ask for its ICCID and reset it again.

    `protocols` are those that may be used, none meaning any.

    The second reset gives the user a card that has seen no command, so that TERMINAL CAPABILITY
    can still be the first (ETSI TS 102 221 clause 11.1.19).

    Raises:
        RefusedError: If the card has none of these protocols.
        CardError: If the card does not come up again.
    """
    atr = line.reset(kind, protocols)
    if isinstance(line.bare, Known):
        return WasReset(atr, line.connection.protocol, None)
    try:
        iccid = _ask(line, identify_again())
    except CardTransmissionError:
        iccid = None
    atr = line.reset(kind, protocols)
    return WasReset(atr, line.connection.protocol, iccid)


def _ask(line: Line, questions: Generator[Command, Response, R]) -> R:
    line = Line(line.bare)
    command = next(questions)
    try:
        while True:
            octets = line.transmit(command.encode(), raw_tpdu=False)
            command = questions.send(parse_response(octets))
    except StopIteration as done:
        answer: R = done.value
        return answer
