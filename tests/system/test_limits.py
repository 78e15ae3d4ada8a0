# SPDX-License-Identifier: Apache-2.0
"""A server of few open files or little memory, as the shell's `ulimit` sets it, with both loops."""

import asyncio
import contextlib
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.innocent import attackers, client_hello
from tests.support.processes import Program, argv, environment
from tests.support.raw_peer import LIMIT_S, RawPeer, frame, raw_peer
from tests.support.world import until
from wsrc.net.tls import client_context

SPARE_KIB = 32 << 10
"""Memory beside what the server has once it is ready."""

ASYNCIO = "import sys; sys.modules['uvloop'] = None; from wsrc.server.cli import main; main()"

PLAIN = ("--no-tls", "--user-port", "0", "--card-port", "0")
UVLOOP = pytest.param(argv("wsrc-server", *PLAIN), id="uvloop")
LOOPS = pytest.mark.parametrize(
    "command", [UVLOOP, pytest.param([sys.executable, "-c", ASYNCIO, *PLAIN], id="asyncio")]
)


SECURE = ("--user-port", "0", "--card-port", "0")

SECURE_LOOPS = pytest.mark.parametrize(
    "command", [argv("wsrc-server", *SECURE), [sys.executable, "-c", ASYNCIO, *SECURE]],
    ids=["uvloop", "asyncio"],
)  # fmt: skip


@contextlib.contextmanager
def serving(command: list[str], limit: str = "") -> Iterator[tuple[Program, int]]:
    """Run a server under a limit; yield it and the port for users."""
    program = Program(["sh", "-c", f"{limit} exec {shlex.join(command)}"], environment())
    try:
        yield program, int(program.wait_for(r"Ready: users on \S+:(\d+)/user")[1])
    finally:
        program.close()


def size_kib(program: Program) -> int:
    """Return what address space a program has taken."""
    status = Path(f"/proc/{program.process.pid}/status").read_text("ascii")
    return int(re.findall(r"VmSize:\s+(\d+)", status)[0])


async def answers(peer: RawPeer) -> None:
    """Have the server say something."""
    peer.say("list_cards", id=1)
    await peer.hear("list_cards_ack")


async def refused(port: int) -> None:
    """Be one more than there may be."""
    with pytest.raises(AssertionError):
        async with raw_peer(port):
            pass


@LOOPS
async def test_b18_with_little_memory_the_next_peers_are_refused_and_the_others_served(
    command: list[str],
) -> None:
    with serving(command) as (program, _):
        limit = f"ulimit -v {size_kib(program) + SPARE_KIB};"
    async with asyncio.timeout(2 * LIMIT_S), AsyncExitStack() as stack:
        program, port = stack.enter_context(serving(command, limit))
        most = int(program.wait_for(r"The limit of memory allows (\d+) peers, not max_p")[1])
        assert 100 < most < 300
        peers = [await stack.enter_async_context(raw_peer(port)) for _ in range(most)]
        for _ in range(3):
            await refused(port)
        program.wait_for("max_peers is reached: a connection from 127.0.0.1 is refused")
        for peer in peers[:20]:
            peer.write(frame(b"x" * 100_000, 0x01))  # the beginning of a message
        for peer in peers[20:]:
            await answers(peer)
        peers[-1].abort()
        program.wait_for("is gone")
        await answers(await stack.enter_async_context(raw_peer(port)))
        assert program.end() == 0
        assert "Traceback" not in program.output


FULL = """
import resource, sys
from wsrc.server import cli
kib = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1])
resource.setrlimit(resource.RLIMIT_AS, ((kib + int(sys.argv.pop(1))) << 10,) * 2)
cli.main()
"""
"""A server that is left so many KiB after it was loaded."""


async def test_b18_with_less_than_that_the_server_says_so() -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FULL, "4096", *PLAIN, "--name", "x",
        env=environment(), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        _, said = await child.communicate()
    assert child.returncode == 2, said
    (line,) = said.decode().splitlines()
    assert re.search(r"wsrc-server: max_peers: only \d MiB of memory are left .* MemoryMax", line)


@LOOPS
async def test_b18_with_few_open_files_there_is_one_line_and_who_is_there_is_served(
    command: list[str],
) -> None:
    async with asyncio.timeout(2 * LIMIT_S), AsyncExitStack() as stack:
        program, port = stack.enter_context(serving(command, "ulimit -n 100;"))
        program.wait_for(r"The limit of open files allows (\d+) peers, not max_peers, 10000")
        peer = await stack.enter_async_context(raw_peer(port))
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        program.wait_for("No connection is accepted for now")
        for _ in range(5):
            await answers(peer)
        for _, writer in silent:
            writer.close()

        async def accepted() -> bool:
            async with raw_peer(port) as another:
                await answers(another)
            return True

        await until(accepted)
        assert program.end() == 0
        assert "Traceback" not in program.output
        said = [line for line in program.lines if "No connection is accepted" in line]
        assert len([line for line in said if "more like it" not in line]) == 1
        assert len(said) <= 2


@SECURE_LOOPS
async def test_13_a_flood_above_the_limit_of_descriptors_keeps_nobody_out(
    command: list[str], certificates: Certificates
) -> None:
    """While 120 connections stand that say no more, a session goes on and others get in."""
    files = ("--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key))
    patient = ("--hello-s", "30")
    async with asyncio.timeout(3 * LIMIT_S), AsyncExitStack() as stack:
        program, port = stack.enter_context(serving([*command, *files, *patient], "ulimit -n 100;"))
        tls = client_context(certificates.ca)
        peer = await stack.enter_async_context(raw_peer(port, tls=tls))
        with attackers(port, 120, client_hello()[:100]):
            program.wait_for("No connection is accepted for now")
            await answers(peer)
            for _ in range(2):
                async with raw_peer(port, tls=tls) as another:
                    await answers(another)
                await answers(peer)
            program.wait_for("max_half_open is reached: a connection from 127.0.0.2")
        await answers(peer)
        peer.abort()
        assert program.end() == 0
    assert "Traceback" not in program.output
    for line in ("No connection is accepted", "max_half_open is reached"):
        assert program.output.count(line) <= 2
