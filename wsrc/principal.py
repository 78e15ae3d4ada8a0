# SPDX-License-Identifier: Apache-2.0
"""Who a peer is, in whatever way the server was told."""

from typing import NamedTuple


class Principal(NamedTuple):
    """
    Who a peer is, where the server knows.

    Attributes:
        name: What a certificate, a token or an identity provider calls it: 1 to 255 characters
            that can be shown.
        groups: Of the identity provider, by the names that it gives them.
    """

    name: str
    groups: frozenset[str] = frozenset()
