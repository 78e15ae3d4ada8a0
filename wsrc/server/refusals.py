# SPDX-License-Identifier: Apache-2.0
"""Connections that are refused: one line in the log each, with the reason."""

import logging
import ssl
import time

from aiohttp.http import HttpProcessingError

from wsrc.audit.events import Recorder, Refused
from wsrc.audit.throttle import Throttle

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


class Refusals:
    """
    Says which connections are refused, to the log and to the audit log.

    Args:
        audit: Where evidence goes.
    """

    def __init__(self, audit: Recorder) -> None:
        self._audit = audit
        self._throttle = Throttle()
        name = "wsrc.server.http"
        self.http_log = logging.Logger(name, logging.DEBUG)  # noqa: LOG001 - one for each server
        """What aiohttp logs of its connections."""
        self.http_log.parent = logging.getLogger("wsrc.server")
        self.http_log.addFilter(self._of_bad_requests)

    def refused(self, address: str, why: str, principal: str | None = None) -> None:
        """Tell of a connection that is refused, with the first line of the reason."""
        reason = _first_line(why)
        _log.info("A connection from %s is refused: %s", address, reason)
        more = self._throttle.take(time.monotonic())
        if more is not None:
            event = Refused(address=address, why=reason, principal=principal, unrecorded=more)
            self._audit.record(event)

    def _of_bad_requests(self, record: logging.LogRecord) -> bool:
        """Log in one line what aiohttp says of a request that is no HTTP; pass all else on."""
        exc = record.exc_info[1] if record.exc_info else None
        if isinstance(exc, HttpProcessingError):
            address = record.args[0] if isinstance(record.args, tuple) and record.args else None
            self.refused(str(address or "an unknown address"), f"no HTTP request: {exc.message}")
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
