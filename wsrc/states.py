# SPDX-License-Identifier: Apache-2.0
"""Tables of states: what each event leads to; the diagrams of the documents are made from them."""

from collections.abc import Mapping
from typing import TypeVar

State = TypeVar("State", bound=str)
Event = TypeVar("Event", bound=str)

Table = Mapping[State, Mapping[Event, State]]
"""By state, the events that it can have and the state that each leads to."""


def follow(table: Table[State, Event], state: State, event: Event) -> State:
    """
    Return the state that an event leads to.

    Raises:
        AssertionError: If the event has no place in the state. That is a bug of ours: what peers
            and callers say is judged before, and never repeated to them as their mistake.
    """
    after = table[state]
    assert event in after, f"What is {state} cannot be {event}."
    return after[event]
