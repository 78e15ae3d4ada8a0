# SPDX-License-Identifier: Apache-2.0
"""The whole way of a command on one host, and the system calls of each program on it."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import programs
from tests.bench.book import Book
from tests.bench.calls import class_of, counted
from tests.bench.driver import Driver, MissingError, Orders
from tests.bench.programs import BIN, Host, Server
from tests.support.pcsc.bench import SOCKET_VARIABLE, Bench, missing
from tests.support.processes import Program
from wsrc.card.identity import luhn_digit

COMMANDS = 300
TRACED = 400
WORKER = str(Path(__file__).with_name("worker.py"))
READ = "00b082000a"


def iccids(count: int) -> list[str]:
    """Return ICCIDs whose check digit is right, as simulated cards have them."""
    stems = [f"89882110000000{number:04}" for number in range(1, count + 1)]
    return [stem + luhn_digit(stem) for stem in stems]


@contextlib.contextmanager
def card_client(
    host: Host, server: Server, *arguments: str, env: dict[str, str] | None = None
) -> Iterator[Program]:
    """Run our card client as it comes."""
    url = f"wss://localhost:{server.card_port}/card"
    given = ["--server-url", url, "--tls-ca", str(host.certificates.ca), "--name", "bench"]
    command = [str(BIN / "wsrc-card-client"), *given, *arguments]
    state = {"STATE_DIRECTORY": str(host.folder)}
    program = Program(command, programs.clean() | state | (env or {}))
    try:
        program.wait_for("Connected to")
        yield program
    finally:
        program.process.terminate()
        program.process.wait(20)
        program.close()


def user_environment(host: Host, server: Server) -> dict[str, str]:
    """Return the environment in which our user clients find the server, and seal nothing."""
    return programs.clean() | {
        "WSRC_SEAL": "off",
        "WSRC_SERVER_URL": f"wss://localhost:{server.user_port}/user",
        "WSRC_TLS_CA": str(host.certificates.ca),
    }


SEALS = ("--seal", "preferred")
"""What a card client is given whose sessions can be sealed."""


def sealing(env: dict[str, str], host: Host) -> dict[str, str]:
    """Return an environment in which users have their sessions sealed."""
    known = str(host.folder / "known_hosts")
    return env | {"WSRC_SEAL": "required", "WSRC_KNOWN_HOSTS": known}


def worker(kind: str, name: str, env: dict[str, str]) -> Orders:
    """Start a user that takes orders."""
    return Orders([sys.executable, WORKER, kind, name], env)


def through_socket(iccid: str, env: dict[str, str]) -> Orders:
    """Start a user of PC/SC within `wsrc pcsc run`."""
    run = [str(BIN / "wsrc"), "pcsc", "run", "--iccid", iccid, "--"]
    return Orders([*run, sys.executable, WORKER, "pcsc"], env)


def simulated(folder: Path, names: list[str], files: str = "") -> list[str]:
    """
    Return the arguments of a card client that has simulated cards with these ICCIDs.

    `files` are what they have besides, as in the description of such a card.
    """
    arguments = ["--no-pcsc"]
    for name in names:
        file = folder / f"{name}.toml"
        file.write_text(f'kind = "uicc"\niccid = "{name}"\n{files}', encoding="utf-8")
        arguments += ["--simulated", str(file)]
    return arguments


def _number(iccid: str) -> int:
    """Return the number by which the driver knows the card with an ICCID."""
    return int(iccid.removeprefix("8988211"))


@contextlib.contextmanager
def running_pcscd(host: Host, names: list[str]) -> Iterator[Bench]:
    """Run a pcscd with a card in each of its first slots, each a process."""
    lacks = missing()
    if lacks:
        raise MissingError(f"there is no pcscd to measure beside; missing: {', '.join(lacks)}")
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(Bench(pairs=(len(names) + 1) // 2))
        for name, slot in zip(names, bench.slots, strict=False):
            command = [sys.executable, "-m", "tests.bench.card", str(slot.port), name]
            card = Program(command, programs.clean())
            stack.callback(card.close)
            bench.wait_present(slot)
        yield bench


def path(book: Book) -> None:
    """Measure one session at a time: `path.NAME_us`, and `path.added.NAME_us` to direct PC/SC."""
    host = book.host
    direct, *others = iccids(5)
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(running_pcscd(host, [direct, *others]))
        server = stack.enter_context(programs.running(host, programs.WSRC, tls=True))
        socket = {SOCKET_VARIABLE: str(bench.socket_path)}
        included = [each for slot in bench.slots[1:5] for each in ("--reader-include", slot.reader)]
        client = stack.enter_context(card_client(host, server, *included, env=socket))
        client.wait_for("has card", len(others))
        env = user_environment(host, server)
        kinds = {
            "direct": worker("pcsc", bench.slots[0].reader, env | socket),
            "aio": worker("aio", others[0], env),
            "blocking": worker("blocking", others[1], env),
            "pcsc_run": through_socket(others[2], env),
            "vpcd": stack.enter_context(_through_vpcd(others[3], env)),
        }
        for each in kinds.values():
            stack.enter_context(each)
            each.answer()
        _take_turns(book, "path", kinds)
    for name in ("aio", "blocking", "pcsc_run", "vpcd"):
        for mine, theirs in zip(
            book.values[f"path.{name}_us"], book.values["path.direct_us"], strict=True
        ):
            book.add(f"path.added.{name}_us", mine - theirs)


@contextlib.contextmanager
def _through_vpcd(iccid: str, env: dict[str, str]) -> Iterator[Orders]:
    """Start a user of another pcscd, into which `wsrc vpcd` puts the card."""
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(Bench(name="Other"))
        slot = bench.slots[0]
        command = [str(BIN / "wsrc"), "vpcd", "--iccid", iccid, "--port", str(slot.port)]
        bridge = Program(command, env)
        stack.callback(bridge.close)
        bench.wait_present(slot)
        yield worker("pcsc", slot.reader, env | {SOCKET_VARIABLE: str(bench.socket_path)})


def _take_turns(book: Book, row: str, kinds: dict[str, Orders]) -> None:
    """Let each send commands in turn, round by round; the first round warms up."""
    for number in range(book.effort.rounds + 3):
        book.tell(f"round {number}: {row}")
        for name, each in kinds.items():
            p50_us = each.ask(f"times {COMMANDS}")["p50_us"]
            if number:
                book.add(f"{row}.{name}_us", p50_us)


def hops(book: Book) -> None:
    """Exchange the ends for ours one by one, `hops.USER_CARD_us`: c is the driver."""
    host = book.host
    names = iccids(4)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(programs.running(host, programs.WSRC, tls=True))
        ours = simulated(host.folder, names)
        stack.enter_context(card_client(host, server, *ours)).wait_for("has card", len(names))
        trust = {"ca": host.certificates.ca, "command": READ}
        cards = stack.enter_context(Driver("cards", "wsrc", server.card_port, 3, **trust))
        cards.ask("open")
        env = user_environment(host, server)
        far = {"first": _number(names[0]), **trust}
        kinds: dict[str, Orders] = {
            "c_c": Driver("users", "wsrc", server.user_port, 1, **trust),
            "c_ours": Driver("users", "wsrc", server.user_port, 1, **far),
            "aio_ours": worker("aio", names[1], env),
            "blocking_ours": worker("blocking", names[2], env),
            "aio_c": worker("aio", f"8988211{1:012}", env),
            "blocking_c": worker("blocking", f"8988211{2:012}", env),
        }
        for name, each in kinds.items():
            stack.enter_context(each)
            if name.startswith("c_"):
                each.order("open")
            each.answer()
        _take_turns(book, "hops", kinds)


def calls(book: Book) -> None:
    """Count the system calls of each program for a command: `calls.NAME`, `calls.NAME.CLASS`."""
    host = book.host
    names = iccids(4)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(programs.running(host, programs.WSRC, tls=True))
        ours = simulated(host.folder, names)
        client = stack.enter_context(card_client(host, server, *SEALS, *ours))
        client.wait_for("has card", len(names))
        env = user_environment(host, server)
        users = {
            "aio": worker("aio", names[0], env),
            "blocking": worker("blocking", names[1], env),
            "aio_sealed": worker("aio", names[3], sealing(env, host)),
        }
        with contextlib.suppress(ImportError):
            import smartcard.scard  # noqa: F401, PLC0415, TID251 - whether it is there

            users["pcsc_run"] = through_socket(names[2], env)
        for each in users.values():
            stack.enter_context(each)
            each.answer()
            each.ask("times 50")
        found = {name: each.process.pid for name, each in users.items()}
        found |= {"server": server.pids[0], "card_client": client.process.pid}
        for name, pid in found.items():
            book.tell(f"system calls: {name}")
            asked = users.get(name, users["aio"])
            with counted(pid) as counter:
                asked.ask(f"times {TRACED}")
            book.add(f"calls.{name}", counter.total() / TRACED)
            for call, count in counter.items():
                if count >= TRACED / 20:
                    book.add(f"calls.{name}.{class_of(call)}.{call}", count / TRACED)
