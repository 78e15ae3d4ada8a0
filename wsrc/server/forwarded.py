# SPDX-License-Identifier: Apache-2.0
"""
Which address a client has that comes by way of proxies: RFC 7239, and X-Forwarded-For.

A machine without I/O. Only a proxy that is trusted is believed, and of what it passes on only what
it, or a trusted proxy before it, has added.
"""

from collections.abc import Container, Iterable, Sequence

from wsrc.net.addresses import Network, ip_of, is_in

FORWARDED, X_FORWARDED_FOR = "Forwarded", "X-Forwarded-For"
"""Headers in which proxies say for whom they ask."""

_OF_PROXIES = (FORWARDED, "Via", X_FORWARDED_FOR, "X-Forwarded-Host", "X-Real-IP")
"""Headers by which a proxy says that it is one (RFC 7239, RFC 9110 section 7.6.3)."""

MOST_HOPS = 32
"""Proxies in a row that are looked at."""


class UnclearError(Exception):
    """What came by way of a trusted proxy says two things of where it is from."""


def is_passed_on(headers: Container[str]) -> bool:
    """Return whether a proxy says that it passed a request on; not every one does."""
    return any(name in headers for name in _OF_PROXIES)


def client_of(
    peer: str, forwarded: Sequence[str], x_forwarded_for: Sequence[str], trusted: Sequence[Network]
) -> str:
    """
    Return the address of the client: the nearest that is no trusted proxy.

    Where a proxy says something that is no address, it is that of this proxy.

    Args:
        peer: Whose connection it is.
        forwarded: The values of `Forwarded`, in their order.
        x_forwarded_for: Those of `X-Forwarded-For`.
        trusted: Networks of the proxies that are believed.

    Raises:
        UnclearError: If both headers are there and differ: one of them may be the client's own.
    """
    if not is_in(peer, trusted):
        return peer
    chains = [chain for chain in (_by_rfc(forwarded), _listed(x_forwarded_for)) if chain]
    found = {_nearest(peer, chain, trusted) for chain in chains} or {peer}
    if len(found) > 1:
        why = f"{FORWARDED} and {X_FORWARDED_FOR} differ; have the proxy remove the one it does not"
        raise UnclearError(f"{why} write.")
    return found.pop()


def _nearest(peer: str, chain: Sequence[str], trusted: Sequence[Network]) -> str:
    nearest = peer
    for text in reversed(chain[-MOST_HOPS:]):
        address = ip_of(_without_port(text))
        if address is None:
            return nearest
        nearest = str(address)
        if not is_in(nearest, trusted):
            return nearest
    return nearest


def _listed(values: Iterable[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",")]


def _by_rfc(values: Iterable[str]) -> list[str]:
    """Return what each `for` says (RFC 7239 section 4); an element without one is no address."""
    chain: list[str] = []
    for element in _listed(values):
        pairs = (pair.partition("=") for pair in element.split(";"))
        told = [
            value.strip().strip('"') for name, _, value in pairs if name.strip().lower() == "for"
        ]
        chain.append(told[0] if len(told) == 1 else "")
    return chain


def _without_port(text: str) -> str:
    """Return the address of `192.0.2.1:80`, `[2001:db8::1]:80`, or of one without a port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
