# SPDX-License-Identifier: Apache-2.0
"""Addresses of peers: what they are, and which count as one."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

KNOWN, LONGEST = 4096, 64
"""Addresses that are remembered once they were read, and characters of the longest of them."""

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def group_of(address: str) -> str:
    """
    Return what an address counts as: an IPv4 address, a network of 64 bits of IPv6.

    Whoever has an address of IPv6 has such a network (RFC 6177), and 2^64 addresses in it.
    """
    return _both_of(address)[1]


def ip_of(address: str) -> Ip | None:
    """Read an address, without its zone; one of IPv4 that came as IPv6 is one of IPv4."""
    return _both_of(address)[0]


def is_in(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an address is in one of some networks; what is no address is in none."""
    ip = ip_of(address)
    return ip is not None and any(ip in network for network in networks)


def _both_of(address: str) -> tuple[Ip | None, str]:
    return _known(address) if len(address) <= LONGEST else _read(address)


def _read(address: str) -> tuple[Ip | None, str]:
    """Return an address, and what it counts as."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None, "an unknown address"
    ip = (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip
    if isinstance(ip, ipaddress.IPv4Address):
        return ip, str(ip)
    return ip, str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))


_known = lru_cache(KNOWN)(_read)
