# SPDX-License-Identifier: Apache-2.0
"""What a policy may look at of a card."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from wsrc.card.atr import read_atr
from wsrc.policy.words import Kind
from wsrc.protocol.messages import ReaderInfo, ReaderState
from wsrc.selection import TAG, Key, normal
from wsrc.tags import text_of

FACTS: Final = ("iccid", "eid", "atr", "label", "tag", "host", "reader", "kind")
"""Every kind of fact, by the name that it has in a policy."""

SEVERAL: Final = frozenset({"eid", "reader", "tag"})
"""Those of which a card may have several values."""

_CONTACTLESS: Final = b"\x80\x01"
"""TD1 and TD2 of an ATR that a reader makes of a contactless card (PC/SC part 3)."""


class Facts(NamedTuple):
    """
    What is known of a card and its reader.

    Attributes:
        keys: Kind of fact and its value in the form in which it is compared. A value is empty
            where it is known that the card has none; a kind that does not occur fits no pattern.
        unknown: Kinds of which nothing is said, so that any pattern may fit.
    """

    keys: tuple[Key, ...]
    unknown: frozenset[str] = frozenset()

    @property
    def by_kind(self) -> dict[str, list[str]]:
        """The values of each kind."""
        values: dict[str, list[str]] = {}
        for kind, value in self.keys:
            values.setdefault(kind, []).append(value)
        return values


def compared(kind: str, text: str) -> str:
    """
    Return the form in which facts of a kind are compared.

    It is that of a selection where cards are selected by such a name. Hosts and tags are compared
    as they are.
    """
    return text if kind == "host" else normal(kind, text)


def in_reader(
    info: ReaderInfo,
    names: Iterable[Key],
    host: str,
    tags: Mapping[str, str] | None = None,
    derived: Mapping[str, str] | None = None,
) -> Facts:
    """
    Return the facts of a reader and of the card in it.

    Args:
        info: What its card client says of it.
        names: As `selection.names_of` returns them, or `selection.reader_names` of a reader without
            a card.
        host: The principal of its card client; of one without, a name that is no principal's.
        tags: Value of each tag that its card client has set.
        derived: Value of each tag that follows from what is known of the card.
    """
    names = tuple(key for key in names if key[0] != TAG)
    identified = is_identified(info) and any(kind == "atr" for kind, _ in names)
    keys = [key for key in names if key[1] or identified]
    keys.append(("host", host))
    keys += [(TAG, text_of(*tag)) for tag in (tags or {}).items()] or [(TAG, "")]
    keys += [(TAG, text_of(*tag)) for tag in (derived or {}).items()]
    if identified:
        keys += [] if info.eids else [("eid", "")]
        keys += [("kind", kind) for kind in (kind_of(info),) if kind]
    return Facts(tuple(keys))


def is_identified(info: ReaderInfo) -> bool:
    """Return whether it is known of a card who it is, so that what it lacks is known as well."""
    named = bool(info.iccid or info.eids)
    return named or info.protocol is not None or info.state is ReaderState.READY


def kind_of(info: ReaderInfo) -> Kind | None:
    """Return of which kind a card is that is identified; None where it gives no ATR."""
    atr = bytes(info.atr or b"")
    said = read_atr(atr) if atr else None
    if info.eids or (said is not None and said.euicc):
        return Kind.EUICC
    if info.iccid or (said is not None and said.uicc):
        return Kind.UICC
    if len(atr) < 2:
        return Kind.OTHER if atr else None
    # 3B 8n 80 01: no interface bytes but TD1 and TD2, and n historical bytes.
    contactless = 0x80 <= atr[1] <= 0x8F and (atr[:1], atr[2:4]) == (b"\x3b", _CONTACTLESS)
    return Kind.CONTACTLESS if contactless else Kind.OTHER


def described(given: Iterable[tuple[str, str]]) -> Facts:
    """
    Return the facts that somebody gives of a card, by kind and text.

    Of a kind that is not given nothing is known. An empty text says that the card has none.
    """
    keys = tuple(dict.fromkeys((kind, compared(kind, text)) for kind, text in given))
    return Facts(keys, frozenset(FACTS) - {kind for kind, _ in keys})
