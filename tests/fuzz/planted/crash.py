# SPDX-License-Identifier: Apache-2.0
"""A planted bug: the reader of TLV looks beyond the end of a tag."""

from unittest import mock

from tests.fuzz.targets import card
from wsrc.card import tlv

SEEDS, WORDS = card.SEEDS, card.WORDS


def _tag(data: bytes, at: int) -> tuple[int, int]:
    tag, at = data[at], at + 1
    if tag & 0x1F == 0x1F:
        while True:
            tag, at = tag << 8 | data[at], at + 1
            if not tag & 0x80:
                break
    return tag, at


def one(data: bytes) -> None:
    """Read octets of a card, with the bug in place for as long as that takes."""
    with mock.patch.object(tlv, "_tag", _tag):
        card.one(data)
