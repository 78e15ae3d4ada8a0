# SPDX-License-Identifier: Apache-2.0
"""Signatures by the keys of certificates, in the form that WebCrypto has, and fingerprints."""

import base64
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""What signs: ECDSA with P-256, P-384 or P-521, RSA-PSS, Ed25519."""

_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


class Identity(NamedTuple):
    """Who somebody is: certificates in DER, the own first, and its key."""

    certificates: tuple[bytes, ...]
    key: SigningKey


def sign(key: SigningKey, octets: bytes) -> bytes:
    """
    Sign octets.

    ECDSA hashes with SHA-256, SHA-384 or SHA-512 as its curve has it, and gives r || s, each of
    the length of the curve's field; RSA is PSS with SHA-256 and a salt of 32 octets.
    """
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(octets)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, _PSS, hashes.SHA256())
    half = _half(key.curve)
    r, s = utils.decode_dss_signature(key.sign(octets, ec.ECDSA(_hash(key.curve))))
    return r.to_bytes(half, "big") + s.to_bytes(half, "big")


def is_signed(certificate: x509.Certificate, signature: bytes, octets: bytes) -> bool:
    """Return whether the key of a certificate has signed octets."""
    try:
        _verify(certificate, signature, octets)
    except (InvalidSignature, ValueError):
        return False
    return True


def fingerprint(certificate: x509.Certificate) -> str:
    """Return SHA-256 of the public key (its SubjectPublicKeyInfo), as ssh writes such."""
    info = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"SHA256:{base64.b64encode(digest(info)).decode().rstrip('=')}"


def digest(octets: bytes) -> bytes:
    """Return SHA-256 of octets."""
    sha = hashes.Hash(hashes.SHA256())
    sha.update(octets)
    return sha.finalize()


def _verify(certificate: x509.Certificate, signature: bytes, octets: bytes) -> None:
    public = certificate.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        public.verify(signature, octets)
    elif isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, octets, _PSS, hashes.SHA256())
    elif isinstance(public, ec.EllipticCurvePublicKey):
        half = _half(public.curve)
        if len(signature) != 2 * half:
            raise InvalidSignature
        r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
        der = utils.encode_dss_signature(r, s)
        public.verify(der, octets, ec.ECDSA(_hash(public.curve)))
    else:
        raise InvalidSignature


def _half(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def _hash(curve: ec.EllipticCurve) -> hashes.HashAlgorithm:
    if curve.key_size <= 256:
        return hashes.SHA256()
    return hashes.SHA384() if curve.key_size <= 384 else hashes.SHA512()
