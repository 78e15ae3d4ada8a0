# SPDX-License-Identifier: Apache-2.0
"""BER-TLV data objects as a tree with the names that a standard gives them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from wsrc.card import tlv

MAX_DEPTH: Final = 16
"""Objects within one another that are looked into; more stay octets."""

_CONSTRUCTED: Final = 0x20

Text = Callable[[bytes], str | None]


class Known(NamedTuple):
    """
    What a standard says of a tag.

    Args:
        name: What it is called there.
        text: What its value says; None, or a ValueError, leaves it octets.
        inside: What the tags within it are; one that has some is looked into whatever its coding.
    """

    name: str
    text: Text | None = None
    inside: "Mapping[int, Known]" = MappingProxyType({})


Names = Mapping[int, Known]


class Node(NamedTuple):
    """One data object; `text` says what its value means, where that is known."""

    tag: int
    name: str
    value: bytes
    text: str | None
    inside: "tuple[Node, ...]"

    def document(self) -> dict[str, Any]:
        """Return the object as JSON values."""
        told: dict[str, Any] = {"tag": f"{self.tag:02X}", "name": self.name or None}
        if self.inside:
            return told | {"objects": [each.document() for each in self.inside]}
        return told | {"value": self.value.hex(), "meaning": self.text}

    def lines(self, indent: str = "") -> Iterator[str]:
        """Yield the lines that show the object to a person."""
        said = "" if self.inside or not self.value else f" {self.value.hex()}"
        meaning = f"  {self.text}" if self.text else ""
        yield f"{indent}{self.tag:02X}{said}{f'  {self.name}' if self.name else ''}{meaning}"
        for each in self.inside:
            yield from each.lines(indent + "  ")

    @classmethod
    def of(cls, tag: int, value: bytes, known: Known, depth: int) -> Self:
        """Return the node for an object."""
        inside: Sequence[Node] = ()
        if (_is_constructed(tag) or known.inside) and depth < MAX_DEPTH:
            inside = _nodes(value, known.inside, depth + 1) or ()
        return cls(tag, known.name, value, None if inside else _said(known, value), tuple(inside))


def tree(data: bytes, names: Names) -> tuple[Node, ...] | None:
    """
    Return the objects of some octets; None where they are no objects, or there are none.

    Octets FF after the last object, with which records are filled up, are none.
    """
    return _nodes(data, names, 0)


def _nodes(data: bytes, names: Names, depth: int) -> tuple[Node, ...] | None:
    nodes: list[Node] = []
    try:
        for tag, value in tlv.decode(data):
            nodes.append(Node.of(tag, value, names.get(tag, _UNKNOWN), depth))
    except ValueError:
        rest = data[sum(len(tlv.encode(n.tag, n.value)) for n in nodes) :]
        if rest.strip(b"\xff") or not nodes:
            return None
    return tuple(nodes) or None


_UNKNOWN: Final = Known("")


def _said(known: Known, value: bytes) -> str | None:
    if known.text is None:
        return None
    try:
        return known.text(value)
    except (ValueError, IndexError):
        return None


def _is_constructed(tag: int) -> bool:
    """Return whether b6 of the first octet of a tag is set (ISO/IEC 7816-4 clause 5.2.2.1)."""
    return bool(tag >> 8 * ((tag.bit_length() + 7) // 8 - 1) & _CONSTRUCTED) if tag else False
