# SPDX-License-Identifier: Apache-2.0
"""Files of a UICC and how they are found (ETSI TS 102 221 clause 8). Contents, no commands."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from wsrc.readers.simulation.status import SW, StatusWordError

MF_ID = 0x3F00
"""File identifier of the MF (ETSI TS 102 221 clause 8.6)."""

CURRENT_ADF_ID = 0x7FFF
"""File identifier that stands for the ADF in use; every ADF here has it."""


class Access(StrEnum):
    """Condition under which an operation on a file is allowed."""

    ALWAYS = "always"
    PIN1 = "pin1"
    ADM = "adm"
    NEVER = "never"


@dataclass(slots=True, kw_only=True, eq=False)
class File:
    """What every file has; `sfi` is 1 to 30, or 0 for none."""

    file_id: int
    sfi: int = 0
    read: Access = Access.ALWAYS
    update: Access = Access.ADM
    deactivated: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Transparent(File):
    """An EF of octets."""

    content: bytearray


@dataclass(slots=True, kw_only=True, eq=False)
class Records(File):
    """
    An EF of records of one length.

    In a cyclic file, record 1 is the one that was written last (ISO/IEC 7816-4 clause 7.3.1).
    """

    records: list[bytes]
    cyclic: bool = False
    increase: Access = Access.NEVER

    @property
    def record_octets(self) -> int:
        """Length of each record."""
        return len(self.records[0])

    def add_newest(self, record: bytes) -> None:
        """Overwrite the oldest record of a cyclic file; it becomes record 1."""
        self.records.pop()
        self.records.insert(0, record)


@dataclass(slots=True, kw_only=True, eq=False)
class Directory(File):
    """The MF, a DF, or, where it has an AID, an ADF."""

    aid: bytes = b""
    parent: "Directory | None" = None
    children: "dict[int, AnyFile]" = field(default_factory=dict[int, "AnyFile"])

    def add(self, *files: "Ef | Directory") -> None:
        """Put files into this directory."""
        for file in files:
            self.children[file.file_id] = file
            if isinstance(file, Directory):
                file.parent = self

    def directories(self) -> "Iterator[Directory]":
        """Return the directories right under this one."""
        return (f for f in self.children.values() if isinstance(f, Directory))

    def by_sfi(self, sfi: int) -> "Ef":
        """
        Find an EF by its short file identifier, 1 to 30.

        Raises:
            StatusWordError: 6A82 if there is none.
        """
        for file in self.children.values():
            if not isinstance(file, Directory) and file.sfi == sfi != 0:
                return file
        raise StatusWordError(SW.NOT_FOUND)


Ef = Transparent | Records
AnyFile = Transparent | Records | Directory


@dataclass(slots=True, kw_only=True)
class FileSystem:
    """The MF with all below it, and the ADFs beside it."""

    mf: Directory
    adfs: list[Directory]

    def adf(self, aid: bytes) -> Directory | None:
        """Find an application by its AID, which may be cut short (TS 102 221 clause 8.5.2)."""
        return next((adf for adf in self.adfs if adf.aid.startswith(aid)), None)

    def by_file_id(self, file_id: int, current: Directory, adf: Directory | None) -> AnyFile:
        """
        Find what SELECT by file identifier reaches (ETSI TS 102 221 clause 8.4.1).

        Raises:
            StatusWordError: 6A82 if nothing in reach has the identifier.
        """
        for candidate in self._reach(current, adf):
            if candidate.file_id == file_id:
                return candidate
        raise StatusWordError(SW.NOT_FOUND)

    def by_path(self, path: bytes, start: Directory, adf: Directory | None) -> AnyFile:
        """
        Walk a path of file identifiers; 7FFF in front stands for the application.

        Raises:
            StatusWordError: 6A82 if a part of it does not exist, 6700 if it is cut.
        """
        if not path or len(path) % 2:
            raise StatusWordError(SW.WRONG_LENGTH)
        ids = [int.from_bytes(path[i : i + 2]) for i in range(0, len(path), 2)]
        at: AnyFile = start
        if ids[0] == CURRENT_ADF_ID and adf is not None:
            at = adf
            ids.pop(0)
        for file_id in ids:
            if not isinstance(at, Directory) or file_id not in at.children:
                raise StatusWordError(SW.NOT_FOUND)
            at = at.children[file_id]
        return at

    def _reach(self, current: Directory, adf: Directory | None) -> Iterator[AnyFile]:
        yield self.mf
        yield current
        yield from current.children.values()
        if current.parent is not None:
            yield current.parent
            yield from current.parent.directories()
        if adf is not None:
            yield adf
