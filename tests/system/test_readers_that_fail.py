# SPDX-License-Identifier: Apache-2.0
"""What fails at a card host for no reason that anybody foresaw has an owner who notices."""

from collections.abc import Callable

import pytest

from tests.support.card_host import card_host
from tests.support.certificates import Certificates
from tests.support.world import UICC, running, uicc, until
from wsrc.protocol.messages import CardState
from wsrc.readers.base import Slot
from wsrc.readers.simulated import SimulatedReader, SimulatedSource

OTHER = "8988211000000430028"


class FailingSource(SimulatedSource):
    """Fails as often as it is told, to look at its readers or to open the first of them."""

    looks = opens = 0

    def watch(self, report: Callable[[list[Slot]], None]) -> None:
        if self.looks:
            self.looks -= 1
            report([Slot("there for a moment", self._bays[self.names[0]].slot().state)])
            raise SystemError("returned a result with an exception set")
        super().watch(report)

    def open(self, name: str) -> SimulatedReader:
        if self.opens and name == self.names[0]:
            self.opens -= 1
            raise SystemError("returned a result with an exception set")
        return super().open(name)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what failed tried again soon."""
    monkeypatch.setattr("wsrc.card_client.agent.AGAIN_MIN_S", 0.02)


async def test_c19_readers_that_could_not_be_seen_are_looked_for_again(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    source = FailingSource([uicc(UICC)])
    source.looks = 3
    async with running(certificates) as world, card_host(world, certificates, source):

        async def ready() -> bool:
            return await world.state_of(iccid=UICC) is CardState.READY

        await until(ready)
        assert len(await world.cards()) == 1
    assert caplog.text.count("The readers of this host cannot be seen; again in") == 3
    assert "SystemError" in caplog.text


async def test_c19_a_reader_that_fails_harms_no_other_and_is_served_again(
    certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    source = FailingSource([uicc(UICC), uicc(OTHER)])
    source.opens = 3
    async with running(certificates) as world, card_host(world, certificates, source):

        async def ready() -> bool:
            states = {card.state for card in await world.cards()}
            return len(await world.cards()) == 2 and states == {CardState.READY}

        await until(ready)
    assert caplog.text.count(f"Reader {source.names[0]} cannot be served; again in") == 3
    assert source.names[1] not in "".join(
        line for line in caplog.messages if "cannot be served" in line
    )
