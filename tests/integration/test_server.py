# SPDX-License-Identifier: Apache-2.0
"""wsrc.server: what one peer does, and what the others see of it, with each kind of loop."""

import logging

import pytest

from tests.support.raw_peer import LOOPS, LoopFactory, frame, raw_peer, run, text
from wsrc.server.app import serve
from wsrc.settings.load import ServerSettings

PLAIN = ServerSettings(user_port=0, card_port=0, no_tls=True)


@LOOPS
def test_b13_a_wait_that_is_over_at_once_cuts_nobody_off(
    loop_factory: LoopFactory, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with serve(PLAIN) as app, raw_peer(app.user_port) as user:
            hurried = text("select_card", id=1, any="x", wait_s=0.0001)
            async with raw_peer(app.user_port) as other:
                user.write(frame(hurried) + frame(text("list_cards", id=2)))
                assert (await user.hear("list_cards_ack"))["id"] == 2
                assert (await user.hear("error"))["id"] == 1
                other.say("list_cards", id=3)
                assert (await other.hear("list_cards_ack"))["id"] == 3

    run(loop_factory, main())
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
