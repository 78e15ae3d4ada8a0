# SPDX-License-Identifier: Apache-2.0
"""Tokens with all programs: made and revoked while a server runs, and shown nowhere (issue 13)."""

import json
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Program, Programs, argv, running, server_command
from tests.support.tokens import token_file
from tests.support.world import UICC
from wsrc.net.bearer import CREDENTIAL
from wsrc.server.token_store import FILE
from wsrc.tokens import is_token

TELL = """
import os, sys
from wsrc.blocking import Client
with Client(os.environ["WSRC_SERVER_URL"], ca=os.environ["WSRC_TLS_CA"]) as client:
    print([card.label for card in client.list_cards()])
"""


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def server(programs: Programs, state: Path) -> Program:
    return programs.server("--tokens", "--state-dir", str(state))


def command(
    state: Path, *args: str, stdout: IO[str] | int = subprocess.PIPE
) -> "subprocess.CompletedProcess[str]":
    return server_command("--state-dir", str(state), "token", *args, stdout=stdout)


def added(state: Path, *args: str) -> tuple[str, str]:
    """Have a token printed into a file, as it should be, and return that and what was said."""
    with tempfile.TemporaryFile("w+") as file:
        ended = command(state, "add", *args, stdout=file)
        file.seek(0)
        assert ended.returncode == 0, ended.stderr
        return file.read(), ended.stderr


def add(state: Path, *args: str) -> str:
    return added(state, *args)[0].strip()


def wsrc(programs: Programs, *args: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        argv("wsrc", *args),
        env=programs.user_environment | more,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_13_a_token_is_printed_once_and_alone(state: Path) -> None:
    printed, said = added(state, "tester@example.org")
    token = printed.removesuffix("\n")
    assert is_token(token)
    assert token not in said
    assert "lets tester@example.org in as a user until" in said
    assert "tokens = true" in said
    for args in (["list"], ["list", "--json"], ["revoke", "1"]):
        shown = command(state, *args)
        assert token[5:] not in shown.stdout + shown.stderr


def test_13_tokens_are_listed_for_people_and_programs(state: Path) -> None:
    assert command(state, "list").stderr == f"There are no tokens in {state / 'tokens.sqlite3'}.\n"
    add(state, "tester@example.org", "--days", "1")
    add(state, "bench", "--role", "card-host", "--days", "0")
    first, _, last = command(state, "list").stdout.splitlines()
    assert first.split() == ["NUMBER", "NAME", "ROLE", "MADE", "EXPIRES", "USED", "LAST"]
    assert last.split()[:4] == ["2", "bench", "card", "host"]
    assert last.split()[-2:] == ["never", "never"]
    one, two = [json.loads(line) for line in command(state, "list", "--json").stdout.splitlines()]
    assert (one["number"], one["name"], one["role"]) == (1, "tester@example.org", "user")
    assert (two["role"], two["expires"], two["used"]) == ("card-host", None, None)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["add", "a\nb"], "is no name of a principal"),
        (["add", ""], "is no name of a principal"),
        (["add", "17"], "is no name of a principal"),
        (["add", "x" * 256], "is no name of a principal"),
        (["revoke", "nobody"], "there is none with the number or name 'nobody'"),
    ],
)
def test_13_what_cannot_be_done_is_a_sentence(state: Path, args: list[str], said: str) -> None:
    ended = command(state, *args)
    assert (ended.returncode, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("wsrc-server: ")
    assert said in line


def test_13_a_locked_file_is_a_sentence(state: Path) -> None:
    add(state, "x")
    other = sqlite3.connect(state / FILE, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        ended = command(state, "add", "y")
    finally:
        other.close()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "another program keeps" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_13_a_token_is_in_force_at_once_with_all_programs_and_shown_by_none(
    programs: Programs, server: Program, state: Path, tmp_path: Path
) -> None:
    host = add(state, "bench", "--role", "card-host")
    user = add(state, "tester@example.org")
    file = token_file(tmp_path / "user", user)
    folder = tmp_path / "credentials"
    folder.mkdir()
    token_file(folder / CREDENTIAL, user)
    simulated = ("--no-pcsc", "--simulated", "default", "--labels", f"{UICC}=blue")
    bench = programs.card_client(*simulated, "--log-level", "debug", env={"WSRC_TOKEN": host})
    bench.wait_for("Connected to")
    bench.wait_for("has card 898821", 1)
    ways: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("--token-file", str(file)), {}),
        ((), {"WSRC_TOKEN": user}),
        ((), {"WSRC_TOKEN_FILE": str(file)}),
        ((), {"CREDENTIALS_DIRECTORY": str(folder)}),
    ]
    said = ""
    for args, env in ways:
        ended = wsrc(programs, "list", "--json", *args, **env)
        assert ended.returncode == 0, ended.stderr
        said += ended.stdout + ended.stderr
    library = subprocess.run(
        [*argv("wsrc")[:-1], TELL],
        env=programs.user_environment | {"WSRC_TOKEN": user},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert "blue" in library.stdout
    said += library.stdout + library.stderr + server.output + bench.output
    assert "connected from 127.0.0.1 as tester@example.org" in server.output
    for token in (host, user):
        assert token[5:] not in said


def test_13_who_is_revoked_is_sent_away_within_a_second_and_nobody_else(
    programs: Programs, server: Program, state: Path
) -> None:
    gone, stays = add(state, "gone", "--role", "card-host"), add(state, "stays")
    simulated = ("--no-pcsc", "--simulated", "default")
    bench = programs.card_client(*simulated, env={"WSRC_TOKEN": gone})
    bench.wait_for("Connected to")
    assert command(state, "revoke", "gone").returncode == 0
    server.wait_for("The connection of gone is closed: its token is revoked")
    bench.wait_for("does not know it; it was revoked, or is of another server")
    assert wsrc(programs, "list", WSRC_TOKEN=stays).returncode == 0
    assert gone[5:] not in bench.output + server.output


def test_13_a_bridge_takes_a_token(
    programs: Programs, server: Program, state: Path, tmp_path: Path
) -> None:
    file = token_file(tmp_path / "user", add(state, "bridge"))
    path = ("--socket", str(tmp_path / "pcscd.comm"))
    serve = ("pcsc", "serve", "--all", *path, "--token-file", str(file))
    bridge = programs.wsrc_that_runs(*serve)
    bridge.wait_for("Ready")
    server.wait_for("connected from 127.0.0.1 as bridge")
    assert bridge.end() == 0
    assert file.read_text()[5:50] not in bridge.output + server.output


def test_13_who_has_no_token_is_told_what_to_do(programs: Programs, server: Program) -> None:
    ended = wsrc(programs, "list")
    assert ended.returncode != 0
    assert "name its file with --token-file or give it in WSRC_TOKEN" in ended.stderr
    assert "HTTP status 401: it has no token" in server.output


def test_13_a_token_is_no_option(programs: Programs, state: Path) -> None:
    """Whoever lists processes would read it."""
    token = add(state, "x")
    for program in ("wsrc", "wsrc-card-client"):
        args = ("list",) if program == "wsrc" else ()
        ended = subprocess.run(
            argv(program, *args, "--token", token),
            env=programs.user_environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert ended.returncode == 2
        assert token[5:] not in ended.stdout + ended.stderr


def test_13_a_token_is_not_sent_in_clear(programs: Programs, state: Path) -> None:
    ended = wsrc(
        programs, "list", WSRC_SERVER_URL="ws://192.0.2.1:4220", WSRC_TOKEN=add(state, "x")
    )
    assert ended.returncode == 2
    assert "a token is not sent to 192.0.2.1 without TLS" in ended.stderr
