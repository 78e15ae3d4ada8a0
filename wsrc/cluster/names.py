# SPDX-License-Identifier: Apache-2.0
"""What the subjects of a cluster are called, and what they tell to who operates NATS: no number."""

import hashlib
import hmac
from functools import lru_cache
from typing import NamedTuple

from wsrc.principal import is_node_name
from wsrc.words import Word

PREFIX = "wsrc"
"""First word of every subject."""

MAX_SUBJECT = 200
"""Characters of a subject; what is longer is none of ours."""

DIGEST_DIGITS = 32
"""Hexadecimal digits of the digest of a key."""

_KEPT_DIGESTS = 4_096


class Topic(Word):
    """What is said under a subject: its third word."""

    HERE = "here", "Each node publishes who it is"
    ROAD = "road", "Datagrams from one node to another"
    HAS = "has", "Who has a card or a host is asked"
    CAME = "came", "A card or a host has come"


class Heard(NamedTuple):
    """
    What a subject says.

    Attributes:
        topic: What is said under it.
        key: Of a question or news, the kind and the digest, with a dot between; else empty.
        sender: Of a datagram, the node whose name its sender may publish under; else empty.
    """

    topic: Topic
    key: str = ""
    sender: str = ""


class Names:
    """
    The subjects of a node.

    Args:
        cluster: Name of the cluster.
        node: Name of the node.

    Raises:
        ValueError: If one of them can be none.
    """

    def __init__(self, cluster: str, node: str) -> None:
        for what, name in (("cluster", cluster), ("node", node)):
            if not is_node_name(name):
                raise ValueError(f"{name!r} cannot be the name of a {what}")
        self.cluster, self.node = cluster, node
        self._begin = f"{PREFIX}.{cluster}."
        self._salt = hashlib.sha256(b"wsrc cluster " + cluster.encode()).digest()
        self._digest = lru_cache(_KEPT_DIGESTS)(self._digested)

    @property
    def here(self) -> str:
        """Where all nodes say that they are there."""
        return f"{self._begin}{Topic.HERE}"

    @property
    def roads(self) -> str:
        """What the node subscribes to hear the datagrams of all others."""
        return f"{self._begin}{Topic.ROAD}.{self.node}.*"

    @property
    def inbox(self) -> str:
        """How the subjects begin under which the node is told that nobody answers."""
        return f"{self._begin}nobody.{self.node}"

    def road(self, to: str) -> str:
        """Return where the node publishes datagrams to another."""
        return f"{self._begin}{Topic.ROAD}.{to}.{self.node}"

    def has(self, key: tuple[str, str]) -> str:
        """Return where it is asked who has what has a key: a kind, and a name in normal form."""
        return self.asked(self.key(key))

    def asked(self, words: str) -> str:
        """Return where it is asked who has what these words stand for, which `key` has made."""
        return f"{self._begin}{Topic.HAS}.{words}"

    def came(self, key: tuple[str, str]) -> str:
        """Return where it is published that what has a key has come."""
        return f"{self._begin}{Topic.CAME}.{self.key(key)}"

    def key(self, key: tuple[str, str]) -> str:
        """
        Return the words that stand for a key: its kind, and 32 hexadecimal digits of a digest.

        The digest is HMAC-SHA256 of kind and name, under SHA-256 of the name of the cluster. It
        keeps numbers out of logs; who knows the cluster can still try all numbers.
        """
        return self._digest(*key)

    def read(self, subject: str) -> Heard | None:
        """Return what a subject says to the node; None if it is none of its cluster, or of ours."""
        if not subject.startswith(self._begin) or len(subject) > MAX_SUBJECT:
            return None
        match subject[len(self._begin) :].split("."):
            case [Topic.HERE.value]:
                return Heard(Topic.HERE)
            case [Topic.ROAD.value, self.node, sender] if self._is_another(sender):
                return Heard(Topic.ROAD, sender=sender)
            case [Topic.HAS.value | Topic.CAME.value as topic, kind, digest]:
                return Heard(Topic(topic), f"{kind}.{digest}")
            case _:
                return None

    def _is_another(self, sender: str) -> bool:
        return sender != self.node and is_node_name(sender)

    def _digested(self, kind: str, name: str) -> str:
        made = hmac.digest(self._salt, f"{kind} {name}".encode(), "sha256").hex()
        return f"{kind}.{made[:DIGEST_DIGITS]}"
