# SPDX-License-Identifier: Apache-2.0
"""
A pcscd of our own with virtual readers: nothing of the host's PC/SC is used or disturbed.

pcscd takes its socket as systemd would hand it over, so that any number can run side by side and
without root where /run/pcscd can be had. vpcd keeps its slots in globals, so that each pair of
slots has a copy of the driver. Programs reach it through the variable PCSCLITE_CSOCK_NAME;
libpcsclite reads that once per process, so one process sees one bench, at one path, for life.
"""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn, Self

import pytest

SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
START_S = 10.0
_ABSENT, _PRESENT = 2, 4
_STATES = struct.Struct("=128sIIi33s3xII")
_ALWAYS_ON_PATH = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_DRIVER_FOLDERS = ("/usr/lib/pcsc/drivers", "/usr/local/lib/pcsc/drivers")


def missing() -> list[str]:
    """Name what the bench needs and this host does not have, with the Debian package."""
    lacks: list[str] = []
    if _daemon() is None:
        lacks.append("pcscd (apt install pcscd)")
    if _driver() is None:
        lacks.append("vpcd's driver (apt install vsmartcard-vpcd)")
    try:
        import smartcard.scard  # noqa: F401, PLC0415, TID251 - whether it is there is the question
    except ImportError:
        lacks.append("pyscard (pip install pyscard)")
    return lacks


def _daemon() -> str | None:
    path = os.pathsep.join((os.environ.get("PATH", ""), *_ALWAYS_ON_PATH))
    return shutil.which("pcscd", path=path)


def _driver() -> Path | None:
    for folder in _DRIVER_FOLDERS:
        for found in sorted(Path(folder).rglob("libifdvpcd.so")):
            return found
    return None


def require() -> None:
    """Skip the test that calls it where the bench cannot be, by name; with CI=true, fail."""
    lacks = missing()
    if lacks:
        refuse(f"no private pcscd on this host; missing: {', '.join(lacks)}")


def refuse(reason: str) -> NoReturn:
    """Skip, or fail where CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class BenchError(Exception):
    """The bench could not be brought up; the text has the end of pcscd's log."""


class Slot:
    """One virtual reader: the name that PC/SC shows, and the port where a card enters it."""

    def __init__(self, reader: str, port: int) -> None:
        self.reader = reader
        self.port = port


