# SPDX-License-Identifier: Apache-2.0
"""Connections that are refused: one line in the log each, with the reason."""

import logging
import ssl

from aiohttp import web
from aiohttp.http import HttpProcessingError

from wsrc.net.answers import REASON, Reason

_log = logging.getLogger(__name__)

MAX_REASON = 200
"""Characters of the reason for which a connection is refused."""

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


def refused(address: str, why: str) -> None:
    """Log a connection that is refused, with the first line of the reason."""
    _log.info("A connection from %s is refused: %s", address, _first_line(why))


def _first_line(text: str) -> str:
    line = next(iter(text.splitlines()), "").strip().rstrip(":.")
    return line[:MAX_REASON]


def _of_bad_requests(record: logging.LogRecord) -> bool:
    """Log in one line what aiohttp says of a request that is no HTTP; pass all else on."""
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, HttpProcessingError):
        address = record.args[0] if isinstance(record.args, tuple) and record.args else None
        what = exc.message.partition(":")[0]  # then comes what was sent, which may be a token
        refused(str(address or "an unknown address"), f"no HTTP request: {what}")
        return False
    return record.levelno > logging.DEBUG or logging.getLogger().isEnabledFor(logging.DEBUG)


http_log = logging.getLogger("wsrc.server.http")
"""What aiohttp logs of its connections."""
http_log.setLevel(logging.DEBUG)
http_log.addFilter(_of_bad_requests)


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
