# SPDX-License-Identifier: Apache-2.0
"""Names and addresses of hosts: what ours is called, and where a server listens."""

import getpass
import ipaddress
import os
import platform
import re
from urllib.parse import urlsplit

from wsrc.errors import ConfigError

_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9._:-]{0,252}")


def host_name() -> str:
    """Return the name of this host, for peers to see."""
    return _as_text(platform.node()) or "localhost"


def user_at_host() -> str:
    """Return user and host, for peers to see."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid-{os.getuid()}"
    return f"{_as_text(user)}@{host_name()}"


def _as_text(name: str) -> str:
    """Return a name that the system has in octets, with `?` for those that are no UTF-8."""
    return name.encode(errors="replace").decode()


def hosts_of(text: str) -> tuple[str, ...]:
    """
    Return the addresses and names to listen on, which are written with commas between.

    Without any it is all addresses.

    Raises:
        ConfigError: If there is nothing between two commas.
    """
    if not text:
        return ("*",)
    hosts = [each.strip().removeprefix("[").removesuffix("]") for each in text.split(",")]
    if not all(hosts):
        raise ConfigError("host", f"{text!r} has an empty address; give addresses, or * for all")
    return tuple(dict.fromkeys(hosts))


def host_in(header: str) -> str:
    """Return the name or address in a `Host` (RFC 9110 section 7.2), lower case; empty if none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").lower()
    except ValueError:
        return ""


def is_host(text: str) -> bool:
    """Return whether a text can be a host name in ASCII, or an address without brackets."""
    return _HOST.fullmatch(text) is not None and (":" not in text or _is_address(text))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a server that listens here is reached from its own host only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
