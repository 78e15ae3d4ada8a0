# SPDX-License-Identifier: Apache-2.0
"""What servers of NATS say, in sentences of ours, and what a server must be able to do."""

import ssl
from collections.abc import Mapping
from typing import Any, Final

from nats import errors

from wsrc.cluster.nats_client import InClearError
from wsrc.net.tls import explain_certificate, explain_network

LONGEST: Final = 576 << 10
"""Octets of a message that every server must take: a datagram of a road, sealed."""

_SAID = {
    "authorization violation": "it refuses who we say that we are; check the user and password "
    "in cluster_url, or cluster_creds.",
    "authentication expired": "the credentials in cluster_creds have expired; make new ones.",
    "authentication timeout": "it waited too long for who we are.",
    "maximum connections": "it has as many connections as it may have.",
    "certificate_required": "it asks for a certificate; give cluster_cert and cluster_key.",
    "bad_certificate": "it asks for a certificate, and for a good one; give cluster_cert and "
    "cluster_key.",
    "unknown_ca": "it does not trust the CA of cluster_cert.",
    "expecting info": "it does not speak NATS; check the port.",
}
"""What servers and OpenSSL say, and what that means."""

_ADVICE = {
    "permissions violation": " Let this node publish and subscribe what the operator's manual "
    "lists.",
    "maximum payload": f" Set max_payload of the server to {LONGEST} or more.",
    "maximum subscriptions": " Set max_subscriptions of the account higher.",
}


class UnfitError(OSError):
    """A server that cannot carry what nodes say; the text is a sentence."""


def explained(exc: BaseException, said: str, host: str) -> str:
    """
    Return why a connection to a server failed, in a sentence.

    Args:
        exc: What was raised.
        said: What the server said against us, in its words, or the text of the exception.
        host: Of the server, with its port.
    """
    for kind, sentence in _SAID.items():
        if kind in said.lower():
            return sentence
    match exc:
        case UnfitError():
            why = str(exc)
        case ssl.SSLCertVerificationError():
            trust = "give the PEM file of its CA as cluster_ca."
            why = explain_certificate(exc, host, "the server's certificate", trust)
        case InClearError():
            why = "it does not speak TLS, which tls:// asks for."
        case ssl.SSLError():
            why = f"TLS failed: {exc.reason or exc}."
        case ConnectionResetError() | BrokenPipeError() | errors.UnexpectedEOF():
            why = "it closed the connection; its log may say why, such as Slow Consumer."
        case OSError():
            why = explain_network(exc, host)
        case _:
            why = f"it says what NATS does not say: {str(exc)[:200] or type(exc).__name__}."
    return why


def advice(kind: str) -> str:
    """Return what to do about what a server refuses: a sentence after a space, or nothing."""
    return next((text for each, text in _ADVICE.items() if kind.startswith(each)), "")


def see_fit(server: Mapping[str, Any]) -> None:
    """
    See that a server can carry what nodes say, by its INFO.

    Raises:
        UnfitError: If it cannot.
    """
    version = str(server.get("version", "?"))[:40]
    if server.get("headers") is not True:
        raise UnfitError(
            f"its version {version} does not say when nobody answers; nodes need 2.2 or newer, "
            "without no_headers."
        )
    most = server.get("max_payload")
    if not isinstance(most, int) or most < LONGEST:
        raise UnfitError(f"it takes {most} octets in a message; set max_payload to {LONGEST}.")
