# SPDX-License-Identifier: Apache-2.0
"""
Show several servers that serve as one, on one machine: `make cluster`.

Starts three servers of NATS, three nodes and three card hosts, all with TLS; takes the card of each
host through another node, and tags one; kills the node of a card, and then that of a user, in the
middle of a command; and tells what happens. Arguments are settings of the nodes. Whichever way it
ends, it leaves no process and no file.
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from demo import require, say
from stage import BIN, COMMAND_S, START_S, DemoError, Program, Signals, Stage

NODES = ("node-a", "node-b", "node-c")
PERMISSIONS = Path(__file__).parents[1] / "nats" / "nodes.conf"

SELECT_MF, SELECT_ICCID, READ = "00A4000C023F00", "00A4000C022FE2", "00B000000A"
TAG = "bench=7"
READ_S = 3.0
"""How long the card takes for READ BINARY, so that it can be interrupted."""

MET_S = 20.0
"""How long nodes may take to know each other."""

ICCIDS = {name: f"898820100004003{n}00" for n, name in enumerate(NODES, 1)}


class Node(NamedTuple):
    """A node that runs, and where users and card hosts find it."""

    name: str
    program: Program
    user_port: int
    card_port: int


class Door:
    """
    An address that leads to one of several ports: to the first that answers.

    It stands for a name with several addresses, or for a balancer. Its connections are carried by
    an event loop in a thread of its own, until `close`.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._carry, "localhost", 0)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End all connections."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(COMMAND_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(COMMAND_S)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_pump(reader, far_writer))
                tasks.create_task(_pump(far_reader, writer))
        finally:
            writer.transport.abort()
            far_writer.transport.abort()

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for port in self._ports[:-1]:
            try:
                return await asyncio.open_connection("localhost", port)
            except OSError:
                continue
        return await asyncio.open_connection("localhost", self._ports[-1])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry one way until either end is lost."""
    try:
        while octets := await reader.read(65_536):
            writer.write(octets)
            await writer.drain()
    except OSError:
        pass
    writer.transport.abort()


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody has."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]


def make_certificates(stage: Stage) -> None:
    """Make a CA, a certificate for all servers, and one for each node."""
    servers = ["server", "localhost", "127.0.0.1", "::1"]
    for made in (["init"], servers, *(["node", name] for name in NODES)):
        making = stage.start("wsrc-certs", *made, "--dir", ".")
        if making.wait(START_S):
            making.fail("could not make a certificate")


def start_nats(stage: Stage, program: str) -> list[str]:
    """Start three servers of NATS that know each other, and return their URLs."""
    ports = free_ports(6)
    clients, routes = ports[:3], ports[3:]
    shutil.copy(PERMISSIONS, stage.folder / "nodes.conf")
    known = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    for number, (client, route) in enumerate(zip(clients, routes, strict=True), 1):
        config = f"nats-{number}.conf"
        text = (
            f"server_name: nats-{number}\nlisten: 127.0.0.1:{client}\n"
            "tls { cert_file: localhost.pem, key_file: localhost-key.pem, ca_file: ca.pem, "
            "verify_and_map: true }\n"
            f"cluster {{ name: wsrc, listen: 127.0.0.1:{route}, routes: [{known}] }}\n"
            f'jetstream {{ store_dir: "kept-{number}" }}\n'
            "include nodes.conf\n"
        )
        (stage.folder / config).write_text(text, encoding="utf-8")
        stage.start(program, "-c", config).line("Server is ready", START_S)
    return [f"tls://localhost:{port}" for port in clients]


def start_node(stage: Stage, name: str, urls: Sequence[str], settings: Sequence[str]) -> Node:
    """Start a node, and wait until it serves."""
    program = stage.start(
        "wsrc-server",
        *("--tls-cert", "localhost.pem", "--tls-key", "localhost-key.pem", "--no-http"),
        *("--user-port", "0", "--card-port", "0", "--node-name", name),
        *(each for url in urls for each in ("--cluster-url", url)),
        *("--cluster-ca", "ca.pem", "--cluster-cert", f"{name}.pem"),
        *("--cluster-key", f"{name}-key.pem", "--state-dir", f"state-{name}"),
        *("--state", "nats", "--state-key", "state.key"),
        *settings,
    )
    ready = program.line(r"Ready: users on \S+:(\d+)/user, card clients on \S+:(\d+)/card", START_S)
    return Node(name, program, int(ready[1]), int(ready[2]))


def start_card_host(stage: Stage, name: str, door: Door) -> None:
    """Start a host with a card whose READ BINARY takes long."""
    faults = f'[faults]\ndelay_s = {READ_S}\nonly = "00b0"\n'
    card = f'kind = "uicc"\niccid = "{ICCIDS[name]}"\n{faults}'
    (stage.folder / f"{name}.toml").write_text(card, encoding="utf-8")
    client = stage.start(
        "wsrc-card-client",
        *("--server-url", f"wss://localhost:{door.port}", "--name", f"host-of-{name}"),
        *("--simulated", f"{name}.toml", "--no-pcsc", "--reconnect-min-s", "0.2"),
        STATE_DIRECTORY=str(stage.folder / f"host-{name}"),
    )
    client.line("has card", START_S)


class User:
    """A user whose way leads to a node, and to the next when that is gone."""

    def __init__(self, stage: Stage, door: Door) -> None:
        self._stage = stage
        self._url = f"wss://localhost:{door.port}"

    def start(self, *arguments: str) -> Program:
        """Show a command and start it."""
        print(f"$ wsrc {' '.join(arguments)}", flush=True)
        return self._stage.start("wsrc", *arguments, WSRC_SERVER_URL=self._url, WSRC_NAME="user")

    def run(self, *arguments: str) -> list[str]:
        """Show a command, run it, show what it prints, and return that."""
        return finished(self.start(*arguments))

    def sees(self, iccids: Sequence[str]) -> None:
        """Wait until the user's node lists these cards."""
        deadline = time.monotonic() + MET_S
        while True:
            asked = self._stage.start("wsrc", "list", WSRC_SERVER_URL=self._url)
            asked.wait()
            if all(any(iccid in line for line in asked.lines) for iccid in iccids):
                return
            if time.monotonic() > deadline:
                asked.fail("does not show the cards of all nodes")


