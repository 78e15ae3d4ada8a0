# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.state_keeper: what another server changes is told in its turn."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.world import until
from wsrc.relay.effects import Book, Keep
from wsrc.relay.kept import Change, Kept
from wsrc.server.state import Told
from wsrc.server.state_keeper import Opens, StateKeeper
from wsrc.server.state_store import StateStore

ONE, TWO = "iccid 1", "iccid 2"


class Shared(StateStore):
    """A file that another server changes as well; a change waits until it is let through."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.through = threading.Event()
        self.told: Told = lambda identity, kept: None

    def follow(self, told: Told) -> None:
        self.told = told
        told(TWO, Kept({"before": "1"}))

    def note(self, changes: Mapping[int, tuple[str, Change]]) -> dict[int, Kept | str]:
        self.through.wait(30)
        return super().note(changes)

    def book(self, changes: Sequence[Book]) -> Mapping[int, str]:
        return {each.number: "No." for each in changes}


async def test_it_waits_for_what_was_kept_before_and_for_ours_of_the_same_card(
    tmp_path: Path,
) -> None:
    said: list[object] = []
    stores: list[Shared] = []

    def opened(_lock_s: float) -> Shared:
        stores.append(Shared(tmp_path / "state"))
        return stores[0]

    opens = Opens(opened, lambda: True, tmp_path)
    keeper = StateKeeper(
        opens,
        lambda number, kept, why: said.append((number, kept, why)),
        lambda number, why: said.append((number, why)),
        lambda number, why: said.append((number, why)),
        lambda identity, kept: said.append((identity, kept)),
    )
    async with asyncio.TaskGroup() as tasks:
        recalled = await keeper.start(tasks)
        (store,) = stores
        said.append(recalled.notes)
        await until(lambda: len(said) == 2)
        assert said == [{}, (TWO, Kept({"before": "1"}))]
        said.clear()
        keeper.keep(Keep(1, ONE, Change({"a": "1"})))
        both = Kept({"a": "1", "b": "2"})
        for identity in (ONE, TWO):
            await asyncio.to_thread(store.told, identity, both)
        await until(lambda: bool(said))
        assert said == [(TWO, both)]
        store.through.set()
        await until(lambda: len(said) == 3)
        assert said[1:] == [(1, Kept({"a": "1"}), ""), (ONE, both)]
        await keeper.stop()
