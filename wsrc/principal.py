# SPDX-License-Identifier: Apache-2.0
"""Who a peer is, in whatever way the server was told."""

import hashlib
import re
from typing import NamedTuple

MOST_NAME = 255
"""Characters that the name of a principal may have."""

AT = "first-form@"
"""How the name of a principal begins that is known by its address alone; no other does."""


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a principal: one that can be shown."""
    shown = text.isprintable() and bool(text.strip()) and len(text) <= MOST_NAME
    return shown and not text.startswith(AT)


MOST_NODE_NAME = 40
"""Characters that the name of a node, or of a cluster, may have."""

_NODE = re.compile(rf"(?!-)[A-Za-z0-9_-]{{1,{MOST_NODE_NAME}}}(?<!-)")


def is_node_name(text: str) -> bool:
    """
    Return whether a text can be the name of a node, or of a cluster.

    It has letters, digits, underscores, and hyphens but at its ends: so it can be a word of a
    subject of NATS, and the DNS name in a certificate.
    """
    return _NODE.fullmatch(text) is not None


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


def owner_of(principal: Principal | None) -> str:
    """Return what tells a principal from others on the wire and in what is kept; empty for none."""
    if principal is None:
        return ""
    return hashlib.sha256(f"principal {principal.name}".encode()).hexdigest()[:32]


def run_and_owner(told: str | None) -> tuple[str | None, str]:
    """Return the run and the owner of a session, as `instance` of `attach` has them."""
    run, _, owner = (told or "").partition(".")
    return run or None, owner
