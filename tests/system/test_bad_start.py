# SPDX-License-Identifier: Apache-2.0
"""Wrong certificates, ports and files: a sentence that says which, on the right side."""

import asyncio
import contextlib
import os
import re
import shlex
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import first_form
from tests.support.certificates import Certificates, make
from tests.support.ports import free_port
from tests.support.processes import argv, environment
from tests.support.world import World, running
from wsrc.errors import (
    ConfigError,
    ConnectionLostError,
)
from wsrc.server.app import FULL_S, serve
from wsrc.settings.load import ServerSettings
from wsrc.user_client.aio import Client

pytestmark = pytest.mark.usefixtures("bystander")


async def test_a_wrong_ca_is_named(world: World, tmp_path: Path) -> None:
    other = make(tmp_path)
    with pytest.raises(ConnectionLostError, match="CA"):
        async with Client(world.user_url, ca=other.ca):
            pass


async def test_a_wrong_host_name_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLostError, match=r"localhost"):
        await connect_to(make(tmp_path, ["relay.example"]))


async def test_an_expired_certificate_is_named(tmp_path: Path) -> None:
    start = datetime.now(UTC) - timedelta(days=10)
    with pytest.raises(ConnectionLostError, match="expired"):
        await connect_to(make(tmp_path, days=1, start=start))


async def connect_to(certificates: Certificates) -> None:
    async with running(certificates) as world, Client(world.user_url, ca=certificates.ca):
        pass


async def test_a_plain_client_on_a_tls_port_is_told_so(world: World) -> None:
    with pytest.raises(ConnectionLostError, match="wss://"):
        async with Client(f"ws://localhost:{world.app.user_port}"):
            pass


async def test_a_tls_client_on_a_plain_port_is_told_so(certificates: Certificates) -> None:
    async with running(certificates, no_tls=True) as world:
        with pytest.raises(ConnectionLostError, match="ws://"):
            async with Client(world.user_url, ca=certificates.ca):
                pass


async def test_a_card_client_on_the_port_for_users_is_told_so(
    world: World, certificates: Certificates
) -> None:
    async with first_form.connected(world.user_url, certificates.ca) as socket:
        answer = await first_form.ask(socket, "hello", client_type="card", version=1)
        assert "card clients connect to the other, 4221" in answer["message"]
        assert (await first_form.closed_with(socket))[0] == 1002


async def test_a_web_page_is_refused(world: World, certificates: Certificates) -> None:
    head = await http(world, certificates, "Origin: https://evil.example\r\n")
    assert head.startswith("HTTP/1.1 403")


async def test_a_browser_is_told_what_this_is(world: World, certificates: Certificates) -> None:
    answer = await http(world, certificates, "", upgrade=False)
    assert answer.startswith("HTTP/1.1 426")
    assert "WSRC" in answer


async def http(world: World, certificates: Certificates, more: str, *, upgrade: bool = True) -> str:
    context = ssl.create_default_context(cafile=certificates.ca)
    reader, writer = await asyncio.open_connection("localhost", world.app.user_port, ssl=context)
    ws = "Upgrade: websocket\r\nConnection: Upgrade\r\n" if upgrade else "Connection: close\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    writer.write(f"GET / HTTP/1.1\r\nHost: localhost\r\n{ws}{key}{more}\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read(4096)
        if not upgrade:
            answer += await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def test_a_connection_that_says_nothing_is_dropped(certificates: Certificates) -> None:
    async with running(certificates, hello_s=0.3) as world:
        silent = socket.create_connection(("localhost", world.app.user_port))
        silent.settimeout(10)
        with silent:
            assert await asyncio.to_thread(silent.recv, 1) == b""
        async with first_form.connected(world.user_url, certificates.ca) as raw:
            assert (await first_form.receive(raw))["code"] == "hello_timeout"
            assert (await first_form.closed_with(raw))[0] == 1008


async def test_one_peer_too_many_is_refused_before_the_upgrade(certificates: Certificates) -> None:
    async with running(certificates, max_peers=1) as world:
        await world.user()
        with pytest.raises(ConnectionLostError, match="503") as full:
            await world.user("second")
        assert full.value.retry_after_s == float(FULL_S)


async def test_a_port_in_use_is_named(certificates: Certificates, world: World) -> None:
    settings = ServerSettings(
        tls_cert=certificates.cert, tls_key=certificates.key, user_port=world.app.user_port
    )
    with pytest.raises(ConfigError, match=f"{world.app.user_port}.*in use"):
        async with serve(settings):
            pass


async def test_an_unreadable_key_file_is_one_line_and_exit_status_2(
    certificates: Certificates, tmp_path: Path
) -> None:
    key = tmp_path / "missing-key.pem"
    files = ("--tls-cert", str(certificates.cert), "--tls-key", str(key))
    program = await asyncio.create_subprocess_exec(
        *argv("wsrc-server", *files, "--user-port", "0", "--card-port", "0"),
        env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(20):
        _, errors = await program.communicate()
    assert program.returncode == 2
    assert re.fullmatch(rf"wsrc-server: tls_key: .*{key}.*\n", errors.decode())


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("program", ["wsrc-server", "wsrc-card-client"])
async def test_c24_a_program_without_standard_streams_runs_and_ends(
    program: str, closed: str
) -> None:
    port = free_port()
    if program == "wsrc-server":
        options = ["--no-tls", "--user-port", str(port), "--card-port", "0"]
    else:
        options = ["--server-url", f"ws://127.0.0.1:{port}", "--no-pcsc", "--simulated", "default"]
    command = [*argv(program), *options]

    async def reached() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)

    connected = asyncio.Event()

    async def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.close()

    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(30):
        if program == "wsrc-card-client":
            server = await asyncio.start_server(count, "127.0.0.1", port)
            await stack.enter_async_context(server)
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", f'exec "$0" "$@" {closed}', *command, env=environment()
        )
        await (connected.wait() if program == "wsrc-card-client" else reached())
        process.terminate()
        assert await process.wait() == 0


@pytest.mark.parametrize("program", ["wsrc-server", "wsrc-card-client", "wsrc"])
@pytest.mark.parametrize("by", ["option", "environment"])
async def test_c21_a_name_that_is_no_utf_8_is_one_line_and_exit_status_2(
    program: str, by: str
) -> None:
    args = ["list"] if program == "wsrc" else []
    args += ["--no-tls"] if program == "wsrc-server" else []
    env: dict[bytes | str, bytes | str] = {**environment()}
    if by == "option":
        args += ["--name", os.fsdecode(b"caf\xe9")]
    else:
        env[b"WSRC_NAME"] = b"caf\xe9"
    child = await asyncio.create_subprocess_exec(
        *argv(program, *args), env=env, stderr=asyncio.subprocess.PIPE
    )
    _, said = await child.communicate()
    (line,) = said.decode().splitlines()
    assert "name: must be text in UTF-8" in line
    assert child.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["wsrc-server", "--no-tls"],
        ["wsrc-card-client", "--no-pcsc", "--simulated", "default"],
        ["wsrc", "list"],
    ],
)
async def test_37_too_few_open_files_are_said_to_be_what_is_wrong(arguments: list[str]) -> None:
    command = shlex.join(argv(*arguments))
    child = await asyncio.create_subprocess_shell(
        f"ulimit -n 5; exec {command}", env=environment(), stderr=asyncio.subprocess.PIPE
    )
    _, said = await child.communicate()
    (line,) = said.decode().splitlines()
    assert "ulimit -n: only 5 files may be open" in line
    assert child.returncode == 2
