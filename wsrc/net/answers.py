# SPDX-License-Identifier: Apache-2.0
"""What an HTTP answer that is no WebSocket means in words: who gave it, and what to do."""

import errno
import os
import socket
from collections.abc import Mapping
from enum import StrEnum

from wsrc.net.proxy import Proxy
from wsrc.settings.address import Address

_WSRC_SERVER = "aiohttp"
"""What the name of the program says that serves a WSRC server's own answers."""

_MAX_NAME = 40

REASON = "Wsrc-Reason"
"""Header of an answer with status 401, 403, 429 or 503 that has one of `Reason`."""


class Reason(StrEnum):
    """Why a server does not let a client in, or not now, on the wire."""

    NO_CERTIFICATE = "no-certificate"
    OTHER_ROLE = "other-role"
    NO_NAME = "no-name"
    REVOKED = "revoked"
    EXPIRED = "expired"
    NO_BEARER = "no-token"
    NOTHING_SHOWN = "nothing-shown"
    UNKNOWN_BEARER = "unknown-token"
    EXPIRED_BEARER = "expired-token"
    BEARER_OF_OTHER_ROLE = "token-of-other-role"
    TWO_NAMES = "two-names"
    BAD_BEARER = "bad-token"
    NO_KEYS = "no-keys"
    FULL = "full"
    ADDRESS_CONNECTIONS = "address-connections"
    PRINCIPAL_CONNECTIONS = "principal-connections"
    TOO_FAST = "too-fast"
    WRONG_CREDENTIALS = "wrong-credentials"
    BANNED = "banned"


_GIVE_ONE = (
    "name its file with --token-file or give it in WSRC_TOKEN; whoever runs the server can make "
    "one with wsrc-server token add."
)
_OUR_BEARER = "the server does not let us in with our token: "
_OURS = "the server does not let us in with our certificate: "
_OTHER_ROLE = (
    "it is for the other kind of client, or the URL is: a user needs one of a user, a card host "
    "one of a card host, and each its own port or path of the server."
)

_FULL = (
    "the server is full: it has all the peers that it may have (HTTP status {status}); try again "
    "later, or have its operator raise max_peers."
)

_OF_REASON = {
    Reason.NO_CERTIFICATE: "the server lets in who shows a certificate, and we have none; give one "
    "with --tls-cert and --tls-key, which whoever runs the server can make with wsrc-certs.",
    Reason.OTHER_ROLE: _OURS + _OTHER_ROLE,
    Reason.NO_NAME: _OURS + "it has no name that can be shown; have one made with a URI, an e-mail "
    "address or a DNS name.",
    Reason.REVOKED: _OURS + "it is revoked; have its operator make a new one.",
    Reason.EXPIRED: _OURS + "it has expired; renew it.",
    Reason.NO_BEARER: f"the server lets in who sends a token, and we have none; {_GIVE_ONE}",
    Reason.NOTHING_SHOWN: "the server lets in who shows a certificate or sends a token, and we "
    f"have neither; give a certificate with --tls-cert and --tls-key, or a token: {_GIVE_ONE}",
    Reason.UNKNOWN_BEARER: _OUR_BEARER + "it does not know it; it was revoked, or is of "
    "another server; have its operator make a new one.",
    Reason.EXPIRED_BEARER: _OUR_BEARER + "it has expired; get a new one.",
    Reason.BAD_BEARER: _OUR_BEARER + "it is none that its identity provider has made for it and "
    "that is valid now; get a new one, and check the clocks; the server's log says why.",
    Reason.NO_KEYS: "the server cannot check our token, for it does not reach its identity "
    "provider; try again later, or tell its operator.",
    Reason.BEARER_OF_OTHER_ROLE: _OUR_BEARER + _OTHER_ROLE,
    Reason.TWO_NAMES: "the server does not let us in: our certificate and our token are of "
    "different names; give one of them only.",
    Reason.FULL: _FULL,
    Reason.ADDRESS_CONNECTIONS: "the server has as many connections from this address as it takes; "
    "close some, or have its operator raise max_connections_per_address.",
    Reason.PRINCIPAL_CONNECTIONS: "the server has as many connections with these credentials as it "
    "takes; close some, or have its operator raise max_connections_per_principal.",
    Reason.TOO_FAST: "this address connects to the server too often; connect less often, or have "
    "its operator raise handshakes_per_s.",
    Reason.WRONG_CREDENTIALS: "the server does not let us in, nor says why for now, since too many "
    "wrong credentials came from this address; check ours, and try again later.",
    Reason.BANNED: "the server does not let us in for now: its operator has banned us, or this "
    "address; ask why.",
}

