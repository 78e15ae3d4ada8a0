# SPDX-License-Identifier: Apache-2.0
"""What a card client refuses and under which number; empty readers; answers ahead."""

import re
from collections.abc import AsyncIterator

import pytest

from tests.support.card_bench import (
    ASK_PIN,
    HOLD,
    Bench,
    attach,
    benched,
    command,
    resume,
    shared,
)
from tests.support.paths import ROOT
from wsrc.card.slot import CardProtocol, Initialization, ResetKind, Share
from wsrc.errors import ErrorCode, Outcome
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import tag_of

PROTOCOL = (ROOT / "docs" / "protocol.md").read_text("utf-8")
SELECT_ICCID = Octets.fromhex("00a40004022fe2")

REQUESTS: dict[str, m.Forwarded] = {
    tag_of(each): each
    for each in (
        m.CApdu(session="s1", command=ASK_PIN),
        m.Batch(session="s1", steps=(m.Step(command=ASK_PIN),)),
        m.ResetReq(session="s1", kind=ResetKind.COLD),
        m.Reconnect(session="s1", initialization=Initialization.LEAVE),
        m.BeginTransaction(session="s1"),
        m.EndTransaction(session="s1"),
        m.Status(session="s1"),
        m.Control(session="s1", number=1, data=Octets()),
        m.GetAttribute(session="s1", name="maxinput"),
        m.SetAttribute(session="s1", name="maxinput", value=Octets()),
    )
}


def of(tag: str, session: str, seq: int, id_: int = 5) -> m.Forwarded:
    request = REQUESTS[tag]
    return type(request)(
        **{name: getattr(request, name) for name in request.__struct_fields__}
        | {"session": session, "seq": seq, "id": id_}
    )


@pytest.fixture
async def other_reset() -> AsyncIterator[Bench]:
    """A bench with two sessions that share the card, which `s1` has reset."""
    async with benched() as bench:
        for session in ("s1", "s2"):
            await bench.ask(shared(session), m.AttachAck)
        reset = m.ResetReq(id=1, session="s1", seq=1, kind=ResetKind.WARM)
        await bench.ask(reset, m.ResetResp)
        yield bench


def documented(answer: str) -> set[str]:
    """Return the requests that the document names in the line of a list with this ending."""
    (line,) = re.findall(rf"^\* (.*) {answer}", PROTOCOL, re.MULTILINE)
    return set(re.findall(r"`([a-z_]+)`", line))


def test_e32_the_document_says_of_every_request_what_a_reset_by_another_means() -> None:
    refused = documented("are answered with `card_was_reset`")
    done = documented("are carried out, and so is `detach`")
    assert refused | done == set(REQUESTS)
    assert not refused & done


@pytest.mark.parametrize("tag", list(REQUESTS))
async def test_e32_a_request_after_a_reset_by_another_is_answered_as_documented(
    other_reset: Bench, tag: str
) -> None:
    other_reset.agent.request(of(tag, "s2", 1))
    answer = await other_reset.hear(m.Answer)  # type: ignore[type-abstract]  # a union of types
    refused = isinstance(answer, m.Error) and answer.code is ErrorCode.CARD_WAS_RESET
    assert refused == (tag in documented("are answered with `card_was_reset`"))
    assert answer.seq == 1
    if isinstance(answer, m.Error):
        assert answer.outcome is Outcome.NOT_EXECUTED


@pytest.mark.parametrize("tag", ["reset_req", "reconnect"])
async def test_e32_who_resets_or_reconnects_goes_on(other_reset: Bench, tag: str) -> None:
    other_reset.agent.request(of(tag, "s2", 1))
    await other_reset.hear(m.ReconnectAck if tag == "reconnect" else m.ResetResp)
    await other_reset.ask(command(2, session="s2"), m.RApdu)


# Which refusals have a number


async def test_e32_what_was_taken_in_hand_is_refused_with_its_number() -> None:
    async with benched() as bench:
        await bench.ask(attach(), m.AttachAck)
        for seq, (request, code) in enumerate(
            (
                (m.CApdu(session="s1", command=Octets(b"\0")), ErrorCode.BAD_APDU),
                (m.EndTransaction(session="s1"), ErrorCode.NOT_TRANSACTED),
                (m.Control(session="s1", number=1, data=Octets()), ErrorCode.NOT_SUPPORTED),
                (
                    m.Reconnect(session="s1", protocols=(CardProtocol.T1,)),
                    ErrorCode.PROTOCOL_MISMATCH,
                ),
            ),
            start=1,
        ):
            fields = {name: getattr(request, name) for name in request.__struct_fields__}
            numbered = type(request)(**fields | {"id": 5, "session": "s1", "seq": seq})
            refused = await bench.ask(numbered, m.Error)
            assert (refused.code, refused.seq) == (code, seq)
            assert documented_seq(code) != {"no"}


async def test_e32_what_was_not_is_refused_without_one() -> None:
    async with benched(transaction_wait_s=0.01) as bench:
        for session in ("s1", "s2"):
            await bench.ask(shared(session), m.AttachAck)
        refusals = [await bench.ask(command(None, number=6), m.Error)]
        refusals.append(await bench.ask(command(1, session="gone"), m.Error))
        begin = m.BeginTransaction(id=1, session="s1", seq=1)
        await bench.ask(begin, m.BeginTransactionAck)
        refusals.append(await bench.ask(command(1, session="s2"), m.Error))
        codes = [refused.code for refused in refusals]
        assert codes == [
            ErrorCode.BAD_MESSAGE,
            ErrorCode.NO_SUCH_SESSION,
            ErrorCode.CARD_BUSY,
        ]
        for refused in refusals:
            assert (refused.seq, refused.outcome) == (None, Outcome.NOT_EXECUTED)
            assert documented_seq(refused.code) != {"yes"}
        assert (await bench.ask(resume(1, "s2"), m.Resumed)).seq == 0


