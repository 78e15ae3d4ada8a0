# SPDX-License-Identifier: Apache-2.0
"""What can be set in the server: types, defaults, ranges, descriptions."""

import ipaddress
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Meta

from wsrc.errors import ConfigError
from wsrc.settings.address import Address
from wsrc.settings.clustering import (
    ClusterCa,
    ClusterCert,
    ClusterCreds,
    Clustering,
    ClusterKey,
    ClusterName,
    ClusterUrl,
    NodeName,
    NodeUrl,
    PublicHost,
    StateIn,
    StateKey,
    StateReplicas,
    check_clustering,
    node_name,
)
from wsrc.settings.hosts import host_name, hosts_of, is_loopback
from wsrc.settings.serving import (
    MAX_PORT,
    HttpHost,
    HttpIdle,
    HttpNames,
    HttpPort,
    HttpTls,
    NoHttp,
    TrustedProxies,
    port_of,
)
from wsrc.settings.types import (
    AuditDir,
    AuditKeep,
    AuditOctets,
    AuditSync,
    Count,
    CountOrNone,
    LogFormat,
    LogLevel,
    Ping,
    Port,
    RateOrNone,
    Seconds,
    SecondsOrNone,
    Settings,
    Text,
    TextOrNone,
)

# Longer than the aim: every setting of a server, and which go together.

