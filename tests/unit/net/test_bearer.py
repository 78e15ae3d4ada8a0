# SPDX-License-Identifier: Apache-2.0
"""wsrc.net.bearer: where a client finds its token, and where it never sends it (issue 13, 1)."""

import os
from pathlib import Path
from typing import Any

import pytest

from wsrc.errors import ConfigError
from wsrc.net import bearer
from wsrc.net.bearer import CREDENTIAL, VARIABLE, Token, token_of
from wsrc.settings.load import CardClientSettings, UserSettings
from wsrc.tokens import made_of

TOKEN = made_of(bytes(range(32)))
OTHER = made_of(bytes(32))
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln_-"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "token", TOKEN)


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(f"{text}\n")
    path.chmod(mode)
    return path


def user(url: str = "wss://relay.example", **more: Any) -> UserSettings:
    return UserSettings(server_url=url, **more)


def text_of(found: Token | None) -> str | None:
    return None if found is None else found.text


@pytest.mark.parametrize("kind", [UserSettings, CardClientSettings])
def test_13_a_token_comes_from_a_file_the_environment_or_a_credential(
    kind: type[UserSettings], file: Path, tmp_path: Path
) -> None:
    written(tmp_path / CREDENTIAL, OTHER, 0o444)
    unit = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert text_of(token_of(kind(token_file=file), {})) == TOKEN
    assert text_of(token_of(kind(), {VARIABLE: JWT})) == JWT
    assert text_of(token_of(kind(), unit)) == OTHER
    assert text_of(token_of(kind(token_file=file), unit)) == TOKEN
    assert text_of(token_of(kind(), {VARIABLE: TOKEN, **unit})) == TOKEN
    assert token_of(kind(), {VARIABLE: "", "CREDENTIALS_DIRECTORY": str(tmp_path / "none")}) is None


def test_13_two_tokens_at_once_are_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="give one of both"):
        token_of(user(token_file=file), {VARIABLE: OTHER})


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_13_a_file_that_others_can_read_is_refused_as_ssh_does(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {file}"):
        token_of(user(token_file=file), {})


@pytest.mark.parametrize(("mode", "taken"), [(0o640, True), (0o644, False), (0o660, False)])
def test_13_a_file_of_somebody_else_may_be_for_our_group(
    file: Path, mode: int, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of root is, for the group of a service."""
    file.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    if taken:
        assert text_of(token_of(user(token_file=file), {})) == TOKEN
    else:
        with pytest.raises(ConfigError, match="others can read or change"):
            token_of(user(token_file=file), {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (f'"{TOKEN}"', "is not a token alone"),
        (f"{TOKEN}\n{TOKEN}", "is not a token alone"),
        ("Bearer " + JWT, "is not a token alone"),
        ("tökén", "is not a token alone"),
        ("a" * (bearer.MOST_OCTETS + 1), "is not a token alone"),
        (TOKEN[:-1], "is not whole"),
        (TOKEN[:-1] + "~", "is not whole"),
    ],
)
def test_13_what_is_no_token_is_refused_without_being_shown(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        token_of(user(token_file=written(tmp_path / "t", text)), {})
    assert len(text) < 6 or text[5:] not in str(caught.value)


def test_13_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"token_file: cannot read .*No such file"):
        token_of(user(token_file=tmp_path / "none"), {})


@pytest.mark.parametrize("url", ["ws://relay.example", "ws://10.0.0.1:4220", "ws://[fe80::1]:1"])
def test_13_a_token_is_never_sent_in_clear_to_another_host(file: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="without TLS"):
        token_of(user(url, token_file=file), {})


@pytest.mark.parametrize("url", ["ws://localhost:1", "ws://127.0.0.1", "ws://[::1]:1", "wss://x"])
def test_13_it_is_sent_on_loopback_and_over_tls(file: Path, url: str) -> None:
    assert text_of(token_of(user(url, token_file=file), {})) == TOKEN


def test_13_a_password_and_a_token_do_not_go_together(file: Path) -> None:
    with pytest.raises(ConfigError, match="user and password") as caught:
        token_of(user("wss://u:hunter2@relay.example", token_file=file), {})
    assert "hunter2" not in str(caught.value)


def test_13_a_token_is_not_shown(file: Path) -> None:
    settings = user(token_file=file)
    found = token_of(settings, {})
    assert TOKEN[5:] not in f"{found!r} {found} {settings!r}"
