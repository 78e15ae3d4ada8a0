# SPDX-License-Identifier: Apache-2.0
"""wsrc.settings: what no value may be, whoever gives it."""

from pathlib import Path
from typing import Any

import click
import pytest

from wsrc.card_client.cli import command as card_client
from wsrc.errors import ConfigError
from wsrc.settings.hosts import is_loopback
from wsrc.settings.load import (
    CardClientSettings,
    ServerSettings,
    Settings,
    UserSettings,
    settings_of,
)
from wsrc.settings.server import WAYS


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "LOCALHOST."])
def test_plaintext_is_served_on_loopback(host: str) -> None:
    assert is_loopback(host)
    assert ServerSettings(no_tls=True, host=host).no_tls


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_plaintext_on_the_network_is_refused_unless_allowed_in_words(host: str) -> None:
    with pytest.raises(ConfigError, match="allow_plaintext_on_network"):
        ServerSettings(no_tls=True, host=host)
    assert ServerSettings(
        no_tls=True, host=host, allow_plaintext_on_network=True, allow_anyone_on_network=True
    ).no_tls


OUTSIDE = ["*", "0.0.0.0", "::", "192.0.2.1", "relay.example", "localhost,192.0.2.1"]
PAIR = {"tls_cert": Path("cert.pem"), "tls_key": Path("key.pem")}
WHO = [
    {"tls_client_ca": Path("ca.pem")},
    {"tokens": True},
    {"oidc_issuer": "https://login.example", "oidc_audience": "wsrc"},
]


@pytest.mark.parametrize("host", OUTSIDE)
@pytest.mark.parametrize("how", [PAIR, {"no_tls": True, "allow_plaintext_on_network": True}])
def test_13_a_server_that_asks_nobody_does_not_listen_on_the_network(
    how: dict[str, Any], host: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        ServerSettings(host=host, **how)
    assert caught.value.setting == "host"
    said = str(caught.value)
    assert "\n" not in said
    for way in (*WAYS, "localhost", "allow_anyone_on_network"):
        assert way in said
    assert ServerSettings(host=host, allow_anyone_on_network=True, **how).host == host


@pytest.mark.parametrize("host", OUTSIDE)
@pytest.mark.parametrize("who", WHO)
def test_13_one_that_asks_everybody_does(who: dict[str, Any], host: str) -> None:
    assert ServerSettings(host=host, **PAIR, **who).asks_who


def test_13_a_ca_of_card_hosts_alone_does_not_open_the_port_of_users_to_the_network() -> None:
    with pytest.raises(ConfigError, match="could use every card"):
        ServerSettings(host="*", tls_card_ca=Path("ca.pem"), **PAIR)


@pytest.mark.parametrize("who", WHO)
def test_13_whoever_asks_does_not_let_anyone_in(who: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"it contradicts {next(iter(who))}"):
        ServerSettings(allow_anyone_on_network=True, **PAIR, **who)


def test_allowing_plaintext_does_not_ask_for_it() -> None:
    with pytest.raises(ConfigError, match="tls_cert"):
        ServerSettings(allow_plaintext_on_network=True)


@pytest.mark.parametrize(
    "url", ["", "localhost:4220", "https://x", "wss://", "wss://h:0", "wss://h:70000", "ws://[::1"]
)
@pytest.mark.parametrize("kind", [CardClientSettings, UserSettings])
def test_a_url_must_be_of_a_websocket(kind: type[Settings], url: str) -> None:
    with pytest.raises(ConfigError, match=r"server_url: .* wss://HOST:PORT"):
        kind(server_url=url)  # type: ignore[call-arg]


@pytest.mark.parametrize("aid", ["", "a0000000", "a0" * 17, "xx00000000", "a00000000"])
def test_an_aid_has_5_to_16_octets(aid: str) -> None:
    with pytest.raises(ConfigError, match="isd_r_aids"):
        CardClientSettings(isd_r_aids=(aid,))


def test_the_shortest_wait_is_not_above_the_longest() -> None:
    with pytest.raises(ConfigError, match="reconnect_min_s"):
        CardClientSettings(reconnect_min_s=31.0)


def test_defaults_are_shown_as_one_writes_them() -> None:
    shown = {s.name: s.default_text for s in settings_of(ServerSettings)}
    assert shown["unlimited_from"] == "127.0.0.0/8, ::1/128"
    assert (shown["octets_per_s"], shown["command_s"]) == ("16777216", "150")
    assert (shown["first_form_from"], shown["tokens"]) == ("none", "false")


def test_a_list_of_words_has_them_in_its_help() -> None:
    [line] = [p for p in card_client.params if p.name == "guard_allow"]
    assert line.make_metavar(click.Context(card_client)) == "[pin-last-try|vendor-codes]"


@pytest.mark.parametrize(
    ("given", "port"),
    [({}, 4222), ({"user_port": 5220}, 5222), ({"user_port": 0}, 0), ({"http_port": 80}, 80)],
)
def test_http_is_beside_the_port_for_users(given: dict[str, int], port: int) -> None:
    assert ServerSettings(no_tls=True, **given).http_at == port


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"http_host": "*", "no_tls": True}, "loopback only"),
        ({"http_host": "192.0.2.1", **PAIR}, "could use every card"),
        ({"http_tls": True, "no_tls": True}, "contradicts no_tls"),
        ({"user_port": 65_534, "no_tls": True}, "no port 65536"),
        ({"trusted_proxies": ("nginx",), "no_tls": True}, "write a network"),
    ],
)
def test_http_that_would_be_open_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ServerSettings(**given)


@pytest.mark.parametrize(
    ("given", "tls"),
    [
        (PAIR, False),
        (PAIR | {"http_tls": True}, True),
        (PAIR | {"http_host": "192.0.2.1", "tokens": True}, True),
        ({"no_tls": True}, False),
    ],
)
def test_http_has_tls_on_a_network_and_where_it_is_wanted(given: dict[str, Any], tls: bool) -> None:
    assert ServerSettings(**given).http_by_tls == tls


def test_without_http_its_settings_are_not_looked_at() -> None:
    assert ServerSettings(no_tls=True, no_http=True, http_host="*", user_port=65_535).no_http
