# SPDX-License-Identifier: Apache-2.0
"""TLS contexts of both sides, and what a failed dial means in words."""

import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from wsrc.errors import ConfigError
from wsrc.net.alerts import AlertingContext
from wsrc.net.answers import (
    AnswerError,
    AtProxyError,
    NoHttpError,
    RedirectedError,
    explain_alert,
    explain_handshake,
    explain_proxy,
    hung_up,
)
from wsrc.net.proxy import Proxy, proxy_for

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Forward secrecy and authenticated encryption only (RFC 9325 section 4.2)."""

_EXPIRED, _NOT_YET_VALID, _HOST_MISMATCH, _IP_MISMATCH = 10, 9, 62, 64
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
_TLS_RECORDS = frozenset({b"\x15", b"\x16"})
"""How an alert and a handshake of TLS begin (RFC 8446 section 5.1)."""

_UNKNOWN_CA = frozenset({2, 18, 19, 20, 21})
"""X509_V_ERR_… of OpenSSL: no issuer found, or a self-signed certificate."""


class Clients(NamedTuple):
    """
    Whose certificates a server lets in.

    Attributes:
        ca: PEM file of their CAs.
        setting: What this file is set by.
        crl: PEM file of the revocation lists of these CAs, if there are any. A certificate in it
            would be trusted: `certificates.revoked_by` sees that there is none.
    """

    ca: Path
    setting: str = "tls_client_ca"
    crl: Path | None = None


def server_context(
    cert: Path, key: Path, minimum: str = "1.2", clients: Clients | None = None
) -> ssl.SSLContext:
    """
    Return the context of a server; TLS 1.3 is used wherever the peer can.

    With `clients` a peer is asked for a certificate. One that is not good ends the handshake; one
    that has none gets through, so that it can be told what it lacks.

    Args:
        cert: PEM file of the certificate and its chain.
        key: PEM file of its private key, not encrypted.
        minimum: Oldest version, "1.2" or "1.3".
        clients: Who is let in, where that is asked.

    Raises:
        ConfigError: If a file cannot be read or is no such PEM file, the key is encrypted, or
            the two do not belong together.
    """
    context = _set_up(AlertingContext(ssl.PROTOCOL_TLS_SERVER))
    context.minimum_version = _VERSIONS[minimum]
    _load_pair(context, cert, key)
    if clients is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        # A ticket would let a peer in for hours without its certificate being looked at.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        _load_ca(context, clients.setting, clients.ca)
        if clients.crl is not None:
            _load_crl(context, clients)
    return context


def _load_crl(context: ssl.SSLContext, clients: Clients) -> None:
    crl = clients.crl
    assert crl is not None
    _readable("tls_crl", crl)
    try:
        context.load_verify_locations(crl)
    except ssl.SSLError as exc:
        raise ConfigError("tls_crl", f"{crl} is no file of revocation lists in PEM form") from exc
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    _readable("tls_cert", cert)
    _readable("tls_key", key)
    try:
        context.load_cert_chain(cert, key, password=_refuse_password)
    except _EncryptedKeyError as exc:
        raise ConfigError(
            "tls_key",
            f"{key} is encrypted, and nobody is there to type its pass phrase; give a file that "
            f"is not, made with: openssl pkey -in {key} -out FILE",
        ) from exc
    except ssl.SSLError as exc:
        raise _wrong_pair(cert, key, exc) from exc


def client_context(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """
    Return the context of a client, which checks the server's certificate and name.

    Args:
        ca: PEM file of the CAs to trust instead of those of the system.
        cert: PEM file of the client's own certificate and its chain, for a server that asks.
        key: PEM file of its private key, not encrypted.

    Raises:
        ConfigError: If a file cannot be read or holds nothing of the kind, the key is encrypted,
            or it is not that of the certificate.
    """
    context = _set_up(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if cert is not None and key is not None:
        _load_pair(context, cert, key)
    if ca is None:
        context.load_default_certs()
    else:
        _load_ca(context, "tls_ca", ca)
    return context


def _load_ca(context: ssl.SSLContext, setting: str, ca: Path) -> None:
    _readable(setting, ca)
    try:
        context.load_verify_locations(ca)
    except ssl.SSLError as exc:
        raise ConfigError(setting, f"{ca} holds no certificate in PEM form") from exc


def context_for(
    url: str, ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> ssl.SSLContext | None:
    """
    Return the context of a client of this URL; None for `ws://`, which has no TLS.

    Raises:
        ConfigError: As `client_context`, and if the environment names no HTTP proxy as proxy.
    """
    proxy_for(url)
    return client_context(ca, cert, key) if urlsplit(url).scheme == "wss" else None


def explain(exc: BaseException, url: str, proxy: Proxy | None = None) -> str:
    """Return why a server could not be reached, through a proxy or not, and what to do."""
    said = None
    if not isinstance(exc, AtProxyError):
        exc = _beneath(exc)
    if proxy is not None:
        said = _explain_tls_of_proxy(exc, proxy) or explain_proxy(exc, proxy)
    return f"{url}: {said or _explain(exc, url, urlsplit(url).hostname or url)}"


def _explain(exc: BaseException, url: str, host: str) -> str:
    match exc:
        case ssl.SSLCertVerificationError():
            why = explain_certificate(exc, host)
        case ssl.SSLError():
            why = _explain_tls(exc)
        case RedirectedError():
            why = _explain_redirect(exc)
        case AnswerError():
            why = explain_handshake(exc, url)
        case NoHttpError():
            why = _explain_no_http(exc, url)
        case _ if hung_up(exc):
            why = _explain_hang_up(url)
        case _:
            why = explain_network(exc, host)
    return why


def _beneath(exc: BaseException) -> BaseException:
    """
    Return what failed of TLS where an error was made of another of the loop's.

    asyncio before Python 3.11.8 and 3.12.2 fails to break off TLS within TLS.
    """
    within: BaseException | None = exc
    while within is not None:
        if isinstance(within, ssl.SSLError):
            return within
        within = within.__cause__ or within.__context__
    return exc


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a pass phrase."""


