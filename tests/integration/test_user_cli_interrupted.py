# SPDX-License-Identifier: Apache-2.0
"""What the command `wsrc` prints for a program, where it is interrupted or wrongly called."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import environment
from tests.support.scripted_server import (
    LIMIT_S,
    Peer,
    card,
    card_host,
    give_card,
    in_thread,
    take_back,
)
from wsrc.command_line.program import run

READ = "00b000000a"
ENDED = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


class Interrupted:
    """A script whose command is interrupted when the server has `heard` what it waits for."""

    def __init__(self) -> None:
        self.heard = threading.Event()

    def wsrc(self, url: str, number: int, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Run the command, interrupt it, and give status and what it printed."""
        program = subprocess.Popen(
            [sys.executable, "-m", "wsrc.command_line.program", *arguments, "--server-url", url],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert program.stdin is not None
        program.stdin.write(stdin)
        program.stdin.flush()
        assert self.heard.wait(LIMIT_S)
        program.send_signal(number)
        out, err = program.communicate(timeout=LIMIT_S)
        return program.returncode, out, err

    async def two_commands(self, peer: Peer) -> None:
        """Answer none of two commands that came together."""
        await give_card(peer)
        batch = await peer.hear("batch")
        assert len(batch["steps"]) == 2
        await self.cancelled(peer, batch)
        await take_back(peer)

    async def cancelled(self, peer: Peer, command: dict[str, Any]) -> None:
        """Hear that a command is given up."""
        self.heard.set()
        assert (await peer.hear("cancel"))["target"] == command["id"]


def document(text: str) -> Any:
    (line,) = text.splitlines()
    return json.loads(line)


@pytest.mark.parametrize(("number", "status"), ENDED)
def test_commands_that_were_interrupted_together_are_in_doubt_together(
    number: int, status: int
) -> None:
    scene = Interrupted()
    with in_thread(scene.two_commands) as url:
        given, out, _ = scene.wsrc(url, number, "apdu", "--json", "--card", "x", READ, READ)
    told = document(out)
    assert (given, told["exit_status"]) == (status, status)
    assert told["results"] == []
    assert (told["error"]["code"], told["error"]["outcome"]) == ("interrupted", "unknown")
    assert "may or may not have run" in told["error"]["message"]


def test_lines_of_a_script_before_the_interrupted_ones_are_told(tmp_path: Path) -> None:
    scene = Interrupted()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        reset = await peer.hear("reset_req")
        await peer.say("reset_resp", id=reset["id"], session="s1", atr="3b00")
        await scene.cancelled(peer, await peer.hear("batch"))
        await take_back(peer)

    file = tmp_path / "s.wsrc"
    file.write_text(f"!reset\n{READ}\n{READ}\n")
    with in_thread(script) as url:
        number = signal.SIGTERM
        _, out, err = scene.wsrc(url, number, "--json", "script", "--card", "x", str(file))
    told = document(out)
    assert [each["line"] for each in told["results"]] == [1]
    assert (told["error"]["outcome"], told["exit_status"], err) == ("unknown", 143, "")


def test_nothing_is_in_doubt_while_a_card_is_waited_for() -> None:
    scene = Interrupted()

    async def script(peer: Peer) -> None:
        await peer.hear("select_card")
        scene.heard.set()

    with in_thread(script) as url:
        command = ("apdu", "--json", "--card", "x", "--wait", "60", READ)
        given, out, err = scene.wsrc(url, signal.SIGINT, *command)
    told = document(out)
    assert (given, told["exit_status"], told["results"]) == (130, 130, [])
    assert (told["error"]["code"], told["error"]["outcome"]) == ("interrupted", "not_executed")
    assert err.strip() == "Interrupted."


def test_the_prompt_tells_of_the_line_that_was_given_up() -> None:
    scene = Interrupted()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        command = await peer.hear("c_apdu")
        await scene.cancelled(peer, command)
        await peer.answer(command, "01", "9000")
        await peer.answer(await peer.hear("c_apdu"), "02", "9000")
        await take_back(peer)

    with in_thread(script) as url:
        command = ("shell", "--json", "--card", "x")
        given, out, _ = scene.wsrc(url, signal.SIGINT, *command, stdin=f"{READ}\n{READ}\n")
    first, second = map(json.loads, out.splitlines())
    assert (first["error"]["outcome"], first["exit_status"]) == ("unknown", 130)
    assert (given, second["response"]) == (0, "02")


def test_a_watch_ends_with_an_interrupt_as_it_always_does() -> None:
    with in_thread(card_host([card(1)], {})) as url:
        program = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "wsrc.command_line.program",
                "watch",
                "--json",
                "--server-url",
                url,
            ],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert program.stdout is not None
        assert json.loads(program.stdout.readline())["change"] == "added"
        program.send_signal(signal.SIGTERM)
        assert program.communicate(timeout=LIMIT_S)[0] == ""
    assert program.returncode == 143


@pytest.mark.parametrize(("number", "status"), ENDED)
def test_a_shared_card_is_given_back_without_waiting_for_the_command_that_runs(
    number: int, status: int
) -> None:
    scene = Interrupted()

    async def script(peer: Peer) -> None:
        await give_card(peer)
        begin = await peer.hear("begin_transaction")
        await peer.say("begin_transaction_ack", id=begin["id"], session="s1")
        await scene.cancelled(peer, await peer.hear("c_apdu"))
        detach = await peer.hear("detach")
        assert detach["disposition"] == "leave"

    with in_thread(script) as url:
        command = ("apdu", "--share", "shared", "--card", "x", READ)
        assert scene.wsrc(url, number, *command)[0] == status


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["apdu", "--json", "--bogus"], "--bogus"),
        (["--json", "apdu", "--card", "x"], "HEX"),
        (["apdu", "--card", "x", "--wait", "-1", READ, "--json"], "--wait"),
        (["script", "--card", "x", "--json", "/nonexistent"], "/nonexistent"),
        (["--json", "pcsc", "serve"], "--socket"),
        (["pcsc", "--json", "run"], "PROGRAM"),
        (["--json", "nonsense"], "nonsense"),
        (["--json"], "command"),
    ],
)
def test_wrong_usage_is_told_to_a_program_and_to_a_person(
    arguments: list[str], said: str, capsys: Any
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    told = document(printed.out)
    assert (told["error"]["code"], told["exit_status"]) == ("usage", 2)
    assert said in told["error"]["message"]
    assert f"Error: {told['error']['message']}" in printed.err


@pytest.mark.parametrize("arguments", [["apdu"], ["pcsc", "run", "--bogus", "--", "x", "--json"]])
def test_wrong_usage_without_json_is_told_to_a_person_alone(
    arguments: list[str], capsys: Any
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().out == ""
