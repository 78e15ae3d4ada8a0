# SPDX-License-Identifier: Apache-2.0
"""Who NATS is told that we are, where that is in a file: a JWT and a seed, or a seed alone."""

import base64
import binascii
import re
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wsrc.errors import ConfigError

MOST_OCTETS: Final = 65_536
"""Longest file of credentials; a JWT has some hundred octets."""

_USER: Final = 20 << 3
"""First octet of a user's public key, "U" in base 32 (nkeys, prefix bytes)."""

_SEED: Final = 18 << 3
"""First five bits of a seed, "S" in base 32."""

_PART = r"-----BEGIN {0}-----\s+([A-Za-z0-9_.=-]+)\s+-+END {0}-+"
_JWT = re.compile(_PART.format("NATS USER JWT"))
_NKEY = re.compile(_PART.format("USER NKEY SEED"))


class Credentials:
    """
    What a file says of who we are to NATS; its private key signs what a server asks.

    Args:
        key: Of Ed25519.
        jwt: What an account has said of the key; empty where the server knows the key itself.

    Attributes:
        jwt: As given.
        public: The public key, as NATS writes it: "U…".
    """

    def __init__(self, key: Ed25519PrivateKey, jwt: str) -> None:
        self._key = key
        self.jwt = jwt
        raw = bytes([_USER]) + key.public_key().public_bytes_raw()
        self.public = base64.b32encode(raw + _checked(raw)).decode().rstrip("=")

    def __repr__(self) -> str:
        return f"Credentials({self.public})"

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """
        Read a file that `nsc` has made, or one that has the seed of a user and nothing else.

        Raises:
            ConfigError: If it cannot be read, is longer than 64 KiB, or is neither.
        """
        try:
            with path.open("rb") as file:
                text = file.read(MOST_OCTETS + 1).decode("ascii", errors="replace")
        except OSError as exc:
            why = f"cannot read {path}: {exc.strerror}; let this program's user read it"
            raise ConfigError("cluster_creds", why) from exc
        jwt, nkey = _JWT.search(text), _NKEY.search(text)
        if jwt is not None and nkey is not None:
            return cls(_key_of(nkey[1], path), jwt[1])
        return cls(_key_of(text.strip(), path), "")

    def sign(self, nonce: str) -> bytes:
        """Return the signature of a server's nonce, in base 64."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def _key_of(seed: str, path: Path) -> Ed25519PrivateKey:
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except (binascii.Error, ValueError):
        raw = b""
    prefix = bytes([_SEED | _USER >> 5, (_USER & 31) << 3])
    if len(raw) != 36 or raw[:2] != prefix or raw[34:] != _checked(raw[:34]):
        why = (
            f"{path} has no credentials of a NATS user: give a file that `nsc generate creds` has "
            "made, or one with the seed of a user, which begins with SU"
        )
        raise ConfigError("cluster_creds", why)
    return Ed25519PrivateKey.from_private_bytes(raw[2:34])


def _checked(octets: bytes) -> bytes:
    """Return the checksum of a key of NATS: CRC-16 of XMODEM, its low octet first."""
    return binascii.crc_hqx(octets, 0).to_bytes(2, "little")
