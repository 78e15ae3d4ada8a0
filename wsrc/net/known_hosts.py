# SPDX-License-Identifier: Apache-2.0
"""The file of card hosts whose keys were seen before; `wsrc.sealing.known_hosts` has its form."""

import os
from pathlib import Path

from wsrc.errors import ConfigError
from wsrc.sealing.known_hosts import KnownHosts
from wsrc.sealing.trust import Signer


class KnownHostsFile:
    """
    The file, and what it has of one server; it need not be there yet.

    Args:
        path: The file.
        server: Address of the server.

    Raises:
        ConfigError: If it cannot be read, or a line is none.
    """

    def __init__(self, path: Path, server: str) -> None:
        self._path = path
        try:
            text = path.read_text("utf-8")
        except FileNotFoundError:
            text = ""
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError("known_hosts", f"{path} cannot be read: {exc}") from exc
        try:
            self.hosts = KnownHosts(text, server, str(path))
        except ValueError as exc:
            raise ConfigError("known_hosts", f"{exc}; mend or delete it") from exc
        self._broken = bool(text) and not text.endswith("\n")

    def remember(self, host: str, signer: Signer) -> None:
        """
        Append the key of a card host; only the owner of the file may read it.

        Programs may do so at the same time: a line is one write.

        Raises:
            OSError: If it cannot be written.
        """
        line = self.hosts.line(host, signer)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, ("\n" * self._broken + line).encode())
        finally:
            os.close(descriptor)
        self._broken = False
