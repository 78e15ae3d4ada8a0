# SPDX-License-Identifier: Apache-2.0
"""Servers that share a state, as programs: tokens by command, and a server that is killed."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import (
    LIMIT_S,
    Program,
    Programs,
    argv,
    environment,
    ports_of,
    running,
    server_command,
)
from tests.support.shared import Kept, keeping
from tests.support.tokens import token_file

ICCID = "8988211000000430010"
"""Of the first simulated card."""

SELECT_MF = "00a40004023f00"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with keeping("nats", tmp_path) as kept:
        yield kept


class Nodes:
    """Servers that share a state, their ports by their names, and commands for them."""

    def __init__(self, programs: Programs, kept: Kept) -> None:
        self.programs = programs
        self._kept = kept
        self._ports: dict[str, tuple[int, int]] = {}

    def start(self, name: str, *more: str) -> Program:
        """Start one, at the ports that it had if it ran before."""
        ports = self._ports.get(name, (0, 0))
        given = (*self._options(name), "--no-http", *more)
        node = self.programs.server_that_starts(*ports, *given)
        self._ports[name] = ports_of(node)
        return node

    def at(self, name: str) -> Programs:
        """Have programs that follow use one of them."""
        self.programs.user_port, self.programs.card_port = self._ports[name]
        return self.programs

    def token(
        self, name: str, *arguments: str, stdout: IO[str] | int = subprocess.PIPE
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command for tokens on the host of one of them."""
        return server_command(*self._options(name), "token", *arguments, stdout=stdout)

    def _options(self, name: str) -> tuple[str, ...]:
        settings = self._kept.settings
        (url,) = settings["cluster_url"]
        node = ("--node-name", name, "--cluster", "c", "--cluster-url", url)
        return (*node, "--state", "nats", "--state-key", str(settings["state_key"]))


@pytest.fixture
def nodes(certificates: Certificates, kept: Kept) -> Iterator[Nodes]:
    with running(certificates) as programs:
        yield Nodes(programs, kept)


def _until_refused(programs: Programs, file: str) -> None:
    """Wait until a server has heard that a token is revoked."""
    deadline = time.monotonic() + LIMIT_S
    while programs.wsrc("--token-file", file, "list").returncode == 0:
        assert time.monotonic() < deadline, "The token still lets in."


def test_a_token_of_one_server_lets_in_at_another_until_it_is_revoked_at_a_third(
    nodes: Nodes, tmp_path: Path
) -> None:
    started = {name: nodes.start(name, "--tokens") for name in ("a", "b", "c")}
    file = str(token_file(tmp_path / "token", ""))
    with Path(file).open("w") as out:
        made = nodes.token("a", "add", "ida@example.org", stdout=out)
    assert made.returncode == 0, made.stderr
    at_b = nodes.at("b")
    assert at_b.wsrc("--token-file", file, "list").returncode == 0
    watching = at_b.wsrc_that_runs("--token-file", file, "watch")
    started["b"].wait_for("as ida@example.org", count=2)
    listed = nodes.token("c", "list")
    assert "ida@example.org" in listed.stdout
    revoked = nodes.token("c", "revoke", "ida@example.org")
    assert "Token 1 of ida@example.org is revoked." in revoked.stderr
    started["b"].wait_for("its token is revoked")
    watching.end(signal.SIGINT)
    for name in ("a", "b"):
        _until_refused(nodes.at(name), file)
    none = nodes.token("a", "list")
    assert "There are no tokens in the bucket wsrc-c of NATS." in none.stderr
    assert nodes.token("a", "revoke", "ida@example.org").returncode == 2


def test_a_reservation_and_tags_outlive_the_server_that_took_them(nodes: Nodes) -> None:
    first = nodes.start("a")
    nodes.start("b")
    host = nodes.at("a").card_client("--no-pcsc", "--simulated", "default")
    host.wait_for("has card")
    assert nodes.at("a").wsrc("tag", ICCID, "kind=gsma").returncode == 0
    made = nodes.at("a").wsrc("reserve", "--iccid", ICCID, "--for", "1h")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    first.end(signal.SIGKILL)
    host.end()
    nodes.at("b").card_client("--no-pcsc", "--simulated", "default").wait_for("has card")
    at_b = nodes.at("b")
    shown = at_b.wsrc("list", "--tag", "kind=gsma")
    assert ICCID in shown.stdout
    refused = at_b.wsrc("apdu", "--iccid", ICCID, SELECT_MF)
    assert "is reserved for another until" in refused.stderr
    nodes.start("a")
    for name in ("b", "a"):
        taken = nodes.at(name).wsrc("apdu", "--reservation", token, SELECT_MF)
        assert taken.returncode == 0, taken.stderr
    assert nodes.at("a").wsrc("cancel", "--reservation", token).returncode == 0
    assert nodes.at("b").wsrc("apdu", "--iccid", ICCID, SELECT_MF).returncode == 0


def test_without_nats_the_start_and_the_commands_say_so(nodes: Nodes, kept: Kept) -> None:
    assert kept.nats is not None
    kept.nats.stop()
    node = nodes.programs.server_that_starts(0, 0, *nodes._options("a"), "--no-http")
    node.wait_for("What servers share cannot be read")
    said = nodes.token("a", "list")
    assert said.returncode == 2
    assert "state: What servers share cannot be read" in said.stderr
    assert "Traceback" not in said.stderr + node.output
    kept.nats.start()


def test_a_key_that_others_can_read_is_refused(nodes: Nodes, kept: Kept) -> None:
    key = kept.settings["state_key"]
    options = nodes._options("a")
    key.chmod(0o644)
    command = argv("wsrc-server", *options, "token", "list")
    said = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert said.returncode == 2
    assert f"others can read or change {key}; chmod 600 {key}" in said.stderr
