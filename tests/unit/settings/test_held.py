# SPDX-License-Identifier: Apache-2.0
"""wsrc.settings.held: the file by which programs inside `wsrc take` find its card."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from wsrc.errors import ConfigError, SessionLostError
from wsrc.settings.held import MOST_OCTETS, HeldFile, HeldSettings, read_held
from wsrc.settings.load import CardClientSettings, UserSettings, load

HELD = HeldFile(
    server_url="ws://127.0.0.1:1/user",
    token_file="/nowhere/token",
    control="/nowhere/control",
    reader="Reader 00 00",
    card="blue",
)


def write(path: Path, held: HeldFile = HELD) -> None:
    path.write_bytes(msgspec.json.encode(held))
    path.chmod(0o600)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file whose writer is there."""
    path = tmp_path / "session.json"
    write(path)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield path


def test_a_user_inside_is_led_to_the_card(file: Path, tmp_path: Path) -> None:
    outer = {
        "WSRC_SESSION": str(file),
        "WSRC_SERVER_URL": "wss://outer.example",
        "WSRC_TLS_CA": str(tmp_path / "ca.pem"),
        "WSRC_TOKEN_FILE": str(tmp_path / "outer"),
        "WSRC_SEAL": "required",
        "WSRC_NAME": "alice@desk",
    }
    settings = load(UserSettings, outer)
    assert isinstance(settings, HeldSettings)
    assert settings.server_url == HELD.server_url
    assert settings.token_file == Path(HELD.token_file)
    assert (settings.tls_ca, settings.seal, settings.name) == (None, "off", "alice@desk")
    assert settings.held_reader == HELD.reader


def test_a_server_that_is_named_is_meant(file: Path) -> None:
    flags = {"server_url": "wss://other.example", "seal": "off"}
    settings = load(UserSettings, {"WSRC_SESSION": str(file)}, flags)
    assert (type(settings), str(settings.server_url)) == (UserSettings, "wss://other.example")


def test_a_card_client_inside_is_no_user(file: Path) -> None:
    assert type(load(CardClientSettings, {"WSRC_SESSION": str(file)})) is CardClientSettings


@pytest.mark.parametrize("flag", ["seal", "tls_ca", "token_file"])
def test_what_is_for_another_server_is_refused_inside(file: Path, flag: str) -> None:
    with pytest.raises(ConfigError, match=f"{flag}: .*give server_url too"):
        load(UserSettings, {"WSRC_SESSION": str(file)}, {flag: "off"})


def test_a_file_for_others_is_refused(file: Path) -> None:
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="others can read or change"):
        read_held(file)


def test_a_file_of_another_user_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(ConfigError, match="of another user"):
        read_held(file)


def test_a_link_is_not_followed(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(ConfigError, match="cannot read"):
        read_held(link)


@pytest.mark.parametrize("octets", [b"", b"{}", b"\xff", b"[" * (MOST_OCTETS + 1)])
def test_what_is_not_of_take_is_refused(file: Path, octets: bytes) -> None:
    file.write_bytes(octets)
    with pytest.raises(ConfigError, match="not written by `wsrc take`"):
        read_held(file)


def test_a_folder_or_a_pipe_is_no_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for path in (pipe, tmp_path):
        with pytest.raises(ConfigError, match="is no file"):
            read_held(path)


def test_a_hold_that_is_over_says_why(file: Path) -> None:
    write(file, msgspec.structs.replace(HELD, over="Revoked by bob: the night."))
    with pytest.raises(SessionLostError, match=r"Revoked by bob: the night\. The card is held no"):
        read_held(file)


def test_a_hold_of_a_process_that_was_killed_is_over(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    write(path)
    with pytest.raises(SessionLostError, match="was killed"):
        read_held(path)


def test_a_hold_that_was_given_back(tmp_path: Path) -> None:
    with pytest.raises(SessionLostError, match="was given back"):
        read_held(tmp_path / "gone")
