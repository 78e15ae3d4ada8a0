# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured, each a process of its own: ours and those beside it."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import accounting
from tests.bench.driver import Driver, MissingError
from tests.support.certificates import Certificates
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.processes import Program, environment

BIN = Path(sys.executable).parent

OCTETS = 128
"""Octets of a command, and of an answer, of the raw relays: what ours have with their frame."""


class Host(NamedTuple):
    """What all programs of a run share."""

    certificates: Certificates
    folder: Path
    profile: bool = False


class Server(NamedTuple):
    """A server that runs."""

    name: str
    program: Program
    user_port: int
    card_port: int
    pids: Sequence[int]

    @property
    def cpu_s(self) -> float:
        return sum(accounting.cpu_s(pid) for pid in self.pids)


class Candidate(NamedTuple):
    """A kind of server, and how the driver speaks with it."""

    name: str
    dialect: str
    start: Callable[[Host, bool], Server]
    options: dict[str, object]
    listens: bool = False
    """Whether the cards wait for the server to connect."""


def clean() -> dict[str, str]:
    """Return the environment of a program as an installation has it."""
    kept = environment()
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONASYNCIODEBUG"):
        kept.pop(name, None)
    return kept | {"PYTHONPATH": str(ROOT)}


def fast_modules() -> list[str]:
    """Return the modules that the extra `fast` brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    given = project["optional-dependencies"]["fast"]
    return [re.split(r"[^A-Za-z0-9_-]", each)[0] for each in given]


def python(module: str, *, without: Sequence[str] = ()) -> list[str]:
    """Return the command that runs `main` of a module, as if some packages were not installed."""
    blocked = "".join(f"sys.modules[{name!r}] = None; " for name in without)
    return [sys.executable, "-c", f"import sys; {blocked}from {module} import main; main()"]


def wsrc_server(
    host: Host,
    tls: bool,
    *arguments: str,
    fast: bool = True,
    env: dict[str, str] | None = None,
    module: str = "wsrc.server.cli",
) -> Server:
    """Start our server as it comes, or by another module that runs it, on free ports."""
    ends = ["--no-tls"]
    if tls:
        files = host.certificates
        ends = ["--tls-cert", str(files.cert), "--tls-key", str(files.key)]
    command = python(module, without=() if fast else fast_modules())
    given = ["--host", "127.0.0.1", "--user-port", "0", "--card-port", "0", *ends, *arguments]
    program = Program([*command, *given], clean() | (env or {}))
    found = program.wait_for(r"Ready: users on \S+:(\d+)/user, card clients on \S+:(\d+)/card")
    name = "wsrc" if fast else "wsrc-plain"
    return Server(name, program, int(found[1]), int(found[2]), [program.process.pid])


def peer(name: str, module: str) -> Callable[[Host, bool], Server]:
    """Return what starts a relay that stands beside ours."""

    def start(host: Host, tls: bool) -> Server:
        files = host.certificates
        given = [str(files.cert), str(files.key)] if tls else ["-", "-"]
        program = Program([sys.executable, "-m", module, *given], clean())
        port = int(program.wait_for(r"Ready: (\d+)")[1])
        return Server(name, program, port, port, [program.process.pid])

    return start


def nginx() -> tuple[str, str] | None:
    """Return the program and its stream module, empty where that is built in; None without."""
    program = os.environ.get("NGINX") or shutil.which(
        "nginx", path=os.environ["PATH"] + ":/usr/sbin"
    )
    if program is None:
        return None
    module = Path(program).resolve().parents[1] / "lib/nginx/modules/ngx_stream_module.so"
    shown = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr
    if module.exists():
        return program, str(module)
    return (program, "") if re.search(r"--with-stream(?!\S)", shown) else None


def start_nginx(host: Host, tls: bool) -> Server:
    """Start nginx as a relay of octets: it takes users, and connects to cards that listen."""
    found = nginx()
    if found is None:
        raise MissingError("there is no nginx with its stream module")
    program, module = found
    user_port, card_port = free_port(), free_port()
    files = host.certificates
    secured = (
        f"ssl_certificate {files.cert}; ssl_certificate_key {files.key}; ssl_protocols TLSv1.3;\n"
        "proxy_ssl on; proxy_ssl_protocols TLSv1.3;\n"
    )
    config = host.folder / f"nginx-{user_port}.conf"
    config.write_text(
        (f"load_module {module};\n" if module else "")
        + f"daemon off; master_process off; pid {host.folder}/nginx-{user_port}.pid;\n"
        f"error_log {host.folder}/nginx-{user_port}.log; worker_rlimit_nofile 20000;\n"
        "events { worker_connections 12000; }\n"
        "stream { server { tcp_nodelay on;\n"
        f"listen 127.0.0.1:{user_port}{' ssl' if tls else ''} backlog=4096;\n"
        f"proxy_pass 127.0.0.1:{card_port};\n{secured if tls else ''}}} }}\n",
        encoding="utf-8",
    )
    running = Program([program, "-c", str(config), "-p", str(host.folder)], clean())
    return Server("nginx", running, user_port, card_port, [running.process.pid])


WSRC = Candidate("wsrc", "wsrc", wsrc_server, {})
PLAIN = Candidate("wsrc-plain", "wsrc", lambda host, tls: wsrc_server(host, tls, fast=False), {})
FIRST = Candidate("a", "first", peer("a", "tests.bench.peers.first_shape"), {"deflate": 1})
BARE = Candidate("b", "raw", peer("b", "tests.bench.peers.bare"), {"greet": 1, "octets": OCTETS})
NGINX = Candidate("nginx", "raw", start_nginx, {"octets": OCTETS}, listens=True)


def candidates() -> list[Candidate]:
    """Return what can be measured on this host."""
    return [WSRC, PLAIN, FIRST, BARE, *([NGINX] if nginx() else [])]


@contextlib.contextmanager
def running(host: Host, candidate: Candidate, *, tls: bool) -> Iterator[Server]:
    """Run a server on the processor for servers."""
    server = candidate.start(host, tls)
    try:
        accounting.pin(server.pids, accounting.processors()[0])
        yield server
    finally:
        if server.program.process.poll() is None:
            server.program.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.program.process.wait(20)
        server.program.close()


@contextlib.contextmanager
def driven(
    host: Host, candidate: Candidate, server: Server, sessions: int, *, tls: bool
) -> Iterator[tuple[Driver, Driver]]:
    """Connect cards and users to a server, each kind a process on the other processor."""
    options = dict(candidate.options)
    trust: dict[str, object] = {"ca": host.certificates.ca} if tls else {}
    of_cards = trust
    if candidate.listens:
        of_cards = {"listen": 1}
        if tls:
            of_cards |= {"cert": host.certificates.cert, "key": host.certificates.key}
    with (
        Driver(
            "cards", candidate.dialect, server.card_port, sessions, **options, **of_cards
        ) as cards,
        Driver("users", candidate.dialect, server.user_port, sessions, **options, **trust) as users,
    ):
        accounting.pin([cards.process.pid, users.process.pid], accounting.processors()[1])
        cards.ask("open")
        users.ask("open")
        yield cards, users
