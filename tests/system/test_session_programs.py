# SPDX-License-Identifier: Apache-2.0
"""Sessions of the real programs, which are stopped for a while, restarted, and killed."""

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Program, Programs, argv, running
from tests.support.world import UICC

PING = ("--ping-s", "0.3")
AWAY = r"its user is out of reach"

USER = """
import asyncio, os, sys, time
from wsrc.errors import WsrcError
from wsrc.user_client.aio import Client

SETUP = ("00a4040c10a0000000871002ffffffff8907090000", "002000010831323334ffffffff")

async def main(keep_s):
    url, ca = os.environ["WSRC_SERVER_URL"], os.environ["WSRC_TLS_CA"]
    async with Client(url, ca=ca, name="stopped", ping_s=0.3, keep_s=keep_s) as client:
        async with client.select(iccid=sys.argv[2]) as card:
            for command in SETUP:
                await card.transmit(bytes.fromhex(command))
            try:
                while True:
                    said = await card.transmit(bytes.fromhex("80329c00010100"))
                    print("counted", int.from_bytes(said.data[:3]), flush=True)
                    await asyncio.sleep(0.01)
            except WsrcError as exc:
                print("failed", type(exc).__name__, exc.code, exc, flush=True)
        async with client.select(iccid=sys.argv[2], wait_s=30) as card:
            print("again", (await card.transmit(bytes.fromhex("00200001"))), flush=True)

asyncio.run(main(float(sys.argv[1])))
"""


@pytest.fixture
def programs(certificates: Certificates) -> Iterator[Programs]:
    with running(certificates) as programs:
        yield programs


def card_client(programs: Programs, *args: str) -> Program:
    """Start a card client with one card, and wait until it is identified."""
    program = programs.card_client(*PING, "--no-pcsc", "--simulated", "default", *args)
    program.wait_for(r"has card 898821\D*0010")
    return program


def counted(program: Program, more: int = 3) -> int:
    """Wait until the user was answered so many more times; give the last count."""
    count = sum(line.startswith("counted") for line in program.lines)
    return int(program.wait_for(r"^counted (\d+)$", count + more)[1])


def counts(program: Program) -> list[int]:
    return [int(line.split()[1]) for line in program.lines if line.startswith("counted")]


@contextlib.contextmanager
def stopped(program: Program) -> Iterator[None]:
    """Stop a program as a laptop does that is closed."""
    program.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        program.process.send_signal(signal.SIGCONT)


def test_a_user_who_slept_for_less_than_it_is_kept_goes_on(programs: Programs) -> None:
    server = programs.server(*PING)
    host = card_client(programs)
    user = programs.user_script(USER, "30", UICC)
    counted(user)
    with stopped(user):
        server.wait_for(AWAY)
        busy = programs.wsrc("apdu", "--iccid", UICC, "00200001")
        assert busy.returncode == 3
        assert "stopped" in busy.stderr
    counted(user)
    host.wait_for(r"Session \w+ on .* is resumed")
    user.close()
    numbers = counts(user)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert "failed" not in user.output


def test_a_user_who_slept_for_longer_is_told_that_the_session_is_lost(programs: Programs) -> None:
    server = programs.server(*PING)
    card_client(programs)
    user = programs.user_script(USER, "0.5", UICC)
    counted(user)
    with stopped(user):
        server.wait_for("did not come back in time")
        other = programs.wsrc("apdu", "--iccid", UICC, "--wait", "20", "00200001")
        assert (other.returncode, "63C3" in other.stdout) == (0, True)
    user.wait_for(r"^failed SessionLostError lease_expired")
    user.wait_for(r"^again 63C3")
    assert user.process.wait(LIMIT_S) == 0


def test_a_card_host_that_slept_keeps_its_session(programs: Programs) -> None:
    server = programs.server(*PING)
    host = card_client(programs)
    user = programs.user_script(USER, "30", UICC)
    counted(user)
    with stopped(host):
        server.wait_for("is interrupted")
    counted(user)
    user.close()
    numbers = counts(user)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def script_of(commands: int) -> str:
    """Count up so many times, one after the other."""
    setup = "00a4040c10a0000000871002ffffffff8907090000 -> any\n002000010831323334ffffffff\n"
    return setup + "80329c00010100\n" * commands


def test_a_script_does_not_notice_that_the_server_is_restarted(
    programs: Programs, tmp_path: Path
) -> None:
    description = tmp_path / "card.toml"
    faults = '[faults]\ndelay_s = 0.004\nonly = "8032"\n'
    description.write_text(f'kind = "uicc"\niccid = "{UICC}"\n{faults}')
    restarts = ("--drain-s", "10", "--reconnect-in-s", "0.1")
    server = programs.server(*restarts)
    programs.card_client("--no-pcsc", "--simulated", str(description)).wait_for("has card")
    script = tmp_path / "count.wsrc"
    script.write_text(script_of(900))
    with script_running(programs, script) as process:
        for _ in range(3):
            server.wait_for(r"User client \d+ is first@laptop")
            assert server.end() == 0
            server = programs.server(*restarts)
        stdout, stderr = process.communicate(timeout=LIMIT_S)
    *notes, last = stderr.splitlines()
    assert (process.returncode, last) == (0, f"{script}: 902 lines done, all as expected.")
    seen = re.findall(r"(?m)^ *\d+: (\w{6})01 9000", stdout)
    assert [int(each, 16) for each in seen] == list(range(1, 901))
    told = ("Waiting for the card", "The connection to ", "The key of card host ")
    assert all(note.startswith(told) for note in notes), stderr


@contextlib.contextmanager
def script_running(programs: Programs, script: Path) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        argv("wsrc", "script", "--iccid", UICC, str(script)),
        env=programs.user_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=LIMIT_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_both_programs_in_order(programs: Programs, number: int) -> None:
    server = programs.server()
    card = card_client(programs)
    assert card.end(number) == 0
    assert "Stopped: all cards are powered off" in card.output
    assert server.end(number) == 0
    assert "Stopping: " in server.output
