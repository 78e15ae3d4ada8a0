# SPDX-License-Identifier: Apache-2.0
"""
What the log says of those who are refused, or who reach a limit, with the reason.

The first line of a kind is written at once. Others of that kind are counted, and told once a
minute, so that no flood fills a log.
"""

import asyncio
import logging
import math
import ssl
from collections import Counter

from aiohttp import web
from aiohttp.http import HttpProcessingError

from wsrc.audit.events import Recorder, Refused
from wsrc.net.addresses import group_of
from wsrc.net.answers import REASON, Reason
from wsrc.server.limits import Limit, Refusal

_log = logging.getLogger(__name__)

MAX_REASON = 200
"""Characters of the reason for which a connection is refused."""

TELL_S = 60.0
"""Seconds between two lines of a kind."""

MAX_KINDS, MAX_OF_ONE = 256, 8
"""
Kinds that have lines of their own within that time, and those of them that one may cause; all
others have one line together.
"""

OF_ALL = frozenset((Limit.PEERS, Limit.HALF_OPEN))
"""Limits that no single address or principal reaches."""

_NOT_TLS = {
    "HTTP_REQUEST": "it speaks HTTP without TLS",
    "WRONG_VERSION_NUMBER": "it does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "it has no TLS version in common with this server",
    "NO_SHARED_CIPHER": "it has no cipher in common with this server",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the CA of this server's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept this server's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept this server's certificate",
}


_NO_CA = "its certificate is signed by no CA that is trusted here for clients"

_OF_CERTIFICATE = {
    2: _NO_CA,
    3: "the CA of its certificate has no revocation list in tls_crl",
    8: "the revocation list in tls_crl has a wrong signature",
    9: "its certificate is not valid yet; check the clocks of both hosts",
    10: "its certificate has expired",
    11: "the revocation list in tls_crl is not valid yet; check the clock",
    12: "the revocation list in tls_crl has expired; bring a new one, or nobody is let in",
    18: f"{_NO_CA}: it is self-signed",
    19: _NO_CA,
    20: _NO_CA,
    21: _NO_CA,
    23: "its certificate is revoked",
    26: "its certificate is not for clients (extended key usage)",
}
"""X509_V_ERR_… of OpenSSL."""


