# SPDX-License-Identifier: Apache-2.0
"""
What the guard must refuse, written from docs/operations.md ("Guard") and from nothing else.

`refuses` judges a command as a person means it; `ways` are the octets by which it can be meant.
"""

from collections.abc import Iterator
from typing import NamedTuple

NAMES = {
    0x20: "VERIFY",
    0x24: "CHANGE REFERENCE DATA",
    0x26: "DISABLE",
    0x28: "ENABLE",
    0x2C: "RESET RETRY COUNTER",
    0x82: "EXTERNAL AUTHENTICATE",
    0x86: "GENERAL AUTHENTICATE",
    0xD8: "PUT KEY",
    0xE4: "DELETE",
    0xE6: "INSTALL",
    0xE8: "LOAD",
    0xF0: "SET STATUS",
    0x46: "GENERATE KEY PAIR",
    0xE0: "CREATE FILE",
    0xFE: "TERMINATE CARD USAGE",
    0xDA: "PUT DATA",
    0xE2: "STORE DATA",
    0xA4: "SELECT",
    0xF2: "STATUS",
    0x70: "MANAGE CHANNEL",
    0xC0: "GET RESPONSE",
    0xC2: "ENVELOPE",
    0xB0: "READ BINARY",
    0xB2: "READ RECORD",
    0xA2: "SEARCH RECORD",
    0xCA: "GET DATA",
    0x84: "GET CHALLENGE",
    0x78: "GET IDENTITY",
    0xAA: "TERMINAL CAPABILITY",
    0xD6: "UPDATE BINARY",
    0xDC: "UPDATE RECORD",
    0x88: "AUTHENTICATE",
    0x32: "INCREASE",
    0x10: "TERMINAL PROFILE",
    0x12: "FETCH",
    0x14: "TERMINAL RESPONSE",
    0x04: "DEACTIVATE FILE",
    0x44: "ACTIVATE FILE",
    0x22: "MANAGE SECURITY ENVIRONMENT",
    0x2A: "PERFORM SECURITY OPERATION",
    0x50: "INITIALIZE UPDATE",
    0x76: "SUSPEND",
    0xEE: "a maker's own",
}

ASKED = {"VERIFY", "CHANGE REFERENCE DATA", "DISABLE", "ENABLE", "RESET RETRY COUNTER"}
PRESENT = ASKED | {"EXTERNAL AUTHENTICATE", "GENERAL AUTHENTICATE"}
QUESTIONS = {"VERIFY", "RESET RETRY COUNTER"}
MANAGE = {
    "PUT KEY",
    "DELETE",
    "INSTALL",
    "LOAD",
    "SET STATUS",
    "GENERATE KEY PAIR",
    "CREATE FILE",
    "TERMINATE CARD USAGE",
}
READ = {
    "interindustry": {
        "SELECT", "STATUS", "MANAGE CHANNEL", "GET RESPONSE", "READ BINARY", "READ RECORD",
        "SEARCH RECORD", "GET DATA", "GET CHALLENGE", "GET IDENTITY",
    },
    "proprietary": {"STATUS", "GET RESPONSE", "GET DATA", "GET CHALLENGE", "TERMINAL CAPABILITY"},
    "GSM": {"SELECT", "STATUS", "GET RESPONSE", "READ BINARY", "READ RECORD", "SEARCH RECORD"},
    "reader": {"GET RESPONSE", "READ BINARY", "GET DATA"},
}  # fmt: skip
OF_READER = PRESENT | {
    "GET DATA", "AUTHENTICATE", "READ BINARY", "UPDATE BINARY", "SELECT", "GET RESPONSE",
}  # fmt: skip
"""What PC/SC part 3 gives class FF; what presents is judged as such."""

TELLS = {0xBF20, 0xBF22, 0xBF28, 0xBF2B, 0xBF2D, 0xBF3C, 0xBF3E, 0xBF43}
DESTROYS = {0xBF33, 0xBF34, 0xBF64}


