# SPDX-License-Identifier: Apache-2.0
"""What readers are called in front of local programs: stable, telling the card, each once."""

import itertools
from collections.abc import Container

from wsrc.bridges.pcscd.source import MAX_NAME_OCTETS
from wsrc.protocol.messages import CardInfo

PREFIX = "WSRC"


def reader_name(card: CardInfo, taken: Container[bytes]) -> bytes:
    """
    Name the reader of a card by the label, else EID, ICCID or the reader's own name.

    An EID stays when another profile is enabled, and with it another ICCID.
    The name is printable UTF-8 of at most 127 octets and ends as those of pcscd: in a number that
    tells readers of the same name apart, and in the number of the slot.
    """
    told = _printable(_calling(card))
    names = (_numbered(told, number) for number in itertools.count())
    return next(name for name in names if name not in taken)


def _numbered(told: str, number: int) -> bytes:
    end = f" {number:02X} 00".encode()
    return _cut(f"{PREFIX} {told}", MAX_NAME_OCTETS - len(end)) + end


def _calling(card: CardInfo) -> str:
    ids = card.identities
    eid = card.eids[0] if card.eids else ids.eid
    return card.label or eid or ids.iccid or card.reader_name or card.reader or "card"


def _printable(text: str) -> str:
    """Take out what would end the name early or obey a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "card"


def _cut(text: str, octets: int) -> bytes:
    """Shorten to so many octets, between two characters."""
    return text.encode()[:octets].decode(errors="ignore").rstrip().encode()
