# SPDX-License-Identifier: Apache-2.0
"""`wsrc pcsc run` starts its program as soon as the server takes us, before it tells of cards."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import LIMIT_S, argv, environment
from tests.support.scripted_server import HELLO_ACK, Peer, Script, card, reader_of, scripted
from wsrc.command_line.invocation import NONE_YET
from wsrc.protocol.conversation import SUBPROTOCOL

LOOKS = """
import os, pathlib, sys
from tests.support.pcsc.programs.wire_client import Line
with Line(os.environ["PCSCLITE_CSOCK_NAME"], 6) as line:
    line.establish()
    pathlib.Path(sys.argv[1]).touch()
    print(*[reader.name for reader in line.readers()])
"""
LASTS = """
import pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[2]).touch(), sys.exit(9)))
pathlib.Path(sys.argv[1]).touch()
signal.pause()
"""
REFUSAL = {"msg_type": "error", "code": "too_many", "message": "Full."}


async def ran(script: Script, program: str, *files: Path) -> tuple[int, str, str]:
    """Run a program; return the exit status, and what was printed."""
    async with scripted(script, greet=False, subprotocol=SUBPROTOCOL) as url:
        names = [str(file) for file in files]
        command = argv("wsrc", "pcsc", "run", "--all", "--", sys.executable, "-c", program, *names)
        wsrc = await asyncio.create_subprocess_exec(
            *command,
            env=environment(WSRC_SERVER_URL=url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(LIMIT_S):
            out, err = await wsrc.communicate()
    assert wsrc.returncode is not None
    return wsrc.returncode, out.decode(), err.decode()


async def until(file: Path) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not file.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)


def waits_for(file: Path, answer: Callable[[Peer, int], Any]) -> Script:
    """Return a script that says nothing before a program has made a file."""

    async def script(peer: Peer) -> None:
        await peer.hear("hello")
        request = await peer.hear("watch_readers")
        await until(file)
        await answer(peer, request["id"])

    return script


async def test_j4_a_program_runs_already_while_the_cards_are_listed(tmp_path: Path) -> None:
    async def answer(peer: Peer, id_: int) -> None:
        await peer.say(**HELLO_ACK)
        readers = [reader_of(1, card())]
        await peer.say("watch_readers_ack", id=id_, instance="run", seq=0, readers=readers)

    asked = tmp_path / "asked"
    status, out, err = await ran(waits_for(asked, answer), LOOKS, asked)
    assert (status, err) == (0, "")
    assert "WSRC" in out


async def test_j4_who_ended_before_the_cards_were_listed_is_told_of_them_all_the_same(
    tmp_path: Path,
) -> None:
    async def answer(peer: Peer, id_: int) -> None:
        await peer.say(**HELLO_ACK)
        await peer.say("watch_readers_ack", id=id_, instance="run", seq=0, readers=[])

    made = tmp_path / "made"
    program = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch(); sys.exit(42)"
    status, _, err = await ran(waits_for(made, answer), program, made)
    assert (status, err) == (42, NONE_YET + "\n")


@pytest.mark.parametrize("refused", [True, False], ids=["refused", "lost"])
async def test_j4_a_server_that_refuses_us_ends_a_program_that_runs(
    tmp_path: Path, *, refused: bool
) -> None:
    async def answer(peer: Peer, _id: int) -> None:
        if refused:
            await peer.say(**REFUSAL)
        else:
            await peer.close(1013, "Later.")

    made, ended = tmp_path / "made", tmp_path / "ended"
    status, out, err = await ran(waits_for(made, answer), LASTS, made, ended)
    assert (status, out) == (3 if refused else 5, "")
    assert ("Full." if refused else "Later") in err
    assert len(err.splitlines()) == 1
    await until(ended)


async def test_j4_a_program_that_asked_for_readers_of_a_server_that_refuses_us_finds_none(
    tmp_path: Path,
) -> None:
    async def answer(peer: Peer, _id: int) -> None:
        await peer.say(**REFUSAL)

    asked = tmp_path / "asked"
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + LOOKS
    status, out, err = await ran(waits_for(asked, answer), program, asked)
    assert (status, out.strip()) == (3, "")
    assert "Full." in err
