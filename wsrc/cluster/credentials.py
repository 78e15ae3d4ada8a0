# SPDX-License-Identifier: Apache-2.0
"""Who a node is to others, and which other nodes it believes."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from wsrc.sealing.signing import Identity
from wsrc.sealing.trust import NODE_ROLE, ODD, Named, certificates

MAX_FOUND = 256
"""Chains that were found good, and are not looked at again while they are valid."""


class GreetingError(Exception):
    """A greeting is not taken; the text is what the other node does, without a subject."""


class _Found(NamedTuple):
    name: str
    begins: datetime
    ends: datetime
    certificate: x509.Certificate


class Nodes:
    """
    Believes certificates of nodes.

    Args:
        cas: Certificates of the CAs of nodes.
        subject: Reads whom a certificate is of, from its DER; raises ValueError where it is nobody.
        revoked: Names of issuers in DER, and serial numbers, of what was revoked.
    """

    def __init__(
        self,
        cas: Iterable[x509.Certificate],
        subject: Callable[[bytes], Named],
        revoked: Collection[tuple[bytes, int]] = (),
    ) -> None:
        self._policy = PolicyBuilder().store(Store(list(cas)))
        self._subject = subject
        self._revoked = revoked
        self._found: dict[tuple[bytes, ...], _Found] = {}

    def check(self, name: str, chain: Sequence[bytes], when: datetime) -> x509.Certificate:
        """
        Return the certificate of a node.

        Args:
            name: Of the node.
            chain: Certificates in DER, its own first.
            when: The time, with its zone.

        Raises:
            GreetingError: If they are not of that node, or not good at that time.
        """
        chain = tuple(chain)
        found = self._found.get(chain)
        if found is None or not found.begins <= when < found.ends:
            found = self._look(chain, when)
            if len(self._found) >= MAX_FOUND:
                del self._found[next(iter(self._found))]
            self._found[chain] = found
        if found.name != name:
            raise GreetingError(f"shows a certificate of {found.name!r}")
        return found.certificate

    def _look(self, chain: tuple[bytes, ...], when: datetime) -> _Found:
        try:
            leaf, *between = certificates(chain)
            way = self._policy.time(when).build_client_verifier().verify(leaf, between).chain
            named = self._subject(chain[0])
        except (ValueError, *ODD) as exc:
            at = f"at {when:%Y-%m-%d %H:%M} UTC"
            raise GreetingError(f"shows a certificate that is not good {at}: {exc}") from exc
        if (leaf.issuer.public_bytes(), leaf.serial_number) in self._revoked:
            raise GreetingError("shows a certificate that was revoked")
        if NODE_ROLE not in named.roles:
            roles = " and ".join(sorted(named.roles)) or "nothing of a cluster"
            raise GreetingError(f"shows a certificate that is for {roles}, not for a node")
        begins = max(each.not_valid_before_utc for each in way)
        ends = min(each.not_valid_after_utc for each in way)
        return _Found(named.name, begins, ends, leaf)


class Credentials(NamedTuple):
    """
    What a node proves with who it is, and believes others by.

    Attributes:
        own: Its certificates and their key.
        nodes: Whose certificates it believes.
    """

    own: Identity
    nodes: Nodes
