# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc` where cards are lost, texts are no ASCII, and terminals are narrow."""

import asyncio
import contextlib
import io
import json
import os
import pty
import re
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import argv, environment
from tests.support.scripted_server import (
    Peer,
    Script,
    card,
    card_host,
    give_card,
    in_thread,
    take_back,
)
from wsrc.command_line.program import run

ICCID = "89860000000000000001"
MF, READ = "00A40004023F00", "00b000000a"
DOUBT = "  The card may or may not have run the command."


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("WSRC_", "XDG_"))]:
        monkeypatch.delenv(name)


def wsrc(*arguments: str, script: Script) -> int:
    with in_thread(script) as url:
        return run(["--server-url", url, *arguments])


def document(text: str) -> Any:
    (line,) = text.splitlines()
    return json.loads(line)


@pytest.mark.parametrize("code", ["card_client_gone", "card_unresponsive", "command_timeout"])
@pytest.mark.parametrize("outcome", ["unknown", "not_executed"])
def test_a10_a_command_in_doubt_is_said_to_be_so(code: str, outcome: str, capsys: Any) -> None:
    async def script(peer: Peer) -> None:
        await give_card(peer)
        await peer.refuse(await peer.hear("c_apdu"), code=code, outcome=outcome)
        await take_back(peer)

    assert wsrc("apdu", "--card", "x", READ, script=script) == (6 if outcome == "unknown" else 4)
    assert (DOUBT in capsys.readouterr().err.splitlines()) is (outcome == "unknown")


@pytest.mark.parametrize("within", [True, False])
def test_a10_a_script_whose_card_is_lost_says_what_may_have_run(
    within: bool, capsys: Any, tmp_path: Path
) -> None:
    file = tmp_path / "lost.wsrc"
    file.write_text(f"{MF}\n{READ}\n")
    error = {"msg_type": "error", "message": "Lost.", "code": "card_unresponsive"}

    async def script(peer: Peer) -> None:
        await give_card(peer)
        asked = await peer.hear("batch")
        if within:
            results = [{"response": "", "sw": "9000"}]
            failed = {**error, "outcome": "unknown"}
            session = {"id": asked["id"], "session": asked["session"]}
            await peer.say("batch_resp", **session, results=results, error=failed)
        else:
            await peer.refuse(asked, code="card_unresponsive", outcome="unknown")
        await take_back(peer)

    assert wsrc("script", "--card", "x", str(file), "--json", script=script) == 6
    printed = capsys.readouterr()
    told = document(printed.out)
    assert (told["error"]["code"], told["error"]["outcome"]) == ("card_unresponsive", "unknown")
    assert (told["exit_status"], len(told["results"])) == (6, 2 if within else 0)
    assert told["error"]["message"].startswith("Lost" if within else "Lines 1 to 2: No")
    assert DOUBT in printed.err.splitlines()


def held_by(*names: str) -> dict[str, Any]:
    leases = [{"holder": name, "since": "2026-01-01T00:00:00Z"} for name in names]
    ids = {"eids": ["89049032000000000000000000000013"], "reader_name": "ACME Reader [CCID] 00 00"}
    return card(1, lease=leases[0], others=leases[1:], **ids)


def test_36_all_who_share_a_card_are_shown(capsys: Any) -> None:
    host = card_host([held_by("ida@lab", "bob@desk")], {})
    assert wsrc("list", "--quiet", script=host) == 0
    shown = capsys.readouterr().out
    assert "ida@lab" in shown
    assert "bob@desk" in shown
    assert wsrc("info", "--card", ICCID, script=host) == 0
    shown = capsys.readouterr().out
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("Holder")] == [
        "ida@lab",
        "bob@desk",
    ]
    assert wsrc("list", "--json", script=host) == 0
    (told,) = document(capsys.readouterr().out)["cards"]
    assert (told["holder"], [each["holder"] for each in told["others"]]) == (
        "ida@lab",
        ["bob@desk"],
    )


