# SPDX-License-Identifier: Apache-2.0
"""wsrc.relay.tally: what a relay counts, each once, by whichever way a message went."""

import sys
from types import FrameType

import pytest

from tests.support.relay_clients import ICCID, SELECT_MF
from tests.support.relay_world import World, reader
from wsrc.errors import ErrorCode, Outcome
from wsrc.protocol import messages as m
from wsrc.relay import tally
from wsrc.relay.tally import BOUNDS_S, Tally


@pytest.mark.parametrize(("seconds", "at"), [(0.0, 0), (0.001, 0), (0.0011, 1), (61.0, 15)])
def test_a_time_is_counted_below_its_bound(seconds: float, at: int) -> None:
    made = Tally()
    made.answered(seconds)
    assert [n for n, count in enumerate(made.durations) if count] == [at]
    assert made.seconds == seconds
    assert len(made.durations) == len(BOUNDS_S) + 1


def test_codes_of_later_versions_are_one() -> None:
    made = Tally()
    for code in ("of_later", "of_later_still"):
        made.refused(ErrorCode(code))
    assert made.refusals == {ErrorCode.INTERNAL: 2}


def test_a_command_is_counted_once_with_the_time_that_it_took() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=user.new_id(), iccid=ICCID))
    card.answer(card.next(m.Attach))
    session = user.one(m.SelectCardAck).session
    user.command(session)
    world.now += 0.3
    card.answer(card.next(m.CApdu))
    user.say(m.ResetReq(id=user.new_id(), session=session))
    card.answer(card.next(m.ResetReq))
    counted = world.relay.tally
    assert counted.outcomes == {"answered": 2, "not_executed": 0, "unknown": 0}
    assert counted.seconds == pytest.approx(0.3)
    assert (counted.durations[0], counted.durations[BOUNDS_S.index(0.5)]) == (1, 1)


def test_what_is_refused_is_counted_by_its_code() -> None:
    world = World()
    user = world.user()
    user.refused(m.SelectCard(id=1, iccid=ICCID))
    user.refused(m.CApdu(id=2, command=SELECT_MF))
    refusals = world.relay.tally.refusals
    assert refusals == {ErrorCode.NO_SUCH_CARD: 1, ErrorCode.NOTHING_SELECTED: 1}


def test_a_card_client_that_goes_amid_a_command_leaves_its_outcome_unknown() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=user.new_id(), iccid=ICCID))
    card.answer(card.next(m.Attach))
    user.command(user.one(m.SelectCardAck).session)
    card.leave(goodbye=True)
    assert world.relay.tally.failed[Outcome.UNKNOWN] == 1


def test_an_error_of_the_card_client_is_counted_by_its_outcome() -> None:
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=user.new_id(), iccid=ICCID))
    card.answer(card.next(m.Attach))
    session = user.one(m.SelectCardAck).session
    sent = user.command(session)
    fields = {"id": sent.id, "session": session, "outcome": Outcome.NOT_EXECUTED}
    card.say(m.error(ErrorCode.GUARDED, "No.", **fields))
    assert world.relay.tally.outcomes == {"answered": 0, "not_executed": 1, "unknown": 0}


def test_a_relayed_command_pays_two_calls_for_what_is_counted() -> None:
    """One of ours and one of `bisect`: less than 2 % of what a relayed command costs."""
    world = World()
    card = world.card(reader(), auto=False)
    user = world.user()
    user.say(m.SelectCard(id=user.new_id(), iccid=ICCID))
    card.answer(card.next(m.Attach))
    user.command(user.one(m.SelectCardAck).session)
    asked = card.next(m.CApdu)
    calls: list[str] = []

    def note(frame: FrameType, event: str, called: object) -> None:
        if event == "call" and frame.f_code.co_filename == tally.__file__:
            calls.append(frame.f_code.co_name)
        elif event == "c_call" and frame.f_code.co_filename == tally.__file__:
            calls.append(getattr(called, "__name__", ""))

    sys.setprofile(note)
    try:
        card.answer(asked)
    finally:
        sys.setprofile(None)
    assert calls == ["answered", "bisect_left"]
