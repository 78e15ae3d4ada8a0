# SPDX-License-Identifier: Apache-2.0
"""A private pcscd whose readers are described by a test, behind the driver of `driver.c`."""

import contextlib
import functools
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.ifd.calls import CallServer
from tests.support.ifd.reader import OddReader
from tests.support.pcsc.bench import Bench, BenchError, Slot, reader_states, refuse

MAX_READERS = 16
"""What pcscd has room for (2.5 and newer: more)."""

MAX_NAME_OCTETS = 121
"""What pcscd leaves of a FRIENDLYNAME; index and slot follow."""

_SOURCE = Path(__file__).with_name("driver.c")


def require_compiler() -> None:
    """Skip where the driver cannot be compiled; with CI=true, fail."""
    if shutil.which("gcc") is None or not Path("/usr/include/PCSC/ifdhandler.h").exists():
        refuse("no driver for odd readers; missing: apt install gcc libpcsclite-dev")


@functools.cache
def driver() -> bytes:
    """Return the driver, compiled once per process."""
    with tempfile.TemporaryDirectory(prefix="wsrc-ifd-") as folder:
        made = Path(folder) / "driver.so"
        command = f"gcc -Wall -Wextra -Werror -O1 -shared -fPIC -I/usr/include/PCSC -o {made}"
        subprocess.run([*shlex.split(command), str(_SOURCE), "-lpthread"], check=True, timeout=60)
        return made.read_bytes()


class IfdBench(Bench):
    """
    A pcscd with odd readers.

    Args:
        readers: In the order in which pcscd finds them.
        socket_path: Where programs find pcscd; the bench's own folder if None.
    """

    def __init__(self, readers: Sequence[OddReader], socket_path: Path | None = None) -> None:
        super().__init__(pairs=0)
        self.readers = list(readers)
        self._servers: list[CallServer] = []
        if socket_path is not None:
            self.socket_path = socket_path

    def name(self, reader: int = 0, slot: int = 0) -> str:
        """Return the name under which pcscd shows a slot."""
        octets = self.readers[reader].name[:MAX_NAME_OCTETS] + f" {reader:02X} {slot:02X}".encode()
        return octets.decode(errors="surrogateescape")

    def close(self) -> None:
        """End pcscd, then the readers."""
        self.kill()
        self._end_servers()
        super().close()

    def kill(self, number: int = 9) -> None:
        """End pcscd by a signal; the lines to its driver end with it."""
        super().kill(number)
        self._end_servers()

    def _spawn(self) -> None:
        self._configure()
        super()._spawn()

    def _configure(self) -> None:
        self._end_servers()
        config = self.folder / "reader.conf.d"
        config.mkdir(exist_ok=True)
        library = self.folder / "driver.so"
        library.write_bytes(driver())
        entries = []
        for number, reader in enumerate(self.readers):
            path = self.folder / f"reader{number}"
            path.unlink(missing_ok=True)
            server = CallServer(path, reader.answer)
            self._servers.append(server)
            reader.changed = server.changed
            entries.append(
                b'FRIENDLYNAME "%b"\nDEVICENAME %b\nLIBPATH %b\nCHANNELID %d\n'
                % (reader.name, str(path).encode(), str(library).encode(), number)
            )
        (config / "odd").write_bytes(b"\n".join(entries))
        self.slots = [
            Slot(self.name(number, slot), 0)
            for number, reader in enumerate(self.readers)
            for slot in range(len(reader.cards))
        ]

    def _ready(self) -> bool:
        shown = reader_states(self.socket_path) if self.running else {}
        return len(shown) == min(MAX_READERS, len(self.slots)) and self._settled(shown)

    def _settled(self, shown: dict[str, int]) -> bool:
        """Whether pcscd has seen the cards that are there from the beginning."""
        return all(shown.values())

    def _end_servers(self) -> None:
        servers, self._servers = self._servers, []
        for server in servers:
            with contextlib.suppress(OSError):
                server.close()


__all__ = ["BenchError", "IfdBench", "require_compiler"]
