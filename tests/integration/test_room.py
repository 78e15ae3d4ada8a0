# SPDX-License-Identifier: Apache-2.0
"""How many peers a server has room for follows from limits of the system that are set for real."""

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import environment
from wsrc.net.outbox import MAX_UNREAD_OCTETS
from wsrc.server.room import ASYNCIO_TLS_OCTETS, PART, PLAIN_OCTETS

MIB = 1 << 20
LIMIT_S = 60.0

ASKED = """
import asyncio, json, logging, resource, sys
from pathlib import Path
from wsrc.errors import ConfigError
from wsrc.process import descriptors
from wsrc.server.room import room_for
from wsrc.settings.load import ServerSettings

given = json.loads(sys.argv[1])
logging.basicConfig(stream=sys.stderr, format="%(message)s")
tls = [Path(each) for each in given["tls"]]
how = {"tls_cert": tls[0], "tls_key": tls[1]} if tls else {"no_tls": True}
settings = ServerSettings(max_peers=given["peers"], max_half_open=given["half_open"], **how)

async def main():
    if given["mib"]:
        kib = int(next(l for l in open("/proc/self/status") if l.startswith("VmSize")).split()[1])
        resource.setrlimit(resource.RLIMIT_AS, ((kib << 10) + (given["mib"] << 20),) * 2)
    if given["files"]:
        used = descriptors._used() + descriptors.SPARE
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + given["files"],) * 2)
    try:
        print(json.dumps(room_for(settings)))
    except ConfigError as exc:
        print(json.dumps(str(exc)))

asyncio.run(main())
"""
"""Asks for the room of a process that is left so many MiB and files."""


async def room(
    *,
    peers: int = 1000,
    half_open: int = 100,
    mib: int = 0,
    files: int = 0,
    tls: Certificates | None = None,
) -> tuple[Any, str]:
    """Return the room, or why there is none, and what was logged."""
    pair = [] if tls is None else [str(tls.cert), str(tls.key)]
    given = {"peers": peers, "half_open": half_open, "mib": mib, "files": files, "tls": pair}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASKED, json.dumps(given), env=environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        told, said = await child.communicate()
    assert child.returncode == 0, said
    return json.loads(told), said.decode()


async def test_13_where_nothing_is_scarce_there_are_as_many_peers_as_the_settings_say() -> None:
    assert await room() == ([1100, 1000, MAX_UNREAD_OCTETS], "")


@pytest.mark.parametrize("half_open", [100, 300])
async def test_13_files_are_for_peers_and_for_who_is_half_open(half_open: int) -> None:
    """With files for all peers nothing is said, though there are fewer for who is half open."""
    there, said = await room(half_open=half_open, files=1050)
    assert (there[0], there[1], said) == (1050, 1000, "")


async def test_13_few_files_are_told_and_an_eighth_is_left_for_who_is_half_open() -> None:
    there, said = await room(files=160)
    assert there[:2] == [160, 140]
    assert said.startswith("The limit of open files allows 140 peers, not max_peers, 1000; raise")
    assert "LimitNOFILE" in said


async def test_13_without_files_there_is_no_server() -> None:
    why, _ = await room(files=1)
    assert "there may be no more open files" in why
    assert (await room(peers=1, half_open=1, files=2))[0][:2] == [2, 1]


@pytest.mark.parametrize(("tls", "octets"), [(False, PLAIN_OCTETS), (True, ASYNCIO_TLS_OCTETS)])
async def test_13_a_quarter_of_the_memory_is_for_connections(
    certificates: Certificates, octets: int, *, tls: bool
) -> None:
    mib = 24
    there, said = await room(mib=mib, tls=certificates if tls else None)
    most = mib * MIB // PART // octets
    assert most // 2 < there[0] <= most
    assert there[1] == there[0] - there[0] // 8
    assert mib * MIB // PART // 2 < there[2] <= mib * MIB // PART
    assert f"The limit of memory allows {there[1]} peers" in said
    assert "MemoryMax" in said


async def test_13_with_hardly_any_memory_there_is_no_server() -> None:
    why, _ = await room(mib=6)
    assert "MiB of memory are left to the server" in why
