# SPDX-License-Identifier: Apache-2.0
"""wsrc.protocol.conversation: the table of who may say what."""

from typing import get_args

import pytest

from wsrc.protocol import messages as m
from wsrc.protocol.conversation import ANSWERS, MAY_SAY, Phase, Speaker, may_say

EVERY = set(get_args(m.AnyMessage))


def test_every_speaker_has_its_words_in_every_phase() -> None:
    assert set(MAY_SAY) == {(speaker, phase) for speaker in Speaker for phase in Phase}
    assert set.union(*map(set, MAY_SAY.values())) == EVERY | {m.StateChange, m.ListChange}


@pytest.mark.parametrize("speaker", list(Speaker))
def test_a_greeting_is_all_that_there_is_before_it_is_answered(speaker: Speaker) -> None:
    words = MAY_SAY[speaker, Phase.GREETING]
    client = speaker in {Speaker.USER, Speaker.CARD}
    assert words == ({m.Hello} if client else {m.HelloAck, m.Error})
    assert not words & MAY_SAY[speaker, Phase.OPEN] - {m.Error}


def test_whoever_may_be_asked_may_answer() -> None:
    for client, server in (
        (Speaker.USER, Speaker.SERVER_TO_USER),
        (Speaker.CARD, Speaker.SERVER_TO_CARD),
    ):
        for phase in Phase:
            for asker, answerer in ((client, server), (server, client)):
                asked = MAY_SAY[asker, phase] & set(ANSWERS)
                answers = {ANSWERS[kind] for kind in asked}
                known = MAY_SAY[answerer, Phase.OPEN] | MAY_SAY[answerer, phase]
                assert answers <= known
                assert not asked or m.Error in known


def test_every_request_has_one_answer_and_no_answer_is_a_request() -> None:
    assert len(set(ANSWERS.values())) == len(ANSWERS)
    assert not set(ANSWERS) & set(ANSWERS.values())
    assert set(ANSWERS) | set(ANSWERS.values()) <= EVERY


def test_a_message_is_judged_by_its_kind() -> None:
    hello = m.Hello(client_type=m.ClientType.USER)
    assert may_say(Speaker.USER, Phase.GREETING, hello)
    assert not may_say(Speaker.USER, Phase.OPEN, hello)
    assert not may_say(Speaker.CARD, Phase.OPEN, m.ListCards())
