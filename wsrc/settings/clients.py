# SPDX-License-Identifier: Apache-2.0
"""
What can be set in the two clients: types, defaults, ranges, descriptions.

One spelling in three places: the field `hello_s` is `hello_s` in TOML, `WSRC_HELLO_S` in the
environment and `--hello-s` on the command line. Command lines and documents are made from
`settings_of`. Settings that contradict each other never become a Struct: that is a `ConfigError`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from wsrc import tags
from wsrc.errors import BadHexError, ConfigError
from wsrc.guard import tables
from wsrc.octets import from_person
from wsrc.settings.address import Address
from wsrc.settings.hosts import host_name, user_at_host
from wsrc.settings.types import (
    AuditDir,
    AuditKeep,
    AuditOctets,
    AuditSync,
    HostSeal,
    LogFormat,
    LogLevel,
    MetricsPort,
    PadOctets,
    Ping,
    SealMode,
    Seconds,
    SecondsOrNone,
    Settings,
    Text,
    TlsCa,
    TlsCert,
    TlsKey,
    TokenFile,
    TraceFile,
    TraceGsmtap,
    TraceSecrets,
    UserSeal,
)

# Longer than the aim: each setting says what it means, and what contradicts it.

BUILT_IN_CARDS = "default"
"""Item of `simulated` that means the two simulated cards that come with WSRC."""


class TagTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tags `set` for the cards and readers that have a name which is, or fits, `cards`."""

    cards: str
    set: Mapping[str, str]


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
    token_file: TokenFile = None
    name: Annotated[
        Text, Meta(description="Name shown to peers.", extra={"default": "the host name"})
    ] = msgspec.field(default_factory=host_name)
    seal: HostSeal = None
    seal_cards: Annotated[
        tuple[str, ...],
        Meta(
            description="Card, by its ICCID, EID, ATR or label or by the id or name of its reader, "
            "that is given in sealed sessions only, whatever seal says; '*' is any text."
        ),
    ] = ()
    user_ca: Annotated[
        Path | None,
        Meta(description="PEM file of the CA of users who prove who they are in a sealed session."),
    ] = None
    user_crl: Annotated[
        Path | None,
        Meta(description="PEM file of the revocation list of user_ca."),
    ] = None
    accept_users: Annotated[
        tuple[str, ...],
        Meta(
            description="User, by the name in its certificate of user_ca, whom alone sealed "
            "sessions are begun with; '*' is any text.",
            extra={"default": "all, with or without a certificate"},
        ),
    ] = ()
    pad_octets: PadOctets = 1
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
    tags: Annotated[
        tuple[TagTable, ...],
        Meta(
            description="Tables [[tags]] of the file: tags of some cards and readers.",
            extra={"tables": True, "expected": "tables, in the file alone"},
        ),
    ] = ()
    isd_r_aids: Annotated[
        tuple[str, ...],
        Meta(
            description="AID, in hexadecimal, of an application asked for the EID.",
            extra={"default": "those of known eUICCs"},
        ),
    ] = ()
    guard_profile: Annotated[
        tables.Profiles,
        Meta(description="What is kept from cards, whatever a server says; of 'full' nothing is."),
    ] = ("last-try",)
    guard_allow: Annotated[
        tables.Allowing,
        Meta(
            description="What passes all the same: the last try of a PIN or a key, codes of "
            "readers that may hide a command of the card."
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
            extra={"tables": True, "expected": "tables, in the file alone"},
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
    audit_dir: AuditDir = None
    audit_max_octets: AuditOctets = 16 << 20
    audit_keep: AuditKeep = 0
    audit_sync_s: AuditSync = 1.0
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    metrics_port: MetricsPort = 0
    trace: Annotated[
        bool,
        Meta(description="Log what every session exchanges with its card, without PINs and keys."),
    ] = False
    trace_file: TraceFile = None
    trace_gsmtap: TraceGsmtap = ""
    trace_secrets: TraceSecrets = False

    @property
    def seal_mode(self) -> SealMode:
        """Whether sessions are sealed, where `seal` may leave that to what else is given."""
        return self.seal or ("preferred" if self.user_ca is None else "required")

    def __post_init__(self) -> None:
        _take_url(self)
        _check_pair(self)
        _check_aids(self.isd_r_aids)
        _check_guard(self)
        _check_tags(self.tags)
        _check_trace(self)
        if self.accept_users and (self.user_ca is None or self.seal_mode != "required"):
            why = "it needs user_ca, and seal = required: a session without a seal proves no user"
            raise ConfigError("accept_users", why)
        if self.seal_cards and self.seal_mode == "off":
            raise ConfigError("seal_cards", "it contradicts seal = off")
        if self.user_crl is not None and self.user_ca is None:
            raise ConfigError("user_crl", "it needs user_ca, whose list it is")
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
    token_file: TokenFile = None
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
    seal: UserSeal = None
    card_ca: Annotated[
        Path | None,
        Meta(
            description="PEM file of the CA whose card hosts are believed in sealed sessions.",
            extra={"default": "none: their keys are remembered in known_hosts"},
        ),
    ] = None
    card_crl: Annotated[
        Path | None,
        Meta(description="PEM file of the revocation list of card_ca."),
    ] = None
    card_hosts: Annotated[
        tuple[str, ...],
        Meta(
            description="Card host, by the name in its certificate of card_ca, that alone is "
            "believed; '*' is any text.",
            extra={"default": "all"},
        ),
    ] = ()
    known_hosts: Annotated[
        Path | None,
        Meta(
            description="File of the card hosts whose keys were seen before.",
            extra={"default": "known_hosts in the folder of the state"},
        ),
    ] = None
    pad_octets: PadOctets = 1
    read_ahead: Annotated[
        bool,
        Meta(
            description="Have card hosts read ahead what a program that sends one command at a "
            "time asks of a SIM or UICC next."
        ),
    ] = False
    trace_file: TraceFile = None
    trace_gsmtap: TraceGsmtap = ""
    trace_secrets: TraceSecrets = False

    @property
    def seal_mode(self) -> SealMode:
        """Whether sessions are sealed, where `seal` may leave that to what else is given."""
        return self.seal or ("preferred" if self.card_ca is None else "required")

    def __post_init__(self) -> None:
        _take_url(self)
        _check_pair(self)
        if self.card_hosts and self.card_ca is None:
            raise ConfigError("card_hosts", "it needs card_ca: only a certificate has a name")
        if self.card_crl is not None and self.card_ca is None:
            raise ConfigError("card_crl", "it needs card_ca, whose list it is")
        _check_trace(self)


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


def _check_tags(tables: tuple[TagTable, ...]) -> None:
    for number, table in enumerate(tables, start=1):
        why = "it sets nothing" if not table.set else tags.wrong(table.set)
        if not table.cards.strip():
            why = "cards is empty; '*' is all"
        if why is not None:
            raise ConfigError("tags", f"table {number}: {why}")


def _check_trace(s: CardClientSettings | UserSettings) -> None:
    host, _, port = s.trace_gsmtap.rpartition(":")
    sound = host and port.isascii() and port.isdigit() and 0 < int(port) <= 65_535
    if s.trace_gsmtap and not sound:
        raise ConfigError("trace_gsmtap", f"{s.trace_gsmtap!r} is not of the form HOST:PORT")


def _check_aids(aids: tuple[str, ...]) -> None:
    """ISO/IEC 7816-4 clause 12.2.3: an AID has 5 to 16 octets."""
    for aid in aids:
        try:
            sound = 5 <= len(from_person(aid)) <= 16
        except BadHexError:
            sound = False
        if not sound:
            raise ConfigError("isd_r_aids", f"{aid!r} is not 5 to 16 octets in hexadecimal")
