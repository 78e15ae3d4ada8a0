# SPDX-License-Identifier: Apache-2.0
"""
The three machines of the README, set up by its commands (issue 13).

Where root may make network namespaces, each machine is one, and the commands are those of the
README to the letter. Elsewhere each is a folder, and the server is on loopback at free ports.
"""

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import LIMIT_S, Program, argv, environment

MOST_COMMANDS = 8

CA, SERVER, HOST, USER = "wsrc-certs", "wsrc-server", "wsrc-card-client", "wsrc"
"""Programs, each of which has a machine."""

NETS = {HOST: "10.77.1", USER: "10.77.2"}
"""Between each of these machines and the server."""


def commands() -> list[list[str]]:
    """Return the commands of the section, in their order."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = re.search(r"^## Three machines\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    assert section is not None
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL))
    return [shlex.split(line) for line in lines.replace("\\\n", "").splitlines() if line]


class OnLoopback:
    """All machines are this one."""

    def __init__(self) -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as users,
            socket.create_server(("127.0.0.1", 0)) as cards,
        ):
            self._ports = {"4220": users.getsockname()[1], "4221": cards.getsockname()[1]}

    def command(self, program: str, arguments: list[str]) -> list[str]:
        """Return what runs a command on its machine."""
        given = [word.replace("relay.example", "localhost") for word in arguments]
        for port, here in self._ports.items():
            given = [word.replace(f":{port}", f":{here}") for word in given]
        if program == SERVER:
            given[given.index("--host") + 1] = "localhost"
            users, cards = self._ports.values()
            given += ["--user-port", str(users), "--card-port", str(cards), "--http-port", "0"]
        return argv(program, *given)


class InNamespaces:
    """Each machine has a network of its own, and names of its own for the others."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = {
            each: f"wsrc-{os.getpid()}-{each[5:8] or 'user'}" for each in (SERVER, *NETS)
        }

    def make(self) -> None:
        """Make the networks; CalledProcessError or OSError where that may not be done."""
        for name in self._names.values():
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        for client, net in NETS.items():
            ends = {SERVER: f"{net}.1", client: f"{net}.2"}
            links = {
                each: f"w{os.getpid()}{number}{client[5:6]}" for number, each in enumerate(ends)
            }
            _ip("link", "add", links[SERVER], "type", "veth", "peer", "name", links[client])
            for machine, address in ends.items():
                name, link = self._names[machine], links[machine]
                _ip("link", "set", link, "netns", name)
                _ip("-n", name, "address", "add", f"{address}/24", "dev", link)
                _ip("-n", name, "link", "set", link, "up")
            hosts = f"{net}.1 relay.example\n127.0.0.1 localhost\n"
            (self._path / f"hosts-{client}").write_text(hosts)

    def remove(self) -> None:
        """Remove all of it; links go with the networks."""
        for name in self._names.values():
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def command(self, program: str, arguments: list[str]) -> list[str]:
        """Return what runs a command on its machine."""
        if program == CA:
            return argv(program, *arguments)
        names = self._path / f"hosts-{program}"
        inside = 'if [ -e "$0" ]; then mount --bind "$0" /etc/hosts || exit 99; fi; exec "$@"'
        entered = ["nsenter", f"--net=/run/netns/{self._names[program]}", "unshare", "--mount"]
        return [*entered, "sh", "-c", inside, str(names), *argv(program, *arguments)]


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, timeout=LIMIT_S, check=True)


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[OnLoopback | InNamespaces]:
    networks = InNamespaces(tmp_path)
    try:
        try:
            networks.make()
        except (OSError, subprocess.CalledProcessError):
            yield OnLoopback()
        else:
            yield networks
    finally:
        networks.remove()


def into_file(words: list[str]) -> bool:
    """Return whether a command of the server's machine makes a file there."""
    return len(words) > 2 and words[-2] == ">"


def test_13_the_readme_shows_three_machines_in_few_commands() -> None:
    assert len(commands()) <= MOST_COMMANDS
    assert {words[0] for words in commands()} == {CA, SERVER, HOST, USER}


def test_13_three_machines_are_set_up_as_the_readme_says(
    machines: OnLoopback | InNamespaces, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        running: list[Program] = []
        for program, *arguments in commands():
            if into_file(arguments):
                *rest, _, name = arguments
                text = run(argv(program, *rest), tmp_path)
                (machine(tmp_path, SERVER, []) / name).write_text(text, encoding="utf-8")
                continue
            more = ["--no-pcsc", "--simulated", "default"] if program == HOST else []
            command = machines.command(program, arguments + more)
            folder = machine(tmp_path, program, command)
            if program in {CA, USER}:
                shown = run(command, folder)
                assert program == CA or "8988211000000430010" in shown
                continue
            started = Program(command, environment(), folder)
            stack.callback(started.close)
            running.append(started)
            started.wait_for("Ready: users on" if program == SERVER else " UICC .* has card ")
        server, _ = running
        server.wait_for("card client 1 connected from .* as bench-1")
        server.wait_for("user client 2 connected from .* as tester@example.org")


def run(command: list[str], folder: Path) -> str:
    """Return what a command printed, which must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def machine(path: Path, program: str, command: list[str]) -> Path:
    """Return the folder of a program, with copies of the files that it is told of and no others."""
    folder = path / program
    folder.mkdir(exist_ok=True)
    if program != CA:
        for name in [each for each in command if each.endswith(".pem")]:
            shutil.copy(path / CA / "certs" / name, folder / name)
    return folder


@pytest.mark.parametrize("program", [SERVER, HOST, USER])
def test_13_no_machine_is_given_the_key_of_the_ca(program: str) -> None:
    [words] = [w for w in commands() if w[0] == program and not into_file(w)]
    assert "ca.pem" in words
    assert "ca-key.pem" not in words


def test_13_without_namespaces_the_same_commands_do_on_loopback() -> None:
    here = OnLoopback()
    for program, *arguments in commands():
        if into_file(arguments):
            continue
        command = here.command(program, arguments)
        assert not any("relay.example" in word for word in command)
        assert not any(word.endswith((":4220", ":4221")) for word in command)