def _refuse_password() -> str:
    raise _EncryptedKeyError


def _set_up(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _readable(setting: str, path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError as exc:
        raise ConfigError(setting, f"there is no file {path}") from exc
    except OSError as exc:
        raise ConfigError(
            setting, f"cannot read {path}: {exc.strerror}; let this program's user read it"
        ) from exc


def _wrong_pair(cert: Path, key: Path, exc: ssl.SSLError) -> ConfigError:
    """Return an error that names which of the two files is wrong."""
    if exc.reason in {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"}:
        return ConfigError(
            "tls_key", f"the key in {key} does not belong to the certificate in {cert}"
        )
    if b"-----BEGIN CERTIFICATE-----" not in cert.read_bytes():
        return ConfigError("tls_cert", f"{cert} holds no certificate in PEM form")
    if b"PRIVATE KEY-----" not in key.read_bytes():
        return ConfigError("tls_key", f"{key} holds no private key in PEM form")
    return ConfigError(
        "tls_cert", f"OpenSSL cannot use {cert} with {key}: {exc.reason or exc.strerror}"
    )


def _explain_tls_of_proxy(exc: BaseException, proxy: Proxy) -> str | None:
    """Say why TLS with the proxy failed; None where that is not what failed."""
    why = _beneath(exc.why) if isinstance(exc, AtProxyError) else None
    who = f"the proxy {proxy.place}, which {proxy.variable} names,"
    if isinstance(why, ssl.SSLCertVerificationError):
        whose = f"the certificate of {who}"
        trust = "have this host trust its CA, or name the file of that in SSL_CERT_FILE."
        return explain_certificate(why, urlsplit(proxy.url).hostname or "", whose, trust)
    if not isinstance(why, ssl.SSLError):
        return None
    if why.reason in _NO_TLS:
        return f"{who} does not speak TLS on this port; write http:// there if that is meant."
    return f"TLS with {who} failed: {why.strerror or why}."


def explain_certificate(
    exc: ssl.SSLCertVerificationError,
    host: str,
    whose: str = "the server's certificate",
    trust: str = "give the PEM file of its CA with --tls-ca.",
) -> str:
    """Return what is wrong with a certificate, whose it is, and how its CA becomes trusted."""
    if exc.verify_code == _EXPIRED:
        return f"{whose} has expired; its operator must renew it."
    if exc.verify_code == _NOT_YET_VALID:
        return f"{whose} is not valid yet; check the clocks of both hosts."
    if exc.verify_code in {_HOST_MISMATCH, _IP_MISMATCH}:
        return (
            f"{whose} is not for {host}; use the name that it was made for, or "
            "make one that has this name."
        )
    if exc.verify_code in _UNKNOWN_CA:
        return f"{whose} is not signed by a CA that is trusted here; {trust}"
    return f"{whose} is not acceptable: {exc.verify_message}."


def _explain_tls(exc: ssl.SSLError) -> str:
    if exc.reason in _NO_TLS:
        return "the server does not speak TLS on this port; use ws:// if that is meant."
    if exc.reason in {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}:
        return "the server and this program have no TLS version in common."
    if exc.reason in {"SSLV3_ALERT_HANDSHAKE_FAILURE", "NO_CIPHERS_AVAILABLE"}:
        return "the server and this program have no cipher in common, or it wants a certificate."
    of_ours = explain_alert(exc.reason or "")
    if of_ours is not None:
        return of_ours
    return f"TLS failed: {exc.reason or exc}."


def _explain_redirect(exc: RedirectedError) -> str:
    """Name no more of the other URL than where it is: the rest is the server's to choose."""
    to = ""
    with suppress(ValueError):
        parts = urlsplit(exc.location)
        if parts.scheme and parts.hostname and parts.hostname.isprintable():
            to = f" to {parts.scheme}://{parts.hostname}"
    return (
        f"a server answers with a redirect{to} (HTTP status {exc.status}), which is not followed; "
        "if that is where you want to connect, give its URL."
    )


def _explain_no_http(exc: NoHttpError, url: str) -> str:
    if urlsplit(url).scheme == "ws" and exc.began[:1] in _TLS_RECORDS:
        return _explain_hang_up(url)
    return "a server answers, but does not speak HTTP; check the port."


def _explain_hang_up(url: str) -> str:
    if urlsplit(url).scheme == "wss":
        return (
            "the server closed the connection during the TLS handshake; check that it speaks "
            "TLS 1.2 or newer on this port."
        )
    return "the server closed the connection at once; if it wants TLS, use wss://."


def explain_network(exc: BaseException, host: str) -> str:
    """Return why no connection to a host was made, and what to do."""
    if isinstance(exc, ConnectionRefusedError):
        return "nothing listens there; check that the server runs, and the port."
    if isinstance(exc, TimeoutError):
        return "the server did not answer in time; check the address and the firewalls between."
    if isinstance(exc, socket.gaierror):
        return f"there is no host {host}; check the name and this host's DNS."
    if isinstance(exc, UnicodeError):
        return f"{host} is no name of a host; check it."
    if isinstance(exc, OSError) and exc.errno:
        return f"cannot connect: {os.strerror(exc.errno)}."
    return f"cannot connect: {str(exc) or type(exc).__name__}."
