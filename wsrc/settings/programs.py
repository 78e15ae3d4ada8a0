# SPDX-License-Identifier: Apache-2.0
"""
What can be set in each of the three programs: types, defaults, ranges, descriptions.

One spelling in three places: the field `hello_s` is `hello_s` in TOML, `WSRC_HELLO_S` in the
environment and `--hello-s` on the command line. Command lines and documents are made from
`settings_of`. Settings that contradict each other never become a Struct: that is a `ConfigError`.
"""

import getpass
import ipaddress
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import (
    Annotated,
    ClassVar,
    Literal,
)
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from wsrc.errors import BadHexError, ConfigError
from wsrc.guard import tables
from wsrc.octets import from_person
from wsrc.settings.address import Address
from wsrc.settings.types import (
    Count,
    LogLevel,
    Ping,
    Port,
    Seconds,
    SecondsOrNone,
    Settings,
    Text,
    TlsCa,
    TlsCert,
    TlsKey,
)

# Longer than the aim: each setting says what it means, and what contradicts it.

BUILT_IN_CARDS = "default"
"""Item of `simulated` that means the two simulated cards that come with WSRC."""


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


class ServerSettings(Settings, frozen=True, kw_only=True):
    """Settings of `wsrc-server`."""

    FILES: ClassVar[tuple[str, ...]] = ("/etc/wsrc/server.toml",)

    host: Annotated[
        Text,
        Meta(
            description="Addresses and names to listen on, with commas between; * and :: are all "
            "addresses of both families, 0.0.0.0 those of IPv4."
        ),
    ] = "localhost"
    user_port: Annotated[Port, Meta(description="Port for user clients; 0 is any free one.")] = 4220
    card_port: Annotated[Port, Meta(description="Port for card clients; 0 is any free one.")] = 4221
    tls_cert: Annotated[
        Path | None, Meta(description="PEM file of the server's certificate and its chain.")
    ] = None
    tls_key: Annotated[
        Path | None, Meta(description="PEM file of the certificate's private key, not encrypted.")
    ] = None
    tls_client_ca: Annotated[
        Path | None,
        Meta(
            description="PEM file of the CAs whose certificates let clients in; without one, "
            "nobody is asked for a certificate."
        ),
    ] = None
    tls_card_ca: Annotated[
        Path | None,
        Meta(
            description="PEM file of the CAs whose certificates let card clients in, where those "
            "are others than tls_client_ca, which is for users then.",
            extra={"default": "tls_client_ca"},
        ),
    ] = None
    tls_crl: Annotated[
        Path | None,
        Meta(
            description="PEM file of the revocation lists of these CAs: a certificate on one lets "
            "nobody in, nor does one of a CA without a list."
        ),
    ] = None
    tls_min_version: Annotated[
        Literal["1.2", "1.3"], Meta(description="Oldest TLS version that peers may use.")
    ] = "1.2"
    no_tls: Annotated[bool, Meta(description="Serve WebSocket without TLS, on loopback only.")] = (
        False
    )
    allow_plaintext_on_network: Annotated[
        bool,
        Meta(
            description="With --no-tls, listen on the network too: everyone on the path can read "
            "PINs and keys, and send commands to cards."
        ),
    ] = False
    policy: Annotated[
        Path | None,
        Meta(
            description="TOML file that says who may use which card; without one, whoever is let "
            "in may use every card."
        ),
    ] = None
    name: Annotated[
        Text, Meta(description="Name shown to peers.", extra={"default": "the host name"})
    ] = msgspec.field(default_factory=host_name)
    ping_s: Ping = 10.0
    hello_s: Annotated[Seconds, Meta(description="Seconds a new peer has to say hello.")] = 10.0
    command_s: Annotated[
        Seconds, Meta(description="Seconds a card client has to answer a command.")
    ] = 150.0
    attach_s: Annotated[
        Seconds, Meta(description="Seconds a card client has to reset a card for its new holder.")
    ] = 30.0
    lease_idle_s: Annotated[
        SecondsOrNone,
        Meta(description="Seconds after which an unused card is taken back; 0 is no limit."),
    ] = 3600.0
    wait_max_s: Annotated[
        Seconds, Meta(description="Longest time a user may wait for a busy card, in seconds.")
    ] = 3600.0
    keep_s: Annotated[
        SecondsOrNone,
        Meta(description="Longest time a session is kept without its user, in seconds; 0 is none."),
    ] = 600.0
    drain_s: Annotated[
        Seconds, Meta(description="Seconds that commands in flight have to finish at shutdown.")
    ] = 10.0
    reconnect_in_s: Annotated[
        Seconds, Meta(description="Seconds after which peers are told to return after shutdown.")
    ] = 1.0
    max_peers: Annotated[Count, Meta(description="Most connections at a time.")] = 10_000
    max_sessions_per_user: Annotated[
        Count, Meta(description="Most cards one connection of a user may hold.")
    ] = 64
    max_waiting: Annotated[
        Count, Meta(description="Most users that wait for busy cards at a time.")
    ] = 10_000
    log_level: LogLevel = "info"

    def __post_init__(self) -> None:
        _check_tls(self)