WAYS = ("tls_client_ca", "tokens", "oidc_issuer")
"""Settings of a server any of which lets in nobody who does not say who they are."""


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
    http_host: HttpHost = "localhost"
    http_port: HttpPort = None
    http_tls: HttpTls = False
    http_names: HttpNames = ()
    http_idle_s: HttpIdle = 300.0
    no_http: NoHttp = False
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
            "nobody in, nor does one of a CA without a list. With a list of a CA of cluster_ca, "
            "nodes are refused as well."
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
    tokens: Annotated[
        bool,
        Meta(description="Let in who has a token that `wsrc-server token add` has made."),
    ] = False
    oidc_issuer: Annotated[
        TextOrNone,
        Meta(
            description="URL of an OpenID Connect issuer; let in who has a JWT that it has made "
            "for oidc_audience.",
            extra={"url": True},
        ),
    ] = ""
    oidc_audience: Annotated[
        TextOrNone,
        Meta(description="Audience of the JWTs that are for this server."),
    ] = ""
    oidc_name_claim: Annotated[
        Text, Meta(description="Claim of a JWT that is the name of the principal.")
    ] = "sub"
    oidc_groups_claim: Annotated[
        Text, Meta(description="Claim of a JWT that is the list of groups of the principal.")
    ] = "groups"
    oidc_card_group: Annotated[
        TextOrNone,
        Meta(
            description="Group whose members are card hosts, and not users; without one, JWTs are "
            "of users."
        ),
    ] = ""
    first_form_from: Annotated[
        tuple[str, ...],
        Meta(
            description="Network, such as 10.0.0.0/8, from which peers of the first form of the "
            "protocol are let in, which send no token."
        ),
    ] = ()
    first_form_token_in_url: Annotated[
        bool,
        Meta(
            description="Let in peers of the first form that have a token in their URL, as "
            "?token=; logs of proxies may show it."
        ),
    ] = False
    state_dir: Annotated[
        Path | None,
        Meta(
            description="Folder of what outlives the server, such as its tokens; it is made with "
            "mode 0700.",
            extra={
                "folder": True,
                "expected": "the name of a folder",
                "default": "that of systemd, `/var/lib/wsrc`, or `~/.local/state/wsrc`",
            },
        ),
    ] = None
    allow_anyone_on_network: Annotated[
        bool,
        Meta(
            description="Listen on the network without asking anybody who they are: whoever "
            "reaches the server can use every card, and pose as a card host."
        ),
    ] = False
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
    lease_warn_s: Annotated[
        SecondsOrNone,
        Meta(
            description="Seconds before a card is taken back at which its user is warned: for it "
            "is not used, at most half of lease_idle_s, or for it is reserved; 0 is no warning."
        ),
    ] = 300.0
    lend_s: Annotated[
        Seconds, Meta(description="Seconds for which a card is kept for whom it was lent to.")
    ] = 120.0
    wait_max_s: Annotated[
        Seconds, Meta(description="Longest time a user may wait for a busy card, in seconds.")
    ] = 3600.0
    keep_s: Annotated[
        SecondsOrNone,
        Meta(description="Longest time a session is kept without its user, in seconds; 0 is none."),
    ] = 600.0
    resume_by_secret: Annotated[
        bool | None,
        Meta(
            description="Keep sessions that are not sealed as well, for a secret that the server "
            "sees; sealed ones need none.",
            extra={"default": "where it listens on loopback only"},
        ),
    ] = None
    drain_s: Annotated[
        Seconds, Meta(description="Seconds that commands in flight have to finish at shutdown.")
    ] = 10.0
    reconnect_in_s: Annotated[
        Seconds, Meta(description="Seconds after which peers are told to return after shutdown.")
    ] = 1.0
    max_peers: Annotated[Count, Meta(description="Most connections at a time.")] = 10_000
    max_half_open: Annotated[
        Count, Meta(description="Most connections that are not yet WebSockets, beside max_peers.")
    ] = 1_000
    max_connections_per_address: Annotated[
        CountOrNone,
        Meta(
            description="Most connections from one address, which counts a network of 64 bits of "
            "IPv6 as one; 0 is no limit."
        ),
    ] = 1_000
    max_connections_per_principal: Annotated[
        CountOrNone,
        Meta(description="Most connections with the credentials of one; 0 is no limit."),
    ] = 1_000
    handshakes_per_s: Annotated[
        RateOrNone,
        Meta(
            description="Connections a second that one address may begin, 50 times as many at "
            "once; 0 is no limit."
        ),
    ] = 20.0
    requests_per_s: Annotated[
        RateOrNone,
        Meta(
            description="Requests a second of one user, over all connections, 5 times as many at "
            "once; 0 is no limit."
        ),
    ] = 2_000.0
    octets_per_s: Annotated[
        RateOrNone,
        Meta(
            description="Octets a second that one user or card host may send, over all "
            "connections, 5 times as many at once; 0 is no limit."
        ),
    ] = 16_777_216.0
    wrong_credentials_per_min: Annotated[
        RateOrNone,
        Meta(
            description="Wrong credentials a minute from one address before the answer is 429; 0 "
            "is no limit."
        ),
    ] = 10.0
    unlimited_from: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks whose addresses have no limits of their own, such as that of a "
            "reverse proxy."
        ),
    ] = ("127.0.0.0/8", "::1/128")
    trusted_proxies: TrustedProxies = ()
    max_sessions_per_user: Annotated[
        Count, Meta(description="Most cards one connection of a user may hold.")
    ] = 64
    max_sessions_per_principal: Annotated[
        CountOrNone,
        Meta(
            description="Most cards one user may hold or wait for, over all connections; 0 is no "
            "limit."
        ),
    ] = 1_000
    max_waiting: Annotated[
        Count, Meta(description="Most users that wait for busy cards at a time.")
    ] = 10_000
    max_waiting_per_principal: Annotated[
        CountOrNone,
        Meta(
            description="Most cards, and sessions to go on with, that one user may wait for, over "
            "all connections; 0 is no limit."
        ),
    ] = 1_000
    max_reservations_per_principal: Annotated[
        CountOrNone,
        Meta(
            description="Most reservations one user may have at a time, and all together who are "
            "not known by a name; 0 is no limit."
        ),
    ] = 100
    cluster_url: ClusterUrl = ()
    cluster: ClusterName = "wsrc"
    node_name: NodeName = msgspec.field(default_factory=node_name)
    cluster_creds: ClusterCreds = None
    cluster_ca: ClusterCa = None
    cluster_cert: ClusterCert = None
    cluster_key: ClusterKey = None
    node_url: NodeUrl = None
    public_host: PublicHost = None
    state: StateIn = "sqlite"
    state_key: StateKey = None
    state_replicas: StateReplicas = 0
    audit_dir: AuditDir = None
    audit_max_octets: AuditOctets = 16 << 20
    audit_keep: AuditKeep = 0
    audit_sync_s: AuditSync = 1.0
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"

    @property
    def http_at(self) -> int:
        """The port for HTTP; 0 is any free one."""
        return port_of(self.http_port, self.user_port)

    @property
    def http_by_tls(self) -> bool:
        """Whether HTTP is served over TLS: on a network always, unless there is none."""
        return not self.no_tls and (self.http_tls or _outside(self.http_host) is not None)

    @property
    def resumes_by_secret(self) -> bool:
        """Whether sessions that are not sealed outlive their connections."""
        return (
            _outside(self.host) is None if self.resume_by_secret is None else self.resume_by_secret
        )

    @property
    def asks_who(self) -> bool:
        """Whether only those are let in, on both ports, who say who they are."""
        return any(getattr(self, way) for way in WAYS)

    @property
    def open_to_operators(self) -> bool:
        """Whether whoever is let in may do what is an operator's, where there is no policy."""
        return not self.asks_who and _outside(self.host) is None

    def __post_init__(self) -> None:
        _check_tls(self)
        _check_issuer(self)
        _check_first_form(self)
        _check_who(self)
        _check_http(self)
        check_clustering(Clustering(*(getattr(self, each) for each in Clustering._fields)))
        _check_networks("unlimited_from", self.unlimited_from)
        _check_networks("trusted_proxies", self.trusted_proxies)


