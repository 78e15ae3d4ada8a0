# SPDX-License-Identifier: Apache-2.0
"""The folder of one card that is held: private, found by other commands of its user, removed."""

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from wsrc.errors import ConfigError, WsrcError
from wsrc.settings.held import HeldFile, read_held

SESSION, TOKEN, CARD_TOKEN, CONTROL = "session.json", "token", "card-token", "control"

MOST_OCTETS_ABOVE = 60
"""Of the name of the folder above ours, so that a socket in ours can have a name (unix(7))."""

MOST_FOUND = 64
"""How many folders are looked at to find what is held."""


def base_of(environ: Mapping[str, str]) -> Path:
    """
    Return the folder of all that this user holds, which is made if need be.

    Raises:
        ConfigError: If it is not this user's alone, or cannot be made.
    """
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    fits = os.path.isabs(runtime) and len(os.fsencode(runtime)) <= MOST_OCTETS_ABOVE  # noqa: PTH117 - of a text
    above = Path(runtime) if fits and Path(runtime).is_dir() else Path("/tmp")  # noqa: S108 - see below
    folder = above / f"wsrc-take-{os.geteuid()}"
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        seen = folder.lstat()
    except OSError as exc:
        why = f"cannot make the folder {folder} of cards that are held: {exc.strerror}"
        raise ConfigError("XDG_RUNTIME_DIR", why) from exc
    private = seen.st_uid == os.geteuid() and not stat.S_IMODE(seen.st_mode) & 0o077
    if not stat.S_ISDIR(seen.st_mode) or not private:
        raise ConfigError("XDG_RUNTIME_DIR", f"{folder} is not a folder of yours alone; remove it")
    return folder


class Folder:
    """
    The folder of one card; in a `with` block, at the end of which it is gone.

    Raises:
        ConfigError: If it cannot be made.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        base = base_of(environ)
        _sweep(base)
        try:
            self.path = Path(tempfile.mkdtemp(prefix="card-", dir=base))
        except OSError as exc:
            raise ConfigError("XDG_RUNTIME_DIR", f"cannot write to {base}: {exc.strerror}") from exc
        self._locked: list[int] = []

    @property
    def session(self) -> Path:
        """The file that programs inside are given."""
        return self.path / SESSION

    @property
    def control(self) -> Path:
        """The socket at which the hold is ended."""
        return self.path / CONTROL

    def keep(self, name: str, secret: str) -> Path:
        """Write a secret to a file that only its user may read, and return it."""
        path = self.path / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secret)
        return path

    def tell(self, held: HeldFile) -> None:
        """Have the file of the session say this; who reads it never sees half of it."""
        new = self.path / f".{SESSION}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._locked.append(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, msgspec.json.encode(held))
        new.rename(self.session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        for descriptor in self._locked:
            os.close(descriptor)


def found(environ: Mapping[str, str]) -> list[HeldFile]:
    """Return what this user holds now, of the first `MOST_FOUND`."""
    held: list[HeldFile] = []
    for folder in _folders(base_of(environ)):
        with suppress(WsrcError):
            held.append(read_held(folder / SESSION))
    return held


def _folders(base: Path) -> Generator[Path]:
    with os.scandir(base) as entries:
        for entry, _ in zip(entries, range(MOST_FOUND), strict=False):
            if entry.name.startswith("card-"):
                yield Path(entry.path)


def _sweep(base: Path) -> None:
    """Remove the folders of those that were killed."""
    for folder in list(_folders(base)):
        with suppress(OSError), _unlocked(folder / SESSION):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _unlocked(path: Path) -> Generator[None]:
    """
    Have a file in the block whose writer is gone.

    Raises:
        OSError: If its writer is there, or there is none yet.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
