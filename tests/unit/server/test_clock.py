# SPDX-License-Identifier: Apache-2.0
"""The clock of the server's host, which may be set while it runs (issue 11, C21)."""

import pytest

from tests.support.relay_clients import ICCID
from tests.support.relay_world import World, reader
from wsrc.protocol import messages as m
from wsrc.server.relay_settings import Epoch


class Clocks:
    monotonic_s, utc_s = 50.0, 1_000.0

    def epoch(self) -> Epoch:
        return Epoch(lambda: self.monotonic_s, lambda: self.utc_s)

    def pass_by(self, seconds: float, drift: float = 0.0) -> None:
        self.monotonic_s += seconds
        self.utc_s += seconds + drift


def test_c21_times_stay_the_same_while_the_clock_only_drifts() -> None:
    clocks = Clocks()
    epoch = clocks.epoch()
    for _ in range(9):
        clocks.pass_by(60, drift=0.1)
        assert epoch() == 950.0


@pytest.mark.parametrize("by", [1e9, -1e9, 1.5])
def test_c21_a_clock_that_is_set_sets_all_times(by: float) -> None:
    clocks = Clocks()
    epoch = clocks.epoch()
    clocks.pass_by(60, drift=by)
    assert epoch() == pytest.approx(950.0 + by)


def test_c21_a_card_held_since_before_the_clock_was_set_is_told_in_its_time() -> None:
    world = World()
    world.card(reader())
    user = world.user(name="user")
    user.hold(iccid=ICCID)
    lease = user.ask(m.ListCards(id=user.new_id()), m.ListCardsAck).cards[0].lease
    assert lease is not None
    assert lease.since.startswith("1970")
    world.epoch_s = 1_767_225_600.0
    lease = user.ask(m.ListCards(id=user.new_id()), m.ListCardsAck).cards[0].lease
    assert lease is not None
    assert lease.since.startswith("2026-01-01T")
