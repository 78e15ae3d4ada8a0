# SPDX-License-Identifier: Apache-2.0
"""The sockets that a server listens on: handed over, or every address that is meant."""

import errno
import os
import socket
from collections.abc import Mapping, MutableMapping, Sequence

import msgspec

from wsrc.errors import ConfigError
from wsrc.process.handed import take
from wsrc.protocol.messages import ClientType
from wsrc.settings.hosts import hosts_of
from wsrc.settings.load import ServerSettings

Handed = Mapping[str, Sequence[socket.socket]]
"""
Sockets that a service manager listens on for us: by who connects to them, as `ClientType` has it,
and by `HTTP`, if any.
"""

HTTP = "http"
"""What the sockets are called on which HTTP is served."""

HANDED = "sockets"
"""What errors call them in place of a setting."""

_EVERY = frozenset(("*", "::"))
_FAMILIES = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"))  # noqa: S104 - it was asked for

_Place = tuple[socket.AddressFamily, tuple[object, ...]]


def handed_over(environ: MutableMapping[str, str] = os.environ) -> Handed:
    """
    Take the sockets that systemd hands over: `user`, `card` and maybe `http` (FileDescriptorName=).

    Returns:
        Those of all kinds, or nothing if none is handed over.

    Raises:
        ConfigError: If one of the kinds is missing, or one is not what a server listens on.
    """
    try:
        taken = take(environ)
    except ValueError as exc:
        raise ConfigError(HANDED, f"what systemd hands over cannot be used: {exc}") from exc
    try:
        return _by_role(taken)
    except ConfigError:
        for _, each in taken:
            each.close()
        raise


def _by_role(taken: Sequence[tuple[str, socket.socket]]) -> Handed:
    needed = [str(role) for role in ClientType]
    found: dict[str, list[socket.socket]] = {name: [] for name in (*needed, HTTP)}
    for name, each in taken:
        if name not in found:
            known = f"{', '.join(needed)} or {HTTP}"
            raise ConfigError(HANDED, f"one is called {name!r}; set FileDescriptorName= to {known}")
        _check_handed(name, each)
        found[name].append(each)
    missing = [name for name in needed if not found[name]]
    if taken and missing:
        why = f"none is called {missing[0]!r}; hand over those of users and of card clients"
        raise ConfigError(HANDED, f"{why}, or none")
    return {name: each for name, each in found.items() if each}


def as_handed(settings: ServerSettings, handed: Handed) -> ServerSettings:
    """
    Return the settings with the addresses and ports of sockets that are handed over.

    Raises:
        ConfigError: If a server with these settings may not listen on these addresses.
    """
    if not handed:
        return settings
    users, hosts, http = (handed.get(name, ()) for name in (*ClientType, HTTP))
    if http and settings.no_http:
        why = f"one is called {HTTP!r}, and no_http is set; mask wsrc-server-http.socket"
        raise ConfigError(HANDED, why)
    at = {"http_host": _addresses(http), "http_port": http[0].getsockname()[1]} if http else {}
    return msgspec.structs.replace(
        settings,
        host=_addresses((*users, *hosts)),
        user_port=users[0].getsockname()[1],
        card_port=hosts[0].getsockname()[1],
        **at,
    )


def _addresses(sockets: Sequence[socket.socket]) -> str:
    return ", ".join(dict.fromkeys(str(each.getsockname()[0]) for each in sockets))


def _check_handed(name: str, each: socket.socket) -> None:
    if each.family not in {socket.AF_INET, socket.AF_INET6} or each.type != socket.SOCK_STREAM:
        raise ConfigError(HANDED, f"that of {name!r} is not of TCP; set ListenStream= to a port")
    if not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise ConfigError(HANDED, f"that of {name!r} is a connection; set Accept=no")


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