class NotAdmittedError(Exception):
    """A peer is not let in; the sentence is for the log, `reason` for the peer."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason

    @property
    def answer(self) -> web.Response:
        """What the peer is answered (RFC 6750 section 3)."""
        headers, status = {REASON: str(self.reason)}, 403
        if self.reason in _CHALLENGES:
            headers["WWW-Authenticate"], status = _CHALLENGES[self.reason], 401
        if self.reason is Reason.NO_KEYS:
            headers["Retry-After"], status = KEYS_S, 503
        return web.Response(status=status, headers=headers, text=f"{self}\n")


KEYS_S = "30"
"""After how many seconds a client is to come again, if its token could not be checked."""

_REALM = 'Bearer realm="wsrc"'
_WRONG = f'{_REALM}, error="invalid_token"'

_CHALLENGES = {
    Reason.NO_BEARER: _REALM,
    Reason.NOTHING_SHOWN: _REALM,
    Reason.UNKNOWN_BEARER: _WRONG,
    Reason.EXPIRED_BEARER: _WRONG,
    Reason.BAD_BEARER: _WRONG,
}


_TOLD = {
    Limit.PEERS: (503, Reason.FULL, "The server has reached its limit of peers."),
    Limit.CONNECTIONS_OF_ADDRESS: (
        429,
        Reason.ADDRESS_CONNECTIONS,
        "There are as many connections from this address as there may be.",
    ),
    Limit.CONNECTIONS_OF_PRINCIPAL: (
        429,
        Reason.PRINCIPAL_CONNECTIONS,
        "There are as many connections with these credentials as there may be.",
    ),
    Limit.HANDSHAKES: (429, Reason.TOO_FAST, "This address connects too often."),
    Limit.WRONG: (
        429,
        Reason.WRONG_CREDENTIALS,
        "Too many wrong credentials came from this address.",
    ),
}
"""The status, the reason and the sentence for whom a limit keeps out."""


class Banned(web.Response):
    """The answer to whom an operator has banned, who may come again after so many seconds."""

    def __init__(self, sentence: str, again_s: float) -> None:
        headers = {REASON: Reason.BANNED, "Retry-After": str(math.ceil(again_s))}
        super().__init__(status=403, headers=headers, text=f"{sentence}\n")


class KeptOut(web.Response):
    """The answer to whom a limit keeps out."""

    def __init__(self, refusal: Refusal) -> None:
        status, reason, sentence = _TOLD[refusal.limit]
        headers = {REASON: reason, "Retry-After": str(math.ceil(refusal.retry_after_s))}
        super().__init__(status=status, headers=headers, text=f"{sentence}\n")


WHAT_OF = {
    Limit.PEERS: "a connection from {} is refused",
    Limit.HALF_OPEN: "a connection from {} that is no WebSocket yet makes room for others",
    Limit.CONNECTIONS_OF_ADDRESS: "a connection from {} is refused",
    Limit.CONNECTIONS_OF_PRINCIPAL: "a connection of {} is refused",
    Limit.HANDSHAKES: "a connection from {} is refused",
    Limit.REQUESTS: "what {} sends is read later",
    Limit.OCTETS: "what {} sends is read later",
    Limit.WRONG: "wrong credentials from {} are answered with 429",
}
"""What becomes of one who reaches a limit."""


class _Kind:
    """Lines of a kind that are not written until then: how many, and the last of them."""

    __slots__ = ("last", "level", "more", "until")

    def __init__(self, until: float) -> None:
        self.until = until
        self.more = 0
        self.level = logging.INFO
        self.last = ""


_Key = tuple[str, str | None] | None


class Digest:
    """
    Lines of a log, of which each kind has one a minute; time is an argument, in monotonic seconds.

    A line is a level of `logging` and a sentence.
    """

    def __init__(self) -> None:
        self._kinds: dict[_Key, _Kind] = {}
        self._of: Counter[str] = Counter()

    def note(
        self, what: str, level: int, sentence: str, now: float, cause: str | None = None
    ) -> bool:
        """
        Return whether a sentence is to be written now; if not, it is counted.

        Sentences are of one kind that say the same, `what`, of one `cause`, if any.
        """
        kind: _Key = what, cause
        if kind not in self._kinds and self._is_full(cause):
            kind = None
        known = self._kinds.get(kind)
        if known is None:
            self._enter(kind, now)
            return True
        known.more += 1
        known.level, known.last = level, sentence
        return False

    def deadline(self) -> float | None:
        """Return when `due` has something to say, or to forget."""
        return next(iter(self._kinds.values())).until if self._kinds else None

    def due(self, now: float) -> list[tuple[int, str]]:
        """Return the lines of those kinds that had none for a minute, with how many they are."""
        over = [kind for kind, known in self._kinds.items() if known.until <= now]
        lines: list[tuple[int, str]] = []
        for kind in over:
            known = self._kinds.pop(kind)
            if kind is not None and kind[1] is not None:
                self._of[kind[1]] -= 1
            if known.more:
                lines.append((known.level, _counted(known, kind)))
                self._enter(kind, now)
        self._of = +self._of
        return lines

    def _is_full(self, cause: str | None) -> bool:
        too_many = cause is not None and self._of[cause] >= MAX_OF_ONE
        return too_many or len(self._kinds) >= MAX_KINDS

    def _enter(self, kind: _Key, now: float) -> None:
        self._kinds[kind] = _Kind(now + TELL_S)
        if kind is not None and kind[1] is not None:
            self._of[kind[1]] += 1


def _counted(known: _Kind, kind: _Key) -> str:
    what = "others" if kind is None else "more like it"
    return f"{known.last} ({known.more} {what} since the line before)"


class Refusals:
    """
    Writes what a server says of connections that are refused, and of limits that are reached.

    Args:
        loop: Whose time counts.
        audit: Where evidence goes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, audit: Recorder) -> None:
        self._loop = loop
        self._audit = audit
        self._digest = Digest()
        self._timer: asyncio.TimerHandle | None = None
        self.refusals = 0
        """Connections and requests that were refused since the start, but for limits."""
        self.kept_out = 0
        """Those that a limit kept out."""
        name = "wsrc.server.http"
        self.http_log = logging.Logger(name, logging.DEBUG)  # noqa: LOG001 - one for each server
        """What aiohttp logs of its connections."""
        self.http_log.parent = logging.getLogger("wsrc.server")
        self.http_log.addFilter(self._of_bad_requests)

    def refused(self, address: str, why: str) -> None:
        """Tell of a connection that is refused, with the first line of the reason."""
        self.refusals += 1
        reason = _first_line(why)
        sentence = f"A connection from {address} is refused: {reason}"
        self.note(reason, logging.INFO, sentence, group_of(address))
        self._audit.record(Refused(address=address, why=reason), group_of(address))

    def note(self, kind: str, level: int, sentence: str, cause: str | None = None) -> None:
        """Log a sentence, of those of a kind, by whoever caused them, one a minute."""
        if self._digest.note(kind, level, sentence, self._loop.time(), cause):
            _log.log(level, "%s", sentence)
        self._set_timer()

    def limited(self, limit: Limit, address: str, principal: str | None = None) -> None:
        """Tell of a connection that a limit keeps out, of a principal where that is known."""
        self.kept_out += 1
        cause = principal or group_of(address)
        self.reached(limit, principal or address, None if limit in OF_ALL else cause)
        why = f"{limit} is reached"
        self._audit.record(Refused(address=address, why=why, principal=principal), cause)

    def reached(self, limit: Limit, who: str, cause: str | None = None) -> None:
        """Log that a limit was reached, and who was the first of those that are one cause."""
        sentence = f"{limit} is reached: {WHAT_OF[limit].format(who)}"
        self.note(limit, logging.WARNING, sentence, cause)

    def close(self) -> None:
        """Log what was counted and not told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._tell(self._loop.time() + TELL_S)

    def _set_timer(self) -> None:
        due = self._digest.deadline()
        if self._timer is None and due is not None:
            self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._tell(self._loop.time())
        self._set_timer()

    def _tell(self, now: float) -> None:
        for level, sentence in self._digest.due(now):
            _log.log(level, "%s", sentence)

    def _of_bad_requests(self, record: logging.LogRecord) -> bool:
        """Log in one line what aiohttp says of a request that is no HTTP; pass all else on."""
        exc = record.exc_info[1] if record.exc_info else None
        if isinstance(exc, HttpProcessingError):
            address = record.args[0] if isinstance(record.args, tuple) and record.args else None
            what = exc.message.partition(":")[0]  # then comes what was sent, which may be a token
            self.refused(str(address or "an unknown address"), f"no HTTP request: {what}")
            return False
        return record.levelno > logging.DEBUG or logging.getLogger().isEnabledFor(logging.DEBUG)


def _first_line(text: str) -> str:
    line = next(iter(text.splitlines()), "").strip().rstrip(":.")
    return line[:MAX_REASON]


def why_no_tls(exc: BaseException) -> str:
    """Say why TLS could not be begun with a peer."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return _OF_CERTIFICATE.get(
            exc.verify_code, f"its certificate is not acceptable: {exc.verify_message}"
        )
    if isinstance(exc, ssl.SSLError):
        return _NOT_TLS.get(exc.reason or "", f"TLS failed: {exc.reason or exc}")
    if isinstance(exc, MemoryError):
        return "the server has no memory for it"
    if isinstance(exc, (TimeoutError, ConnectionAbortedError)):
        return "it did not begin TLS in time"
    return "it was closed during the TLS handshake"
