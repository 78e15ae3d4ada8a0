# SPDX-License-Identifier: Apache-2.0
"""Certificates and revocation lists as RFC 5280 has them, in memory: ECDSA P-256 with SHA-256."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wsrc.net.certificates import Role
from wsrc.principal import MOST_NODE_NAME, is_node_name

ORGANISATION = "WSRC"
"""O of the subjects that are made here; they mean nothing to anybody."""

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DNS = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_DNS.pattern}", re.ASCII)
"""An address whose local part is a dot-atom (RFC 5322 section 3.2.3)."""

_MOST_NAME = 253
"""Characters of a name (RFC 1035 section 2.3.4)."""


class Kind(StrEnum):
    """What a certificate is for."""

    SERVER = "server"
    CARD_HOST = "card host"
    USER = "user"
    NODE = "node"


class Period(NamedTuple):
    """Since when and until when something is valid."""

    start: datetime
    end: datetime


class Issuer(NamedTuple):
    """A CA: its certificate, and the key that signs."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class BadNameError(ValueError):
    """A name that cannot be in a certificate."""


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_ca(key: ec.EllipticCurvePrivateKey, name: str, period: Period) -> x509.Certificate:
    """Return the certificate of a CA that signs others, but no CA, by its own key."""
    subject = _subject(name, None)
    public = key.public_key()
    return (
        _begun(subject, subject, public, period)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def make_leaf(
    public: ec.EllipticCurvePublicKey,
    kind: Kind,
    names: Sequence[str],
    period: Period,
    issuer: Issuer,
) -> x509.Certificate:
    """
    Return a certificate for a key.

    Args:
        public: The key.
        kind: What it is for, which its extended key usage says, and its OU if not a server.
        names: Of a server the host names and IP addresses; of others the one that it is known by.
        period: When it is valid.
        issuer: Who signs it.

    Raises:
        BadNameError: If a name cannot be in such a certificate.
    """
    made = _NAMES.get(kind, principal_name)
    usage = ExtendedKeyUsageOID.SERVER_AUTH if kind is Kind.SERVER else _CLIENT
    san = x509.SubjectAlternativeName([made(name) for name in names])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    return (
        _begun(_subject(names[0], _ROLES.get(kind)), issuer.certificate.subject, public, period)
        .add_extension(san, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(authority, critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def renewed(
    old: x509.Certificate, public: ec.EllipticCurvePublicKey, period: Period, issuer: Issuer
) -> x509.Certificate:
    """Return a certificate that says of a key what an older one of the same CA says of its own."""
    builder = _begun(old.subject, issuer.certificate.subject, public, period)
    for each in old.extensions:
        if not isinstance(each.value, x509.SubjectKeyIdentifier):
            builder = builder.add_extension(each.value, critical=each.critical)
    return builder.sign(issuer.key, hashes.SHA256())


def make_crl(
    revoked: Iterable[tuple[int, datetime]], number: int, period: Period, issuer: Issuer
) -> x509.CertificateRevocationList:
    """
    Return a revocation list.

    Args:
        revoked: Serial numbers, and when each was revoked.
        number: Of this list; more than that of the one before.
        period: When it was made, and until when it is to be believed.
        issuer: Whose certificates are meant; signs it.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(period.start)
        .next_update(period.end)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
            critical=False,
        )
    )
    for serial, when in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(issuer.key, hashes.SHA256())


def kind_of(certificate: x509.Certificate) -> Kind | None:
    """Return what a certificate of ours is for; None for a CA, and for what others made."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    if ExtendedKeyUsageOID.SERVER_AUTH in usage:
        return Kind.SERVER
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return next((kind for kind, role in _ROLES.items() if role in {u.value for u in units}), None)


def server_name(name: str) -> x509.GeneralName:
    """
    Return a host name or an IP address as it stands in a certificate.

    Raises:
        BadNameError: If it is neither.
    """
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        pass
    if not _is_dns(name.removeprefix("*.")):
        raise BadNameError(f"{name!r} is neither a host name nor an IP address{_hint(name)}")
    return x509.DNSName(name)


def principal_name(name: str) -> x509.GeneralName:
    """
    Return the name of a user or a card host as it stands in a certificate.

    Raises:
        BadNameError: If it is no e-mail address, no URI, and no name like that of a host.
    """
    if len(name) <= _MOST_NAME:
        if _EMAIL.fullmatch(name):
            return x509.RFC822Name(name)
        if _URI.fullmatch(name):
            return x509.UniformResourceIdentifier(name)
        if _is_dns(name):
            return x509.DNSName(name)
    raise BadNameError(
        f"{name!r} is no e-mail address, no URI, and no name of letters, digits, hyphens and dots"
        f"{_hint(name)}"
    )


def node_name(name: str) -> x509.GeneralName:
    """
    Return the name of a node of a cluster as it stands in a certificate.

    Raises:
        BadNameError: If it is not one.
    """
    if not is_node_name(name):
        raise BadNameError(
            f"{name!r} is not 1 to {MOST_NODE_NAME} letters, digits, underscores, and hyphens "
            "between them"
        )
    return x509.DNSName(name)


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as text, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


_CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
_ROLES = {Kind.CARD_HOST: Role.CARD_HOST, Kind.USER: Role.USER, Kind.NODE: Role.NODE}
_NAMES = {Kind.SERVER: server_name, Kind.NODE: node_name}


def _hint(name: str) -> str:
    return "" if name.isascii() else "; write other letters as IDNA has them (xn--…)"


def _is_dns(name: str) -> bool:
    return len(name) <= _MOST_NAME and _DNS.fullmatch(name) is not None


def _begun(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, period: Period
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(period.start)
        .not_valid_after(period.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _subject(common_name: str, unit: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION)]
    if unit is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    # RFC 5280 appendix A.1: a common name has 64 characters at most.
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]))
    return x509.Name(attributes)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
