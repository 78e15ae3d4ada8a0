# SPDX-License-Identifier: Apache-2.0
"""The files that sessions are sealed with: who an end is, and whom it believes."""

import os
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from wsrc.errors import ConfigError
from wsrc.net.certificates import revoked_by, subject_of
from wsrc.net.known_hosts import KnownHostsFile
from wsrc.net.tls_files import Files
from wsrc.sealing.handshake import Host
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import Identity, fingerprint
from wsrc.sealing.trust import HOST_ROLE, USER_ROLE, Authority, Trust
from wsrc.settings.clients import CardClientSettings, UserSettings

OWN_FILE = "card-host.pem"
"""Certificate and key that a card host makes for itself where it has none of a CA."""

_OWN_VALID = timedelta(days=36_500)
_TOLD = "The certificates and keys of seals were read anew"


class HostFiles:
    """
    What a card host seals with, as its files are.

    Args:
        settings: Of the card client.
        folder: Where its own certificate is, or is made, where it has none of a CA.

    Raises:
        ConfigError: If a file cannot work.
    """

    def __init__(self, settings: CardClientSettings, folder: Path) -> None:
        self._settings = settings
        self._own = folder / OWN_FILE
        self._host: Host | None = None
        self.fingerprint = ""
        """Of its key, as users without a CA see it."""
        if settings.tls_cert is None:
            _own_identity(self._own, settings.name)
        self._files = Files(self, _TOLD)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        s = self._settings
        own = (s.tls_cert, s.tls_key) if s.tls_cert is not None else (self._own,)
        return tuple(path for path in (*own, s.user_ca, s.user_crl) if path is not None)

    def load(self) -> None:
        """Read them."""
        s = self._settings
        if s.tls_cert is not None and s.tls_key is not None:
            identity = identity_of("tls_cert", s.tls_cert, s.tls_key)
            if identity is None:
                why = f"the key in {s.tls_key} is of a kind that seals no session"
                raise ConfigError("tls_key", why)
        else:
            identity = _own_identity(self._own, s.name)
        users = None
        if s.user_ca is not None:
            users = _authority("user_ca", s.user_ca, s.user_crl, USER_ROLE, s.accept_users)
        self.fingerprint = fingerprint(x509.load_der_x509_certificate(identity.certificates[0]))
        self._host = Host(identity, Mode(s.seal_mode), users, wants_user=bool(s.accept_users))

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return nothing: the files of TLS are warned of where that is made."""
        del now
        return ()

    def host(self) -> Host:
        """Return what seals the next session."""
        self._files.take()
        assert self._host is not None
        return self._host


class UserFiles:
    """
    Whom a user believes to be a card host, and who it is itself, as its files are.

    Args:
        settings: Of the user.
        folder: Where `known_hosts` is, unless it is set.

    Raises:
        ConfigError: If a file cannot work.
    """

    def __init__(self, settings: UserSettings, folder: Path) -> None:
        self._settings = settings
        self._known_hosts = settings.known_hosts or folder / "known_hosts"
        self._trust: Trust | None = None
        self.known: KnownHostsFile | None = None
        """The card hosts that were seen before, where there is no CA."""
        self.identity: Identity | None = None
        """Who the user is, where it can prove that."""
        self._files = Files(self, _TOLD)

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that it is made of."""
        s = self._settings
        trusted = s.card_ca or self._known_hosts
        return tuple(
            path for path in (trusted, s.card_crl, s.tls_cert, s.tls_key) if path is not None
        )

    def load(self) -> None:
        """Read them."""
        s = self._settings
        if s.tls_cert is not None and s.tls_key is not None:
            self.identity = identity_of("tls_cert", s.tls_cert, s.tls_key)
        if s.card_ca is not None:
            self._trust = _authority("card_ca", s.card_ca, s.card_crl, HOST_ROLE, s.card_hosts)
        else:
            self.known = KnownHostsFile(self._known_hosts, str(s.server_url))
            self._trust = self.known.hosts

    def warnings(self, now: datetime) -> Iterable[str]:
        """Return nothing: the files of TLS are warned of where that is made."""
        del now
        return ()

    def trust(self) -> Trust:
        """Return whom to believe now."""
        self._files.take()
        assert self._trust is not None
        return self._trust


def identity_of(setting: str, cert: Path, key: Path) -> Identity | None:
    """Return a certificate with its key; None where the key is of a kind that seals nothing."""
    try:
        chain = x509.load_pem_x509_certificates(cert.read_bytes())
        private = load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError) as exc:
        raise ConfigError(setting, f"{cert} with {key} cannot be read: {exc}") from exc
    if not isinstance(
        private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    ):
        return None
    return Identity(tuple(each.public_bytes(Encoding.DER) for each in chain), private)


def _authority(
    setting: str, ca: Path, crl: Path | None, role: str, names: Sequence[str]
) -> Authority:
    try:
        cas = x509.load_pem_x509_certificates(ca.read_bytes())
        revoked = frozenset[tuple[bytes, int]]() if crl is None else revoked_by(crl, {setting: ca})
        return Authority(cas, subject_of, role, names or None, revoked)
    except (OSError, ValueError) as exc:
        raise ConfigError(setting, f"{ca} or its list cannot be used: {exc}") from exc


def _own_identity(path: Path, name: str) -> Identity:
    """Return the certificate and key in a file, which is made where it is missing."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make(path, name)
    except OSError as exc:
        why = f"{path} cannot be made: {exc}; give tls_cert and tls_key, or set seal = off"
        raise ConfigError("seal", why) from exc
    identity = identity_of("seal", path, path)
    if identity is None:
        raise ConfigError("seal", f"the key in {path} is of a kind that seals no session")
    return identity


def _make(path: Path, name: str) -> None:
    """Make a file that nobody else reads; of two programs that do so one wins."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _OWN_VALID)
        .sign(key, hashes.SHA256())
    )
    octets = certificate.public_bytes(Encoding.PEM)
    octets += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
        os.link(new, path)
    except FileExistsError:
        pass
    finally:
        new.unlink()
