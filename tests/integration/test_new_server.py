# SPDX-License-Identifier: Apache-2.0
"""`wsrc-server init`: what it makes, what it leaves alone, and that what it says works."""

import io
import os
import pwd
import re
import shlex
import socket
import stat
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.processes import Program, argv, environment
from wsrc.policy.reading import read
from wsrc.policy.words import Verb
from wsrc.server import new_server
from wsrc.server.cli import main
from wsrc.server.token_store import TokenStore
from wsrc.settings.load import ServerSettings, load
from wsrc.tokens import is_token

EVERY = {
    "ca.pem": 0o644,
    "certs": 0o700,
    "certs/ca-key.pem": 0o600,
    "certs/ca.pem": 0o644,
    "certs/crl.pem": 0o644,
    "certs/localhost-key.pem": 0o600,
    "certs/localhost.pem": 0o644,
    "first-host.token": 0o600,
    "first-user.token": 0o600,
    "localhost-key.pem": 0o600,
    "localhost.pem": 0o644,
    "policy.toml": 0o644,
    "server.toml": 0o644,
    "state": 0o700,
    "state/tokens.sqlite3": 0o600,
}


class Done(NamedTuple):
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *arguments: str, umask: int = 0o022, before: Sequence[str] = ()) -> Done:
    """Run the command in a folder, in this process: what it does is its files."""
    out, err = io.StringIO(), io.StringIO()
    mask, place = os.umask(umask), Path.cwd()
    try:
        os.chdir(folder)
        with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["wsrc-server", *before, "init", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
    finally:
        os.chdir(place)
        os.umask(mask)
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, out.getvalue(), err.getvalue())


def tree(folder: Path) -> dict[str, int]:
    """Return every file and its mode."""
    found = sorted(folder.rglob("*"))
    return {str(p.relative_to(folder)): stat.S_IMODE(p.lstat().st_mode) for p in found}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def free_ports() -> tuple[str, ...]:
    with (
        socket.create_server(("127.0.0.1", 0)) as users,
        socket.create_server(("127.0.0.1", 0)) as cards,
    ):
        ports = [str(each.getsockname()[1]) for each in (users, cards)]
    return ("--user-port", ports[0], "--card-port", ports[1])


def commands(said: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^  (\S.*)$", said, re.MULTILINE)]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_the_three_commands_that_it_prints_reach_a_card(tmp_path: Path, stack: ExitStack) -> None:
    done = run(tmp_path, "localhost", "--host", "localhost", *free_ports())
    assert done.returncode == 0, done.stderr
    [server, host, user] = commands(done.stdout)
    assert [words[0] for words in (server, host, user)] == [
        "wsrc-server",
        "wsrc-card-client",
        "wsrc",
    ]
    serving = Program(argv(*server), environment(), tmp_path)
    stack.callback(serving.close)
    serving.wait_for("Ready: users on")
    cards = ("--no-pcsc", "--simulated", "default")
    offering = Program(argv(*host, *cards), environment(), tmp_path)
    stack.callback(offering.close)
    offering.wait_for(" UICC .* has card ")
    listed = Program(argv(*user), environment(), tmp_path)
    stack.callback(listed.close)
    listed.wait_for("8988211000000430010")
    serving.wait_for("card client 1 connected from .* as first-host")
    serving.wait_for("user client 2 connected from .* as first-user")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_have_their_modes_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    assert run(tmp_path, "localhost", umask=umask).returncode == 0
    assert tree(tmp_path / "server") == EVERY
    assert stat.S_IMODE((tmp_path / "server").stat().st_mode) == 0o700


def test_what_it_makes_is_closed_but_for_two_tokens(tmp_path: Path) -> None:
    done = run(tmp_path, "relay.example", "192.0.2.7", "--user", "ann@example.org")
    assert done.returncode == 0
    folder = tmp_path / "server"
    settings = load(ServerSettings, {}, config=folder / "server.toml")
    assert (settings.host, settings.tokens, settings.no_tls) == ("*", True, False)
    assert settings.policy == folder / "policy.toml"
    assert settings.tls_client_ca is None
    with TokenStore(folder / "state") as store:
        kept = {each.name: str(each.role) for each in store.all()}
    assert kept == {"ann@example.org": "user", "first-host": "card"}
    for name in ("ann@example.org", "first-host"):
        assert is_token((folder / f"{name}.token").read_text().strip())
    assert "wsrc_" not in done.stdout + done.stderr
    text = (folder / "policy.toml").read_text()
    table = tomllib.loads(text)
    assert table["grant"] == [{"to": ["ann@example.org"], "cards": "*", "may": list(Verb)}]
    assert table["host"] == [{"who": ["first-host"], "announces": "*"}]
    assert read(text, "policy.toml").expectations == 2


def test_what_others_do_with_it_is_printed_for_any_address(tmp_path: Path) -> None:
    [_, host, _] = commands(run(tmp_path, "::1", "--dir", "a b").stdout)
    assert host[1:3] == ["--server-url", "wss://[::1]:4221"]
    assert host[3:] == ["--tls-ca", "a b/ca.pem", "--token-file", "a b/first-host.token"]


@pytest.mark.parametrize(
    "there",
    ["server.toml", "policy.toml", "certs", "ca.pem", "localhost-key.pem", "first-user.token"],
)
def test_it_never_overwrites_and_leaves_nothing_behind(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / there).write_text("mine")
    done = run(tmp_path, "localhost")
    assert done.returncode == 2
    assert f"server/{there} is there already; nothing was made" in done.stderr
    assert contents(folder) == {str(folder / there): b"mine"}
    assert list(tree(folder)) == [there]


def test_twice_changes_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, "localhost").returncode == 0
    before = contents(tmp_path)
    assert run(tmp_path, "localhost").returncode == 2
    assert contents(tmp_path) == before


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "server.toml").symlink_to(tmp_path / "elsewhere")
    assert run(tmp_path, "localhost").returncode == 2
    assert not (tmp_path / "elsewhere").exists()


