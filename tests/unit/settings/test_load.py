# SPDX-License-Identifier: Apache-2.0
"""wsrc.settings: one spelling in three places."""

import getpass
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from wsrc.errors import ConfigError
from wsrc.settings.click_options import click_options
from wsrc.settings.load import (
    CardClientSettings,
    ServerSettings,
    Setting,
    Settings,
    UserSettings,
    default_files,
    load,
    settings_of,
)

KINDS = [ServerSettings, CardClientSettings, UserSettings]
EVERY = [
    pytest.param(k, s, id=f"{k.__name__}-{s.name}")
    for k in KINDS
    for s in settings_of(k)
    if not s.tables
]

SERVABLE: dict[str, Any] = {"tls_cert": "c.pem", "tls_key": "k.pem"}
"""What a server must be told before anything else is of interest."""

# Longer than the aim: all ways in which a setting is given, and what each must be told.

OTHER_VALUES: dict[str, Any] = {
    "state": "nats",
    "tls_cert": "other.pem",
    "tls_key": "other-key.pem",
    "tls_ca": "ca.pem",
    "tls_min_version": "1.3",
    "log_level": "debug",
    "unlimited_from": ["10.0.0.0/8", "fd00::/8"],
    "trusted_proxies": ["10.0.0.0/8", "fd00::/8"],
    "http_port": 4300,
    "log_format": "json",
    "resume_by_secret": False,
    "server_url": "ws://example.org:1234/user",
    "isd_r_aids": ["a0000005591010ffffffff8900000177", "a000000559"],
    "reconnect_max_s": 77.5,
    "reconnect_min_s": 0.25,
    "simulated": ["default", "card.toml"],
    "guard_profile": ["no-pin", "no-key-management"],
    "guard_allow": ["pin-last-try"],
    "guard_answer": "6985",
    "oidc_issuer": "https://login.example/realm",
    "first_form_from": ["10.0.0.0/8", "::1"],
    "trace_gsmtap": "localhost:4729",
    "seal": "preferred",
    "cluster_url": ["tls://nats-1.example:4222", "tls://nats-2.example"],
    "node_url": "wss://relay-a.example:4220",
    "public_host": "relay-a.example",
}

SEALED: dict[str, dict[str, Any]] = {
    "accept_users": {"user_ca": "ca.pem"},
    "user_crl": {"user_ca": "ca.pem"},
    "card_hosts": {"card_ca": "ca.pem"},
    "card_crl": {"card_ca": "ca.pem"},
}
"""What a setting needs that is of no use without a seal, or a CA for it."""


OF_ISSUER = {
    "oidc_issuer": OTHER_VALUES["oidc_issuer"],
    "oidc_audience": "wsrc",
    "oidc_card_group": "hosts",
}
"""What goes together only."""


OF_NODE = {
    "cluster_url": OTHER_VALUES["cluster_url"],
    "node_url": OTHER_VALUES["node_url"],
    "public_host": OTHER_VALUES["public_host"],
    "cluster_creds": "other",
    "cluster_ca": "other",
    "cluster_cert": "other",
    "cluster_key": "other",
    "state": "nats",
    "state_key": "other",
}
"""What needs a place of NATS."""


def other_value(setting: Setting) -> Any:
    """A value, in its TOML form, that is not the default."""
    if setting.name in OTHER_VALUES:
        return OTHER_VALUES[setting.name]
    match setting.default:
        case bool():
            return not setting.default
        case int() | float():
            return setting.default + 1
        case tuple():
            return ["one", "two"]
        case dict():
            return {"8949000000000000001": "bench 1", "reader": "bench 2"}
        case _:
            return "other"


def as_text(value: Any) -> list[str]:
    """The texts that a person would give on a command line."""
    match value:
        case list():
            return value
        case dict():
            return [f"{k}={v}" for k, v in value.items()]
        case bool():
            return [str(value).lower()]
        case _:
            return [str(value)]


def with_needs(kind: type[Settings], values: dict[str, Any]) -> dict[str, Any]:
    """Add what this value needs beside it."""
    for name in values.keys() & SEALED.keys():
        values = SEALED[name] | values
    of_server = kind is ServerSettings and "no_tls" not in values
    if not of_server and SERVABLE.keys().isdisjoint(values):
        return values
    asks = of_server or "tls_crl" in values
    beside: dict[str, Any] = (
        {} if not asks or "allow_anyone_on_network" in values else {"tls_client_ca": "ca.pem"}
    )
    if any(name in OF_ISSUER for name in values):
        beside |= OF_ISSUER
    if not OF_NODE.keys().isdisjoint(values):
        beside |= OF_NODE
    if "first_form_token_in_url" in values:
        beside["tokens"] = True
    return {**SERVABLE, **beside, **values}


