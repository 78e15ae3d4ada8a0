# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made with the code of `wsrc-certs`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from wsrc.certs.making import Issuer, Kind, Period, make_ca, make_leaf, new_key, pem_of

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names that a server of a test is reached by."""


class Certificates(NamedTuple):
    """A CA, and a certificate with its key."""

    ca: Path
    cert: Path
    key: Path


def make(
    folder: Path,
    names: Sequence[str] = LOOPBACK,
    *,
    days: float = 60,
    start: datetime | None = None,
) -> Certificates:
    """
    Write a new CA, and a certificate of a server signed by it; files of an earlier call go.

    Args:
        folder: Where to; made where it is missing.
        names: Host names and IP addresses that the server is reached by.
        days: How long the certificate is valid.
        start: Since when; an hour ago by default.
    """
    start = start or datetime.now(UTC) - timedelta(hours=1)
    period = Period(start, start + timedelta(days=days))
    folder.mkdir(parents=True, exist_ok=True)
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
    around = Period(start - timedelta(days=1), period.end + timedelta(days=1))
    ca_key = new_key()
    issuer = Issuer(make_ca(ca_key, "WSRC CA of a test", around), ca_key)
    files.ca.write_bytes(_pem(issuer.certificate))
    sign(files, issuer, Kind.SERVER, names, period)
    return files


def sign(
    files: Certificates, issuer: Issuer, kind: Kind, names: Sequence[str], period: Period
) -> None:
    """Write a new key and a certificate for it."""
    key = new_key()
    files.cert.write_bytes(_pem(make_leaf(key.public_key(), kind, names, period, issuer)))
    files.key.unlink(missing_ok=True)
    files.key.touch(mode=0o600)
    files.key.write_bytes(pem_of(key))


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)