def _check_tls(s: ServerSettings) -> None:
    for name in ("tls_cert", "tls_key", "tls_client_ca", "tls_card_ca", "tls_crl"):
        if s.no_tls and getattr(s, name):
            raise ConfigError("no_tls", f"it contradicts {name}; give one or the other")
    if s.tls_crl and not (s.tls_client_ca or s.tls_card_ca or s.cluster_ca):
        raise ConfigError("tls_crl", "nobody is asked for a certificate without tls_client_ca")
    outside = _outside(s.host)
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


def _check_issuer(s: ServerSettings) -> None:
    for name in ("oidc_audience", "oidc_card_group"):
        if getattr(s, name) and not s.oidc_issuer:
            raise ConfigError(name, "it is of no use without oidc_issuer")
    if not s.oidc_issuer:
        return
    if not s.oidc_audience:
        why = "without it, JWTs for other programs would let in; give what the issuer calls us"
        raise ConfigError("oidc_audience", why)
    parts = _parts(s.oidc_issuer)
    host = parts.hostname if parts is not None else None
    if parts is None or not host or parts.query or parts.fragment or "@" in parts.netloc:
        shown = str(Address(s.oidc_issuer))
        raise ConfigError("oidc_issuer", f"{shown!r} is not of the form https://HOST/PATH")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ConfigError("oidc_issuer", "its keys are got over https, or from loopback")


def _check_first_form(s: ServerSettings) -> None:
    if s.first_form_token_in_url and not s.tokens:
        raise ConfigError("first_form_token_in_url", "it is of no use without tokens")
    if s.first_form_from and not s.asks_who:
        raise ConfigError("first_form_from", f"it is of no use without {' or '.join(WAYS)}")
    for network in s.first_form_from:
        try:
            every = not ipaddress.ip_network(network).prefixlen
        except ValueError as exc:
            why = f"{network!r} is no network, such as 10.0.0.0/8 or 192.0.2.7: {exc}"
            raise ConfigError("first_form_from", why) from exc
        if every:
            why = f"{network} is everybody; that has a name: allow_anyone_on_network"
            raise ConfigError("first_form_from", why)


def _parts(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _check_who(s: ServerSettings) -> None:
    outside = _outside(s.host)
    if s.allow_anyone_on_network:
        way = next((way for way in WAYS if getattr(s, way)), None)
        if way is not None:
            raise ConfigError("allow_anyone_on_network", f"it contradicts {way}; give one of both")
    elif outside is not None and not s.asks_who:
        raise ConfigError(
            "host",
            f"whoever reaches {outside} could use every card; let in only who has a certificate or "
            f"a token, with {' or '.join(WAYS)}, or listen on localhost, or give "
            "allow_anyone_on_network if that is meant",
        )


def _check_http(s: ServerSettings) -> None:
    if s.no_http:
        return
    if s.http_at > MAX_PORT:
        raise ConfigError("http_port", f"there is no port {s.http_at}; give one, or no_http")
    outside = _outside(s.http_host)
    if s.http_tls and s.no_tls:
        raise ConfigError("http_tls", "it contradicts no_tls; give one or the other")
    if outside is None:
        return
    if s.no_tls and not s.allow_plaintext_on_network:
        why = f"without TLS, HTTP is served on loopback only, and {outside} is not loopback"
        raise ConfigError("http_host", f"{why}; give tls_cert and tls_key")
    if not s.asks_who and not s.allow_anyone_on_network:
        raise ConfigError(
            "http_host",
            f"whoever reaches {outside} could use every card; let in only who has a certificate or "
            f"a token, with {' or '.join(WAYS)}, or serve HTTP on localhost",
        )


def _outside(hosts: str) -> str | None:
    """Return the first address that is reached from other hosts."""
    return next((host for host in hosts_of(hosts) if not is_loopback(host)), None)


def _check_networks(setting: str, networks: tuple[str, ...]) -> None:
    for each in networks:
        try:
            ipaddress.ip_network(each)
        except ValueError as exc:
            raise ConfigError(setting, f"{exc}; write a network as 192.0.2.0/24") from exc
