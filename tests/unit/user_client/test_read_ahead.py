# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.read_ahead: which command is answered by what was sent ahead."""

import pytest

from wsrc.card.slot import Disposition, ResetKind
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.user_client.core.read_ahead import FRESH_S, SentAhead

READS = ("00b2010409", "00b2010400", "00b2020409", "00b2010409")
GET = Octets.fromhex("00c0000002")
OTHERS = (
    m.CApdu(session="s", command=Octets.fromhex("00b2010409")),
    m.Batch(session="s", steps=()),
    m.ResetReq(session="s", kind=ResetKind.WARM),
    m.Reconnect(session="s"),
    m.BeginTransaction(session="s"),
    m.EndTransaction(session="s", disposition=Disposition.LEAVE),
    m.Status(session="s"),
    m.Control(session="s", number=1, data=Octets()),
    m.GetAttribute(session="s", name="maxinput"),
)


def sent(fetched: tuple[bytes, int] | None = None) -> SentAhead:
    """Return what came with an answer: the reads, each with its place as data."""
    ahead = SentAhead()
    reads = tuple(
        m.ReadAhead(command=Octets.fromhex(text), response=Octets((place,)), sw="9000")
        for place, text in enumerate(READS, start=1)
    )
    ahead.put(0, fetched, m.RApdu(response=Octets(), sw="9000", read_ahead=reads), 10.0)
    return ahead


def asked(ahead: SentAhead, text: str, now: float = 10.0, *, in_reach: bool = True) -> int | None:
    """Return the place of the read that answers a command."""
    answer = ahead.answer(Octets.fromhex(text), now, in_reach=in_reach)
    return None if answer is None else answer.response[0]


def used(ahead: SentAhead) -> int:
    """Return what the next command tells the card host."""
    request = ahead.sending(m.CApdu(session="s", command=GET))
    assert isinstance(request, m.CApdu)
    return request.used_ahead


def test_each_read_answers_once_and_in_its_order() -> None:
    ahead = sent()
    assert [asked(ahead, text) for text in READS] == [1, 2, 3, 4]
    assert asked(ahead, READS[0]) is None
    assert used(ahead) == 4
    assert used(ahead) == 0


def test_a_read_that_was_passed_by_answers_no_more() -> None:
    ahead = sent()
    assert asked(ahead, READS[2]) == 3
    assert asked(ahead, READS[1]) is None
    assert asked(ahead, READS[3]) is None
    assert used(ahead) == 3


def test_a_command_that_is_not_among_them_is_the_end_of_all() -> None:
    ahead = sent()
    assert asked(ahead, READS[0]) == 1
    assert asked(ahead, "00b201040a") is None
    assert asked(ahead, READS[1]) is None
    assert used(ahead) == 1


@pytest.mark.parametrize("other", OTHERS, ids=lambda each: type(each).__name__)
def test_whatever_is_sent_is_the_end_of_all(other: m.Forwarded) -> None:
    ahead = sent()
    assert asked(ahead, READS[0]) == 1
    request = ahead.sending(other)
    assert getattr(request, "used_ahead", 0) == isinstance(other, m.CApdu)
    assert asked(ahead, READS[1]) is None
    assert used(ahead) == 0


def test_an_answer_without_reads_is_the_end_of_those_before() -> None:
    ahead = sent()
    ahead.put(0, None, m.RApdu(response=Octets(), sw="9000"), 10.0)
    assert asked(ahead, READS[0]) is None


def test_reads_answer_for_a_while_and_while_the_session_is_in_reach() -> None:
    assert asked(sent(), READS[0], 10.0 + FRESH_S - 0.01) == 1
    assert asked(sent(), READS[0], 10.0 + FRESH_S) is None
    ahead = sent()
    assert asked(ahead, READS[0], in_reach=False) is None
    assert asked(ahead, READS[0]) is None


def test_what_get_response_has_fetched_comes_first_and_out_of_reach_too() -> None:
    ahead = sent((b"\x62\x00", 0x9000))
    known = ahead.answer(GET, 99.0, in_reach=False)
    assert known is not None
    assert (bytes(known.response), known.sw) == (b"\x62\x00", "9000")
    assert asked(ahead, READS[0]) == 1


def test_a_read_loses_what_get_response_would_have_had() -> None:
    ahead = sent((b"\x62\x00", 0x9000))
    assert asked(ahead, READS[0]) == 1
    assert ahead.answer(GET, 10.0, in_reach=True) is None


@pytest.mark.parametrize(
    ("other", "kept"),
    [(each, not isinstance(each, m.Batch | m.ResetReq | m.Reconnect | m.EndTransaction))
     for each in OTHERS if not isinstance(each, m.CApdu)],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_what_get_response_has_fetched_is_lost_as_at_the_card(
    other: m.Forwarded, kept: bool
) -> None:
    ahead = sent((b"\x62\x00", 0x9000))
    ahead.sending(other)
    assert (ahead.answer(GET, 10.0, in_reach=True) is not None) is kept
