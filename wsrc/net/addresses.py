# SPDX-License-Identifier: Apache-2.0
"""Addresses of peers: what they are, and which count as one."""

import ipaddress


def group_of(address: str) -> str:
    """
    Return what an address counts as: an IPv4 address, a network of 64 bits of IPv6.

    Whoever has an address of IPv6 has such a network (RFC 6177), and 2^64 addresses in it.
    """
    ip = ip_of(address)
    if ip is None:
        return "an unknown address"
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ipaddress.IPv6Network((int(ip) >> 64 << 64, 64)))


def ip_of(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, without its zone; one of IPv4 that came as IPv6 is one of IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped) or ip
