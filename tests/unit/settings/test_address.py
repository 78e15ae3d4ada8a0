# SPDX-License-Identifier: Apache-2.0
"""wsrc.settings.address, and that nothing shows the user part of a URL (issue 11, A8)."""

import json
from pathlib import Path
from typing import Any

import pytest

from wsrc.aio import Client
from wsrc.command_line.program import run
from wsrc.errors import ConfigError
from wsrc.settings.address import Address
from wsrc.settings.load import CardClientSettings, UserSettings, load

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "shown", "login", "whole"),
    [
        ("wss://h:1/user", "wss://h:1/user", None, "wss://h:1/user"),
        ("wss://ida:s3cret@h:1/user?t=s3cret", "wss://h:1/user", ("ida", SECRET), None),
        ("wss://ida:s3c%40@ret@h", "wss://h", ("ida", "s3c@@ret"), "wss://h"),
        ("wss://s3cret@[::1]:4220", "wss://[::1]:4220", (SECRET, ""), "wss://[::1]:4220"),
        ("wss://h/%40x", "wss://h/%40x", None, "wss://h/%40x"),
    ],
)
def test_a8_an_address_shows_neither_user_nor_query(
    text: str, shown: str, login: object, whole: str | None
) -> None:
    address = Address(text)
    assert (str(address), address.login, address.sound) == (shown, login, True)
    assert address.whole == (whole if whole is not None else "wss://h:1/user?t=s3cret")
    assert SECRET not in repr(address) + repr(address.login)
    assert Address(address) is address


@pytest.mark.parametrize(
    "text",
    [
        "wss://ida:s3cret/x@h:1", "wss://ida:s3cret@h:99999", "ida:s3cret@h:4220",
        "wss://ida:s3#s3cret@h", "http://ida:s3cret@h", "wss://ida:s3cret@", "//ida:s3cret@h",
        "wss://ida:12/s3cret@h", "wss://ida:/s3cret@h", "wss://i/da:s3cret@h", "wss://ida:1?s3cret@h",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [UserSettings, CardClientSettings])
def test_a8_a_url_that_cannot_work_is_refused_without_its_password(kind: Any, text: str) -> None:
    with pytest.raises(ConfigError, match="is not of the form wss://HOST:PORT") as caught:
        load(kind, {"WSRC_SERVER_URL": text})
    assert SECRET not in str(caught.value)


def test_a8_settings_do_not_show_the_password_that_they_carry(tmp_path: Path) -> None:
    file = tmp_path / "user.toml"
    file.write_text('server_url = "wss://ida:s3cret@h:1"')
    for settings in (
        load(UserSettings, {"WSRC_SERVER_URL": "wss://ida:s3cret@h:1"}),
        load(UserSettings, {}, config=file),
        UserSettings(server_url="wss://ida:s3cret@h:1"),
    ):
        assert Address(settings.server_url).login == ("ida", SECRET)
        assert SECRET not in repr(settings) + str(settings) + f"{settings.server_url}"


def test_a8_a_password_on_the_command_line_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--json", "--server-url", "wss://ida:s3cret@localhost:1"]) == 2
    out, err = capsys.readouterr()
    assert "WSRC_SERVER_URL, or in the settings file" in err
    assert json.loads(out)["error"]["setting"] == "server_url"
    assert SECRET not in out + err


def test_a8_too_long_a_url_is_refused_without_its_password() -> None:
    with pytest.raises(ConfigError, match="must be text") as caught:
        Client(f"wss://ida:{SECRET * 50}@h")
    assert SECRET not in str(caught.value)