class Meant(NamedTuple):
    """A command as it is meant; `data` is None of a command that has none."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes | None

    @property
    def name(self) -> str:
        return NAMES[self.ins & 0xFE]

    @property
    def family(self) -> str:
        if self.cla == 0xFF:
            return "reader"
        if self.cla < 0x80:
            return "interindustry"
        return "GSM" if self.cla >> 4 in {0xA, 0xB} else "proprietary"


def refuses(
    profiles: frozenset[str], meant: Meant, left: int, *, parts: bool, wrapped: bool
) -> bool:
    """
    Return whether a command must not reach a UICC.

    Args:
        profiles: Those of the card.
        meant: The command.
        left: The tries of each of its PINs.
        parts: Whether it comes in parts.
        wrapped: Whether it comes in ENVELOPE.
    """
    name, family = meant.name, meant.family
    reader = family == "reader"
    if "full" in profiles or (name == "GET RESPONSE" and not reader and not wrapped):
        return False
    presents = name in PRESENT and not (name in QUESTIONS and meant.data is None)
    reasons = (
        presents and name in ASKED and left == 1,
        reader and name not in OF_READER,
        "no-pin" in profiles and presents,
        "no-key-management" in profiles and not reader and manages(meant),
        "read-only" in profiles and (wrapped or not reads(meant, presents, parts=parts)),
    )
    return any(reasons)


def manages(meant: Meant) -> bool:
    tag = int.from_bytes((meant.data or b"")[:2])
    if meant.name == "STORE DATA":
        return tag in DESTROYS
    imports = meant.name == "PUT DATA" and (meant.p1, meant.p2) == (0x3F, 0xFF)
    return imports or meant.name in MANAGE


def reads(meant: Meant, presents: bool, *, parts: bool) -> bool:
    if meant.name == "STORE DATA":
        tells = int.from_bytes((meant.data or b"")[:2]) in TELLS
        last = bool(meant.p1 & 0x80)
        return meant.family == "proprietary" and tells and last and not parts
    if meant.name in QUESTIONS and not presents and meant.family != "reader":
        return True
    return meant.name in READ[meant.family]


class Way(NamedTuple):
    """
    Octets, one command after the other, by which a command can be meant.

    One that is `odd` no tool uses; it may be refused whatever it means.
    """

    name: str
    octets: list[bytes]
    parts: bool = False
    wrapped: bool = False
    odd: bool = False


def ways(meant: Meant) -> Iterator[Way]:
    """Yield the ways in which a command can be meant."""
    header, data = bytes(meant[:4]), meant.data
    chained = meant.cla != 0xFF and bool(meant.cla & 0x10)
    if data is None:
        yield Way("case 1", [header], parts=chained)
        yield Way("case 1 of T=0", [header + b"\0"], parts=chained)
        return
    short = header + bytes([len(data)]) + data
    long = header + b"\0" + len(data).to_bytes(2) + data
    for name, octets in (("case 3", short), ("case 4", short + b"\0")):
        yield Way(name, [octets], parts=chained)
    odd = meant.name == "STORE DATA"  # as a TPDU it is another command, and not known to read
    yield Way("extended", [long], parts=chained, odd=odd)
    yield Way("extended with Le", [long + b"\0\0"], parts=chained, odd=odd)
    if meant.name != "STORE DATA":
        yield Way("P3 that lies", [header + b"\0" + data], parts=chained)
        yield Way("a header alone", [header + bytes([len(data)])], parts=chained)
    if meant.cla != 0xFF and not chained:
        yield Way("chained", list(chain(meant, 1 + len(data) // 2)), parts=True)
        yield Way("chained by the octet", list(chain(meant, 1)), parts=True)
    if meant.cla != 0xFF:
        yield from envelopes(short, long)


def chain(meant: Meant, size: int) -> Iterator[bytes]:
    data = meant.data or b""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    for number, piece in enumerate(pieces, start=1):
        cla = meant.cla | (0x10 if number < len(pieces) else 0)
        yield bytes((cla, meant.ins, meant.p1, meant.p2, len(piece))) + piece


def envelopes(short: bytes, long: bytes) -> Iterator[Way]:
    for name, cla, octets, size in (
        ("wrapped", 0x00, short, 255),
        ("wrapped and extended", 0x00, long, 255),
        ("wrapped on channel 3", 0x03, short, 255),
        ("wrapped on channel 7", 0x43, short, 255),
        ("wrapped in parts", 0x00, short, 5),
        ("wrapped by the octet", 0x01, long, 1),
    ):
        pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
        sent = [bytes((cla, 0xC2, 0, 0, len(each))) + each for each in pieces]
        yield Way(name, sent, parts=len(pieces) > 1, wrapped=True, odd=size < 255)
