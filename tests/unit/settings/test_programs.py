# SPDX-License-Identifier: Apache-2.0
"""wsrc.settings.programs: what no value may be, whoever gives it."""

import pytest

from wsrc.errors import ConfigError
from wsrc.settings.load import (
    CardClientSettings,
    ServerSettings,
    Settings,
    UserSettings,
)
from wsrc.settings.programs import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "LOCALHOST."])
def test_plaintext_is_served_on_loopback(host: str) -> None:
    assert is_loopback(host)
    assert ServerSettings(no_tls=True, host=host).no_tls


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_plaintext_on_the_network_is_refused_unless_allowed_in_words(host: str) -> None:
    with pytest.raises(ConfigError, match="allow_plaintext_on_network"):
        ServerSettings(no_tls=True, host=host)
    assert ServerSettings(no_tls=True, host=host, allow_plaintext_on_network=True).no_tls


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