def documented_seq(code: ErrorCode | None) -> set[str]:
    """Return what the document says of the `seq` of refusals with this code."""
    table = PROTOCOL.partition("| An `error` for a request with `seq` |")[2].partition("\n\n")[0]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()]
    return {row[-1] for row in rows if f"`{code}`" in row[0]}


@pytest.fixture
async def held() -> AsyncIterator[Bench]:
    """A bench with one session that is kept."""
    async with benched() as bench:
        await bench.ask(attach(), m.AttachAck)
        yield bench


async def test_e33_a_late_copy_is_refused_as_one(held: Bench) -> None:
    """Silence would be waited for as long as for a card."""
    await held.ask(command(1, HOLD), m.RApdu)
    await held.ask(command(3), m.RApdu)
    await held.ask(resume(5), m.Resumed)
    for seq, outcome in (
        (1, Outcome.UNKNOWN),
        (2, Outcome.UNKNOWN),
        (3, Outcome.UNKNOWN),
        (4, Outcome.NOT_EXECUTED),
        (5, Outcome.NOT_EXECUTED),
    ):
        late = await held.ask(command(seq, HOLD, number=40 + seq), m.Error)
        assert (late.id, late.seq, late.outcome) == (40 + seq, None, outcome)
        assert late.code is ErrorCode.BAD_MESSAGE
        assert f"Number {seq} was used" in late.message
    assert (await held.ask(command(6), m.RApdu)).seq == 6
    assert held.gate.count(HOLD) == 1


async def test_e32_a_cancel_for_a_session_that_is_over_is_refused_as_documented(
    held: Bench,
) -> None:
    await held.ask(m.Detach(session="s1"), m.DetachAck)
    refused = await held.ask(m.Cancel(id=9, target=4, session="s1"), m.Error)
    assert (refused.code, refused.id) == (ErrorCode.NO_SUCH_SESSION, 9)
    assert "`cancel` with `error` `no_such_session`" in PROTOCOL


async def test_e32_the_number_of_what_was_cancelled_is_used(held: Bench) -> None:
    await held.hold(command(1, HOLD))
    held.agent.request(command(2, number=77))
    refused = await held.ask(m.Cancel(id=78, session="s1", target=77), m.Error)
    assert (refused.id, refused.code, refused.seq) == (77, ErrorCode.CANCELLED, None)
    assert (await held.hear(m.CancelAck)).cancelled
    held.gate.open()
    await held.hear(m.RApdu)
    late = await held.ask(command(2), m.Error)
    assert (late.code, late.outcome) == (ErrorCode.BAD_MESSAGE, Outcome.NOT_EXECUTED)
    assert (await held.ask(resume(2), m.Resumed)).seq == 1
    assert (await held.ask(command(3), m.RApdu)).seq == 3


# Raw TPDUs


@pytest.mark.parametrize(
    ("fields", "ahead"),
    [
        ({"raw_tpdu": True, "look_ahead": True}, True),
        ({"raw_tpdu": True}, False),
        ({"look_ahead": True}, False),
    ],
    ids=["both", "raw alone", "looking ahead alone"],
)
async def test_e32_an_answer_is_ahead_only_where_both_were_asked_for(
    fields: dict[str, bool], ahead: bool
) -> None:
    async with benched() as bench:
        await bench.ask(attach(**fields), m.AttachAck)
        answer = await bench.ask(command(1, SELECT_ICCID), m.RApdu)
        assert answer.sw[:2] == "61"
        assert (answer.ahead is not None) == ahead
        assert (await bench.ask(resume(1), m.Resumed)).answer == answer
        steps = (m.Step(command=SELECT_ICCID),)
        done = await bench.ask(m.Batch(id=9, session="s1", seq=2, steps=steps), m.BatchResp)
        assert done.results[0].sw[:2] == "61"
        assert bench.gate.count(SELECT_ICCID) == 2


# A reader without its card


@pytest.mark.parametrize("empty", [True, False])
async def test_e32_a_session_with_the_reader_alone_has_no_atr(empty: bool) -> None:
    async with benched() as bench:
        if empty:
            bench.source.readers.remove(bench.name)
            while (await bench.hear(m.ReaderReport)).reader.state is not m.ReaderState.EMPTY:
                pass
        ack = await bench.ask(attach(share=Share.DIRECT), m.AttachAck)
        assert (ack.atr, ack.protocol) == (Octets(), None)
        refused = await bench.ask(command(1, HOLD), m.Error)
        assert (refused.code, refused.outcome) == (ErrorCode.NOT_SUPPORTED, Outcome.NOT_EXECUTED)


# What a session says of itself to a server that is new


async def test_e32_a_running_session_says_what_was_granted_and_not_what_is_left() -> None:
    async with benched(keep_s=5.0) as bench:
        granted = await bench.ask(attach(keep_s=60.0), m.AttachAck)
        bench.agent.connection_lost()
        (running,) = bench.agent.kept
        assert running.keep_s == granted.keep_s == 5.0
