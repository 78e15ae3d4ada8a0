# SPDX-License-Identifier: Apache-2.0
"""Keys and JWTs as NATS has them, and files of credentials, without the tools of NATS."""

import base64
import binascii
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED = 18 << 3
OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3
"""First octets of a seed, and of public keys (nkeys, prefix bytes)."""


class Key(NamedTuple):
    """A private key, and what it is for: OPERATOR, ACCOUNT or USER."""

    private: Ed25519PrivateKey
    prefix: int

    @property
    def public(self) -> str:
        """The public key as NATS writes it."""
        return _coded(bytes([self.prefix]) + self.private.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The private key as NATS writes it."""
        head = bytes([SEED | self.prefix >> 5, (self.prefix & 31) << 3])
        return _coded(head + self.private.private_bytes_raw())

    def jwt(self, subject: "Key", **nats: Any) -> str:
        """Return what this key says of another, or of itself."""
        now = int(time.time())  # noqa: TID251 - a JWT has the time of day
        claims = {"jti": "x", "iat": now, "iss": self.public, "sub": subject.public, "name": "x"}
        more = {key: nats.pop(key) for key in ("exp",) if key in nats}
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        said = f"{_json(header)}.{_json(claims | more | {'nats': nats | {'version': 2}})}"
        return f"{said}.{_url(self.private.sign(said.encode()))}"


def new(prefix: int) -> Key:
    """Return a new key."""
    return Key(Ed25519PrivateKey.generate(), prefix)


class Operator:
    """An operator with one account, as a server is told of them."""

    def __init__(self) -> None:
        self._operator = new(OPERATOR)
        self._account = new(ACCOUNT)

    @property
    def settings(self) -> str:
        """Lines of the configuration of a server."""
        whole = -1
        limits = {
            **dict.fromkeys(
                ("subs", "data", "payload", "imports", "exports", "conn", "leaf"), whole
            ),
            "wildcards": True,
        }
        account = self._operator.jwt(self._account, type="account", limits=limits)
        return (
            f"operator: {self._operator.jwt(self._operator, type='operator')}\n"
            f"resolver: MEMORY\nresolver_preload {{ {self._account.public}: {account} }}\n"
        )

    def creds(self, path: Path, **claims: Any) -> Path:
        """Write a file of credentials of a new user, as `nsc` does."""
        user = new(USER)
        jwt = self._account.jwt(
            user,
            type="user",
            **{"pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1} | claims,
        )
        parts = (("NATS USER JWT", jwt), ("USER NKEY SEED", user.seed))
        text = "\n".join(f"-----BEGIN {n}-----\n{t}\n------END {n}------\n" for n, t in parts)
        path.write_text(text, "utf-8")
        return path


def _coded(octets: bytes) -> str:
    checked = octets + binascii.crc_hqx(octets, 0).to_bytes(2, "little")
    return base64.b32encode(checked).decode().rstrip("=")


def _json(value: object) -> str:
    return _url(json.dumps(value).encode())


def _url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
