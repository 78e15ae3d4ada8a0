# SPDX-License-Identifier: Apache-2.0
"""Sockets that systemd hands over to a server, as it does: by descriptors and variables."""

import fcntl
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from urllib.request import urlopen

import pytest

from tests.support.certificates import Certificates
from tests.support.processes import LIMIT_S, Program, argv, environment

HAND_OVER = """
import os, sys
count, names, pid, numbers = sys.argv[1:5]
for at, number in enumerate(map(int, numbers.split(","))):
    os.dup2(number, 3 + at)
os.environ.update(LISTEN_FDS=count, LISTEN_FDNAMES=names, LISTEN_PID=pid or str(os.getpid()))
os.execv(sys.argv[5], sys.argv[5:])
"""
"""What systemd does between fork and exec, as its arguments say."""

BOTH = "user:card"
NO_CARDS = '{"cards": []}\n'
READY = r"Ready: users on \S+:(\d+)/user, card clients on \S+:(\d+)/card"


class Sockets:
    """Sockets that are ours for the test, at numbers above those that they are handed over at."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.ports: list[int] = []

    def add(self, each: socket.socket) -> None:
        with each:
            self.numbers.append(fcntl.fcntl(each.fileno(), fcntl.F_DUPFD_CLOEXEC, 100))
            with suppress(IndexError):
                self.ports.append(each.getsockname()[1])

    def command(
        self, *options: str, names: str = BOTH, count: str = "", pid: str = ""
    ) -> list[str]:
        numbers = ",".join(map(str, self.numbers))
        how = [count or str(len(self.numbers)), names, pid, numbers]
        return [sys.executable, "-c", HAND_OVER, *how, *argv("wsrc-server", *options)]


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    made = Sockets()
    yield made
    for number in made.numbers:
        os.close(number)


@pytest.fixture
def pair(sockets: Sockets) -> Sockets:
    for _ in range(2):
        sockets.add(socket.create_server(("127.0.0.1", 0)))
    return sockets


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def refusal(sockets: Sockets, *options: str, **how: str) -> str:
    """Return the line with which a server refuses to start."""
    done = subprocess.run(
        sockets.command(*options, **how),
        env=environment(),
        pass_fds=sockets.numbers,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    [line] = done.stderr.splitlines()
    return line


def listing(port: int) -> "subprocess.Popen[str]":
    command = argv("wsrc", "list", "--server-url", f"ws://127.0.0.1:{port}", "--json")
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


def ended(user: "subprocess.Popen[str]") -> str:
    said, _ = user.communicate(timeout=LIMIT_S)
    assert user.returncode == 0
    return said


def test_a_server_serves_both_kinds_on_what_it_is_handed(pair: Sockets, stack: ExitStack) -> None:
    taken = ("--user-port", str(pair.ports[1]), "--card-port", str(pair.ports[0]))
    command = pair.command("--no-tls", *taken)
    server = Program(command, environment(), descriptors=pair.numbers)
    stack.callback(server.close)
    users, cards = pair.ports
    assert [int(each) for each in server.wait_for(READY).groups()] == [users, cards]
    url = ("--server-url", f"ws://127.0.0.1:{cards}/card")
    host = argv("wsrc-card-client", *url, "--no-pcsc", "--simulated", "default", "--name", "bench")
    client = Program(host, environment())
    stack.callback(client.close)
    client.wait_for(" UICC .* has card ")
    assert "8988211000000430010" in ended(listing(users))


def test_http_is_served_on_what_is_handed_over_for_it(pair: Sockets, stack: ExitStack) -> None:
    pair.add(socket.create_server(("127.0.0.1", 0)))
    command = pair.command("--no-tls", names=f"{BOTH}:http")
    server = Program(command, environment(), descriptors=pair.numbers)
    stack.callback(server.close)
    server.wait_for(READY)
    with urlopen(f"http://127.0.0.1:{pair.ports[2]}/healthz", timeout=LIMIT_S) as answer:
        assert answer.read() == b"ok\n"


def test_a_socket_for_http_is_refused_where_none_is_served(pair: Sockets) -> None:
    pair.add(socket.create_server(("127.0.0.1", 0)))
    line = refusal(pair, "--no-tls", "--no-http", names=f"{BOTH}:http")
    assert "'http', and no_http is set; mask wsrc-server-http.socket" in line


def test_http_on_a_network_is_closed_by_default_on_a_socket_too(pair: Sockets) -> None:
    pair.add(socket.create_server(("0.0.0.0", 0)))
    assert "0.0.0.0" in refusal(pair, "--no-tls", names=f"{BOTH}:http")


def test_whoever_connects_while_a_server_is_restarted_waits_and_is_served(
    pair: Sockets, stack: ExitStack
) -> None:
    command = pair.command("--no-tls")
    first = Program(command, environment(), descriptors=pair.numbers)
    stack.callback(first.close)
    first.wait_for(READY)
    assert first.end() == 0
    between = listing(pair.ports[0])
    second = Program(command, environment(), descriptors=pair.numbers)
    stack.callback(second.close)
    assert ended(between) == NO_CARDS
    second.wait_for("user client .* connected")


def test_a_server_is_closed_by_default_on_sockets_too(sockets: Sockets) -> None:
    for host in ("127.0.0.1", "0.0.0.0"):
        sockets.add(socket.create_server((host, 0)))
    assert "without TLS the server listens on loopback only, and 0.0.0.0" in refusal(
        sockets, "--no-tls"
    )


def test_with_tls_it_wants_to_know_who_comes(sockets: Sockets, certificates: Certificates) -> None:
    for host in ("0.0.0.0", "127.0.0.1"):
        sockets.add(socket.create_server((host, 0)))
    files = ("--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key))
    assert "whoever reaches 0.0.0.0 could use every card" in refusal(sockets, *files)


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"names": "user:wsrc-server-card.socket"}, "set FileDescriptorName= to "),
        ({"names": "user:user"}, "none is called 'card'; hand over those of users and of card"),
        ({"names": "user"}, "LISTEN_FDNAMES has 1 names for 2 sockets"),
        ({"names": "card:user:user", "count": "3"}, "descriptor 5 is no socket"),
        ({"count": "two"}, "LISTEN_FDS is 'two', and not a number of sockets"),
        ({"count": "0"}, "LISTEN_FDS is '0', and not a number of sockets"),
    ],
)
def test_what_is_handed_over_wrongly_is_said(pair: Sockets, how: dict[str, str], line: str) -> None:
    assert line in refusal(pair, "--no-tls", **how)


def test_what_is_no_listening_socket_of_tcp_is_said(sockets: Sockets) -> None:
    sockets.add(socket.create_server(("127.0.0.1", 0)))
    sockets.add(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    assert "that of 'card' is not of TCP; set ListenStream= to a port" in refusal(
        sockets, "--no-tls"
    )


def test_a_connection_is_none_to_listen_on(sockets: Sockets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        sockets.add(socket.create_connection(other.getsockname()))
        sockets.add(socket.create_server(("127.0.0.1", 0)))
        assert "that of 'user' is a connection; set Accept=no" in refusal(sockets, "--no-tls")


def test_what_was_handed_to_another_process_is_left_alone(pair: Sockets, stack: ExitStack) -> None:
    ports = ("--user-port", "0", "--card-port", "0")
    command = pair.command("--no-tls", *ports, pid="1")
    server = Program(command, environment(), descriptors=pair.numbers)
    stack.callback(server.close)
    assert int(server.wait_for(READY)[1]) not in pair.ports


ACTIVATE = shutil.which("systemd-socket-activate")


@pytest.mark.skipif(ACTIVATE is None, reason="systemd-socket-activate is not installed")
def test_it_is_started_by_the_first_who_connects(stack: ExitStack) -> None:
    assert ACTIVATE is not None
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = [each.getsockname()[1] for each in (one, two)]
    listen = [f"--listen=127.0.0.1:{port}" for port in ports]
    settings = ["-E", "PATH", "-E", "HOME", "-E", "PYTHONPATH"]
    command = [ACTIVATE, *listen, f"--fdname={BOTH}", *settings]
    activated = Program([*command, *argv("wsrc-server", "--no-tls")], environment())
    stack.callback(activated.close)
    activated.wait_for(r"Listening on .*:" + str(ports[1]))
    assert not re.search("Ready", activated.output)
    assert ended(listing(ports[0])) == NO_CARDS
    activated.wait_for(READY)