class CardClientSettings(Settings, frozen=True, kw_only=True):
    """Settings of `wsrc-card-client`."""

    FILES: ClassVar[tuple[str, ...]] = (
        "~/.config/wsrc/card-client.toml",
        "/etc/wsrc/card-client.toml",
    )

    server_url: Annotated[
        Text, Meta(description="URL of the server's port for card clients.", extra={"url": True})
    ] = "wss://localhost:4221"
    tls_ca: TlsCa = None
    tls_cert: TlsCert = None
    tls_key: TlsKey = None
    name: Annotated[
        Text, Meta(description="Name shown to peers.", extra={"default": "the host name"})
    ] = msgspec.field(default_factory=host_name)
    pcsc: Annotated[bool, Meta(description="Serve the PC/SC readers of this host.")] = True
    reader_include: Annotated[
        tuple[str, ...],
        Meta(
            description="Pattern of reader names to serve, such as '*Gemalto*'.",
            extra={"default": "all"},
        ),
    ] = ()
    reader_exclude: Annotated[
        tuple[str, ...],
        Meta(description="Pattern of reader names not to serve; wins over reader_include."),
    ] = ()
    simulated: Annotated[
        tuple[str, ...],
        Meta(
            description="TOML file of a simulated card to serve; 'default' is the two built-in "
            "cards.",
            extra={"paths": True},
        ),
    ] = ()
    labels: Annotated[
        Mapping[str, str],
        Meta(
            description="Label of a card, by its ICCID, EID or ATR or by the id or name of its "
            "reader."
        ),
    ] = msgspec.field(default_factory=dict[str, str])
    isd_r_aids: Annotated[
        tuple[str, ...],
        Meta(
            description="AID, in hexadecimal, of an application asked for the EID.",
            extra={"default": "those of known eUICCs"},
        ),
    ] = ()
    guard_profile: Annotated[
        tables.Profiles,
        Meta(
            description="What is kept from cards, whatever a server says: 'full' (nothing is), "
            "'last-try', 'no-key-management', 'no-pin', 'read-only'."
        ),
    ] = ("last-try",)
    guard_allow: Annotated[
        tables.Allowing,
        Meta(
            description="What passes all the same: 'pin-last-try', 'vendor-codes' of readers "
            "that may hide a command of the card."
        ),
    ] = ()
    guard_keep_tries: Annotated[
        int,
        Meta(ge=1, le=15, description="Tries of each PIN and key that no user may spend."),
    ] = 1
    guard_answer: Annotated[
        Text,
        Meta(
            description="What a command that is kept from a card is answered with: 'error', or a "
            "status word such as 6985."
        ),
    ] = tables.ERROR
    guard: Annotated[
        tuple[tables.Table, ...],
        Meta(
            description="Tables [[guard]] of the file: other profiles for some cards, and tables.",
            extra={"tables": True},
        ),
    ] = ()
    command_s: Annotated[
        Seconds, Meta(description="Seconds a card has to answer before its reader is given up.")
    ] = 120.0
    transaction_wait_s: Annotated[
        Seconds,
        Meta(
            description="Seconds a request waits for the end of another user's transaction on a "
            "shared card."
        ),
    ] = 25.0
    transaction_idle_s: Annotated[
        SecondsOrNone,
        Meta(
            description="Seconds after which an unused transaction ends and its card is reset; "
            "0 is no limit."
        ),
    ] = 60.0
    keep_s: Annotated[
        SecondsOrNone,
        Meta(description="Longest time in seconds that a session is kept without the server."),
    ] = 600.0
    read_ahead_s: Annotated[
        SecondsOrNone,
        Meta(
            description="Seconds for which an answer waits while a card is read ahead of a user "
            "who asks for that; 0 is never."
        ),
    ] = 0.1
    ping_s: Ping = 10.0
    reconnect_min_s: Annotated[
        Seconds, Meta(description="Shortest wait before connecting again, in seconds.")
    ] = 0.5
    reconnect_max_s: Annotated[
        Seconds, Meta(description="Longest wait before connecting again, in seconds.")
    ] = 30.0
    log_level: LogLevel = "info"
    trace_apdus: Annotated[
        bool, Meta(description="Log every APDU in full: PINs and keys appear in the log.")
    ] = False

    def __post_init__(self) -> None:
        _take_url(self)
        _check_pair(self)
        _check_aids(self.isd_r_aids)
        _check_guard(self)
        if self.reconnect_min_s > self.reconnect_max_s:
            raise ConfigError(
                "reconnect_min_s",
                f"{self.reconnect_min_s} is more than reconnect_max_s, {self.reconnect_max_s}",
            )


