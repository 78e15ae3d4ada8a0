# SPDX-License-Identifier: Apache-2.0
"""
A proxy that is far away: octets take a time each way, and round trips are counted.

    delaying.py PORT ONE_WAY_S

A round trip is what a client sends, once or many times, until something comes back to it that it
still takes; making the TCP connection is one as well. `count` answers with what was counted since
the last time.
"""

import asyncio
import json
import sys
import threading
from typing import TypedDict


class Counts(TypedDict):
    """What was counted."""

    round_trips: int
    connections: int


class Proxy:
    """Carries connections to a port of this host."""

    def __init__(self, port: int, one_way_s: float) -> None:
        self.counts = Counts(round_trips=0, connections=0)
        self._port = port
        self._one_way_s = one_way_s

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until both ends have ended it."""
        self.counts["connections"] += 1
        self.counts["round_trips"] += 1
        await asyncio.sleep(2 * self._one_way_s)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        asked = False

        def went_out() -> None:
            nonlocal asked
            asked = True

        def came_back() -> None:
            nonlocal asked
            self.counts["round_trips"] += asked and not reader.at_eof()
            asked = False

        def nothing() -> None:
            pass

        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer, went_out, nothing))
                tasks.create_task(self._pump(far_reader, writer, nothing, came_back))
        finally:
            writer.close()
            far_writer.close()

    async def _pump(self, reader, writer, heard, said) -> None:  # type: ignore[no-untyped-def]
        """Carry one way; what was read leaves in its order, each a time after it came."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due, octets = await queue.get()
                await asyncio.sleep(max(due - loop.time(), 0))
                if not octets:
                    break
                said()
                writer.write(octets)
            if writer.can_write_eof():
                writer.write_eof()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(deliver())
            octets = b"x"
            while octets:
                try:
                    octets = await reader.read(65_536)
                except ConnectionError:
                    octets = b""
                if octets:
                    heard()
                queue.put_nowait((loop.time() + self._one_way_s, octets))


def obey(proxy: Proxy) -> None:
    """Answer orders, in a thread of its own."""
    for _ in sys.stdin:
        counted, proxy.counts = proxy.counts, Counts(round_trips=0, connections=0)
        sys.stdout.write(json.dumps(counted) + "\n")
        sys.stdout.flush()


async def main(port: str, one_way_s: str) -> None:
    """Listen on a free port, say which, and carry until standard input ends."""
    proxy = Proxy(int(port), float(one_way_s))
    server = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    thread = threading.Thread(target=obey, args=(proxy,), daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
