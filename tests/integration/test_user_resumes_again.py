# SPDX-License-Identifier: Apache-2.0
"""A user client whose `resume` is refused because there are too many: it asks again."""

import pytest

from tests.support.scripted_server import Peer
from tests.support.wire import READ, begin, ended, holding, r_apdu
from wsrc.errors import OutcomeUnknownError, SessionLostError
from wsrc.user_client.core import session


async def refuse_all(peer: Peer) -> None:
    while True:
        await peer.refuse(await peer.hear("resume"), "too_many")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "AGAIN_S", 0.01)


async def test_e33_too_many_who_resume_do_not_end_a_session() -> None:
    async with holding() as (wire, _, first, mine, _):
        reading = begin(mine.transmit(READ))
        await first.hear("c_apdu")
        first.abort()
        peer = await wire.next()
        for _ in range(3):
            await peer.refuse(await peer.hear("resume"), "too_many")
        asked = await peer.hear("resume")
        await peer.say("resumed", id=asked["id"], session="s1", seq=0)
        again = await peer.hear("c_apdu")
        assert again["seq"] == 2
        await peer.say(**r_apdu(again))
        assert (await ended(reading)).sw == 0x9000
        assert wire.silent


async def test_e33_it_is_resumed_on_the_next_connection_where_that_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "AGAIN_S", 60.0)
    async with holding() as (wire, _, first, mine, _):
        first.abort()
        peer = await wire.next()
        await peer.refuse(await peer.hear("resume"), "too_many")
        reading = begin(mine.transmit(READ))
        peer.abort()
        peer = await wire.next()
        asked = await peer.hear("resume")
        await peer.say("resumed", id=asked["id"], session="s1", seq=0)
        await peer.say(**r_apdu(await peer.hear("c_apdu")))
        assert (await ended(reading)).sw == 0x9000


async def test_e33_it_is_not_asked_for_longer_than_the_session_is_kept() -> None:
    async with holding(granted_s=0.3) as (wire, _, first, mine, _):
        reading = begin(mine.transmit(READ))
        await first.hear("c_apdu")
        first.abort()
        peer = await wire.next()
        refusing = begin(refuse_all(peer))
        with pytest.raises(OutcomeUnknownError, match="out of reach for"):
            await ended(reading)
        refusing.cancel()
        with pytest.raises(SessionLostError):
            await mine.transmit(READ)
