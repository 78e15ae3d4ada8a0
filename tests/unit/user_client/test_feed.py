# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.feed: what is unread has a bound, and an end that is told last."""

import asyncio

import pytest

from wsrc.errors import ConnectionLostError, RefusedError
from wsrc.user_client.core import feed as feed_module
from wsrc.user_client.core.feed import Feed


class Words(Feed[str]):
    def hear(self, word: str) -> None:
        self._tell(word)


async def test_what_is_unread_is_given_before_the_end() -> None:
    feed = Words()
    feed.hear("a")
    feed.hear("b")
    feed.lost("Gone.")
    feed.hear("too late")
    assert [await feed.next(), await feed.next()] == ["a", "b"]
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match=r"Gone\."):
            await feed.next()
    assert feed.is_cut


async def test_too_much_unread_ends_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "MAX_UNREAD", 1)
    feed = Words()
    feed.hear("a")
    feed.hear("b")
    feed.lost("Gone.")
    assert await feed.next() == "a"
    with pytest.raises(RefusedError, match="left unread"):
        await feed.next()
    assert not feed.is_cut


async def test_who_is_there_first_waits() -> None:
    feed = Words()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(feed.next())
        await asyncio.sleep(0)
        feed.hear("a")
    assert waiting.result() == "a"


async def test_who_waits_is_told_of_the_end() -> None:
    feed = Words()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_end_of(feed))
        await asyncio.sleep(0)
        feed.lost("Gone.")
    assert "Gone." in waiting.result()


async def _end_of(feed: Words) -> str:
    with pytest.raises(ConnectionLostError) as caught:
        await feed.next()
    return str(caught.value)
