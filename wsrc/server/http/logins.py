# SPDX-License-Identifier: Apache-2.0
"""
Who is logged in at the page: cookies that stand for the credentials by which they were given.

A cookie is of no use to a page of another site: it is `HttpOnly` and `SameSite=Strict`, and what
changes something needs a header that such a page cannot send.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NamedTuple

from aiohttp import web

from wsrc.principal import Principal
from wsrc.server.admission import Admitted
from wsrc.server.http.problems import problem

MOST: Final = 1_000
"""Cookies that are good at a time; with one more the one that was not used longest is not."""

MOST_OF_ONE: Final = 16
"""As many of them one principal may have."""

LIFE_S: Final = 12 * 3600.0
"""Seconds for which a cookie is good."""

IDLE_S: Final = 3600.0
"""Seconds without a request after which it is not."""

HEADER: Final = "WSRC-Page"
"""Header of each request that changes something and is let in by a cookie."""

_SAFE: Final = frozenset({"GET", "HEAD"})


class _Login(NamedTuple):
    admitted: Admitted
    until: float
    used: float


class Logins:
    """
    All cookies that are good, known by their digests alone.

    Args:
        is_over: Returns what of the credentials was revoked, for people.
    """

    def __init__(self, is_over: Callable[[Admitted], str | None]) -> None:
        self._is_over = is_over
        self._logins: dict[bytes, _Login] = {}
        self._of: dict[Principal | None, dict[bytes, None]] = {}
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._logins)

    def begin(self, request: web.Request, response: web.Response, admitted: Admitted) -> float:
        """Give a cookie for credentials with an answer; return until when, in seconds of UTC."""
        self.end(request, response)
        utc = datetime.now(UTC).timestamp()
        left_s = LIFE_S if admitted.until is None else min(LIFE_S, admitted.until - utc)
        now, secret = self._loop.time(), secrets.token_urlsafe(32)
        mine = self._of.setdefault(admitted.principal, {})
        if len(mine) >= MOST_OF_ONE:
            self._forget(next(iter(mine)))
        elif len(self._logins) >= MOST:
            self._forget(next(iter(self._logins)))
        key = _digest(secret)
        self._logins[key] = _Login(admitted, now + left_s, now)
        self._of.setdefault(admitted.principal, {})[key] = None
        response.set_cookie(
            name_of(request),
            secret,
            max_age=max(0, int(left_s)),
            path="/",
            secure=request.secure,
            httponly=True,
            samesite="Strict",
        )
        return utc + left_s

    def end(self, request: web.Request, response: web.Response) -> None:
        """Let the cookie of a request be good no more, if it has one."""
        self._forget(_key_of(request))
        response.del_cookie(
            name_of(request), path="/", secure=request.secure, httponly=True, samesite="Strict"
        )

    def way(self, request: web.Request) -> Admitted | None:
        """
        Return who a request is of by its cookie; other credentials go first.

        Raises:
            ProblemError: If it would change something, and may be for a page of another site.
        """
        key = _key_of(request)
        found = self._logins.get(key)
        if found is None or "Authorization" in request.headers:
            return None
        now, utc = self._loop.time(), datetime.now(UTC).timestamp()
        until = found.admitted.until
        if (
            now >= min(found.until, found.used + IDLE_S)
            or (until is not None and until <= utc)
            or self._is_over(found.admitted) is not None
        ):
            self._forget(key)
            return None
        if request.method not in _SAFE and HEADER not in request.headers:
            why = f"What changes something needs the header {HEADER} where a cookie lets in."
            raise problem(403, "foreign_page", why)
        del self._logins[key]  # the dict is in the order of use
        self._logins[key] = found._replace(used=now)
        mine = self._of[found.admitted.principal]
        del mine[key]
        mine[key] = None
        return found.admitted

    def _forget(self, key: bytes) -> None:
        found = self._logins.pop(key, None)
        if found is None:
            return
        mine = self._of[found.admitted.principal]
        del mine[key]
        if not mine:
            del self._of[found.admitted.principal]


def name_of(request: web.Request) -> str:
    """Return the name of the cookie; one over TLS cannot be set by another host of the domain."""
    if request.secure:
        return "__Host-wsrc"
    connection = request.transport.get_extra_info("sockname") if request.transport else None
    return f"wsrc-{connection[1]}" if connection else "wsrc"


def _key_of(request: web.Request) -> bytes:
    return _digest(request.cookies.get(name_of(request), ""))


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