class UserSettings(Settings, frozen=True, kw_only=True):
    """Settings of `wsrc`, the user's command."""

    FILES: ClassVar[tuple[str, ...]] = ("~/.config/wsrc/user.toml",)

    server_url: Annotated[
        Text, Meta(description="URL of the server's port for users.", extra={"url": True})
    ] = "wss://localhost:4220"
    tls_ca: TlsCa = None
    tls_cert: TlsCert = None
    tls_key: TlsKey = None
    name: Annotated[
        Text, Meta(description="Name shown to peers.", extra={"default": "user@host"})
    ] = msgspec.field(default_factory=user_at_host)
    timeout_s: Annotated[
        Seconds, Meta(description="Seconds to wait for the answer to a request.")
    ] = 180.0
    connect_s: Annotated[
        Seconds, Meta(description="Seconds to wait for the connection to the server.")
    ] = 10.0
    ping_s: Ping = 10.0
    keep_s: Annotated[
        SecondsOrNone,
        Meta(
            description="Seconds for which a lost connection is retried and cards are kept; 0 "
            "gives them up at once."
        ),
    ] = 30.0
    read_ahead: Annotated[
        bool,
        Meta(
            description="Have card hosts read ahead what a program that sends one command at a "
            "time asks of a SIM or UICC next."
        ),
    ] = False

    def __post_init__(self) -> None:
        _take_url(self)
        _check_pair(self)


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


def is_loopback(host: str) -> bool:
    """Return whether a server that listens here is reached from its own host only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _check_tls(s: ServerSettings) -> None:
    for name in ("tls_cert", "tls_key", "tls_client_ca", "tls_card_ca", "tls_crl"):
        if s.no_tls and getattr(s, name):
            raise ConfigError("no_tls", f"it contradicts {name}; give one or the other")
    if s.tls_crl and not (s.tls_client_ca or s.tls_card_ca):
        raise ConfigError("tls_crl", "nobody is asked for a certificate without tls_client_ca")
    hosts = hosts_of(s.host)
    outside = next((host for host in hosts if not is_loopback(host)), None)
    if s.no_tls and outside is not None and not s.allow_plaintext_on_network:
        raise ConfigError(
            "no_tls",
            f"without TLS the server listens on loopback only, and {outside} is not loopback; give "
            "tls_cert and tls_key, or allow_plaintext_on_network if the network is trusted",
        )
    if not s.no_tls and not (s.tls_cert and s.tls_key):
        raise ConfigError(
            "tls_key" if s.tls_cert else "tls_cert",
            "TLS needs a certificate and its key, tls_cert and tls_key; make some with "
            "wsrc-certs, or give no_tls to serve loopback without TLS",
        )


def _check_pair(s: "CardClientSettings | UserSettings") -> None:
    if (s.tls_cert is None) != (s.tls_key is None):
        given, missing = ("tls_cert", "tls_key") if s.tls_cert else ("tls_key", "tls_cert")
        raise ConfigError(missing, f"{given} is given without it; the server is shown both or none")


def _take_url(s: CardClientSettings | UserSettings) -> None:
    """Have a URL that can be shown wherever settings are."""
    url = Address(s.server_url)
    if not url.sound or urlsplit(url).scheme not in {"ws", "wss"}:
        hint = "; write / ? # @ in a password as %2F %3F %23 %40" if "@" in s.server_url else ""
        raise ConfigError(
            "server_url",
            f"{str(url)!r} is not of the form wss://HOST:PORT or ws://HOST:PORT{hint}",
        )
    msgspec.structs.force_setattr(s, "server_url", url)


def _check_guard(s: CardClientSettings) -> None:
    setting = "guard_answer"
    try:
        tables.check_answer(s.guard_answer, (tables.ERROR,))
        setting = "guard_profile"
        tables.check_profiles(s.guard_profile)
        setting = "guard"
        tables.check(s.guard)
    except ValueError as exc:
        raise ConfigError(setting, str(exc)) from exc


def _check_aids(aids: tuple[str, ...]) -> None:
    """ISO/IEC 7816-4 clause 12.2.3: an AID has 5 to 16 octets."""
    for aid in aids:
        try:
            sound = 5 <= len(from_person(aid)) <= 16
        except BadHexError:
            sound = False
        if not sound:
            raise ConfigError("isd_r_aids", f"{aid!r} is not 5 to 16 octets in hexadecimal")