class Bench:
    """
    A private pcscd.

    Args:
        pairs: Pairs of slots, each one a reader with two slots; 8 at most.
        folder: Where all files go; the socket's path must stay below 108 octets.
        name: Name of the readers; a letter, the index and the slot follow.

    Use it as a context manager, or `start` and `close` it.
    """

    def __init__(self, pairs: int = 1, folder: Path | None = None, name: str = "Bench") -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="wsrc-pcscd-"))
        self.socket_path = self.folder / "pcscd.comm"
        self.slots: list[Slot] = []
        self._pairs = pairs
        self._name = name
        self._daemon: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """Environment of a program that is to use this bench."""
        return {**os.environ, SOCKET_VARIABLE: str(self.socket_path)}

    @property
    def patterns(self) -> list[str]:
        """Patterns of the bench's readers; a pcscd of our own finds USB readers of the host too."""
        return [f"{self._name} *"]

    @property
    def running(self) -> bool:
        """Whether pcscd lives."""
        return self._daemon is not None and self._daemon.poll() is None

    def slot(self, number: int = 0) -> Slot:
        """Return a slot by its number over all pairs."""
        return self.slots[number]

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The daemon, if one was started."""
        return self._daemon

    def start(self, attempts: int = 5) -> None:
        """
        Start pcscd and wait for its readers.

        Ports are kept from one start to the next, unless another program took one meanwhile.
        """
        for attempt in range(attempts):
            if not self.slots or attempt:
                self._configure()
            self._spawn()
            with contextlib.suppress(AssertionError):
                wait_until(lambda: self._ready() or not self.running, START_S, "pcscd is ready")
            if self._ready():
                return
            self.kill()
        raise BenchError(f"pcscd does not show its readers:\n{self.log()[-3000:]}")

    def wait_present(self, slot: Slot) -> None:
        """Wait until pcscd has noticed the card in a slot; it looks every 400 ms."""
        self._wait_state(slot, _PRESENT)

    def wait_empty(self, slot: Slot) -> None:
        """Wait until pcscd has noticed that a slot is empty."""
        self._wait_state(slot, _ABSENT)

    def _wait_state(self, slot: Slot, bit: int) -> None:
        def is_so() -> bool:
            return bool(reader_states(self.socket_path).get(slot.reader, 0) & bit)

        wait_until(is_so, START_S, f"{slot.reader} is in pcscd's state {bit}")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End pcscd by a signal, as a crash (SIGKILL) or systemd (SIGTERM) would."""
        if self._daemon is not None:
            self._daemon.send_signal(number)
            try:
                self._daemon.wait(10)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait(10)
            self._forget_pid(self._daemon.pid)
        self._daemon = None
        self.socket_path.unlink(missing_ok=True)

    def restart(self, number: int = signal.SIGKILL) -> None:
        """End pcscd and start it again at the same socket and with the same ports."""
        self.kill(number)
        self.start()

    def close(self) -> None:
        """End pcscd and remove what the bench made."""
        self.kill()
        if self._log is not None:
            self._log.close()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """Return pcscd's log."""
        file = self.folder / "pcscd.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _configure(self) -> None:
        """Write the reader configuration: a copy of the driver and two ports for each pair."""
        driver = _driver()
        if driver is None:
            raise BenchError("vpcd's driver is missing: apt install vsmartcard-vpcd")
        readers = self.folder / "reader.conf.d"
        readers.mkdir(parents=True, exist_ok=True)
        self.slots = []
        for pair in range(self._pairs):
            copy = self.folder / f"libifdvpcd-{pair}.so"
            shutil.copyfile(driver, copy)
            port = _two_free_ports({slot.port for slot in self.slots})
            label = f"{self._name} {chr(ord('A') + pair)}"
            (readers / f"pair{pair}").write_text(
                f'FRIENDLYNAME "{label}"\nDEVICENAME /dev/null:{port:#x}\n'
                f"LIBPATH {copy}\nCHANNELID {port:#x}\n",
                encoding="utf-8",
            )
            self.slots += [Slot(f"{label} 00 {slot:02X}", port + slot) for slot in range(2)]

    def _spawn(self) -> None:
        daemon = _daemon()
        if daemon is None:
            raise BenchError("pcscd is missing: apt install pcscd")
        if self._log is None:
            self._log = (self.folder / "pcscd.log").open("ab")
        self.socket_path.unlink(missing_ok=True)
        script = (
            "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; "
            'exec "$0" --foreground --config "$1"'
        )
        command = ["sh", "-c", script, daemon, str(self.folder / "reader.conf.d")]
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket_path))
            self.socket_path.chmod(0o600)
            listener.listen(64)
            self._daemon = subprocess.Popen(
                [*_run_folder_wrapper(), *command],
                stdin=listener.fileno(),
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )

    def _ready(self) -> bool:
        if not self.running:
            return False
        names = reader_states(self.socket_path).keys()
        return {slot.reader for slot in self.slots} <= names

    def _forget_pid(self, pid: int) -> None:
        """Remove the pid file that pcscd leaves behind when it is killed."""
        file = Path("/run/pcscd/pcscd.pid")
        with contextlib.suppress(OSError, ValueError):
            if int(file.read_text()) == pid:
                file.unlink()


def _run_folder_wrapper() -> list[str]:
    """Give an ordinary user a /run/pcscd of his own, which pcscd insists on."""
    if os.geteuid() == 0 or Path("/run/pcscd").is_dir():
        return []
    inside = 'mount -t tmpfs none /run && mkdir /run/pcscd && exec "$0" "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside]


def _two_free_ports(taken: set[int]) -> int:
    """Return the first of two neighbouring TCP ports that nobody listens on."""
    for _ in range(200):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                second.bind(("", port + 1))
                if not {port, port + 1} & taken:
                    return int(port)
    raise BenchError("no two neighbouring TCP ports are free")


def reader_states(socket_path: Path, timeout_s: float = 5.0) -> dict[str, int]:
    """
    Ask a pcscd for its readers in libpcsclite's own protocol (4:4); none if it is away.

    The states are pcscd's: 2 no card, 4 card (with 10h powered).
    """
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(timeout_s)
            line.connect(str(socket_path))
            line.sendall(struct.pack("=IIiiI", 12, 0x11, 4, 4, 0))
            _receive(line, 12)
            line.sendall(struct.pack("=II", 0, 0x12))
            table = _receive(line, 16 * _STATES.size)
    except OSError:
        return {}
    rows = (
        (row[0].split(b"\0")[0].decode(errors="surrogateescape"), row[2])
        for row in _STATES.iter_unpack(table)
    )
    return {name: state for name, state in rows if name}


def _receive(line: socket.socket, count: int) -> bytes:
    octets = b""
    while len(octets) < count:
        more = line.recv(count - len(octets))
        if not more:
            raise ConnectionError("pcscd closed the connection")
        octets += more
    return octets


def wait_until(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Look again and again until it is true, for so long at most."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"not in {timeout_s} s: {what}"
        time.sleep(0.005)
