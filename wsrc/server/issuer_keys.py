# SPDX-License-Identifier: Apache-2.0
"""The keys of an identity provider: fetched, kept and renewed (OpenID Connect Discovery 1.0)."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from wsrc.settings.hosts import is_loopback

_log = logging.getLogger(__name__)

FETCH_S = 10.0
"""How long the two documents of an issuer may take together, in seconds."""

RENEW_S = 3600.0
"""How often keys are fetched, in seconds."""

RETRY_S = 30.0
"""How long after one fetch the next may begin, in seconds: tokens of unknown keys ask for them."""

KEEP_S = 86_400.0
"""How long keys are trusted after they were fetched last, in seconds."""

MAX_OCTETS = 256 << 10
"""What a document of an issuer may have."""

MAX_KEYS = 100

_MIN_RSA_BITS = 2048

_BY_TYPE: Mapping[tuple[str, str | None], Sequence[str]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
"""Algorithms of a key by its type and curve (RFC 7518): all have a public key, none a secret."""

ALGORITHMS = frozenset(each for those in _BY_TYPE.values() for each in those)


class Key(NamedTuple):
    """A public key, its id, and the algorithms that it may be used with."""

    kid: str | None
    public: Any
    algorithms: frozenset[str]


class _BadIssuerError(Exception):
    """An issuer answers what it should not; the sentence is for the log."""


class IssuerKeys:
    """
    The keys of an issuer, in one event loop.

    Args:
        issuer: Its URL; what it says of itself must be the same.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: tuple[Key, ...] = ()
        self._fetched_at: float | None = None
        self._again_at = 0.0
        self._tasks: asyncio.TaskGroup | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._told = ""
        self._renewing: Callable[[str], None] | None = None
        self.fetches = 0
        """How often the issuer was asked."""

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to fetch keys, and renew them; what fails is told, and tried again."""
        self._tasks = tasks
        self._keeping = tasks.create_task(self._keep(), name="issuer")

    async def stop(self) -> None:
        """End what is under way."""
        running = [task for task in (self._keeping, self._fetching) if task is not None]
        self._tasks = None
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def renew(self, done: Callable[[str], None]) -> None:
        """
        Fetch the keys anew, now or after the fetch that runs; what there was stays if that fails.

        Args:
            done: Called once afterwards with why it failed, empty if it did not; not called where
                another call comes before that, or the server ends.
        """
        self._renewing = done
        if self._fetching is None:
            self._begin_renewal()

    def _begin_renewal(self) -> None:
        if self._renewing is not None:
            self._again_at = 0.0
            self._begin()

    @property
    def there(self) -> bool:
        """Whether there are keys that may be trusted."""
        now = asyncio.get_running_loop().time()
        return self._fetched_at is not None and now < self._fetched_at + KEEP_S

    async def find(self, kid: str | None, algorithm: str) -> Key | None:
        """
        Return the key of a token, fetched anew if it is not known, which takes `FETCH_S` at most.

        Args:
            kid: Its id, as the token says; without one the issuer must have one such key alone.
            algorithm: As the token says.
        """
        found = self._known(kid, algorithm)
        if found is None and await self._renewed():
            found = self._known(kid, algorithm)
        return found

    def _known(self, kid: str | None, algorithm: str) -> Key | None:
        if not self.there:
            return None
        fit = [
            each
            for each in self._keys
            if algorithm in each.algorithms and (kid is None or each.kid == kid)
        ]
        return fit[0] if fit and (kid is not None or len(fit) == 1) else None

    async def _renewed(self) -> bool:
        """Wait for a fetch, which is begun if that may be now; return whether there was one."""
        task = self._fetching or self._begin()
        if task is None:
            return False
        await asyncio.wait([task], timeout=FETCH_S)
        return True

    def _begin(self) -> asyncio.Task[None] | None:
        now = asyncio.get_running_loop().time()
        if self._tasks is None or now < self._again_at:
            return None
        self._again_at = now + RETRY_S
        self._fetching = self._tasks.create_task(self._fetch(), name="keys")
        return self._fetching

    async def _keep(self) -> None:
        while True:
            await self._renewed()
            await asyncio.sleep(RETRY_S if self._told or not self.there else RENEW_S)

    async def _fetch(self) -> None:
        self.fetches += 1
        done, self._renewing = self._renewing, None
        try:
            keys = await self._asked()
        except (_BadIssuerError, aiohttp.ClientError, OSError, ValueError) as exc:
            why = str(exc) or "it does not answer in time"
            if why != self._told or done is not None:
                self._told = why
                kept = "its keys are kept for now" if self.there else "nobody has a key of it"
                _log.warning("No keys were got from %s, %s: %s", self._issuer, kept, why)
            if done is not None:
                done(why)
        else:
            if self._told or self._fetched_at is None or done is not None:
                count = "1 key was" if len(keys) == 1 else f"{len(keys)} keys were"
                _log.info("%s got from %s", count, self._issuer)
            self._told = ""
            self._keys = keys
            self._fetched_at = asyncio.get_running_loop().time()
            if done is not None:
                done("")
        finally:
            self._fetching = None
            self._begin_renewal()

    async def _asked(self) -> tuple[Key, ...]:
        limit = aiohttp.ClientTimeout(total=FETCH_S)
        async with asyncio.timeout(FETCH_S), aiohttp.ClientSession(timeout=limit) as session:
            about = await _document(
                session, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            )
            if about.get("issuer") != self._issuer:
                raise _BadIssuerError("it calls itself otherwise; give oidc_issuer as it does")
            found = about.get("jwks_uri")
            if not isinstance(found, str) or not is_safe(found):
                raise _BadIssuerError("its jwks_uri is no https URL")
            return keys_in(await _document(session, found))


async def _document(session: aiohttp.ClientSession, url: str) -> Mapping[str, object]:
    """Return a JSON object; no redirect is followed."""
    async with session.get(url, allow_redirects=False) as answer:
        if answer.status != 200:
            raise _BadIssuerError(f"HTTP status {answer.status} for {url}")
        text = b""
        async for part in answer.content.iter_chunked(MAX_OCTETS):
            text += part
            if len(text) > MAX_OCTETS:
                raise _BadIssuerError(f"{url} has more than {MAX_OCTETS} octets")
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as exc:
        raise _BadIssuerError(f"{url} is no JSON object") from exc


def is_safe(url: str) -> bool:
    """Return whether what a URL has cannot be changed on its way: https, or loopback."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host or ""))
    )


