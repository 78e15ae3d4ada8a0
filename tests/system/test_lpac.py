# SPDX-License-Identifier: Apache-2.0
"""`wsrc lpac` between a profile manager and an eUICC that is behind a server."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.support.certificates import Certificates
from tests.support.paths import ROOT
from tests.support.processes import LIMIT_S, Program, argv, environment
from tests.support.seal_way import SEAL
from tests.support.world import EUICC, World
from wsrc.command_line.invocation import Exit
from wsrc.protocol.messages import CardState

PROFILE_MANAGER = """
import json, os, sys

assert os.environ["LPAC_APDU"] == "stdio"
requests = sys.stdout

def ask(func, param=None):
    line = json.dumps({"type": "apdu", "payload": {"func": func, "param": param}})
    print(line, file=requests, flush=True)
    answer = json.loads(sys.stdin.readline())
    assert answer["type"] == "apdu"
    return answer["payload"]

def result(code, message, data):
    payload = {"code": code, "message": message, "data": data}
    print(json.dumps({"type": "lpa", "payload": payload}), flush=True)
    sys.exit(code)

def es10(channel, request):
    store = f"8{channel}e29100{len(request) // 2:02x}{request}"
    data = ""
    while True:
        answer = ask("transmit", store)
        assert answer["ecode"] == 0
        body, sw = answer["data"][:-4], answer["data"][-4:]
        data += body
        if sw[:2] != "61":
            assert sw == "9000", sw
            return data
        store = f"8{channel}c00000{sw[2:]}"

if ask("connect")["ecode"]:
    result(255, "euicc_init", "")
isd_r = os.environ.get("LPAC_CUSTOM_ISD_R_AID", "A0000005591010FFFFFFFF8900000100")
channel = ask("logic_channel_open", isd_r)["ecode"]
if channel < 0:
    ask("disconnect")
    result(255, "euicc_init", "")
print(json.dumps({"type": "progress", "payload": {"message": "es10c_get_eid"}}), flush=True)
eid = es10(channel, "bf3e035c015a")
profiles = es10(channel, "bf2d00")
ask("logic_channel_close", f"{channel:02x}")
ask("disconnect")
result(0, "success", {"eid": eid[10:], "profiles": profiles})
"""

PIPE = """
import os, subprocess, sys

to_wsrc, from_lpac = os.pipe()
to_lpac, from_wsrc = os.pipe()
env = os.environ | {"LPAC_APDU": "stdio"}
lpac = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1]], stdin=to_lpac, stdout=from_lpac, env=env
)
wsrc = subprocess.Popen(sys.argv[2:], stdin=to_wsrc, stdout=from_wsrc)
for end in (to_wsrc, from_lpac, to_lpac, from_wsrc):
    os.close(end)
