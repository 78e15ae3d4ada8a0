# SPDX-License-Identifier: Apache-2.0
"""A source watched in a thread, and what it reported."""

import threading
from collections.abc import Callable
from typing import Self

from wsrc.readers.base import Slot, Source


class Watching:
    """Keeps all reports of a source and waits for the one that a test needs."""

    def __init__(self, source: Source) -> None:
        self.reports: list[list[Slot]] = []
        self.source = source
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=source.watch, args=(self._report,), name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.stop()
        self._thread.join(10)
        assert not self._thread.is_alive(), "stop did not end watch"

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def until(self, true: Callable[[list[Slot]], bool], timeout_s: float = 10.0) -> list[Slot]:
        """Wait until the newest report fits, and give it."""
        with self._changed:
            fits = self._changed.wait_for(
                lambda: bool(self.reports) and true(self.reports[-1]), timeout_s
            )
            assert fits, f"the newest report is {self.reports[-1:]}"
            return self.reports[-1]

    def slot(self, name: str, true: Callable[[Slot], bool]) -> Slot:
        """Wait until a reader is as wanted, and give it."""

        def find(slots: list[Slot]) -> list[Slot]:
            return [slot for slot in slots if slot.name == name and true(slot)]

        return find(self.until(lambda slots: bool(find(slots))))[0]

    def _report(self, slots: list[Slot]) -> None:
        with self._changed:
            self.reports.append(slots)
            self._changed.notify_all()
