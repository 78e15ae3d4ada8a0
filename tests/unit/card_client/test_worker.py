# SPDX-License-Identifier: Apache-2.0
"""The thread of a reader: calls that hang, and what becomes of what they held."""

import threading

import pytest

from tests.support.world import LIMIT_S, until
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import CardUnresponsiveError
from wsrc.readers.base import Connection


class HeldReader:
    """A reader that notes whether it was let go of."""

    name = stable_id = "reader"
    position = ""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def connect(self) -> Connection:
        raise NotImplementedError

    def close(self) -> None:
        self.closed.set()


async def test_a_reader_whose_call_hung_is_let_go_of_when_the_call_ends() -> None:
    opened: list[HeldReader] = []
    go_on = threading.Event()

    def open_reader() -> HeldReader:
        opened.append(HeldReader())
        return opened[-1]

    thread = ReaderThread("reader", open_reader)
    with pytest.raises(CardUnresponsiveError):
        await thread.with_reader(lambda _: go_on.wait(LIMIT_S), 0.01)
    assert await thread.with_reader(lambda reader: reader.name, LIMIT_S) == "reader"
    first, second = opened
    assert not first.closed.is_set()
    go_on.set()
    await until(first.closed.is_set)
    thread.stop()
    await until(second.closed.is_set)
