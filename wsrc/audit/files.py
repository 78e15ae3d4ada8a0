# SPDX-License-Identifier: Apache-2.0
"""The files of an audit log: found, read, locked, added to; each has a number in its name."""

import errno
import fcntl
import os
import platform
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from wsrc.audit.chain import MAX_LINE_OCTETS, Chain, parse
from wsrc.audit.check import Check
from wsrc.audit.events import Dropped, Event, File, Torn

_NAME: Final = re.compile(r"(?P<program>[a-z-]+)-(?P<number>\d{8,})\.jsonl")

_BLOCK_OCTETS: Final = 1 << 20


class InUseError(OSError):
    """Another process writes to the log."""


class Where(NamedTuple):
    """
    Where a log is, and how large it may be.

    Args:
        folder: Made if need be, with mode 0700.
        program: What the names of the files begin with.
        most_octets: About how large a file may be.
        keep: How many files are kept; 0 is all.
        node: What the program is called in its cluster, if it is in one.
    """

    folder: Path
    program: str
    most_octets: int
    keep: int = 0
    node: str | None = None

    def path(self, number: int) -> Path:
        """Return the name of a file."""
        return self.folder / f"{self.program}-{number:08}.jsonl"

    def files(self) -> dict[int, Path]:
        """Return the files that are there, by number, in their order."""
        return logs_in(self.folder).get(self.program, {})


def logs_in(folder: Path) -> dict[str, dict[int, Path]]:
    """
    Return the files of each program, by number, in their order.

    Raises:
        OSError: If the folder cannot be read.
    """
    found: dict[str, dict[int, Path]] = {}
    for path in folder.iterdir():
        name = _NAME.fullmatch(path.name)
        if name is not None:
            found.setdefault(name["program"], {})[int(name["number"])] = path
    return {program: dict(sorted(files.items())) for program, files in sorted(found.items())}


def files_at(path: Path) -> list[Path]:
    """
    Return the files of all logs in a folder, or a file itself.

    Raises:
        OSError: If the folder cannot be read, or has none.
    """
    if not path.is_dir():
        return [path]
    found = [each for files in logs_in(path).values() for each in files.values()]
    if not found:
        raise FileNotFoundError(errno.ENOENT, "there is no audit log in it", str(path))
    return found


def number_of(path: Path) -> tuple[str, int]:
    """
    Return the program and the number of a file, by its name or, of another name, its first line.

    Raises:
        OSError: If the file cannot be read.
    """
    name = _NAME.fullmatch(path.name)
    if name is not None:
        return name["program"], int(name["number"])
    first = parse(next(lines_of(path), (b"", False))[0])
    said = first.event if first is not None else {}
    number = said.get("file")
    return str(said.get("program", "")), number if isinstance(number, int) else 0


