# SPDX-License-Identifier: Apache-2.0
"""Command and response APDUs: cases 1 to 4, extended length, logical channels, status words."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from wsrc.errors import BadApduError, CardTransmissionError

MAX_COMMAND_OCTETS = 65_544
"""Longest command APDU: case 4 extended (ISO/IEC 7816-3 clause 12.1)."""


class Command(NamedTuple):
    """
    A command APDU (ISO/IEC 7816-3 clause 12.1).

    `ne` is the largest number of octets expected, 0 to 65 536; 0 where there is no Le field.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    ne: int = 0
    extended: bool = False

    @property
    def case(self) -> int:
        """1 to 4."""
        return 1 + bool(self.ne) + 2 * bool(self.data)

    @property
    def header(self) -> bytes:
        """CLA, INS, P1 and P2."""
        return bytes((self.cla, self.ins, self.p1, self.p2))

    def encode(self) -> bytes:
        """
        Return the octets; the form is extended where asked for or needed.

        Raises:
            BadApduError: If the data field or `ne` does not fit even the extended form.
        """
        if len(self.data) > 65_535 or not 0 <= self.ne <= 65_536:
            raise BadApduError(f"{len(self.data)} octets of data or Le {self.ne} is too much")
        if self.extended or len(self.data) > 255 or self.ne > 256:
            return self._encode_extended()
        lc = bytes([len(self.data)]) + self.data if self.data else b""
        return self.header + lc + (bytes([self.ne & 0xFF]) if self.ne else b"")

    def _encode_extended(self) -> bytes:
        if self.case == 1:
            return self.header
        lc = b"\0" + len(self.data).to_bytes(2) + self.data if self.data else b""
        le = (self.ne & 0xFFFF).to_bytes(2) if self.ne else b""
        return self.header + (lc or b"\0") + le


class Response(NamedTuple):
    """A response APDU: data of at most 65 536 octets, and the status word as a number."""

    data: bytes
    sw: int

    @property
    def ok(self) -> bool:
        """Return whether the command succeeded: 9000, 91xx, 9Fxx or 61xx."""
        return self.sw == 0x9000 or self.sw >> 8 in {0x61, 0x91, 0x9F}

    def encode(self) -> bytes:
        """Return data and status word as the octets that a card sends."""
        return self.data + self.sw.to_bytes(2)

    def __str__(self) -> str:
        return f"{self.data.hex()} {self.sw:04X}".strip()

    def __repr__(self) -> str:
        return f"Response(data=bytes.fromhex({self.data.hex()!r}), sw=0x{self.sw:04X})"


def parse_command(octets: bytes) -> Command:
    """
    Read a command APDU.

    Raises:
        BadApduError: If it is shorter than 4 octets, or Lc does not agree with what follows.
    """
    if len(octets) < 4:
        raise BadApduError(
            f"a command APDU has at least 4 octets (CLA INS P1 P2); this one has {len(octets)}"
        )
    header = Command(octets[0], octets[1], octets[2], octets[3])
    body = octets[4:]
    if not body:
        return header
    if len(body) == 1:
        return header._replace(ne=body[0] or 256)
    if body[0]:
        return _parse_short(header, body)
    return _parse_extended(header, body)


def _parse_short(header: Command, body: bytes) -> Command:
    lc, rest = body[0], body[1:]
    if len(rest) == lc:
        return header._replace(data=rest)
    if len(rest) == lc + 1:
        return header._replace(data=rest[:lc], ne=rest[lc] or 256)
    raise BadApduError(
        f"Lc says {lc} octets of data, with or without one octet of Le after them; "
        f"{len(rest)} follow"
    )


def _parse_extended(header: Command, body: bytes) -> Command:
    if len(body) == 3:
        return header._replace(ne=int.from_bytes(body[1:]) or 65_536, extended=True)
    lc, rest = int.from_bytes(body[1:3]), body[3:]
    if lc and len(rest) == lc:
        return header._replace(data=rest, extended=True)
    if lc and len(rest) == lc + 2:
        ne = int.from_bytes(rest[lc:]) or 65_536
        return header._replace(data=rest[:lc], ne=ne, extended=True)
    raise BadApduError(
        f"the extended Lc says {lc} octets of data, with or without two octets of Le after them; "
        f"{len(rest)} follow"
    )


def parse_response(octets: bytes) -> Response:
    """
    Read a response APDU.

    Raises:
        CardTransmissionError: If there is no room for a status word.
    """
    if len(octets) < 2:
        raise CardTransmissionError(
            f"the card answered with {len(octets)} octets, too few for a status word"
        )
    return Response(octets[:-2], int.from_bytes(octets[-2:]))


def sw_matches(patterns: Sequence[str], sw: str) -> bool:
    """
    Return whether a status word, as four digits, is among those expected.

    Args:
        patterns: Four hexadecimal digits each, `x` standing for any; none at all expects any.
        sw: Four hexadecimal digits.
    """
    wanted = (pattern.lower() for pattern in patterns)
    digits = sw.lower()
    return not patterns or any(
        all(p in ("x", d) for p, d in zip(pattern, digits, strict=True)) for pattern in wanted
    )


