# SPDX-License-Identifier: Apache-2.0
"""What an operator changes is evidence (issue 13, 4)."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

from tests.support.certificates import Certificates
from tests.support.tokens import running_with_tokens
from tests.support.world import until


async def test_13_tokens_and_policies_that_come_and_go_are_evidence(
    certificates: Certificates, tmp_path: Path
) -> None:
    policy, folder = tmp_path / "policy.toml", tmp_path / "audit"
    text = '[[grant]]\nto = ["ann"]\ncards = "*"\nmay = ["use"]\n'
    policy.write_text(text)
    settings: dict[str, Any] = {"policy": policy, "audit_dir": folder}
    async with running_with_tokens(certificates, tmp_path, **settings) as world:
        file = await asyncio.to_thread(world.made, "ann")
        await until(lambda: world.knows(file))
        policy.write_text(text + "# again\n")
        world.app.reload()
        await until(lambda: next(folder.glob("*.jsonl")).read_text().count("policy_changed") == 2)
        await asyncio.to_thread(world.revoke, "1")
        await until(lambda: not world.knows(file))
    lines = [json.loads(each) for each in (next(folder.glob("*.jsonl"))).read_text().splitlines()]
    told = [(each["action"], each["token"]) for each in lines if each["event"] == "token_changed"]
    assert told == [("added", "1 of ann"), ("revoked", "1 of ann")]
    digests = [each["digest"] for each in lines if each["event"] == "policy_changed"]
    octets = (text.encode(), policy.read_bytes())
    assert digests == [hashlib.sha256(each).hexdigest() for each in octets]
    assert file.read_text().strip() not in json.dumps(lines)
