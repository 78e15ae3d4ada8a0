# SPDX-License-Identifier: Apache-2.0
"""
Whether the files of a log are as they were written: lines in, findings out, without I/O.

It cannot find that lines at the very end are missing, nor that somebody made all lines anew: both
need a chain that was noted elsewhere.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, NamedTuple

from wsrc.audit.chain import BEGINNING, Line, parse

MAX_FINDINGS: Final = 1_000
"""So many are kept; others are counted."""


class Finding(NamedTuple):
    """
    What is to be said of a line, counted from 1, of a file.

    One that is no fault tells what the log itself says, such as that events were lost.
    """

    file: str
    line: int
    sentence: str
    fault: bool = True


class Broken:
    """
    What stands where a line should be: how many octets, and their SHA-256.

    `begin` are the first of them, as many as a line may have, and `whole` tells that there is an
    end of a line.
    """

    def __init__(self, file: str, line: int) -> None:
        self.file = file
        self.line = line
        self.begin = b""
        self.size = 0
        self.whole = False
        self._sha256 = sha256()

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal digits."""
        return self._sha256.hexdigest()

    def add(self, octets: bytes, *, whole: bool) -> None:
        """Add what comes next."""
        self.begin = self.begin or octets
        self.size += len(octets)
        self.whole = whole
        self._sha256.update(octets)


class Check:
    """
    Reads the files of one log in their order; `number` and `digest` are of the last sound line.

    `name` is that of the file that was begun last; `file` and `log` are those that the last first
    line named, 0 and "" before any.

    Args:
        after: What the first file must go on from; where nothing is given, it is the first of all
            or goes on from files that the log itself says were removed.
        expect: Chains that are looked for; `unseen` has those that were not there.
    """

    def __init__(self, after: str | None = None, expect: Iterable[str] = ()) -> None:
        self.number = 0
        self.digest: str = BEGINNING
        self.file = 0
        self.log = ""
        self.broken: Broken | None = None
        self.findings: list[Finding] = []
        self.faults = 0
        self.lines = 0
        self.unsaid = 0
        self._after = after
        self.unseen = set(expect)
        self._first: tuple[str, int] | None = None
        self._dropped = 0
        self.name, self._line, self._at = "", 0, ""
        self._last_file = ""
        self._astray = False

    def begin(self, name: str) -> None:
        """Begin with the next file."""
        self._broken_line()
        self._last_file, self.name, self._line = self.name, name, 0

    def line(self, octets: bytes, *, whole: bool = True) -> None:
        """Take the next line, without its end; of one that is not `whole` more may come."""
        broken = self.broken
        if broken is not None and not broken.whole:
            broken.add(octets, whole=whole)
            return
        self._line += 1
        line = parse(octets)
        if line is None or not whole:
            self._broken_line()
            self.broken = Broken(self.name, self._line)
            self.broken.add(octets, whole=whole)
            return
        self.lines += 1
        said = self._look(line)
        if self._line == 1:
            self._header(line, said)
        self._fit(line)
        self.unseen.discard(line.chain)

    def end(self) -> list[Finding]:
        """Return all findings, once there is no further file."""
        self._broken_line()
        if self._first is not None and self._after is None:
            name, file = self._first
            if self._dropped < file - 1:
                which = f"{_files(1, file - 1)} missing; no line says that they were to be removed"
                self._find(which, at=(name, 1))
        if not self.lines:
            self._find("there is no line of an audit log", at=(self.name, 0))
        return self.findings

    def _look(self, line: Line) -> dict[str, Any]:
        """Take note of what the log says of itself; return what the line says, if that is it."""
        ours = (b'"event":"file"', b'"event":"torn"', b'"event":"lost"', b'"event":"dropped"')
        said = line.event if any(word in line.body for word in ours) else {}
        event = said.get("event")
        if event == "torn":
            self._excuse(said)
        else:
            self._broken_line()
        if event == "lost":
            self._note(f"{said.get('events')} events since {said.get('since')} were not written")
        elif event == "dropped" and isinstance(said.get("up_to"), int):
            self._dropped = max(self._dropped, said["up_to"])
        if line.at < self._at:
            self._note(f"the clock went back, from {self._at} to {line.at}")
        self._at = line.at
        return said

    def _header(self, line: Line, said: dict[str, Any]) -> None:
        file, after = said.get("file"), said.get("after")
        is_header = said.get("event") == "file" and isinstance(file, int)
        if not is_header or not isinstance(file, int) or not isinstance(after, str):
            self._find("the beginning of the file is missing")
            if not self.file:
                self.number = line.number
                self.digest = line.chain
                self._astray = True
            return
        if said.get("why"):
            self._note(f"a new file was begun: {said['why']}")
        if not self.file:
            self._begin_log(file, after)
            self.number = line.number - 1
            self.digest = after
        elif said.get("log") != self.log:
            self._find(f"it is of another log than {self._last_file}")
            self.number = line.number - 1
            self.digest = after
        else:
            self._go_on(line, file, after)
        self.file, self.log = file, str(said.get("log"))

    def _begin_log(self, file: int, after: str) -> None:
        if self._after is not None and after != self._after:
            self._find(f"it goes on from {after}, not from {self._after}")
        if file > 1:
            self._first = self.name, file
            self._note(f"this is file {file} of its log; those before it are not among these")

    def _go_on(self, line: Line, file: int, after: str) -> None:
        """Take the first line of a file that follows another one."""
        gap = line.number - 1 - self.number
        if file > self.file + 1:
            which = _files(self.file + 1, file - 1)
            self._find(f"{which} missing before this one, {_count(gap, 'line')} with them")
        elif gap > 0:
            self._find(f"{_count(gap, 'line')} cut off at the end of {self._last_file}")
        elif gap < 0 or after != self.digest:
            self._find(f"it does not go on from {self._last_file}")
        self.number = line.number - 1
        self.digest = after

    def _fit(self, line: Line) -> None:
        """Compare a line with the one before it."""
        n, due = line.number, self.number + 1
        fits = line.follows(self.digest)
        if not fits and n < due:
            self._find(f"it is out of its place, or there twice: it has number {n} after {due - 1}")
            return
        if not fits and n > due:
            which = f"lines {due} to {n - 1} are" if n > due + 1 else f"line {due} is"
            self._find(f"{which} missing before number {n}")
        elif not fits:
            self._find(f"it was changed, or the one before it was; it has number {n}")
        elif n != due and not self._astray:
            self._find(f"it has number {n} after {due - 1}")
        self._astray = not fits
        self.number = n
        self.digest = line.chain

    def _excuse(self, said: dict[str, Any]) -> None:
        """Take what says that the line before it was not completed."""
        broken = self.broken
        if broken is not None and broken.digest == said.get("sha256"):
            self.broken = None
            self._note("the line before it was not completed, as this one says")
        else:
            self._broken_line()

    def _broken_line(self) -> None:
        broken, self.broken = self.broken, None
        if broken is None:
            return
        what = "it is no line of an audit log" if broken.whole else "it is cut off"
        self._find(what, at=(broken.file, broken.line))

    def _note(self, sentence: str) -> None:
        self._add(Finding(self.name, self._line, sentence, fault=False))

    def _find(self, sentence: str, at: tuple[str, int] | None = None) -> None:
        self.faults += 1
        self._add(Finding(*(at or (self.name, self._line)), sentence))

    def _add(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self.unsaid += 1


def _files(first: int, last: int) -> str:
    return f"files {first} to {last} are" if last > first else f"file {first} is"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)} {'are' if number != 1 else 'is'}"
