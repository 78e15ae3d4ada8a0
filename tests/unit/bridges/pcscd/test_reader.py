# SPDX-License-Identifier: Apache-2.0
"""The life of a handle: what follows what, and that nothing else does."""

import pytest

from tests.support.pcscd_programs import HERE, REMOVED, RESET
from wsrc.bridges.pcscd.reader import HANDLE_MOVES, Handle, HandleEvent, HandleState, Reader
from wsrc.bridges.pcscd.requests import Refused
from wsrc.card.pcsc_numbers import Code

LIVING = [state for state in HandleState if state is not HandleState.RETURNED]


@pytest.fixture
def handle() -> Handle:
    return Handle(1, Reader(HERE), None)


def test_every_state_has_its_line_in_the_table() -> None:
    assert set(HANDLE_MOVES) == set(HandleState)


@pytest.mark.parametrize("state", LIVING)
@pytest.mark.parametrize("event", HandleEvent)
def test_what_happens_to_a_handle_that_is_held(
    handle: Handle, state: HandleState, event: HandleEvent
) -> None:
    handle.state = state
    handle.note(event)
    assert handle.state is HANDLE_MOVES[state][event]


@pytest.mark.parametrize("event", HandleEvent)
def test_nothing_happens_to_a_handle_that_was_returned(handle: Handle, event: HandleEvent) -> None:
    handle.note(HandleEvent.RETURN)
    with pytest.raises(AssertionError, match="What is returned cannot be"):
        handle.note(event)


@pytest.mark.parametrize("why", [RESET, REMOVED])
def test_every_handle_is_refused_with_what_happened_to_the_card(why: Code) -> None:
    reader = Reader(HERE)
    handles = [Handle(number, reader, None) for number in (1, 2)]
    for handle in handles:
        reader.add(handle, 2)
        handle.check_card()
    reader.strike(why)
    for handle in handles:
        with pytest.raises(Refused) as caught:
            handle.check_card()
        assert caught.value.code is why
        handle.note(HandleEvent.RECONNECT)
        handle.check_card()
