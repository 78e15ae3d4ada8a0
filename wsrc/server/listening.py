# SPDX-License-Identifier: Apache-2.0
"""The sockets that a server listens on: every address that is meant, in each family."""

import errno
import socket

from wsrc.errors import ConfigError
from wsrc.settings.hosts import hosts_of

_EVERY = frozenset(("*", "::"))
_FAMILIES = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))  # noqa: S104 - it was asked for

_Place = tuple[socket.AddressFamily, tuple[object, ...]]


def bind(hosts: str, setting: str, port: int, hosts_setting: str = "host") -> list[socket.socket]:
    """
    Bind each address of each host to a port; with 0 to the same free one.

    A family that this machine lacks is passed over where a host has another.

    Raises:
        ConfigError: If a host is none of this machine, or the port cannot be had; `setting` is
            what the port is set by, and `hosts_setting` what the hosts are.
    """
    sockets: list[socket.socket] = []
    try:
        for host in hosts_of(hosts):
            bound = _bind(host, (hosts_setting, setting), port, sockets)
            if not bound:
                continue
            port = bound[0].getsockname()[1]
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _bind(
    host: str, settings: tuple[str, str], port: int, sockets: list[socket.socket]
) -> list[socket.socket]:
    """Add the sockets of one host that are not there yet; return all that there are now."""
    missing: OSError | None = None
    known = False
    for family, address in _places(host, settings[0]):
        at = (address[0], port, *address[2:])
        if at in {each.getsockname() for each in sockets}:
            known = True
            continue
        try:
            sockets.append(socket.create_server(at, family=family))
        except OSError as exc:
            if exc.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                raise ConfigError(settings[1], _why_not(host, port, exc)) from exc
            missing = exc
        else:
            known = True
            port = sockets[-1].getsockname()[1]
    if not known:
        raise ConfigError(settings[0], f"no address of {host!r} is of this machine: {missing}")
    return sockets


def _places(host: str, setting: str) -> list[_Place]:
    """Return the addresses of a host; `*` and `::` are every one of this machine."""
    if host in _EVERY:
        return [(family, (every, 0)) for family, every in _FAMILIES]
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise ConfigError(setting, f"{host!r} cannot be resolved: {exc.strerror}") from exc
    except UnicodeError as exc:
        raise ConfigError(setting, f"{host!r} is no name of a host") from exc
    return [(family, tuple(at)) for family, _, _, _, at in found]


def _why_not(host: str, port: int, exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use by another program; stop it, or choose another"
    if exc.errno == errno.EACCES:
        return f"port {port} on {host} needs rights that this user does not have"
    return f"cannot listen on port {port} of {host}: {exc.strerror}"
