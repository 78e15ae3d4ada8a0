# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/http.md run, and say what they say."""

import asyncio
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.paths import ROOT
from tests.support.world import EUICC, LIMIT_S, UICC, running, until

CURL = shutil.which("curl")
TEXT = (ROOT / "docs" / "http.md").read_text("utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


async def run(script: str) -> str:
    program = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-e",
        "-c",
        script,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    async with asyncio.timeout(LIMIT_S):
        output, _ = await program.communicate()
    assert program.returncode == 0, output
    return output.decode()


@pytest.mark.skipif(CURL is None, reason="needs curl")
async def test_the_examples_run_as_they_stand(certificates: Certificates, tmp_path: Path) -> None:
    talk, reserve, follow = EXAMPLES
    async with running(certificates, state_dir=tmp_path / "state") as world:
        await world.host()
        at = f"localhost:{world.app.http_port}"
        said = await run(talk.replace("localhost:4222", at))
        assert UICC in said
        assert '"sw":"61' in said
        assert '{"response":"988812010000400310f0","sw":"9000","meaning":"done"}' in said
        await until(lambda: world.counts["sessions"] == 0)
        api = f"api=http://{at}/api/v1\n"
        said = await run(api + reserve + 'echo "of $number"; curl -s "$api/reservations"\n')
        assert f'"eids":["{EUICC}"]' in said
        assert re.search(r'"number":(\d{6}).*"state":"taken".*}of \1\n', said, re.DOTALL)
        assert said.endswith('{"reservations":[]}')
        assert '"state":"taken"' in said
        events = await run(follow.replace("localhost:4222", at))
        assert "event: snapshot" in events
