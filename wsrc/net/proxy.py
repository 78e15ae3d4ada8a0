# SPDX-License-Identifier: Apache-2.0
"""The HTTP proxy on the way to a server, as the environment names it: see decision 0035."""

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from wsrc.errors import ConfigError
from wsrc.settings.address import Address, Login

_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_EXCEPTIONS = ("no_proxy", "NO_PROXY")
_HTTPS_PORT = 443
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """A proxy that is asked with CONNECT (RFC 9110 section 9.3.6)."""

    url: str
    login: Login | None
    place: str
    variable: str


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """
    Return the proxy that a server is reached through.

    None is for `ws://`, for loopback, and for what `no_proxy` names: hosts, domains, addresses and
    networks between commas, each with a port if need be, or `*`.

    Raises:
        ConfigError: If the environment names something else than an HTTP proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    variable = next((each for each in _VARIABLES if environ.get(each)), None)
    if parts.scheme != "wss" or variable is None or _is_loopback(host):
        return None
    excepted = next((environ[each] for each in _EXCEPTIONS if environ.get(each)), "")
    if _is_among(excepted, host, parts.port or _HTTPS_PORT):
        return None
    return _proxy(variable, environ[variable])


def _proxy(variable: str, text: str) -> Proxy:
    address = Address(text if "://" in text else f"http://{text}")
    parts = urlsplit(address)
    if not address.sound or parts.scheme not in _DEFAULT_PORTS:
        why = f"{str(address)!r} is not of the form http://HOST:PORT, and no other proxy is used"
        raise ConfigError(variable, why)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    host = parts.hostname or ""
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return Proxy(f"{parts.scheme}://{place}", address.login, place, variable)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is None:
        return host.rstrip(".") == "localhost" or host.endswith(".localhost")
    return address.is_loopback


def _is_among(excepted: str, host: str, port: int) -> bool:
    """Return whether a list of exceptions names a host."""
    return any(_names(each.strip().lower(), host, port) for each in excepted.split(","))


def _names(exception: str, host: str, port: int) -> bool:
    if exception == "*":
        return True
    name, colon, only = exception.rpartition(":")
    if colon and only.isdecimal() and (":" not in name or name.startswith("[")):
        if int(only) != port:
            return False
        exception = name
    exception = exception.removeprefix("[").removesuffix("]")
    address = _address(host)
    if address is not None:
        return _has(exception, address)
    domain = exception.removeprefix("*").strip(".")
    return bool(domain) and (host.rstrip(".") == domain or host.rstrip(".").endswith(f".{domain}"))


def _has(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
