# SPDX-License-Identifier: Apache-2.0
"""The file of the pcscd socket: made with its mode, never in place of one that is in use."""

import socket
from contextlib import suppress
from pathlib import Path

from wsrc.errors import ConfigError

BACKLOG = 256
"""Connections that may wait to be taken."""

MAX_PATH_OCTETS = 107
"""Longest path of a Unix socket."""


class PathTakenError(ConfigError):
    """The socket cannot be made at this path."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__("--socket", f"{path} {why}")


def listen(path: Path, mode: int) -> tuple[socket.socket, int]:
    """Return a new socket and its inode; nobody can connect before it has its mode."""
    octets = len(str(path).encode())
    if octets > MAX_PATH_OCTETS:
        raise PathTakenError(
            path, f"has {octets} octets; a Unix socket's path has at most {MAX_PATH_OCTETS}"
        )
    _clear(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(mode)
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise PathTakenError(path, f"cannot be made: {exc.strerror}") from exc
    return listener, path.stat().st_ino


def unlink(path: Path, inode: int) -> None:
    """Remove the socket, if it is still the one that was made."""
    with suppress(OSError):
        if path.stat().st_ino == inode:
            path.unlink()


def _clear(path: Path) -> None:
    """Remove a socket that nobody serves any more, and nothing else."""
    if not path.is_symlink() and not path.exists():
        return
    if not path.is_socket():
        raise PathTakenError(path, "is there already and is no socket; choose another path")
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError as exc:
            raise PathTakenError(path, f"is there already: {exc}") from exc
    raise PathTakenError(path, "is served by another program; end that one, or choose another path")
