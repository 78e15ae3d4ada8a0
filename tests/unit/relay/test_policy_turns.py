# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.policies: what a turn takes while another policy comes into force."""

import pytest

from tests.support.policies import granting, rule
from tests.support.relay_world import World, reader
from tests.support.steps import steps
from wsrc.policy.machine import Policy
from wsrc.policy.words import Verb
from wsrc.protocol import messages as m

A_TURN, A_PAIR = 20_000, 90
"""
Lines of code that a turn takes at most while another policy comes into force, some milliseconds,
and that all take together for each reader and each audience.
"""


@pytest.mark.parametrize("sized", [(10, 100), (40, 100), (10, 400)])
def test_13_no_turn_of_a_change_grows_with_cards_and_with_users_of_different_rights(
    sized: tuple[int, int],
) -> None:
    users, cards = sized
    may = [Verb.USE, Verb.EVENTS]

    def policy(more: list[Verb]) -> Policy:
        rules = (rule(f"u{n}", may + more, label=f"g{n}") for n in range(users))
        return granting(*rules, hosts=[rule("anyone")])

    world = World(policy=policy([]))
    world.card(*(reader(f"r{n}", label=f"g{n % users}") for n in range(cards)), who="farm")
    for n in range(users):
        world.user(who=f"u{n}").ask(m.WatchReaders(id=1), m.WatchReadersAck)
    world.pass_time(10.0)
    world.perform(world.relay.set_policy(policy([Verb.RESET]), world.now))
    took: list[int] = []
    while world.relay._state.unjudged:
        world.now = max(world.now, world.relay.deadline() or 0.0)
        took.append(steps(lambda: world.perform(world.relay.tick(world.now))))
    assert max(took) < A_TURN
    assert sum(took) < A_PAIR * users * cards + 300 * (users + cards)
    assert not world.relay._state.readers._moved
