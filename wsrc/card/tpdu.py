# SPDX-License-Identifier: Apache-2.0
"""
One APDU as T=0 blocks: the whole exchange of ISO/IEC 7816-3 clause 12.2, done once at the card.

This is the only place that sends GET RESPONSE, repeats after 6Cxx, or wraps into ENVELOPE.
"""

from collections.abc import Callable, Generator

from wsrc.card.apdu import Command, Response, parse_command, parse_response, transport_cla
from wsrc.errors import CardTransmissionError

MAX_BLOCKS = 1_024
"""Blocks of one exchange; a card that asks for more is not making progress."""

_GET_RESPONSE = 0xC0
_ENVELOPE = 0xC2

Blocks = Generator[bytes, bytes, Response]


def exchange(octets: bytes, send: Callable[[bytes], bytes]) -> bytes:
    """
    Run one command APDU over T=0.

    Args:
        octets: Command APDU.
        send: Sends one TPDU and returns the data and status word that the card answered.

    Raises:
        BadApduError: If `octets` is no command APDU; nothing was sent.
        CardTransmissionError: If the card answers with less than a status word, or without end.
    """
    blocks = apdu_blocks(parse_command(octets))
    try:
        block = next(blocks)
        for _ in range(MAX_BLOCKS):
            block = blocks.send(send(block))
    except StopIteration as done:
        response: Response = done.value
        return response.encode()
    raise CardTransmissionError(f"the card did not finish within {MAX_BLOCKS} T=0 blocks")


def apdu_blocks(command: Command) -> Blocks:
    """Yield each TPDU, take the card's answer to it, return the response APDU."""
    if len(command.data) > 255:
        first = yield from _envelope(command)
    else:
        first = yield from _first_block(command)
    return (yield from _collect(command, first))


def _first_block(command: Command) -> Blocks:
    p3 = len(command.data) or (command.ne if command.ne <= 256 else 0) & 0xFF
    block = command.header + bytes([p3]) + command.data
    answer = parse_response((yield block))
    if command.case == 2 and answer.sw >> 8 == 0x6C:
        answer = parse_response((yield command.header + bytes([answer.sw & 0xFF])))
    return answer


def _envelope(command: Command) -> Blocks:
    """Carry a data field of more than 255 octets (ISO/IEC 7816-3 clause 12.2.1)."""
    octets = command.encode()
    answer = Response(b"", 0x9000)
    for at in range(0, len(octets), 255):
        chunk = octets[at : at + 255]
        block = bytes((transport_cla(command.cla), _ENVELOPE, 0, 0, len(chunk))) + chunk
        answer = parse_response((yield block))
        if answer.sw != 0x9000 and at + 255 < len(octets):
            return answer
    if len(octets) % 255 == 0 and answer.sw == 0x9000:
        answer = parse_response((yield bytes((transport_cla(command.cla), _ENVELOPE, 0, 0, 0))))
    return answer


def _collect(command: Command, first: Response) -> Blocks:
    """Fetch what the card holds ready; a warning outlives the GET RESPONSE that follows it."""
    if command.case in {1, 3}:
        return first
    warned = command.case == 4 and _is_warning(first.sw)
    data, answer = first.data, first
    le = 0 if warned else _waiting(command, first.sw)
    while le is not None and len(data) < 65_536:
        answer = yield from _get_response(command.cla, le)
        data += answer.data
        le = _waiting(command, answer.sw)
    return Response(data, first.sw if warned else answer.sw)


def _waiting(command: Command, sw: int) -> int | None:
    """Return Le of the GET RESPONSE that must follow (ETSI TS 102 221 clause 7.3.1.1), or None."""
    sw1, sw2 = sw >> 8, sw & 0xFF
    return sw2 if sw1 == 0x61 or (sw1 == 0x9F and command.case == 4) else None


def _is_warning(sw: int) -> bool:
    """62xx, 63xx, and 9xxx but 9000, 91xx (a proactive command waits) and 9Fxx."""
    sw1 = sw >> 8
    if sw1 in {0x62, 0x63}:
        return True
    return sw1 & 0xF0 == 0x90 and sw != 0x9000 and sw1 not in {0x91, 0x9F}


def _get_response(cla: int, le: int) -> Blocks:
    header = bytes((transport_cla(cla), _GET_RESPONSE, 0, 0))
    answer = parse_response((yield header + bytes([le])))
    if answer.sw >> 8 == 0x6C:
        answer = parse_response((yield header + bytes([answer.sw & 0xFF])))
    return answer
