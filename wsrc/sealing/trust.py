# SPDX-License-Identifier: Apache-2.0
"""Whose certificate is taken: one of a CA, with a name, a role and no revocation."""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.signing import fingerprint

MAX_CHAIN = 5
"""Certificates that come with a signature: the own and those between it and the CA."""

MAX_CERTIFICATE_OCTETS = 16_384
"""Octets of one certificate."""

MAX_FOUND = 64
"""Chains that were found good, and are not looked at again while they are valid."""

ODD = (
    VerificationError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What is wrong with a certificate, and is none of the errors of a value."""

HOST_ROLE, USER_ROLE, NODE_ROLE = "WSRC card host", "WSRC user", "WSRC node"
"""OU of a certificate that is for nothing else."""


class Named(Protocol):
    """What a certificate says of whom it is of."""

    @property
    def name(self) -> str:
        """The name that it is known by."""
        ...

    @property
    def roles(self) -> Collection[str]:
        """What it is for, of ours; none where it does not say."""
        ...


class Signer(NamedTuple):
    """
    Who signed.

    Attributes:
        name: As its certificate has it; empty where only the key is known.
        fingerprint: Of its key.
        certificate: Its own.
        first_use: Whether nothing but its key is known, and that since now.
    """

    name: str
    fingerprint: str
    certificate: x509.Certificate
    first_use: bool = False


class Trust(Protocol):
    """Whose signatures are believed."""

    def check(self, host: str, chain: Sequence[bytes], now: datetime) -> Signer:
        """
        Return who a signature would be of.

        Args:
            host: What the card host is called; nothing of a user.
            chain: Certificates in DER, the own first.
            now: The time, with its zone.

        Raises:
            SealError: If they are not believed.
        """
        ...


class Authority:
    """
    Believes certificates of CAs.

    Args:
        cas: Certificates of the CAs.
        subject: Reads whom a certificate is of, from its DER; raises ValueError where it is nobody.
        role: What a certificate must be for, unless it does not say.
        names: Whom alone to believe, `*` standing for any text; None is everybody.
        revoked: Names of issuers in DER, and serial numbers, of what was revoked.
    """

    def __init__(
        self,
        cas: Iterable[x509.Certificate],
        subject: Callable[[bytes], Named],
        role: str,
        names: Iterable[str] | None = None,
        revoked: Collection[tuple[bytes, int]] = (),
    ) -> None:
        self._policy = PolicyBuilder().store(Store(list(cas)))
        self._subject = subject
        self._role = role
        self._names = None if names is None else [_pattern(name) for name in names]
        self._revoked = revoked
        self._found: dict[tuple[bytes, ...], tuple[datetime, datetime, Signer]] = {}
        self._fault = Fault.USER if role == USER_ROLE else Fault.HOST
        self._who = "user" if role == USER_ROLE else "card host"

    def check(self, host: str, chain: Sequence[bytes], now: datetime) -> Signer:
        """Return who a signature would be of; see `Trust`."""
        chain = tuple(chain)
        begins, ends, signer = self._found.get(chain, (now, now, None))
        if signer is not None and begins <= now < ends:
            return signer
        if len(self._found) >= MAX_FOUND:
            del self._found[next(iter(self._found))]
        self._found[chain] = begins, ends, signer = self._look(chain, now)
        return signer

    def _look(self, chain: Sequence[bytes], now: datetime) -> tuple[datetime, datetime, Signer]:
        """Return since when and until when a chain is good, and whose it is."""
        try:
            leaf, *between = certificates(chain)
            way = self._policy.time(now).build_client_verifier().verify(leaf, between).chain
            named = self._subject(chain[0])
        except (ValueError, *ODD) as exc:
            raise self._error(f"is not good: {exc}") from exc
        if (leaf.issuer.public_bytes(), leaf.serial_number) in self._revoked:
            raise self._error(f"of {named.name} was revoked")
        if named.roles and self._role not in named.roles:
            raise self._error(f"of {named.name} is for {' and '.join(sorted(named.roles))}")
        if self._names is not None and not any(each(named.name) for each in self._names):
            raise self._error(f"is of {named.name}, who is not one of those that are accepted here")
        begins = max(each.not_valid_before_utc for each in way)
        ends = min(each.not_valid_after_utc for each in way)
        return begins, ends, Signer(named.name, fingerprint(leaf), leaf)

    def _error(self, what: str) -> SealError:
        return SealError(self._fault, f"The certificate of the {self._who} {what}.")


def certificates(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """
    Return the certificates of a chain.

    Raises:
        ValueError: If there is none, there are too many, or one cannot be read.
    """
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise ValueError(f"a chain has 1 to {MAX_CHAIN} certificates, not {len(chain)}")
    if any(len(each) > MAX_CERTIFICATE_OCTETS for each in chain):
        raise ValueError(f"a certificate has at most {MAX_CERTIFICATE_OCTETS} octets")
    try:
        found = [x509.load_der_x509_certificate(each) for each in chain]
        for each in found:
            each.public_key()
    except ODD as exc:
        raise ValueError(f"it cannot be read: {exc}") from exc
    return found


def _pattern(name: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(".*".join(map(re.escape, name.split("*"))), re.DOTALL).fullmatch
