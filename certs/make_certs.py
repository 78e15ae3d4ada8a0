# SPDX-License-Identifier: Apache-2.0
"""
Make a throw-away CA and a server certificate for demonstrations and tests.

Writes ca.pem, server.pem and server-key.pem; the key of the CA is not kept. Not for production:
nobody watches over these keys.
"""

import argparse
import ipaddress
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names that every certificate carries unless told otherwise."""


class Certificates(NamedTuple):
    """The files that were written."""

    ca: Path
    cert: Path
    key: Path


class _Issuer(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make(
    folder: Path,
    names: Sequence[str] = LOOPBACK,
    *,
    days: float = 30,
    start: datetime | None = None,
) -> Certificates:
    """
    Write a new CA, and a certificate with its key signed by it.

    Args:
        folder: Where to; made where it is missing. Files of an earlier call are replaced.
        names: Host names and IP addresses that the server is reached by.
        days: How long the certificate is valid.
        start: Since when; an hour ago by default, so that clocks may differ a little.
    """
    start = start or datetime.now(UTC) - timedelta(hours=1)
    end = start + timedelta(days=days)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _ca(ca_key, start - timedelta(days=1), end + timedelta(days=1))
    leaf = _leaf(key, names, start, end, _Issuer(ca, ca_key))
    folder.mkdir(parents=True, exist_ok=True)
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server-key.pem")
    files.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    files.cert.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    _write_secret(
        files.key,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    return files


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Make a throw-away CA and server certificate.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="further host names and IP addresses"
    )
    parser.add_argument("--dir", type=Path, default=Path(__file__).parent, help="where to write")
    parser.add_argument("--days", type=float, default=30, help="days of validity (default: 30)")
    given = parser.parse_args(arguments)
    try:
        files = make(given.dir, list(dict.fromkeys([*LOOPBACK, *given.names])), days=given.days)
    except OSError as exc:
        sys.stderr.write(f"make_certs: cannot write to {given.dir}: {exc.strerror}\n")
        return 1
    except ValueError as exc:
        sys.stderr.write(f"make_certs: a name cannot go into a certificate: {exc}\n")
        return 2
    print(f"CA, for clients (--tls-ca):             {files.ca}")
    print(f"certificate, for server (--tls-cert):   {files.cert}")
    print(f"private key, for server (--tls-key):    {files.key}")
    return 0


def _ca(key: ec.EllipticCurvePrivateKey, start: datetime, end: datetime) -> x509.Certificate:
    name = _name("WSRC throw-away CA")
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    start: datetime,
    end: datetime,
    issuer: _Issuer,
) -> x509.Certificate:
    public, authority = key.public_key(), x509.AuthorityKeyIdentifier
    return (
        x509.CertificateBuilder()
        .subject_name(_name(names[0]))
        .issuer_name(issuer.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([_san(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(authority.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


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


def _write_secret(path: Path, octets: bytes) -> None:
    """Write a file that nobody else may read, at no moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)


if __name__ == "__main__":
    sys.exit(main())