def at_terminal(columns: int, *arguments: str, script: Script, both: bool = True) -> list[str]:
    """Run the command as a process at a terminal; give the lines that it shows."""
    shown = io.BytesIO()
    near, far = pty.openpty()
    termios.tcsetwinsize(far, (24, columns))
    env = environment(TERM="xterm")
    del env["COLUMNS"]
    with in_thread(script) as url:
        command = argv("wsrc", "--server-url", url, *arguments)
        out = far if both else subprocess.PIPE
        with subprocess.Popen(command, stdin=far, stdout=out, stderr=far, env=env) as process:
            os.close(far)
            with contextlib.suppress(OSError):  # the terminal ends with its last user
                while octets := os.read(near, 1 << 16):
                    shown.write(octets)
            if not both:
                assert process.stdout is not None
                shown = io.BytesIO(process.stdout.read())
    os.close(near)
    assert process.returncode == 0, shown.getvalue()
    return shown.getvalue().decode().replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("columns", [40, 80, 300])
def test_36_no_iccid_is_folded_at_a_terminal(columns: int) -> None:
    host = card_host([held_by("ida@lab", "bob@desk"), card(2, label="blue")], {})
    lines = at_terminal(columns, "list", script=host)
    words = [word for line in lines for word in line.split()]
    assert {ICCID, "89049032000000000000000000000013", "bob@desk", "blue"} <= set(words)
    plain = [re.sub(r"\x1b\[\d*m", "", line) for line in lines]
    assert max(map(len, plain)) <= columns
    assert any(ICCID in line and "ida@lab" in line for line in plain) is (columns >= 80)


@pytest.mark.parametrize("both", [True, False])
def test_36_results_of_a_script_have_lines_of_their_own(both: bool, tmp_path: Path) -> None:
    file = tmp_path / "x.wsrc"
    file.write_text(f"{READ}\n!reset\n{READ}\n")
    host = card_host([card(1)], {READ: ("01", "9000")})
    lines = at_terminal(80, "script", "--card", ICCID, str(file), script=host, both=both)
    wanted = ["   1: 01 9000  done", "   2: reset, ATR 3b00", "   3: 01 9000  done"]
    assert lines[: len(wanted)] == wanted


@pytest.mark.parametrize("command", [["watch", "--json"], ["readers", "--watch", "--json-rpc"]])
def test_36_what_has_no_end_outlives_its_server(command: list[str]) -> None:
    serve = card_host([card(1)], {})
    connections: list[Callable[[], object]] = []

    async def script(peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        connections.append(lambda: loop.call_soon_threadsafe(peer.abort))
        await serve(peer)

    with in_thread(script) as url:
        args = argv("wsrc", "--server-url", url, "--keep-s", "0", *command)
        with subprocess.Popen(
            args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.readline()
            connections[0]()
            assert "Trying again." in process.stderr.readline()
            while (again := process.stdout.readline()) != first:
                assert again, "it ended"
            process.terminate()
            process.communicate(timeout=20)  # what it says at its end is read
    assert process.returncode == 143
    assert len(connections) == 2


def test_36_a_person_is_told_that_the_connection_is_lost_and_back(capsys: Any) -> None:
    connections: list[Peer] = []

    async def script(peer: Peer) -> None:
        connections.append(peer)
        if len(connections) == 1:
            request = await peer.hear("select_card")
            ids = {"id": request["id"], "session": "s1", "keep_s": 30}
            told = card(1)
            await peer.say("select_card_ack", **ids, identities=told["identities"], card=told)
            await peer.hear("c_apdu")
            peer.abort()
            return
        claim = await peer.hear("resume")
        ids = {"session": "s1", "seq": 1}
        answer = {"msg_type": "r_apdu", "response": "01", "sw": "9000", **ids}
        await peer.say("resumed", id=claim["id"], **ids, answer=answer)
        await take_back(peer)

    assert wsrc("apdu", "--card", ICCID, READ, script=script) == 0
    printed = capsys.readouterr()
    assert printed.out == "01 9000  done\n"
    lost, back = printed.err.splitlines()
    assert re.search(
        r"The connection to ws://localhost:\d+ is lost: .* Trying again for 30 s\.", lost
    )
    assert re.search(r"The connection to ws://localhost:\d+ is back\.", back)