def test_tokens_that_were_made_are_revoked_if_it_fails(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with TokenStore(folder / "state"):
        (folder / "server.toml").write_text("mine")
    assert run(tmp_path, "localhost").returncode == 2
    with TokenStore(folder / "state") as store:
        assert store.all() == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["relay example"], "name: "),
        (["localhost", "--user", "*"], "user: '*' cannot be the name of the first one"),
        (["localhost", "--user", "../x"], "user: '../x' cannot be the name"),
        (["localhost", "--user", "Anyone"], "user: 'Anyone' cannot be the name"),
        (["localhost", "--card-host", "12"], "card_host: '12' cannot be the name"),
        (["localhost", "--card-host", "group:x"], "card_host: 'group:x' cannot be"),
        (["localhost", "--card-host", "first-user"], "a user and a card host cannot have one name"),
        (["localhost", "--service", "no-such-user"], "there is no user 'no-such-user'; make it"),
        (["localhost", "--host", "a,,b"], "'a,,b' has an empty address"),
        (["localhost", "--dir", "file/x"], "cannot make file/x: Not a directory"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    (tmp_path / "file").touch()
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert line in done.stderr
    assert list(tree(tmp_path)) == ["file"]


def test_options_of_the_server_are_none_of_it(tmp_path: Path) -> None:
    done = run(tmp_path, "localhost", before=["--config", "x.toml"])
    assert done.returncode == 2
    assert "--config before init: it makes settings and reads none" in done.stderr
    assert list(tree(tmp_path)) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_service_can_read_its_key_and_has_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = pwd.getpwnam("nobody")
    state = tmp_path / "lib"
    monkeypatch.setattr(new_server, "OF_SYSTEM", state)
    wanted = new_server.Wanted(
        folder=tmp_path / "etc",
        names=["localhost"],
        user="u",
        card_host="h",
        service="nobody",
        host="*",
        user_port=1,
        card_port=2,
    )
    made = new_server.make(wanted)
    key = (tmp_path / "etc" / "localhost-key.pem").stat()
    assert (key.st_gid, stat.S_IMODE(key.st_mode)) == (nobody.pw_gid, 0o640)
    assert (state.stat().st_uid, stat.S_IMODE(state.stat().st_mode)) == (nobody.pw_uid, 0o700)
    assert (state / "tokens.sqlite3").stat().st_uid == nobody.pw_uid
    assert stat.S_IMODE(made.certs.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "etc").stat().st_mode) == 0o755
    assert stat.S_IMODE(made.user_token.stat().st_mode) == 0o600
    assert "state_dir" not in made.settings.read_text()