def is_sw_pattern(text: str) -> bool:
    """Return whether the text is four hexadecimal digits or `x`."""
    return re.fullmatch("[0-9a-fA-FxX]{4}", text) is not None


def channel_of(cla: int) -> int:
    """Return the logical channel that a class byte names (ETSI TS 102 221 clause 10.1.1)."""
    return 4 + (cla & 0x0F) if cla & 0x40 else cla & 0x03


def on_channel(cla: int, channel: int) -> int:
    """
    Return the class byte of the same command on another logical channel, 0 to 19.

    Channels 4 to 19 have the second interindustry form (ETSI TS 102 221 clause 10.1.1). Chaining
    is kept, secure messaging is not: a command protected for one channel is void on another.
    """
    if not 0 <= channel <= 19:
        raise BadApduError(f"there is no logical channel {channel}; channels are 0 to 19")
    if channel >= 4:
        return cla & 0x90 | 0x40 | channel - 4
    return cla & (0x90 if cla & 0x40 else 0xB0) | channel


def describe_sw(sw: int) -> str:
    """Return the meaning of a status word in ISO/IEC 7816-4 or ETSI TS 102 221."""
    if sw in _SW:
        return _SW[sw]
    if sw & 0xFFF0 == 0x63C0:
        return f"verification failed, {sw & 0xF} {'try' if sw & 0xF == 1 else 'tries'} left"
    ranged = _SW1.get(sw >> 8)
    return ranged.format(sw & 0xFF) if ranged else "not defined by ISO/IEC 7816-4"


def status_word_texts() -> tuple[dict[int, str], dict[int, str]]:
    """
    Return what `describe_sw` knows: of whole status words, and of any other by its first octet.

    In the texts of the latter `{}` stands for the second octet, `{:02X}` for its digits.
    """
    tries = {sw: describe_sw(sw) for sw in range(0x63C0, 0x63D0)}
    return tries | _SW, dict(_SW1)


_SW1 = {
    0x61: "response waiting, octets: {}",
    0x62: "warning, memory unchanged ({:02X})",
    0x63: "warning, memory changed ({:02X})",
    0x64: "execution error, memory unchanged ({:02X})",
    0x65: "execution error, memory changed ({:02X})",
    0x66: "security issue ({:02X})",
    0x6C: "wrong Le, octets available: {}",
    0x91: "done, proactive command waiting, octets: {}",
    0x92: "done, retries of the memory update: {}",
    0x9F: "done, response waiting, octets: {}",
}

_SW = {
    0x9000: "done",
    0x6200: "warning, no information",
    0x62F1: "more data available",
    0x62F2: "more data available, proactive command waiting",
    0x62F3: "response data available",
    0x6281: "part of the data may be corrupt",
    0x6282: "end of file before Le octets",
    0x6283: "the selected file is deactivated",
    0x6285: "the selected file is terminated",
    0x6286: "no input from a sensor",
    0x6300: "verification failed",
    0x6381: "the file is full",
    0x63F1: "more data expected",
    0x63F2: "more data expected, proactive command waiting",
    0x6400: "execution error",
    0x6581: "memory failure",
    0x6700: "wrong length",
    0x6800: "function of the class byte not supported",
    0x6881: "logical channel not supported",
    0x6882: "secure messaging not supported",
    0x6900: "command not allowed",
    0x6981: "command incompatible with the file structure",
    0x6982: "security status not satisfied",
    0x6983: "authentication method blocked",
    0x6984: "referenced data invalidated",
    0x6985: "conditions of use not satisfied",
    0x6986: "command not allowed, no EF selected",
    0x6987: "secure messaging object missing",
    0x6988: "secure messaging object incorrect",
    0x6A80: "incorrect parameters in the data field",
    0x6A81: "function not supported",
    0x6A82: "file or application not found",
    0x6A83: "record not found",
    0x6A84: "not enough memory",
    0x6A85: "Lc inconsistent with the structure of the data",
    0x6A86: "incorrect parameters P1 P2",
    0x6A87: "Lc inconsistent with P1 P2",
    0x6A88: "referenced data not found",
    0x6A89: "file exists already",
    0x6A8A: "DF name exists already",
    0x6B00: "wrong parameters P1 P2",
    0x6D00: "instruction not supported",
    0x6E00: "class not supported",
    0x6F00: "no precise diagnosis",
    0x9240: "memory failure",
    0x9300: "SIM application toolkit is busy",
    0x9400: "no EF selected",
    0x9402: "out of range",
    0x9404: "file or pattern not found",
    0x9408: "file inconsistent with the command",
    0x9802: "no PIN initialised",
    0x9804: "wrong PIN, or access condition not fulfilled",
    0x9840: "PIN blocked",
    0x9808: "in contradiction with the status of the PIN",
    0x9810: "in contradiction with the status of the file",
    0x9850: "INCREASE cannot be performed, the maximum is reached",
    0x9862: "authentication error, incorrect MAC",
    0x9863: "security session or association expired",
    0x9864: "authentication error, security context not supported",
    0x9865: "key freshness failure",
    0x9866: "authentication error, no memory space available",
}
