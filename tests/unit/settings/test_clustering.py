# SPDX-License-Identifier: Apache-2.0
"""wsrc.settings.clustering: which settings of a node go together."""

import json
from pathlib import Path
from typing import Any

import pytest

from wsrc.errors import ConfigError
from wsrc.principal import MOST_NODE_NAME, is_node_name
from wsrc.settings import clustering
from wsrc.settings.clustering import node_name
from wsrc.settings.load import ServerSettings, load

FILES: dict[str, Any] = {
    "cluster_ca": Path("ca.pem"),
    "cluster_cert": Path("node.pem"),
    "cluster_key": Path("node-key.pem"),
}


def _made(*urls: str, **more: Any) -> ServerSettings:
    return ServerSettings(no_tls=True, cluster_url=urls, **more)


def _refused(*urls: str, **more: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        _made(*urls, **more)
    return caught.value


def test_a_server_is_alone_unless_it_is_told_otherwise() -> None:
    assert _made().cluster_url == ()
    assert _made().cluster == "wsrc"
    assert is_node_name(_made().node_name)


@pytest.mark.parametrize(
    "url",
    ["nats://localhost", "nats://127.0.0.1:4333", "nats://a:b@[::1]:4222/", "tls://localhost:1"],
)
def test_nats_on_loopback_needs_no_certificates(url: str) -> None:
    assert _made(url).cluster_url == (url,)
    assert _made(url, **FILES).cluster_ca == Path("ca.pem")


def test_nats_on_the_network_needs_tls_and_certificates_of_the_node() -> None:
    urls = ("tls://nats-1.example:4222", "tls://u:pw@nats-2.example")
    assert _made(*urls, **FILES).cluster_url == urls
    wrong = _refused("tls://localhost", "tls://u:pw@nats-2.example")
    assert wrong.setting == "cluster_cert"
    assert "tls://nats-2.example is not loopback" in str(wrong)
    plain = _refused("nats://u:pw@192.0.2.1:4222", **FILES)
    assert plain.setting == "cluster_url"
    assert "nats://192.0.2.1:4222 is without TLS, which is for loopback" in str(plain)
    assert "pw" not in str(plain)


@pytest.mark.parametrize("host", ["relay-a.example", "192.0.2.1", "2001:db8::1"])
def test_clients_are_sent_to_a_host(host: str) -> None:
    assert _made("nats://localhost", public_host=host).public_host == host


@pytest.mark.parametrize("host", ["", "wss://relay.example", "relay:4220", "[::1]", "a b"])
def test_what_is_no_host_is_refused(host: str) -> None:
    assert _refused("nats://localhost", public_host=host).setting == "public_host"


def test_what_nodes_share_needs_nats_and_a_secret_and_a_secret_needs_that() -> None:
    shared = _made("nats://localhost", state="nats", state_key=Path("key"))
    assert (shared.state, shared.state_replicas) == ("nats", 0)
    assert _refused(state="nats", state_key=Path("key")).setting == "state"
    assert _refused("nats://localhost", state="nats").setting == "state_key"
    assert _refused("nats://localhost", state_key=Path("key")).setting == "state_key"


@pytest.mark.parametrize("name", FILES)
def test_the_three_files_come_together(name: str) -> None:
    less = {each: path for each, path in FILES.items() if each != name}
    assert _refused("nats://localhost", **less).setting == name
    assert "cluster_url" in str(_refused(**{name: Path("x")}))


@pytest.mark.parametrize(
    "url",
    [
        "localhost:4222",
        "http://localhost",
        "ws://localhost",
        "nats://",
        "nats://localhost:x",
        "nats://localhost:0",
        "nats://localhost/a",
        "nats://localhost?tls=1",
        "nats://u:pw/x@localhost",
        "nats:localhost",
        "",
    ],
)
def test_what_is_no_url_of_nats_is_refused_without_its_password(url: str) -> None:
    wrong = _refused(url)
    assert wrong.setting == "cluster_url"
    assert "is not of the form tls://HOST:PORT" in str(wrong)
    assert "pw" not in str(wrong)


@pytest.mark.parametrize("user", ["u", "u:", ":pw", ""])
def test_a_user_has_a_password(user: str) -> None:
    assert "USER:PASSWORD" in str(_refused(f"nats://{user}@localhost"))


def test_who_we_are_is_said_once() -> None:
    wrong = _refused("nats://u:pw@localhost", cluster_creds=Path("a.creds"))
    assert wrong.setting == "cluster_creds"
    assert _made("nats://localhost", cluster_creds=Path("a.creds")).cluster_creds
    assert _refused(cluster_creds=Path("a.creds")).setting == "cluster_creds"


@pytest.mark.parametrize("setting", ["cluster", "node_name"])
@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "a\n", "-a", "a-", "x" * 41, "ä"])
def test_a_name_is_a_word_of_a_subject(setting: str, name: str) -> None:
    with pytest.raises(ConfigError, match="A-Z a-z 0-9 _ -"):
        load(ServerSettings, {}, {setting: name, "no_tls": True})
    assert not is_node_name(name)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("relay-1", "relay-1"),
        ("relay.example.org", "relay-example-org"),
        ("-ä.x-", "x"),
        ("...", "node"),
        ("x" * 39 + ".y", "x" * 39),
        ("", "node"),
    ],
)
def test_a_node_is_called_as_its_host(
    host: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "host_name", lambda: host)
    assert node_name() == name
    assert is_node_name(name)
    assert len(name) <= MOST_NODE_NAME


@pytest.mark.parametrize("given", [["nats://u:pa55w0rd@h", 1], "nats://u:pa55w0rd@h", [["x@y"]]])
def test_no_refusal_of_a_wrong_list_shows_a_password(tmp_path: Path, given: object) -> None:
    config = tmp_path / "server.toml"
    config.write_text(f"no_tls = true\ncluster_url = {json.dumps(given)}\n", "utf-8")
    with pytest.raises(ConfigError, match="cluster_url: must be a list") as caught:
        load(ServerSettings, {}, {}, config=config)
    assert "pa55w0rd" not in str(caught.value)


def test_a_password_is_not_given_on_a_command_line() -> None:
    with pytest.raises(ConfigError, match="WSRC_CLUSTER_URL"):
        load(ServerSettings, {}, {"cluster_url": ("nats://u:pa55w0rd@localhost",), "no_tls": True})
