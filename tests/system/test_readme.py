# SPDX-License-Identifier: Apache-2.0
"""The three machines of the README, each a folder here, run by its commands (issue 13)."""

import contextlib
import re
import shlex
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.processes import LIMIT_S, Program, argv, environment

MOST_COMMANDS = 8


def commands() -> list[list[str]]:
    """Return the commands of the section, in their order."""
    text = (ROOT / "README.md").read_text("utf-8")
    section = re.search(r"^## Three machines\n(.*?)^## ", text, re.DOTALL | re.MULTILINE)
    assert section is not None
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL))
    return [shlex.split(line) for line in lines.replace("\\\n", "").splitlines() if line]


def free_ports() -> tuple[int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        return one.getsockname()[1], other.getsockname()[1]


def test_13_the_readme_shows_three_machines_in_few_commands() -> None:
    assert len(commands()) <= MOST_COMMANDS
    kinds = [words[0] for words in commands()]
    assert {"wsrc-certs", "wsrc-server", "wsrc-card-client", "wsrc"} == set(kinds)


def test_13_three_machines_are_set_up_as_the_readme_says(tmp_path: Path) -> None:
    users, cards = free_ports()
    with contextlib.ExitStack() as stack:
        running: list[Program] = []
        for given in commands():
            program, *arguments = [word.replace("relay.example", "localhost") for word in given]
            folder = machine(tmp_path, program, arguments)
            arguments = [each.replace(":4220", f":{users}") for each in arguments]
            arguments = [each.replace(":4221", f":{cards}") for each in arguments]
            if program in {"wsrc-certs", "wsrc"}:
                done = subprocess.run(
                    argv(program, *arguments),
                    cwd=folder,
                    env=environment(),
                    capture_output=True,
                    text=True,
                    timeout=LIMIT_S,
                    check=False,
                )
                assert done.returncode == 0, done.stdout + done.stderr
                if program == "wsrc":
                    assert "8988211000000430010" in done.stdout
                continue
            if program == "wsrc-server":
                arguments[arguments.index("--host") + 1] = "localhost"
                arguments += ["--user-port", str(users), "--card-port", str(cards)]
            else:
                arguments += ["--no-pcsc", "--simulated", "default"]
            started = Program(argv(program, *arguments), environment(), folder)
            stack.callback(started.close)
            running.append(started)
            started.wait_for("Ready: users on" if program == "wsrc-server" else " has card ", 1)
        server = running[0]
        server.wait_for("card client 1 connected from .* as bench")
        server.wait_for("user client 2 connected from .* as tester@example.org")


def machine(path: Path, program: str, arguments: list[str]) -> Path:
    """Return the folder of a program, with copies of the files that it is told of and no others."""
    folder = path / program
    folder.mkdir(exist_ok=True)
    if program != "wsrc-certs":
        for name in [each for each in arguments if each.endswith(".pem")]:
            shutil.copy(path / "wsrc-certs" / "certs" / name, folder / name)
    return folder


@pytest.mark.parametrize("program", ["wsrc-server", "wsrc-card-client", "wsrc"])
def test_13_no_machine_is_given_the_key_of_the_ca(program: str) -> None:
    [words] = [words for words in commands() if words[0] == program]
    assert "ca.pem" in words
    assert "ca-key.pem" not in words
