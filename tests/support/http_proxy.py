# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy on loopback that knows CONNECT; every name is one of this machine to it."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tests.support.certificates import Certificates
from wsrc.net.tls import server_context


class HttpProxy:
    """What it was asked; `login` is what it wants, `refuse` the status that it answers."""

    def __init__(self, login: str | None, refuse: int | None, scheme: str) -> None:
        self.port = 0
        self.scheme = scheme
        self.asked: list[str] = []
        self.heads: list[bytes] = []
        self._login = login
        self._refuse = refuse

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readexactly(1)
            if head == b"\x16":  # TLS
                writer.write(b"HTTP/1.1 400 No\r\n\r\n")
                return
            head += await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            method, target, _ = head.decode().split("\r\n")[0].split(" ")
            self.asked.append(target)
            status = 405 if method != "CONNECT" else self._status(head)
            if status != 200:
                writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _join(reader, writer, int(target.rpartition(":")[2]))
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    def _status(self, head: bytes) -> int:
        if self._refuse is not None:
            return self._refuse
        if self._login is None:
            return 200
        wanted = b"Basic " + base64.b64encode(self._login.encode())
        return 200 if wanted in head else 407


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pump(reader, back))
            tasks.create_task(_pump(there, writer))
    except* OSError:
        pass
    finally:
        back.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while octets := await source.read(1 << 16):
        sink.write(octets)
        await sink.drain()
    sink.close()


@asynccontextmanager
async def proxying(
    login: str | None = None, refuse: int | None = None, files: Certificates | None = None
) -> AsyncGenerator[HttpProxy]:
    """Run a proxy for as long as the context lasts; with TLS if there are files for it."""
    proxy = HttpProxy(login, refuse, "http" if files is None else "https")
    context = server_context(files.cert, files.key) if files is not None else None
    server = await asyncio.start_server(proxy.serve, "0.0.0.0", 0, ssl=context)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
