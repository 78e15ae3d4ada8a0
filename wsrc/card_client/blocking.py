# SPDX-License-Identifier: Apache-2.0
"""What is done with a card in the thread of its reader: exchange, identify, reset."""

from collections.abc import Generator, Sequence
from typing import TypeVar

import msgspec

from wsrc.card.apdu import Command, Response, parse_command, parse_response
from wsrc.card.identify import identify, identify_again
from wsrc.card.identity import Identities
from wsrc.card.tpdu import exchange
from wsrc.errors import CardTransmissionError
from wsrc.readers.base import CardProtocol, Connection, Reader, ResetKind

R = TypeVar("R")


class Found(msgspec.Struct, frozen=True):
    """A card as it answered after a cold reset."""

    atr: bytes
    protocol: CardProtocol
    identities: Identities


class WasReset(msgspec.Struct, frozen=True):
    """A card after a reset; `iccid` is None where it could not be asked."""

    atr: bytes
    protocol: CardProtocol
    iccid: str | None


def transmit(connection: Connection, octets: bytes, *, raw_tpdu: bool) -> bytes:
    """
    Run one command APDU, over T=0 with all that belongs to it.

    Args:
        connection: The card.
        octets: Command APDU; with `raw_tpdu` what the reader is given, as it is.
        raw_tpdu: Leave T=0 to the caller.

    Raises:
        BadApduError: If the octets are no command APDU; nothing was sent.
        CardError: If the exchange failed.
    """
    if raw_tpdu:
        answer = connection.transmit(octets)
    elif connection.protocol is CardProtocol.T0:
        answer = exchange(octets, connection.transmit)
    else:
        parse_command(octets)
        answer = connection.transmit(octets)
    parse_response(answer)
    return answer


def find_out(reader: Reader, isd_r_aids: Sequence[bytes]) -> Found:
    """
    Cold reset a card, ask it who it is, and power it off.

    A card that breaks off the questions is known by its ATR alone.

    Raises:
        CardError: If there is no card that can be talked to.
    """
    connection = reader.connect()
    try:
        atr, protocol = connection.atr, connection.protocol
        try:
            identities = _ask(connection, identify(isd_r_aids)).identities
        except CardTransmissionError:
            identities = Identities()
    finally:
        connection.close()
    return Found(atr, protocol, identities)


def reset(
    connection: Connection, kind: ResetKind, protocols: Sequence[CardProtocol] = ()
) -> WasReset:
    """
    Reset a card; where it has logical channels, ask for its ICCID and reset it again.

    `protocols` are those that may be used, none meaning any.

    The second reset gives the user a card that has seen no command, so that TERMINAL CAPABILITY
    can still be the first (ETSI TS 102 221 clause 11.1.19).

    Raises:
        RefusedError: If the card has none of these protocols.
        CardError: If the card does not come up again.
    """
    connection.reset(kind, protocols)
    try:
        iccid = _ask(connection, identify_again())
    except CardTransmissionError:
        iccid = None
    atr = connection.reset(kind, protocols)
    return WasReset(atr, connection.protocol, iccid)


def _ask(connection: Connection, questions: Generator[Command, Response, R]) -> R:
    command = next(questions)
    try:
        while True:
            octets = transmit(connection, command.encode(), raw_tpdu=False)
            command = questions.send(parse_response(octets))
    except StopIteration as done:
        answer: R = done.value
        return answer
