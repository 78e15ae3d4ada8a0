# SPDX-License-Identifier: Apache-2.0
"""Both ends of a session, and whatever a network can do to what they say to one another."""

import os
from collections import Counter

import hypothesis
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.models.session import SITUATIONS, World
from tests.support.models.session_moves import (
    ENDS,
    FLOW,
    HOSTILE,
    LINES,
    PICKS,
    UPSETS,
    Move,
    random_trace,
)

EXAMPLES = max(settings.default.max_examples, 2_000 if os.environ.get("CI") == "true" else 0)
PICK = st.integers(0, PICKS - 1)


def moves(group: dict[str, Move]) -> st.SearchStrategy[str]:
    return st.sampled_from(list(group))


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(name=moves(FLOW), pick=PICK)
    def something_flows(self, name: str, pick: int) -> None:
        FLOW[name](self.world, pick)

    @rule(name=moves(FLOW), pick=PICK)
    def more_flows(self, name: str, pick: int) -> None:
        FLOW[name](self.world, pick)

    @rule(name=moves(FLOW), pick=PICK)
    def still_more_flows(self, name: str, pick: int) -> None:
        FLOW[name](self.world, pick)

    @rule(name=moves(LINES), pick=PICK)
    def a_line_changes(self, name: str, pick: int) -> None:
        LINES[name](self.world, pick)

    @rule(name=moves(HOSTILE), pick=PICK)
    def somebody_interferes(self, name: str, pick: int) -> None:
        HOSTILE[name](self.world, pick)

    @rule(name=moves(UPSETS), pick=PICK)
    def somebody_will_not(self, name: str, pick: int) -> None:
        UPSETS[name](self.world, pick)

    @rule(name=moves(ENDS), pick=PICK, unlikely=PICK)
    def something_ends(self, name: str, pick: int, unlikely: int) -> None:
        if unlikely == PICKS - 1:
            ENDS[name](self.world, pick)

    @invariant()
    def each_command_runs_at_most_once_and_its_outcome_is_true(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.heal()
        for situation in self.world.seen:
            hypothesis.event(situation)


TestSession = SessionMachine.TestCase
TestSession.settings = settings(max_examples=EXAMPLES, stateful_step_count=60)


def test_random_traces_meet_every_situation_often() -> None:
    seen: Counter[str] = Counter()
    for seed in range(600):
        seen += Counter(set(random_trace(seed, steps=100).seen))
    rare = {name: seen[name] for name in SITUATIONS if seen[name] < 5}
    assert rare == {}
    assert set(seen) <= set(SITUATIONS)
