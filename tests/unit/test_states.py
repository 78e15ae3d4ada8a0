# SPDX-License-Identifier: Apache-2.0
import pytest

from wsrc.open_request import PROGRESS, Progress
from wsrc.relay.records import LEASE_TRANSITIONS, LEAVING, SERVED, LeasePhase
from wsrc.session import DEAF, TRANSITIONS, State
from wsrc.states import Table, follow

DOOR: Table[str, str] = {"open": {"pushed": "shut"}, "shut": {"pulled": "open", "locked": "shut"}}

TABLES: list[tuple[Table[str, str], set[str]]] = [
    (LEASE_TRANSITIONS, {LeasePhase.ATTACHING, LeasePhase.KEPT}),
    (TRANSITIONS, {State.LIVE}),
    (PROGRESS, {Progress.UNSENT}),
]
"""Tables, and where each begins."""


def reached(table: Table[str, str], state: str) -> set[str]:
    """Return the states that there is a way to, this one included."""
    found, ahead = {state}, [state]
    while ahead:
        after = set(table[ahead.pop()].values()) - found
        found |= after
        ahead += after
    return found


def test_an_event_leads_to_a_state() -> None:
    assert follow(DOOR, "open", "pushed") == "shut"
    assert follow(DOOR, "shut", "locked") == "shut"


def test_an_event_without_a_place_is_a_bug_of_ours() -> None:
    with pytest.raises(AssertionError, match="What is open cannot be locked"):
        follow(DOOR, "open", "locked")


@pytest.mark.parametrize(("table", "starts"), TABLES)
def test_a_table_has_every_state_and_a_way_to_each(
    table: Table[str, str], starts: set[str]
) -> None:
    (kind,) = {type(state) for state in table}
    assert set(table) == set(kind.__members__.values())
    assert set().union(*(reached(table, start) for start in starts)) == set(table)


def test_whatever_becomes_of_a_lease_or_a_session_it_can_end_and_ends_once() -> None:
    assert all(LeasePhase.OVER in reached(LEASE_TRANSITIONS, each) for each in LeasePhase)
    assert all(State.OVER in reached(TRANSITIONS, each) for each in State)
    assert not LEASE_TRANSITIONS[LeasePhase.OVER]
    assert not TRANSITIONS[State.OVER]


def test_a_lease_that_is_leaving_never_comes_back() -> None:
    for phase in LEAVING:
        assert reached(LEASE_TRANSITIONS, phase) <= {*LEAVING, LeasePhase.OVER}


def test_only_a_session_that_is_served_can_be_resumed() -> None:
    assert {phase for phase, after in LEASE_TRANSITIONS.items() if "resumed" in after} == SERVED
    assert {state for state, after in TRANSITIONS.items() if "resumed" in after} <= DEAF
