# SPDX-License-Identifier: Apache-2.0
"""What a card client asks of a card, in front of a connection of PC/SC."""

from collections.abc import Callable

from wsrc.card.apdu import Command, parse_response
from wsrc.card.identify import Identified, identify
from wsrc.card.tpdu import exchange
from wsrc.readers.base import CardProtocol
from wsrc.readers.pcsc_reader import PcscConnection

ASK_PIN = bytes.fromhex("0020000100")
VERIFY_PIN = bytes.fromhex("002000010831323334ffffffff")
MF = bytes.fromhex("00a40004023f00")


def send(connection: PcscConnection, octets: bytes) -> bytes:
    """Run one APDU as the card client does."""
    if connection.protocol is CardProtocol.T0:
        return exchange(octets, connection.transmit)
    return connection.transmit(octets)


def ask(send: Callable[[bytes], bytes]) -> Identified:
    questions = identify()
    command: Command = next(questions)
    while True:
        try:
            command = questions.send(parse_response(send(command.encode())))
        except StopIteration as done:
            identified: Identified = done.value
            return identified
