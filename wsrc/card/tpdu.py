# SPDX-License-Identifier: Apache-2.0
"""
One APDU as T=0 blocks: the whole exchange of ISO/IEC 7816-3 clause 12.2, done once at the card.

This is the only place that sends GET RESPONSE, repeats after 6Cxx, or wraps into ENVELOPE.
"""

from collections.abc import Callable, Collection, Generator

from wsrc.card.apdu import (
    Command,
    Response,
    channel_of,
    on_channel,
    parse_command,
    parse_response,
)
from wsrc.errors import CardTransmissionError

MAX_BLOCKS = 1_024
"""Blocks of one exchange; a card that asks for more is not making progress."""

_GET_RESPONSE = 0xC0
_ENVELOPE = 0xC2

_MANAGE_CHANNEL = 0x70
_CLASS_REFUSED = frozenset({0x6E00, 0x6D00})
"""GET RESPONSE of this class is not known to the card (ISO/IEC 7816-4 clause 5.6)."""

Blocks = Generator[bytes, bytes, Response]


class Channels:
    """
    The supplementary logical channels that a card has open, from what it was asked and answered.

    A class byte of Cx or Ex names one of the channels 4 to 19 on a card that has opened it (ETSI
    TS 102 221 clause 10.1.1); on any other card the maker says what it means.
    """

    def __init__(self) -> None:
        self.open: set[int] = set()

    def saw(self, command: bytes, answer: bytes) -> None:
        """Take note of a TPDU or APDU that the card was given, and of its answer."""
        if command[1] != _MANAGE_CHANNEL or command[0] & 0x80 or answer[-2:] != b"\x90\x00":
            return
        opening, named = command[2] == 0, command[3]
        if opening and (named or len(answer) == 3):
            self.open.add(named or answer[0])
        elif command[2] == 0x80:
            self.open.discard(named or channel_of(command[0]))


def carrier_cla(cla: int, channels: Collection[int] = ()) -> int:
    """
    Return the class of the GET RESPONSE and ENVELOPE that carry a command over T=0.

    They are interindustry commands on the channel of the command where its class is interindustry
    (ISO/IEC 7816-4 clause 5.4.1), 8x or 9x (ETSI TS 102 221 table 10.5, GlobalPlatform clause
    11.1.4: 80 C2 is another ENVELOPE), or that of one of the `channels` that are open, 4 to 19.
    Any other class, such as A0 of GSM and C0 of other makers, has commands of its own.
    """
    channel = channel_of(cla)
    if cla < 0xA0 or (cla & 0x40 and channel in channels):
        return on_channel(0x00, channel)
    return cla


def is_certain(cla: int, channels: Collection[int], *, uicc: bool) -> bool:
    """
    Return whether a standard tells the class of GET RESPONSE, whatever card it is.

    That of 8x and 9x is told only for a UICC, and on a channel that is open.
    """
    channelled = cla < 0xA0 or bool(cla & 0x40)
    told = uicc and cla < 0xA0
    return cla < 0x80 or cla == 0xA0 or told or (channelled and channel_of(cla) in channels)


def exchange(
    octets: bytes, send: Callable[[bytes], bytes], channels: Collection[int] = ()
) -> bytes:
    """
    Run one command APDU over T=0.

    Args:
        octets: Command APDU.
        send: Sends one TPDU and returns the data and status word that the card answered.
        channels: The supplementary logical channels that are open.

    Raises:
        BadApduError: If `octets` is no command APDU; nothing was sent.
        CardTransmissionError: If the card answers with less than a status word, or without end.
    """
    blocks = apdu_blocks(parse_command(octets), channels)
    try:
        block = next(blocks)
        for _ in range(MAX_BLOCKS):
            block = blocks.send(send(block))
    except StopIteration as done:
        response: Response = done.value
        return response.encode()
    raise CardTransmissionError(f"the card did not finish within {MAX_BLOCKS} T=0 blocks")


def apdu_blocks(command: Command, channels: Collection[int] = ()) -> Blocks:
    """Yield each TPDU, take the card's answer to it, return the response APDU."""
    cla = carrier_cla(command.cla, channels)
    if len(command.data) > 255:
        first = yield from _envelope(command, cla)
    else:
        first = yield from _first_block(command)
    return (yield from _collect(command, first, cla))


def _first_block(command: Command) -> Blocks:
    p3 = len(command.data) or (command.ne if command.ne <= 256 else 0) & 0xFF
    block = command.header + bytes([p3]) + command.data
    answer = parse_response((yield block))
    if command.case == 2 and answer.sw >> 8 == 0x6C:
        answer = parse_response((yield command.header + bytes([answer.sw & 0xFF])))
    return answer


def _envelope(command: Command, cla: int) -> Blocks:
    """Carry a data field of more than 255 octets (ISO/IEC 7816-3 clause 12.2.1)."""
    octets = command.encode()
    answer = Response(b"", 0x9000)
    for at in range(0, len(octets), 255):
        chunk = octets[at : at + 255]
        block = bytes((cla, _ENVELOPE, 0, 0, len(chunk))) + chunk
        answer = parse_response((yield block))
        if answer.sw != 0x9000 and at + 255 < len(octets):
            return answer
    if len(octets) % 255 == 0 and answer.sw == 0x9000:
        answer = parse_response((yield bytes((cla, _ENVELOPE, 0, 0, 0))))
    return answer


def _collect(command: Command, first: Response, cla: int) -> Blocks:
    """
    Fetch what the card holds ready; a warning outlives the GET RESPONSE that follows it.

    Where the card knows no GET RESPONSE, its own status word says what waits.
    """
    if command.case in {1, 3}:
        return first
    warned = command.case == 4 and _is_warning(first.sw)
    data, answer = first.data, first
    le = 0 if warned else _waiting(command, first.sw)
    while le is not None and len(data) < 65_536:
        answer = yield from _get_response(cla, le)
        if answer.sw in _CLASS_REFUSED and cla != command.cla:
            cla = command.cla
            answer = yield from _get_response(cla, le)
        if answer.sw in _CLASS_REFUSED and not data:
            return first
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
    header = bytes((cla, _GET_RESPONSE, 0, 0))
    answer = parse_response((yield header + bytes([le])))
    if answer.sw >> 8 == 0x6C:
        answer = parse_response((yield header + bytes([answer.sw & 0xFF])))
    return answer