_OF_ALERT = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _OF_REASON[Reason.NO_CERTIFICATE],
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _OURS + "it has expired, or the server's list of revoked "
    "ones has; renew it, and have the operator look at the list.",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _OF_REASON[Reason.REVOKED],
    "TLSV1_ALERT_UNKNOWN_CA": _OURS + "no CA that it trusts for clients has signed it; give the "
    "one that is meant for this server with --tls-cert and --tls-key.",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _OURS + "it is not for clients (extended key usage); "
    "give one of a user or a card host.",
    "SSLV3_ALERT_BAD_CERTIFICATE": _OURS + "it is not valid yet, or broken; check the clocks of "
    "both hosts.",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _OURS + "the server's log says why.",
    "TLSV1_ALERT_ACCESS_DENIED": _OURS + "the server's log says why.",
}
"""Alerts of RFC 8446 section 6.2 that concern the certificate of a client, as OpenSSL has them."""


def explain_alert(reason: str) -> str | None:
    """Say what an alert of TLS says of our certificate; None of one that does not."""
    return _OF_ALERT.get(reason)


_REASONED = frozenset({401, 403, 429, 503})
"""Statuses of answers that have a `Reason`."""

_HANG_UPS = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


class AnswerError(Exception):
    """An HTTP answer to an upgrade, or to CONNECT, that does not do it; names are lower case."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status
        self.headers = headers


class RedirectedError(Exception):
    """A server answered an upgrade with another URL, which nobody follows."""

    def __init__(self, status: int, location: str) -> None:
        super().__init__(f"redirected ({status})")
        self.status = status
        self.location = location


class NoHttpError(Exception):
    """What answers does not speak HTTP; `began` are the first two octets, as far as they tell."""

    def __init__(self, began: bytes) -> None:
        super().__init__("no HTTP")
        self.began = began


class AtProxyError(Exception):
    """A proxy was not reached, or did not make a tunnel: `why` tells what failed."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


def hung_up(exc: BaseException) -> bool:
    """Return whether an error tells that a peer closed the connection."""
    return isinstance(exc, ConnectionResetError | ConnectionAbortedError | BrokenPipeError) or (
        isinstance(exc, OSError) and exc.errno in _HANG_UPS
    )


def explain_handshake(exc: AnswerError, url: str) -> str:
    """
    Say what an answer to the upgrade means.

    Args:
        exc: The answer.
        url: Of the server, with its user part if it is an `Address`.
    """
    name = _name_of(exc.headers)
    sentence = _OF_WSRC.get(exc.status) if _WSRC_SERVER in name else None
    if exc.status in _REASONED:
        said = exc.headers.get(REASON.lower(), "")
        sentence = next((text for word, text in _OF_REASON.items() if word == said), sentence)
    if exc.status == 400 and url.startswith("ws:"):
        sentence = "the server answered 400; if it wants TLS, use wss://."
    if exc.status == 401 and sentence is None and _has_login(url):
        sentence = "{who} does not accept the user and password of the URL (HTTP status {status})."
    if sentence is None:
        sentence = _OF_OTHERS.get(exc.status, _OF_ANY)
    behind = f"a reverse proxy{f' ({name})' if name else ''}"
    return sentence.format(who=name or "the web server", behind=behind, status=exc.status)


_OF_WSRC = {
    400: "a WSRC server answers, but takes none of the WebSocket subprotocols that are offered "
    "(HTTP status {status}); use versions of both programs that belong together.",
    426: "a WSRC server answers, but a proxy before it does not pass the upgrade to WebSocket on "
    "(HTTP status {status}); see `wsrc sample nginx`.",
    503: _FULL,
}
"""What a WSRC server means by its own answers."""

