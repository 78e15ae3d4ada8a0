# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.signing: every kind of key that a certificate may have."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils

from tests.support.sealing import VALID
from wsrc.sealing.signing import fingerprint, is_signed, sign

KEYS: dict[str, Any] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
SIZES = {"P-256": 64, "P-384": 96, "P-521": 132, "RSA": 256, "Ed25519": 64}


def certificate(key: Any) -> x509.Certificate:
    name = x509.Name([])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(VALID.start)
        .not_valid_after(VALID.end)
        .sign(
            key,
            None
            if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
            else hashes.SHA256(),
        )
    )


@pytest.mark.parametrize("kind", KEYS)
def test_a_signature_is_that_of_its_key_over_its_octets(kind: str) -> None:
    key, other = KEYS[kind](), KEYS[kind]()
    signature = sign(key, b"octets")
    assert len(signature) == SIZES[kind]
    assert is_signed(certificate(key), signature, b"octets")
    assert not is_signed(certificate(key), signature, b"other octets")
    assert not is_signed(certificate(other), signature, b"octets")
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(len(signature)), b"\xff" * 64):
        assert not is_signed(certificate(key), wrong, b"octets")
    assert fingerprint(certificate(key)) != fingerprint(certificate(other))


@pytest.mark.parametrize(
    ("kind", "hash_"),
    [("P-256", hashes.SHA256()), ("P-384", hashes.SHA384()), ("P-521", hashes.SHA512())],
)
def test_a_curve_has_the_hash_of_its_size(kind: str, hash_: hashes.HashAlgorithm) -> None:
    key = KEYS[kind]()
    signature = sign(key, b"octets")
    half = len(signature) // 2
    r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
    key.public_key().verify(utils.encode_dss_signature(r, s), b"octets", ec.ECDSA(hash_))


def test_rsa_is_pss_with_sha_256_and_a_salt_of_32_octets() -> None:
    key = KEYS["RSA"]()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    key.public_key().verify(sign(key, b"octets"), b"octets", pss, hashes.SHA256())


def test_a_key_that_we_do_not_know_has_signed_nothing() -> None:
    assert not is_signed(certificate(ed448.Ed448PrivateKey.generate()), bytes(114), b"octets")
