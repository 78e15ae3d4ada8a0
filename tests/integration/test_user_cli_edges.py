# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc` where cards are lost, texts are no ASCII, and terminals are narrow."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_server import Peer, Script, give_card, in_thread, take_back
from wsrc.command_line.program import run

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
    assert DOUBT in printed.err.splitlines()
