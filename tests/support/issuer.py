# SPDX-License-Identifier: Apache-2.0
"""A small OpenID Connect issuer: HTTP on loopback, keys of its own, and JWTs good and bad."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

AUDIENCE = "wsrc-relay"

KEYS: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""One for each kind of key; those of RSA take long to make."""


def encoded(octets: bytes) -> str:
    """Return octets as JOSE writes them (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def jwk_of(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    """Return the public half of a key as RFC 7517 has it."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        made = jwt.algorithms.RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        made = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        made = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
    made.pop("key_ops", None)
    named = {} if kid is None else {"kid": kid}
    return {**made, "use": "sig", **named, **more}


class Issuer:
    """
    An issuer in a thread; `with` ends it.

    `answers` has what paths are answered with instead of what is right: status and octets;
    `gate` keeps it from answering while it is not set.
    """

    def __init__(self) -> None:
        self.keys: dict[str, tuple[Any, str]] = {}
        self.published: list[dict[str, Any]] | None = None
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.about: dict[str, Any] = {}
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.renew("first")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/realm"

    def renew(self, kid: str, algorithm: str = "ES256") -> None:
        """Sign with another key from now on, and forget those before."""
        key = ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else KEYS[algorithm]
        self.keys = {kid: (key, algorithm)}

    def __enter__(self) -> Self:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer._answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - of the base
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        self.gate.wait(30)
        name = handler.path.rpartition("/")[2]
        status, octets = self.answers.get(name) or (200, json.dumps(self._document(name)).encode())
        handler.send_response(status)
        if status == 302:
            handler.send_header("Location", octets.decode())
        handler.send_header("Content-Length", str(len(octets)))
        handler.end_headers()
        handler.wfile.write(octets)

    def _document(self, name: str) -> Mapping[str, Any]:
        if name == "openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.about}
        if self.published is not None:
            return {"keys": self.published}
        return {"keys": [jwk_of(key, kid) for kid, (key, _) in self.keys.items()]}

    def claims(self, **more: Any) -> dict[str, Any]:
        """Return good claims, changed; None leaves one out."""
        now = int(time.time())  # noqa: TID251 - of a JWT
        good = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "tester@example.org",
            "iat": now,
            "exp": now + 3600,
        }
        return {name: value for name, value in {**good, **more}.items() if value is not None}

    def made(self, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return a JWT that is signed with the newest key."""
        kid, (key, algorithm) = list(self.keys.items())[-1]
        given = {"kid": kid, **(headers or {})}
        given = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(self.claims(**claims), key, algorithm, headers=given)

    def unsigned(self, algorithm: str = "none", **claims: Any) -> str:
        """Return a JWT without a signature."""
        kid = next(iter(self.keys))
        head = encoded(json.dumps({"alg": algorithm, "typ": "JWT", "kid": kid}).encode())
        return f"{head}.{encoded(json.dumps(self.claims(**claims)).encode())}."

    def signed_with_public_key(self, form: str) -> str:
        """Return a JWT of HS256 whose secret is the public key: as PEM, as DER, or as JWK."""
        kid, (key, _) = next(iter(self.keys.items()))
        public = key.public_key()
        secret = {
            "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "jwk": json.dumps(jwk_of(key, kid)).encode(),
        }[form]
        body = self.unsigned("HS256").removesuffix(".")
        return f"{body}.{encoded(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"