print(lpac.wait(20), wsrc.wait(20))
"""


class Laptop:
    """Where the user's programs run."""

    def __init__(self, world: World, certificates: Certificates) -> None:
        self._environment = environment(
            WSRC_SERVER_URL=world.user_url,
            WSRC_TLS_CA=str(certificates.ca),
            PYTHONPATH=str(ROOT),
        )

    async def run(
        self, *command: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        def run() -> "subprocess.CompletedProcess[str]":
            return subprocess.run(
                command,
                env=self._environment | dict(env or {}),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )

        return await asyncio.to_thread(run)

    def start(self, *command: str) -> Program:
        return Program(command, self._environment)

    async def lpac(self, *args: str, **more: object) -> "subprocess.CompletedProcess[str]":
        env = {str(k): str(v) for k, v in more.items()}
        manager = (sys.executable, "-c", PROFILE_MANAGER)
        return await self.run(*argv("wsrc", "lpac", *args, "--", *manager), env=env)


@pytest.fixture
def laptop(world: World, certificates: Certificates) -> Laptop:
    return Laptop(world, certificates)


async def test_a_profile_manager_is_run_with_a_euicc_that_is_elsewhere(
    world: World, laptop: Laptop
) -> None:
    await world.host()
    done = await laptop.lpac("--eid", EUICC)
    assert done.returncode == 0, done
    first_use = [] if SEAL == "off" else ["The key of card host bench"]
    assert [line[:26] for line in done.stderr.splitlines()] == first_use
    again = await laptop.lpac("--eid", EUICC)
    assert (again.returncode, again.stderr) == (0, "")
    progress, result = (json.loads(line) for line in done.stdout.splitlines())
    assert progress["type"] == "progress"
    assert result["payload"]["data"]["eid"] == EUICC
    assert "98881201000040032" in result["payload"]["data"]["profiles"]
    user = await world.user()
    async with user.select(eid=EUICC, wait_s=5):
        assert await world.state_of(eid=EUICC) is CardState.ASSOCIATED


async def test_a_profile_manager_is_piped(world: World, laptop: Laptop) -> None:
    await world.host()
    wsrc = argv("wsrc", "lpac", "--eid", EUICC)
    done = await laptop.run(sys.executable, "-c", PIPE, PROFILE_MANAGER, *wsrc)
    assert (done.returncode, done.stdout) == (0, "0 0\n")
    progress, result = (json.loads(line) for line in done.stderr.splitlines() if line[0] == "{")
    assert progress["type"] == "progress"
    assert result["payload"]["data"]["eid"] == EUICC


async def test_another_isd_r_is_asked_for(world: World, laptop: Laptop) -> None:
    await world.host()
    done = await laptop.lpac("--eid", EUICC, LPAC_CUSTOM_ISD_R_AID="A0000005591010FFFFFFFF89000005")
    assert done.returncode == 255
    assert "no application A0000005591010FFFFFFFF89000005" in done.stderr
    assert json.loads(done.stdout)["payload"]["message"] == "euicc_init"


async def test_the_user_reads_who_holds_the_card(world: World, laptop: Laptop) -> None:
    await world.host()
    holder = await world.user("third")
    async with holder.select(eid=EUICC):
        done = await laptop.lpac("--eid", EUICC)
        assert done.returncode == 255
        assert "held by third" in done.stderr
        piped = await laptop.run(
            *argv("wsrc", "lpac", "--eid", EUICC),
            stdin='{"type":"apdu","payload":{"func":"connect","param":null}}\n',
        )
    assert json.loads(piped.stdout)["payload"]["ecode"] < 0
    assert piped.returncode == Exit.REFUSED


async def test_a_card_must_be_selected_before_the_program_is_started(
    world: World, laptop: Laptop
) -> None:
    await world.host()
    done = await laptop.lpac()
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert EUICC in done.stderr
    missing = await laptop.run(*argv("wsrc", "lpac", "--eid", EUICC, "no-such-program", "-x"))
    assert missing.returncode == 127
    assert missing.stderr == "wsrc: no-such-program: No such file or directory\n"


async def test_a_signal_ends_the_program_and_gives_the_card_back(
    world: World, laptop: Laptop
) -> None:
    await world.host()
    connect = '{"type":"apdu","payload":{"func":"connect","param":null}}'
    script = f"""
import os
print({connect!r}, flush=True)
print(input() and os.getpid(), flush=True)
input()
"""
    wsrc = laptop.start(*argv("wsrc", "lpac", "--eid", EUICC, "--", sys.executable, "-c", script))
    try:
        found = await asyncio.to_thread(wsrc.wait_for, r"^(\d+)$")
        assert await asyncio.to_thread(wsrc.end, signal.SIGTERM) == Exit.TERMINATED
    finally:
        wsrc.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(found[1]), 0)
    user = await world.user()
    async with user.select(eid=EUICC, wait_s=5):
        assert await world.state_of(eid=EUICC) is CardState.ASSOCIATED


async def test_a_second_signal_kills_a_program_that_does_not_end(
    world: World, laptop: Laptop
) -> None:
    await world.host()
    connect = '{"type":"apdu","payload":{"func":"connect","param":null}}'
    script = f"""
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os.write(2, b"does not end\\n"))
print({connect!r}, flush=True)
print(input() and os.getpid(), flush=True)
while True:
    time.sleep(60)
"""
    wsrc = laptop.start(*argv("wsrc", "lpac", "--eid", EUICC, "--", sys.executable, "-c", script))
    try:
        found = await asyncio.to_thread(wsrc.wait_for, r"^(\d+)$")
        wsrc.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(wsrc.wait_for, "does not end")
        assert await asyncio.to_thread(wsrc.end, signal.SIGTERM) == Exit.TERMINATED
    finally:
        wsrc.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(found[1]), signal.SIGKILL)
    user = await world.user()
    async with user.select(eid=EUICC, wait_s=5):
        assert await world.state_of(eid=EUICC) is CardState.ASSOCIATED


async def test_web_pages_are_asked_of_the_user(world: World, laptop: Laptop) -> None:
    await world.host()
    page = '{"type":"http","payload":{"url":"https://smdp.example","tx":"","headers":[]}}'
    script = f"print('{page}', flush=True); print('got ' + input(), flush=True)"
    program = (sys.executable, "-c", script)
    answered = await laptop.run(
        *argv("wsrc", "lpac", "--eid", EUICC, "--", *program), stdin="an answer\nmore\n"
    )
    assert answered.stdout.splitlines() == [page, "got an answer"]
    alone = await laptop.run(*argv("wsrc", "lpac", "--eid", EUICC, "--", *program))
    assert '"rcode":0' in alone.stdout
    piped = await laptop.run(*argv("wsrc", "lpac", "--eid", EUICC), stdin=page + "\n")
    assert '"rcode":0' in piped.stdout
    assert page in piped.stderr