def finished(program: Program) -> list[str]:
    """Wait for the end of a command, show what it printed, and return that."""
    status = program.wait()
    print("\n".join(program.lines), end="\n\n", flush=True)
    if status:
        program.fail(f"ended with status {status}")
    return program.lines


def show(doors: dict[str, tuple[Door, Door]], nodes: dict[str, Node], stage: Stage) -> None:
    """Take each card through another node, and kill two nodes in the middle of commands."""
    users = {name: User(stage, users) for name, (users, _) in doors.items()}
    for user in users.values():
        user.sees(list(ICCIDS.values()))
    say("1. A user of node-a is shown the cards of all nodes.")
    require(users["node-a"].run("list"), *ICCIDS.values())
    say("2. Each card is taken through a node that it is not with.")
    for name, other in zip(NODES, (*NODES[1:], NODES[0]), strict=True):
        print(f"   The card of {other}, by way of {name}:")
        read = users[name].run("apdu", "--iccid", ICCIDS[other], SELECT_MF, SELECT_ICCID, READ)
        require(read, "9000")
    a, b, c = (nodes[name] for name in NODES)
    say("   A tag of a card is set by way of a node that it is not with.")
    require(users["node-c"].run("tag", ICCIDS["node-b"], TAG), TAG)
    say(f"3. READ BINARY takes {READ_S:g} s. In the middle of it the node of the card is killed.")
    kill(users["node-a"], b, b)
    say("   Its card host came to another node, and the session went on there.")
    say("4. In the middle of the next one the node of the user is killed.")
    kill(users["node-a"], c, a)
    say("   The user went on by the node that is left.")
    say("5. Two of three nodes are gone. The tag is still there.")
    require(users["node-c"].run("list", "--tag", TAG), ICCIDS["node-b"])


def kill(user: User, owner: Node, victim: Node) -> None:
    """Kill a node while a card that is with `owner` runs a command."""
    owner.program.skip()
    running = user.start("apdu", "--iccid", ICCIDS[owner.name], SELECT_MF, SELECT_ICCID, READ)
    owner.program.line(" took ", START_S)
    time.sleep(READ_S / 2)
    victim.program.process.kill()
    print(f"({victim.name} is killed)", flush=True)
    require(finished(running), "9000")


def perform(stage: Stage, program: str, settings: Sequence[str], doors: ExitStack) -> None:
    """Show everything."""
    make_certificates(stage)
    secret = stage.folder / "state.key"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32), encoding="ascii")
    urls = start_nats(stage, program)
    nodes = {name: start_node(stage, name, urls, settings) for name in NODES}
    say(
        "Three servers of NATS, three nodes of a cluster, and a host with a card at each node:\n"
        + "\n".join(
            f"  {node.name}  users {node.user_port}, card hosts {node.card_port}"
            for node in nodes.values()
        )
    )
    ways: dict[str, tuple[Door, Door]] = {}
    for number, name in enumerate(NODES):
        order = [nodes[each] for each in (*NODES[number:], *NODES[:number])]
        ways[name] = (Door([n.user_port for n in order]), Door([n.card_port for n in order]))
        for door in ways[name]:
            doors.callback(door.close)
        start_card_host(stage, name, ways[name][1])
    show(ways, nodes, stage)
    say("That was all. Every program is stopped, and nothing is left behind.")


def main(arguments: Sequence[str]) -> int:
    """Run it and give an exit status."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    program = shutil.which("nats-server", path=path)
    if program is None or not (BIN / "wsrc-server").exists():
        print("cluster: nats-server or WSRC is missing; run `make cluster`.", file=sys.stderr)
        return 2
    signals = Signals()
    stage = Stage(signals)
    status = 0
    doors = ExitStack()
    try:
        perform(stage, program, arguments, doors)
    except KeyboardInterrupt:
        status = 128 + (signals.seen or signal.SIGINT)
        print("\nStopping: no process and no file is left behind.", flush=True)
    except (DemoError, subprocess.SubprocessError, OSError) as exc:
        status = 1
        print(f"\ncluster: {exc}", file=sys.stderr)
    finally:
        stage.close()
        doors.close()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