_OF_OTHERS = {
    400: "{who} does not take the upgrade to WebSocket (HTTP status {status}); if it asks for a "
    "certificate, give yours with --tls-cert and --tls-key; else check the port, and that a proxy "
    "on the way passes the upgrade on.",
    403: "{who} does not let us in (HTTP status {status}); ask its operator, or check the port and "
    "the path.",
    401: "{who} wants a user and password (HTTP status {status}); give them as "
    "wss://USER:PASSWORD@HOST:PORT in WSRC_SERVER_URL or in the settings file.",
    429: "{who} says that we ask too much (HTTP status {status}); try again later.",
    407: "a proxy on the way wants a user and password (HTTP status {status}); name it and them in "
    "https_proxy, as http://USER:PASSWORD@HOST:PORT.",
    502: "{behind} answers, wsrc-server behind it does not (HTTP status {status}); check that it "
    "runs, and where the proxy looks for it.",
    503: "{behind} answers that there is no service now (HTTP status {status}): the server is "
    "full, or is not running; try again later.",
    504: "{behind} answers, wsrc-server behind it does not (HTTP status {status}); check that it "
    "runs, and where the proxy looks for it.",
}
"""What others mean who answer for a WSRC server."""

_OF_ANY = (
    "a server answers, but not as a WSRC server (HTTP status {status}); check the port and the "
    "path."
)


def retry_after(exc: BaseException) -> float | None:
    """Return after how many seconds whoever answered wants to be asked again, if told so."""
    if not isinstance(exc, AnswerError):
        return None
    said = exc.headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() and len(said) < 10 else None


def explain_proxy(exc: BaseException, proxy: Proxy) -> str | None:
    """Say what a failure on the way through a proxy means; None where it is not of the proxy."""
    who = f"the proxy {proxy.place}"
    why = exc.why if isinstance(exc, AtProxyError) else exc
    if isinstance(why, TimeoutError):
        return f"no connection through {who}, which {proxy.variable} names, in time; check both."
    if hung_up(why):
        return (
            f"{who}, which {proxy.variable} names, or the server behind it closed the connection."
        )
    return _explain_at_proxy(exc.why, proxy, who) if isinstance(exc, AtProxyError) else None


def _explain_at_proxy(why: Exception, proxy: Proxy, who: str) -> str:
    named = f"which {proxy.variable} names"
    match why:
        case AnswerError(status=status):
            return f"{who} {_refusal(status, proxy)}"
        case NoHttpError():
            return f"{who}, {named}, does not speak HTTP; check the port."
        case socket.gaierror():
            return f"there is no host for {who}, {named}; check that, and this host's DNS."
        case OSError():
            return f"cannot connect to {who}, {named}: {_words_of(why)}."
        case _:
            return f"cannot connect to {who}, {named}: {why}."


def _refusal(status: int, proxy: Proxy) -> str:
    match status:
        case 407 if proxy.login is None:
            return (
                "wants a user and password (HTTP status 407); write them into "
                f"{proxy.variable}, as http://USER:PASSWORD@{proxy.place}."
            )
        case 407:
            return f"does not accept the user and password in {proxy.variable} (HTTP status 407)."
        case 403:
            return (
                "does not allow connections to this host and port (HTTP status 403); ask its "
                "operator, or name the host in no_proxy if it is reached without."
            )
        case 502 | 503 | 504:
            return (
                f"answers, but does not reach the server (HTTP status {status}); check the host "
                "and the port, and that the server runs."
            )
        case _:
            return f"does not connect us to the server (HTTP status {status})."


def _words_of(exc: OSError) -> str:
    return os.strerror(exc.errno) if exc.errno else str(exc)


def _has_login(url: str) -> bool:
    return isinstance(url, Address) and url.login is not None


def _name_of(headers: Mapping[str, str]) -> str:
    """Return how a web server calls itself, fit for a sentence."""
    name = headers.get("server", "")
    return "".join(c for c in name if c.isprintable())[:_MAX_NAME]
