# SPDX-License-Identifier: Apache-2.0
"""What certificates say: of whom, in which role, and what an operator should know of them."""

import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from wsrc.principal import is_name

SOON = timedelta(days=30)
"""A certificate that ends within this is warned of."""


class Role(StrEnum):
    """What an OU in a certificate of a client says it is for; for nothing else, then."""

    USER = "WSRC user"
    CARD_HOST = "WSRC card host"
    NODE = "WSRC node"


class Subject(NamedTuple):
    """
    Whom a certificate is of, by what it says itself.

    Attributes:
        name: The first URI, e-mail or DNS name of the SAN, else the CN.
        roles: What the certificate is for, of ours; none where it does not say.
        issuer: Name of the CA, in DER.
        serial: Number of the certificate, which the CA gave it.
        ends: When it ends, with its zone.
    """

    name: str
    roles: frozenset[Role]
    issuer: bytes
    serial: int
    ends: datetime


def subject_of(der: bytes) -> Subject:
    """
    Return who a certificate is of; it is not checked here.

    Raises:
        ValueError: If it has no name that can be shown, with the reason.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        name = _name(certificate)
    except _ODD as exc:
        raise ValueError(f"it cannot be read: {exc}") from exc
    if name is None:
        raise ValueError("it has no URI, e-mail or DNS name, and no common name")
    if not is_name(name):
        raise ValueError("the name in it is empty, too long, or has characters that are not shown")
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    said = {str(unit.value) for unit in units}
    return Subject(
        name,
        frozenset(role for role in Role if role in said),
        certificate.issuer.public_bytes(),
        certificate.serial_number,
        certificate.not_valid_after_utc,
    )


_ODD = (x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
"""What is none of the errors of a value."""


def _name(certificate: x509.Certificate) -> str | None:
    kinds = (x509.UniformResourceIdentifier, x509.RFC822Name, x509.DNSName)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    for each in names:
        if isinstance(each, kinds):
            return each.value
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else None


Revoked = frozenset[tuple[bytes, int]]
"""Certificates that were revoked: the name of the CA in DER, and the serial number."""

_PEM = re.compile(rb"-----BEGIN ([^-]+)-----.*?-----END \1-----", re.DOTALL)


def lists_in(crl: Path) -> list[x509.CertificateRevocationList]:
    """
    Return the revocation lists in a PEM file, which has nothing else.

    Raises:
        ValueError: If it has something else, or none.
    """
    found = list(_PEM.finditer(crl.read_bytes()))
    if not found or any(each[1] != b"X509 CRL" for each in found):
        raise ValueError("it is not a file of revocation lists in PEM form, and nothing else")
    return [x509.load_pem_x509_crl(each[0]) for each in found]


def revoked_by(crl: Path, cas: Mapping[str, Path], besides: Sequence[Path] = ()) -> Revoked:
    """
    Return which certificates are revoked.

    Args:
        crl: PEM file of revocation lists.
        cas: PEM files of CAs, each by its name for people; one in each has a list.
        besides: PEM files of CAs that may have lists as well.

    Raises:
        ValueError: If that is not so, or a list is not signed by one of the CAs.
    """
    lists = lists_in(crl)
    known = {name: x509.load_pem_x509_certificates(path.read_bytes()) for name, path in cas.items()}
    others = [x509.load_pem_x509_certificates(path.read_bytes()) for path in besides]
    for each in lists:
        if not any(_is_of(each, ca) for every in (*known.values(), *others) for ca in every):
            raise ValueError(f"a list in it is signed by no CA of {' and '.join(known)}")
    for name, every in known.items():
        if not any(_is_of(each, ca) for ca in every for each in lists):
            raise ValueError(f"it has no list of a CA in {name}, so that nobody would be let in")
    return _entries(lists)


def revoked_of(crl: Path, cas: Sequence[x509.Certificate]) -> Revoked:
    """
    Return which certificates are revoked by those lists of a PEM file that CAs have signed.

    Raises:
        ValueError: If it is no file of revocation lists.
    """
    return _entries(each for each in lists_in(crl) if any(_is_of(each, ca) for ca in cas))


def _entries(lists: Iterable[x509.CertificateRevocationList]) -> Revoked:
    return frozenset(
        (each.issuer.public_bytes(), entry.serial_number) for each in lists for entry in each
    )


def _is_of(crl: x509.CertificateRevocationList, ca: x509.Certificate) -> bool:
    public = ca.public_key()
    if ca.subject != crl.issuer or not isinstance(public, _SIGNING):
        return False
    return crl.is_signature_valid(public)


_SIGNING = (
    ec.EllipticCurvePublicKey,
    rsa.RSAPublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)


def warnings_of(
    certs: Iterable[Path], key: Path | None, now: datetime, crl: Path | None = None
) -> Iterator[str]:
    """
    Return what is wrong, or soon will be, with files that TLS takes.

    Args:
        certs: PEM files of certificates and their chains, and of CAs.
        key: PEM file of a private key.
        now: The time, with its zone.
        crl: PEM file of revocation lists.
    """
    for path in certs:
        for number, each in enumerate(x509.load_pem_x509_certificates(path.read_bytes())):
            what = f"Certificate {number + 1} in" if number else "The certificate in"
            said = _warning(each.not_valid_before_utc, each.not_valid_after_utc, now)
            if said:
                yield f"{what} {path} {said}"
    ends = [each.next_update_utc for each in lists_in(crl)] if crl is not None else []
    for end in [each for each in ends if each is not None and each - now < SOON]:
        over = "has expired" if end <= now else "expires"
        yield f"A revocation list in {crl} {over} on {end:%Y-%m-%d}: nobody is let in without one"
    if key is not None and key.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        yield f"Every user of this host can read or change the key in {key}; chmod o-rw {key}"


def _warning(begins: datetime, ends: datetime, now: datetime) -> str | None:
    if ends <= now:
        return f"has expired on {ends:%Y-%m-%d}: nobody accepts it; renew it"
    if begins > now:
        return f"is not valid before {begins:%Y-%m-%d %H:%M} UTC; check the clock"
    if ends - now < SOON:
        return f"expires on {ends:%Y-%m-%d}, in {(ends - now).days} days; renew it"
    return None
