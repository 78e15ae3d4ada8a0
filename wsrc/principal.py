# SPDX-License-Identifier: Apache-2.0
"""Who a peer is, in whatever way the server was told."""

from typing import NamedTuple

MOST_NAME = 255
"""Characters that the name of a principal may have."""


AT = "first-form@"
"""How the name of a principal begins that is known by its address alone; no other does."""


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a principal: one that can be shown."""
    shown = text.isprintable() and bool(text.strip()) and len(text) <= MOST_NAME
    return shown and not text.startswith(AT)


class Principal(NamedTuple):
    """
    Who a peer is, where the server knows.

    Attributes:
        name: What a certificate, a token or an identity provider calls it: 1 to 255 characters
            that can be shown.
        groups: Of the identity provider, by the names that it gives them.
        first_form: Whether it was let in to speak the first form of the protocol, and no other.
    """

    name: str
    groups: frozenset[str] = frozenset()
    first_form: bool = False
