# SPDX-License-Identifier: Apache-2.0
"""CAs and client certificates for tests: good ones, and one for each thing that can be wrong."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from tests.support.certificates import LOOPBACK, Certificates
from wsrc.certs.folder import Folder, Issued
from wsrc.certs.making import Kind, Period, make_ca, new_key, pem_of
from wsrc.settings.load import ServerSettings

NOW = datetime.now(UTC)
VALID = Period(NOW - timedelta(hours=1), NOW + timedelta(days=60))


class Pair(NamedTuple):
    """A certificate and its key."""

    cert: Path
    key: Path


class Pki:
    """
    A CA in a folder, made with the code of `wsrc-certs`, with a certificate for a server.

    Args:
        path: The folder.
        days: How long the CA is valid.
    """

    def __init__(self, path: Path, days: float = 3650) -> None:
        self.path = path
        self.folder = Folder(path)
        self.folder.init(days=days)
        self._hosts: dict[str, Pair] = {}

    @cached_property
    def server(self) -> Certificates:
        """Return the files of a server on loopback."""
        made = self.folder.issue(Kind.SERVER, LOOPBACK)
        return Certificates(self.folder.ca, made.path, made.key)

    def client(
        self, name: str, kind: Kind = Kind.USER, *, days: float = 90, at: datetime | None = None
    ) -> Pair:
        """Return the files of a client, made at another time if need be."""
        return _pair(Folder(self.path, at).issue(kind, [name], days))

    def host(self, name: str) -> Pair:
        """Return the files of a card host, made once."""
        if name not in self._hosts:
            self._hosts[name] = self.client(name, Kind.CARD_HOST)
        return self._hosts[name]

    def revoked(self, name: str) -> Pair:
        """Return the files of a client whose certificate is revoked."""
        made = self.client(name)
        kept = made.cert.read_bytes(), made.key.read_bytes()
        self.folder.revoke(name)
        for path, octets in zip(made, kept, strict=True):
            path.write_bytes(octets)
        return made

    def foreign(
        self,
        stem: str,
        names: Sequence[x509.GeneralName] = (),
        common_name: str | None = None,
        usage: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH,
        san: bytes | None = None,
    ) -> Pair:
        """Return the files of a certificate as another program of the same CA makes it."""
        ca_key: Any = load_pem_private_key((self.path / "ca-key.pem").read_bytes(), None)
        ca = x509.load_pem_x509_certificate(self.folder.ca.read_bytes())
        key = new_key()
        subject = (
            [] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(ca.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(VALID.start)
            .not_valid_after(VALID.end)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if san is not None:
            odd = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, san)
            builder = builder.add_extension(odd, critical=False)
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return _written(self.path / stem, key, builder.sign(ca_key, hashes.SHA256()))

    def self_signed(self, stem: str) -> Pair:
        """Return the files of a certificate that nobody but its own key has signed."""
        key = new_key()
        return _written(self.path / stem, key, make_ca(key, stem, VALID))


def _written(path: Path, key: ec.EllipticCurvePrivateKey, made: x509.Certificate) -> Pair:
    pair = Pair(path.with_name(f"{path.name}.pem"), path.with_name(f"{path.name}-key.pem"))
    pair.cert.write_bytes(made.public_bytes(Encoding.PEM))
    pair.key.write_bytes(pem_of(key))
    pair.key.chmod(0o600)
    return pair


def _pair(made: Issued) -> Pair:
    return Pair(made.path, made.key)


def settings_of(pki: Pki, **more: Any) -> ServerSettings:
    """Return the settings of a server on free ports that lets in the clients of a CA."""
    given: dict[str, Any] = {
        "user_port": 0,
        "card_port": 0,
        "tls_cert": pki.server.cert,
        "tls_key": pki.server.key,
        "tls_client_ca": pki.folder.ca,
        "tls_crl": pki.folder.crl,
    }
    return ServerSettings(**given | more)
