# SPDX-License-Identifier: Apache-2.0
"""The keys of a session, all from one secret by HKDF-SHA256 (RFC 5869)."""

from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from wsrc.sealing.encoding import PURPOSE

SECRET_OCTETS = 32
"""Octets of the secret that a user makes."""

KEY_OCTETS = 32
"""Octets of each key that comes of it."""


class Keys(NamedTuple):
    """
    The keys of a session.

    Attributes:
        session: Its name.
        requests: Boxes from the user.
        answers: Boxes from the card host.
        proofs: Proofs that resume the session, from the user.
        words: What the card host says without a box.
    """

    session: str
    requests: bytes
    answers: bytes
    proofs: bytes
    words: bytes


def derive(master: bytes, session: str, context: bytes) -> Keys:
    """
    Return the keys of a session.

    Args:
        master: The secret of the user.
        session: Name of the session.
        context: SHA-256 of all that the secret belongs to.
    """
    labels = (b"requests", b"answers", b"proofs", b"words")
    return Keys(session, *(_expand(master, context, PURPOSE + label) for label in labels))


def _expand(master: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), KEY_OCTETS, salt, info).derive(master)
