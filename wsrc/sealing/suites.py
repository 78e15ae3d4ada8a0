# SPDX-License-Identifier: Apache-2.0
"""Suites of HPKE (RFC 9180), and one-time keys; all have HKDF-SHA256 and AES-256-GCM."""

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from wsrc.sealing.faults import Fault, SealError
from wsrc.words import Word


class Suite(Word):
    """Which KEM; the first that both have is used."""

    HYBRID = "mlkem768-x25519", "ML-KEM-768 and X25519 together (HPKE KEM 647Ah)"
    X25519 = "x25519", "X25519 (HPKE KEM 0020h)"
    P256 = "p256", "ECDH with P-256 (HPKE KEM 0010h)"


_KEMS = {
    Suite.HYBRID: hpke.KEM.MLKEM768_X25519,
    Suite.X25519: hpke.KEM.X25519,
    Suite.P256: hpke.KEM.P256,
}
_PUBLIC_OCTETS = {Suite.HYBRID: 1184 + 32, Suite.X25519: 32, Suite.P256: 65}
_PRIVATE_OCTETS = {Suite.HYBRID: 64 + 32, Suite.X25519: 32, Suite.P256: 32}
_MLKEM_SEED_OCTETS, _MLKEM_PUBLIC_OCTETS = 64, 1184

_Private = hpke.MLKEM768X25519PrivateKey | x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey
_Public = hpke.MLKEM768X25519PublicKey | x25519.X25519PublicKey | ec.EllipticCurvePublicKey


@cache
def available() -> tuple[Suite, ...]:
    """Return the suites that this host's OpenSSL has, the preferred first."""
    try:
        mlkem.MLKEM768PrivateKey.generate()
    except UnsupportedAlgorithm:
        return Suite.X25519, Suite.P256
    return tuple(Suite)


def best_of(one: Iterable[str], other: Iterable[str]) -> Suite:
    """
    Return the suite that two ends use who name what they have.

    Raises:
        SealError: If they have none in common.
    """
    common = set(one) & set(other)
    for suite in Suite:
        if suite in common:
            return suite
    why = "The user and the card host have no way of sealing in common; update the older of them."
    raise SealError(Fault.SUITE, why)


def suite_of(name: str) -> Suite:
    """
    Return a suite by its name.

    Raises:
        SealError: If it is not known here.
    """
    try:
        return Suite(name)
    except ValueError:
        why = f"The card host seals by {name[:32]!r}, which is not known here; update this program."
        raise SealError(Fault.SUITE, why) from None


class OneTimeKey(NamedTuple):
    """A key pair for one secret; `public` is its public key as it is sent."""

    suite: Suite
    public: bytes
    private: _Private

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """
        Return what was sealed to the key.

        Raises:
            SealError: If it was not, or was changed, or `info` is another.
        """
        try:
            return _hpke(self.suite).decrypt(sealed, self.private, info)
        except (InvalidTag, ValueError):
            why = "The secret of the session cannot be opened: it was changed, or is for another."
            raise SealError(Fault.SECRET, why) from None


def new_key(suite: Suite) -> OneTimeKey:
    """Make a one-time key."""
    match suite:
        case Suite.P256:
            return _key(suite, ec.generate_private_key(ec.SECP256R1()))
        case Suite.X25519:
            return _key(suite, x25519.X25519PrivateKey.generate())
        case Suite.HYBRID:
            return _hybrid(mlkem.MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate())


def key_of(suite: Suite, private: bytes) -> OneTimeKey:
    """
    Return the key pair of a private key.

    Args:
        suite: What it is for.
        private: The number of P-256, the private key of X25519, 32 octets each; of the hybrid
            the seed d || z of ML-KEM-768 (FIPS 203 section 7.1), then the key of X25519.

    Raises:
        ValueError: If it is none.
    """
    if len(private) != _PRIVATE_OCTETS[suite]:
        raise ValueError(f"a private key of {suite} has {_PRIVATE_OCTETS[suite]} octets")
    match suite:
        case Suite.P256:
            return _key(suite, ec.derive_private_key(int.from_bytes(private), ec.SECP256R1()))
        case Suite.X25519:
            return _key(suite, x25519.X25519PrivateKey.from_private_bytes(private))
        case Suite.HYBRID:
            seed, other = private[:_MLKEM_SEED_OCTETS], private[_MLKEM_SEED_OCTETS:]
            return _hybrid(
                mlkem.MLKEM768PrivateKey.from_seed_bytes(seed),
                x25519.X25519PrivateKey.from_private_bytes(other),
            )


def seal_to(suite: Suite, public: bytes, plain: bytes, info: bytes) -> bytes:
    """
    Seal to a public key; return the encapsulated key and then the sealed text.

    Raises:
        SealError: If the key is none of the suite, or one of low order.
    """
    try:
        return _hpke(suite).encrypt(plain, _public(suite, public), info)
    except ValueError:
        why = "The card host's one-time key is none, or one whose secret everybody knows."
        raise SealError(Fault.KEY, why) from None


def _key(suite: Suite, private: x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey) -> OneTimeKey:
    return OneTimeKey(suite, _raw(private.public_key()), private)


def _hybrid(first: mlkem.MLKEM768PrivateKey, second: x25519.X25519PrivateKey) -> OneTimeKey:
    public = first.public_key().public_bytes_raw() + second.public_key().public_bytes_raw()
    return OneTimeKey(Suite.HYBRID, public, hpke.MLKEM768X25519PrivateKey(first, second))


def _raw(public: x25519.X25519PublicKey | ec.EllipticCurvePublicKey) -> bytes:
    if isinstance(public, x25519.X25519PublicKey):
        return public.public_bytes_raw()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _public(suite: Suite, octets: bytes) -> _Public:
    if len(octets) != _PUBLIC_OCTETS[suite]:
        raise ValueError(f"a public key of {suite} has {_PUBLIC_OCTETS[suite]} octets")
    match suite:
        case Suite.P256:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), octets)
        case Suite.X25519:
            return x25519.X25519PublicKey.from_public_bytes(octets)
        case Suite.HYBRID:
            first = mlkem.MLKEM768PublicKey.from_public_bytes(octets[:_MLKEM_PUBLIC_OCTETS])
            second = x25519.X25519PublicKey.from_public_bytes(octets[_MLKEM_PUBLIC_OCTETS:])
            return hpke.MLKEM768X25519PublicKey(first, second)


@cache
def _hpke(suite: Suite) -> hpke.Suite:
    return hpke.Suite(_KEMS[suite], hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