def keys_in(document: Mapping[str, object]) -> tuple[Key, ...]:
    """Return the keys of a JWK Set (RFC 7517) that signatures can be checked with."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise _BadIssuerError("its list of keys has no keys")
    every = cast("list[object]", listed)[:MAX_KEYS]
    read = [_key(cast("dict[str, Any]", each)) for each in every if isinstance(each, dict)]
    found = tuple(each for each in read if each is not None)
    if not found:
        raise _BadIssuerError("it has no key that signatures can be checked with")
    return found


def _key(said: Mapping[str, Any]) -> Key | None:
    """Return a key; None of one that is not for signatures, is weak, or is not known."""
    kid, fit = said.get("kid"), _algorithms(said)
    # Whoever publishes a private key has lost it.
    if not fit or "d" in said or said.get("use", "sig") != "sig" or not isinstance(kid, str | None):
        return None
    try:
        public: object = jwt.PyJWK({**said, "alg": fit[0]}).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError):
        return None
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < _MIN_RSA_BITS:
        return None
    return Key(kid, public, frozenset(fit))


def _algorithms(said: Mapping[str, Any]) -> list[str]:
    kind, curve = said.get("kty"), said.get("crv")
    if not isinstance(kind, str) or not isinstance(curve, str | None):
        return []
    fit = _BY_TYPE.get((kind, None if kind == "RSA" else curve), ())
    return [each for each in fit if said.get("alg", each) == each]
