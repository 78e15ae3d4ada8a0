# SPDX-License-Identifier: Apache-2.0
"""
What readers are called in front of local programs: stable, telling the card, each once.

Names leave through PC/SC, where programs take one octet for one character: so they are ASCII.
"""

import itertools
import unicodedata
from collections.abc import Container

from wsrc.bridges.pcscd.source import MAX_NAME_OCTETS
from wsrc.protocol.messages import CardInfo

PREFIX = "WSRC"


def reader_name(card: CardInfo, taken: Container[bytes]) -> bytes:
    """
    Name the reader of a card by the label, else EID, ICCID or the reader's own name.

    An EID stays when another profile is enabled, and with it another ICCID.
    The name is printable ASCII of at most 127 octets and ends as those of pcscd: in a number that
    tells readers of the same name apart, and in the number of the slot.
    """
    return name_of(_calling(card), taken)


def name_of(calling: str, taken: Container[bytes] = ()) -> bytes:
    """Name a reader by a text; see `reader_name`."""
    told = ascii_form(calling) or "card"
    names = (_numbered(told, number) for number in itertools.count())
    return next(name for name in names if name not in taken)


def _calling(card: CardInfo) -> str:
    ids = card.identities
    eid = card.eids[0] if card.eids else ids.eid
    return card.label or eid or ids.iccid or card.reader_name or card.reader or "card"


def ascii_form(text: str) -> str:
    """
    Return a text in printable ASCII, the same for the same text every time.

    Latin letters lose their accents, Greek and Cyrillic ones become Latin, and any other is written
    as its code point: `grün 大` is `grun U+5927`. What cannot be seen becomes a blank, of which
    there is never more than one.
    """
    return " ".join("".join(map(_ascii, unicodedata.normalize("NFC", text))).split())


def _ascii(char: str) -> str:
    if char in _LATIN:
        return _LATIN[char]
    parts = [_part(part) for part in unicodedata.normalize("NFKD", char)]
    return f"U+{ord(char):04X} " if None in parts else "".join(filter(None, parts))


def _part(char: str) -> str | None:
    """Return the ASCII form of a character that cannot be taken apart; None if it has none."""
    if char.isascii() and char.isprintable():
        return char
    if unicodedata.category(char) in _UNSEEN:
        return " "
    return "" if char in _ACCENTS else _LATIN.get(char)


def _pairs(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})
_ACCENTS = frozenset(map(chr, range(0x0300, 0x0370)))
_SMALL = _pairs(
    """
    ß ss  æ ae  œ oe  þ th  ø o  ł l  đ d  ð d  ħ h  ŧ t  ŋ ng
    α a  β v  γ g  δ d  ε e  ζ z  η i  θ th  ι i  κ k  λ l  μ m  ν n  ξ x  ο o  π p  ρ r  σ s  ς s
    τ t  υ y  φ f  χ ch  ψ ps  ω o
    а a  б b  в v  г g  д d  е e  ё e  ж zh  з z  и i  й i  к k  л l  м m  н n  о o  п p  р r  с s
    т t  у u  ф f  х kh  ц ts  ч ch  ш sh  щ shch  ы y  э e  ю yu  я ya  є ye  і i  ґ g  ђ dj  ј j
    љ lj  њ nj  ћ c  џ dz
    """  # noqa: RUF001 - they look alike, and are why this is here
)
_SIGNS = _pairs(
    """
    ẞ SS  ı i  ‐ -  ‑ -  ‒ -  – -  — -  ― -  − -  ‘ '  ’ '  “ "  ” "  „ "  ⁄ /  € EUR
    """  # noqa: RUF001
)
_LATIN = {
    **{small.upper(): latin.capitalize() for small, latin in _SMALL.items()},
    **_SMALL,
    **_SIGNS,
    **dict.fromkeys("ЪЬъь", ""),
}
"""Letters and signs that Unicode does not take apart, and how they are written in ASCII."""


def _numbered(told: str, number: int) -> bytes:
    end = f" {number:02X} 00"
    start = f"{PREFIX} {told}"[: MAX_NAME_OCTETS - len(end)].rstrip()
    return (start + end).encode("ascii")