def toml(values: dict[str, Any]) -> str:
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if not isinstance(v, dict)]
    for name, table in values.items():
        if isinstance(table, dict):
            lines += [
                f"[{name}]",
                *(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in table.items()),
            ]
    return "\n".join(lines)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def empty(write: Callable[[str], Path]) -> Path:
    """A settings file that says nothing, so that none of this host is read."""
    return write("")


def run_command(kind: type[Settings], arguments: list[str]) -> Any:
    """Call a command made for `kind` and give the settings that it was called with."""
    seen: list[Settings] = []

    @click.command()
    @click_options(kind)
    def command(settings: Settings) -> None:
        seen.append(settings)

    result = CliRunner().invoke(command, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return seen[0] if seen else result


@pytest.mark.parametrize(("kind", "setting"), EVERY)
def test_one_spelling_in_file_environment_and_flags(
    kind: type[Settings],
    setting: Setting,
    write: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    value = other_value(setting)
    assert setting.environment == "WSRC_" + setting.name.upper()
    assert setting.flag == "--" + setting.name.replace("_", "-")
    needs = with_needs(kind, {setting.name: value})
    beside = {name: needs[name] for name in needs if name != setting.name}
    from_file = load(kind, {}, config=write(toml(needs)))
    bare = write(toml(beside))
    from_environment = load(kind, {setting.environment: ",".join(as_text(value))}, config=bare)
    if isinstance(value, bool):
        flags = [setting.flag if value else setting.flag.replace("--", "--no-", 1)]
    else:
        flags = [part for text in as_text(value) for part in (setting.flag, text)]
    from_flags = run_command(kind, ["--config", str(bare), *flags])
    got = getattr(from_flags, setting.name)
    assert got != setting.default
    assert getattr(from_environment, setting.name) == got
    if setting.paths:
        got = (
            tuple(beside_file(p, tmp_path) for p in got)
            if isinstance(got, tuple)
            else (tmp_path / got)
        )
    assert getattr(from_file, setting.name) == got


def beside_file(text: str, folder: Path) -> str:
    return text if text == "default" else str(folder / text)


@pytest.mark.parametrize(("kind", "setting"), EVERY)
def test_every_setting_is_described(kind: type[Settings], setting: Setting) -> None:
    assert setting.description.endswith(".")
    assert setting.default_text
    assert setting.expected
    with CliRunner().isolation():
        result = run_command(kind, ["--help"])
    assert setting.flag in result.output


@pytest.mark.parametrize("kind", KINDS)
def test_the_default_is_among_the_values_that_are_accepted(kind: type[Settings]) -> None:
    for setting in settings_of(kind):
        read = msgspec.convert(setting.default, setting.type, dec_hook=lambda _, v: v)
        assert read == setting.default


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    write: Callable[[str], Path],
) -> None:
    config = write("timeout_s = 1\nconnect_s = 1\nping_s = 1")
    environ = {"WSRC_CONNECT_S": "2", "WSRC_PING_S": "2"}
    settings = load(UserSettings, environ, {"ping_s": 3.0}, config)
    assert (settings.timeout_s, settings.connect_s, settings.ping_s) == (1.0, 2.0, 3.0)


def test_settings_are_frozen(empty: Path) -> None:
    settings = load(UserSettings, {}, config=empty)
    with pytest.raises(AttributeError):
        settings.ping_s = 1.0  # type: ignore[misc]


def test_an_empty_variable_counts_as_absent(empty: Path) -> None:
    assert load(UserSettings, {"WSRC_TLS_CA": ""}, config=empty).tls_ca is None


def test_names_default_to_host_and_user(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    host = load(CardClientSettings, {}, config=empty).name
    assert host
    assert load(UserSettings, {}, config=empty).name == f"{getpass.getuser()}@{host}"

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert load(UserSettings, {}, config=empty).name == f"uid-{os.getuid()}@{host}"


def test_the_file_in_the_home_is_read(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "wsrc"
    assert load(UserSettings, {"HOME": str(tmp_path)}).ping_s == 10.0
    folder.mkdir(parents=True)
    (folder / "user.toml").write_text('ping_s = 4\ntls_ca = "~/ca.pem"\n')
    settings = load(UserSettings, {"HOME": str(tmp_path)})
    assert (settings.ping_s, settings.tls_ca) == (4.0, tmp_path / "ca.pem")


def test_default_places() -> None:
    home = {"HOME": "/home/u"}
    assert default_files(ServerSettings, home) == (Path("/etc/wsrc/server.toml"),)
    assert default_files(CardClientSettings, home) == (
        Path("/home/u/.config/wsrc/card-client.toml"),
        Path("/etc/wsrc/card-client.toml"),
    )
    assert default_files(CardClientSettings, {}) == (Path("/etc/wsrc/card-client.toml"),)
    assert default_files(UserSettings, home) == (Path("/home/u/.config/wsrc/user.toml"),)


def test_the_environment_names_the_file(write: Callable[[str], Path]) -> None:
    path = write("ping_s = 5")
    assert load(UserSettings, {"WSRC_CONFIG": str(path)}).ping_s == 5.0


def sentence(kind: type[Settings], **given: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(kind, given.pop("environ", {}), given.pop("flags", None), given.pop("config", None))
    return str(caught.value)


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert sentence(UserSettings, config=path) == f"config: there is no file {path}"
    assert str(path) in sentence(UserSettings, environ={"WSRC_CONFIG": str(path)})


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    assert sentence(UserSettings, config=tmp_path) == (
        f"config: cannot read {tmp_path}: Is a directory"
    )


@pytest.mark.parametrize("octets", [b"a b", b'name = "\xff"'])
def test_a_file_that_is_no_toml_is_named(octets: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(octets)
    assert sentence(UserSettings, config=path).startswith(f"config: {path} is not TOML: ")


def test_an_unknown_key_is_named_with_the_nearest_that_exists(
    write: Callable[[str], Path],
) -> None:
    path = write("user_prot = 4220")
    assert sentence(ServerSettings, config=path) == (
        f"user_prot: there is no such setting ({path}); did you mean user_port?"
    )


@pytest.mark.parametrize("changed", [{"seal": "preferred"}, {"user_ca": None}])
def test_users_are_accepted_by_certificate_only_where_every_session_is_sealed(
    changed: dict[str, Any], write: Callable[[str], Path]
) -> None:
    values = {"accept_users": ["anna"], "user_ca": "ca.pem", **changed}
    values = {name: value for name, value in values.items() if value is not None}
    text = sentence(CardClientSettings, config=write(toml(values)))
    assert text.startswith("accept_users: it needs user_ca, and seal = required")


@pytest.mark.parametrize(
    ("kind", "ca"), [(UserSettings, "card_ca"), (CardClientSettings, "user_ca")]
)
def test_sessions_are_sealed_where_the_other_end_can_and_always_where_there_is_a_ca(
    kind: type[UserSettings | CardClientSettings], ca: str, write: Callable[[str], Path]
) -> None:
    assert load(kind, {}, config=write("")).seal_mode == "preferred"
    assert load(kind, {f"WSRC_{ca.upper()}": "ca.pem"}, config=write("")).seal_mode == ("required")
    assert load(kind, {}, {ca: "ca.pem", "seal": "off"}, config=write("")).seal_mode == "off"


@pytest.mark.parametrize(
    ("kind", "setting", "value", "needs"),
    [
        (UserSettings, "card_hosts", ["bench"], "card_ca"),
        (UserSettings, "card_crl", "crl.pem", "card_ca"),
        (CardClientSettings, "user_crl", "crl.pem", "user_ca"),
    ],
)
def test_what_is_said_of_certificates_needs_their_ca(
    kind: type[Settings], setting: str, value: Any, needs: str, write: Callable[[str], Path]
) -> None:
    text = sentence(kind, config=write(toml({setting: value})))
    assert text.startswith(f"{setting}: it needs {needs}")


def test_an_unknown_key_like_no_other_gets_the_list(write: Callable[[str], Path]) -> None:
    text = sentence(UserSettings, config=write("zzzzzz = 1"))
    names = (
        "server_url, tls_ca, tls_cert, tls_key, token_file, name, timeout_s, connect_s, ping_s, "
        "keep_s, seal, card_ca, card_crl, card_hosts, known_hosts, pad_octets, read_ahead, "
        "trace_file, trace_gsmtap, trace_secrets"
    )
    assert text.endswith(f"the settings are {names}")


def test_an_unknown_flag_is_refused(empty: Path) -> None:
    text = sentence(UserSettings, flags={"pings_s": 1}, config=empty)
    assert text == "pings_s: there is no such setting (command line); did you mean ping_s?"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('user_port = "4220"', "user_port: must be a whole number from 0 to 65535, not '4220'"),
        ("user_port = 65536", "user_port: must be a whole number from 0 to 65535, not 65536"),
        ("user_port = -1", "user_port: must be a whole number from 0 to 65535, not -1"),
        ("ping_s = 0", "ping_s: must be a number above 0 to 31536000, not 0"),
        ("ping_s = nan", "ping_s: must be a number above 0 to 31536000, not nan"),
        ("ping_s = inf", "ping_s: must be a number above 0 to 31536000, not inf"),
        ("lease_idle_s = -1", "lease_idle_s: must be a number from 0 to 31536000, not -1"),
        ("max_peers = 0", "max_peers: must be a whole number from 1 to 1000000000, not 0"),
        ("host = 1", "host: must be text, not 1"),
        ('host = ""', "host: must be text, not ''"),
        ("no_tls = 1", "no_tls: must be true or false, not 1"),
        ('tls_cert = ""', "tls_cert: must be the name of a file, not ''"),
        ("tls_cert = 7", "tls_cert: must be the name of a file, not 7"),
        ("tls_min_version = 1.2", 'tls_min_version: must be one of "1.2", "1.3", not 1.2'),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(
    line: str, expected: str, write: Callable[[str], Path]
) -> None:
    path = write(line)
    assert sentence(ServerSettings, config=path) == f"{expected} ({path})"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('reader_include = "a"', "reader_include: must be a list of texts, not 'a'"),
        ("labels = [1]", "labels: must be a table of texts (KEY=LABEL outside of a file), not [1]"),
        ("labels = 1", "labels: must be a table of texts (KEY=LABEL outside of a file), not 1"),
        ("simulated = [1]", "simulated: must be a list of texts, not [1]"),
        (
            'guard_allow = ["x"]',
            'guard_allow: must be a list of "pin-last-try", "vendor-codes", not [\'x\']',
        ),
    ],
)
def test_a_wrong_list_or_table_is_named(
    line: str, expected: str, write: Callable[[str], Path]
) -> None:
    path = write(line)
    assert sentence(CardClientSettings, config=path) == f"{expected} ({path})"


def test_a_wrong_variable_is_named(empty: Path) -> None:
    assert sentence(UserSettings, environ={"WSRC_PING_S": "fast"}, config=empty) == (
        "ping_s: must be a number above 0 to 31536000, not 'fast' (environment variable "
        "WSRC_PING_S)"
    )


def test_a_wrong_flag_is_named(empty: Path) -> None:
    assert sentence(UserSettings, flags={"ping_s": -1.0}, config=empty) == (
        "ping_s: must be a number above 0 to 31536000, not -1.0 (command line)"
    )


def test_a_server_without_certificate_says_how_to_get_one(empty: Path) -> None:
    for flags in ({}, {"tls_key": "k.pem"}):
        text = sentence(ServerSettings, flags=flags, config=empty)
        assert text.startswith("tls_cert: TLS needs a certificate and its key")
        assert "wsrc-certs" in text
        assert "no_tls" in text
    assert sentence(ServerSettings, flags={"tls_cert": "c.pem"}, config=empty).startswith("tls_key")


def test_a_certificate_and_no_tls_contradict_each_other(empty: Path) -> None:
    text = sentence(ServerSettings, flags={"no_tls": True, **SERVABLE}, config=empty)
    assert text.startswith("no_tls: it contradicts")


def test_a_label_without_equals_sign_is_refused(empty: Path) -> None:
    assert "KEY=LABEL" in sentence(CardClientSettings, flags={"labels": ("x",)}, config=empty)


def test_tracing_warns_that_pins_appear() -> None:
    (trace,) = [s for s in settings_of(CardClientSettings) if s.name == "trace_secrets"]
    assert "PIN" in trace.description


def test_a_command_without_options_has_the_defaults(empty: Path) -> None:
    assert run_command(UserSettings, ["--config", str(empty)]) == UserSettings()


def test_a_command_that_may_do_without_settings_loads_them_when_it_asks(
    write: Callable[[str], Path],
) -> None:
    bad = write("hello_s = 'soon'")
    asked: list[Callable[[], Settings]] = []

    @click.command()
    @click_options(ServerSettings, late=True)
    def command(settings: Callable[[], Settings]) -> None:
        asked.append(settings)

    assert CliRunner().invoke(command, ["--config", str(bad), "--no-tls"]).exit_code == 0
    with pytest.raises(ConfigError, match="hello_s"):
        asked[0]()
    bad.write_text("hello_s = 2.0", "utf-8")
    settings = asked[0]()
    assert isinstance(settings, ServerSettings)
    assert (settings.hello_s, settings.no_tls) == (2.0, True)
