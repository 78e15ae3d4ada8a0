# SPDX-License-Identifier: Apache-2.0
"""What whoever serves the pcscd socket is told."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from wsrc.bridges.pcscd.server import serving
from wsrc.bridges.pcscd.source import Seen, Session


class Readers:
    """Readers without cards that come and go as they are told to."""

    reachable = True

    def __init__(self) -> None:
        self.report: Callable[[Sequence[Seen]], None] | None = None
        self.runs = asyncio.Event()

    async def run(self, report: Callable[[Sequence[Seen]], None]) -> None:
        self.report = report
        self.runs.set()
        await asyncio.Event().wait()

    def open(self, name: bytes, *, direct: bool = False) -> Session:
        raise NotImplementedError

    def show(self, count: int) -> None:
        assert self.report is not None
        self.report([Seen(b"Reader %d" % number) for number in range(count)])


async def test_d30c_that_some_programs_do_not_see_all_readers_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    source = Readers()
    async with serving(tmp_path / "socket", source, say=said.append):
        await source.runs.wait()
        source.show(15)
        assert said == []
        source.show(16)
        source.show(17)
        assert len(said) == 1
        assert "see 15 of these 16 readers" in said[0]
        source.show(3)
        source.show(40)
        assert len(said) == 2