def lines_of(path: Path) -> Iterator[tuple[bytes, bool]]:
    """
    Yield each line of a file without its end, and whether it has one.

    What is longer than a line may be comes in pieces.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb", buffering=_BLOCK_OCTETS) as file:
        while line := file.readline(MAX_LINE_OCTETS):
            whole = line.endswith(b"\n")
            yield (line[:-1] if whole else line), whole


def read_into(check: Check, path: Path, name: str | None = None) -> None:
    """
    Have the lines of a file checked.

    Raises:
        OSError: If the file cannot be read.
    """
    check.begin(name or str(path))
    for octets, whole in lines_of(path):
        check.line(octets, whole=whole)


class Files:
    """
    The files of one log, for one process at a time; every method may raise OSError.

    `chain` is the end of what was written. `opened` says what was found wrong with its last file.
    """

    def __init__(self, where: Where) -> None:
        self._where = where
        self._lock = -1
        self._file = -1
        self._number = 0
        self._size = 0
        self._log = secrets.token_hex(8)
        self._host = platform.node()
        self.chain = Chain()
        self.opened: list[str] = []

    @property
    def path(self) -> Path:
        """The file that is written to."""
        return self._where.path(self._number)

    def open(self, when: float) -> None:
        """
        Go on with the log, or begin it.

        Raises:
            InUseError: If another process has it.
        """
        self._make_folder()
        files = self._where.files()
        empty: list[Path] = []
        why: str | None = None
        for number, path in reversed(files.items()):
            check = Check()
            read_into(check, path, path.name)
            if check.lines:
                self._found(number, path, check, when)
                break
            empty.append(path)
        self._number = max(files, default=0)
        for path in empty:  # a crash can leave these; one that has octets says so in the next
            octets = path.stat().st_size
            if octets:
                why = f"{path.name} had {octets} octets, and no line of a log"
            path.unlink()
            self._number -= 1
        if self._file < 0 or why is not None:
            self._begin(when, why)

    def append(self, events: Sequence[tuple[float, Event]]) -> str | None:
        """
        Write events with their times, one at least, all or none.

        Where its file is full, or is not what it was, the log goes on in a new one; what others
        did to it is returned.
        """
        why, when = self._disturbed(), events[0][0]
        if why is not None:
            self._make_folder()
            self._begin(when, why)
        elif self._size >= self._where.most_octets:
            self._begin(when, None)
            self._drop(when)
        chain = self.chain.copy()
        self._write(b"".join(chain.line(at, event) for at, event in events))
        self.chain = chain
        return why

    def sync(self) -> None:
        """Have what was written stay where it is if the power fails."""
        if self._file >= 0:
            os.fsync(self._file)

    def close(self) -> None:
        """Release the log."""
        for each in (self._file, self._lock):
            if each >= 0:
                os.close(each)
        self._file = self._lock = -1

    def _make_folder(self) -> None:
        """Have the folder and its lock, also after somebody removed them."""
        folder = self._where.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / f".{self._where.program}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if self._lock >= 0 and os.path.samestat(os.fstat(lock), os.fstat(self._lock)):
            os.close(lock)
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(lock)
            if exc.errno in {errno.EAGAIN, errno.EACCES}:
                raise InUseError(exc.errno, "another process writes to it", str(folder)) from exc
            raise
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = lock

    def _found(self, number: int, path: Path, check: Check, when: float) -> None:
        """Go on after the last line of a file."""
        broken = check.broken
        self.opened = [
            f"line {each.line} of {each.file}: {each.sentence}"
            for each in check.findings
            if each.fault
        ]
        if broken is not None:
            self.opened.append(f"line {broken.line} of {broken.file} was not completed")
        self.chain = Chain(check.number, check.digest)
        self._log = check.log or self._log
        self._number = number
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._size = os.fstat(self._file).st_size
        if broken is None:
            return
        line = parse(broken.begin) if broken.size == len(broken.begin) else None
        if line is not None and not broken.whole and line.follows(self.chain.digest):
            self._write(b"\n")
            self.chain = Chain(line.number, line.chain)
            return
        torn = Torn(octets=broken.size, sha256=broken.digest)
        chain = self.chain.copy()
        self._write((b"" if broken.whole else b"\n") + chain.line(when, torn))
        self.chain = chain

    def _disturbed(self) -> str | None:
        """Return what somebody else did to the file, if anything."""
        if self._file < 0:
            return "there was none"
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return f"{self.path.name} was removed or renamed"
        if not os.path.samestat(there, os.fstat(self._file)):
            return f"{self.path.name} was replaced"
        if there.st_size != self._size:
            return f"{self.path.name} had {there.st_size} octets, not {self._size}"
        return None

    def _begin(self, when: float, why: str | None) -> None:
        """Begin the next file."""
        number = max(self._number, *self._where.files(), 0) + 1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        path = self._where.path(number)
        file = os.open(path, flags, 0o600)
        header = File(
            file=number,
            log=self._log,
            after=self.chain.digest,
            program=self._where.program,
            host=self._host,
            why=why,
            node=self._where.node,
        )
        chain = self.chain.copy()
        try:
            line = chain.line(when, header)
            _write_all(file, line, 0)
            os.fsync(file)
        except OSError:
            os.close(file)
            with suppress(OSError):
                path.unlink()
            raise
        if self._file >= 0:
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
        self._file, self._number, self._size, self.chain = file, number, len(line), chain
        self._sync_folder()

    def _drop(self, when: float) -> None:
        """Remove the files that are too many, and say so in the log."""
        keep, files = self._where.keep, self._where.files()
        old = [number for number in files if keep and number <= self._number - keep]
        if not old:
            return
        chain = self.chain.copy()
        self._write(chain.line(when, Dropped(up_to=max(old))))
        self.chain = chain
        for number in old:
            files[number].unlink(missing_ok=True)

    def _write(self, octets: bytes) -> None:
        _write_all(self._file, octets, self._size)
        self._size += len(octets)

    def _sync_folder(self) -> None:
        folder = os.open(self._where.folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # not every file system does that for a folder
            os.fsync(folder)
        os.close(folder)


def _write_all(file: int, octets: bytes, size: int) -> None:
    """Add octets to a file of this size, all or none."""
    left = memoryview(octets)
    try:
        while left:
            left = left[os.write(file, left) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise
