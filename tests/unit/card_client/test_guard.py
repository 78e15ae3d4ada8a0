# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.guarded: no verb of a session leads around the guard."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, get_args

import pytest

from tests.support.card_bench import (
    ASK_PIN,
    Bench,
    attach,
    benched,
    command,
    shared,
)
from wsrc.card.slot import Initialization, Share
from wsrc.card_client.attachment import Attachment
from wsrc.card_client.guarded import GuardedConnection, GuardedDirect
from wsrc.errors import ErrorCode, Outcome
from wsrc.guard.tables import Table
from wsrc.octets import Octets
from wsrc.protocol import messages as m

WRONG = "0020000108 3030303030303030"
VERIFY = Octets(bytes.fromhex(WRONG))
PAD = Octets(bytes(15) + len(VERIFY).to_bytes(4, "little") + VERIFY)
READ = Octets.fromhex("00b000000a")
WRAPPED = Octets(bytes.fromhex("00c200000d") + VERIFY)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with benched() as bench:
        _spend(bench, 2)
        yield bench


def _spend(bench: Bench, tries: int) -> None:
    """Have somebody else have used up tries of PIN 1."""
    bench.card.power_on()
    for _ in range(tries):
        bench.card.transmit(VERIFY)
    bench.card.power_off()


def left(bench: Bench) -> int:
    """Ask the card itself how many tries are left of PIN 1."""
    bench.card.power_on()
    answer = bench.card.transmit(bytes(ASK_PIN) + b"\0")
    bench.card.power_off()
    return answer[1] & 0x0F


Ask = Callable[[dict[str, Any]], m.Forwarded]
BATCH: Ask = lambda ids: m.Batch(steps=(m.Step(command=READ), m.Step(command=VERIFY)), **ids)  # noqa: E731
ATTEMPTS: dict[str, Ask] = {
    "c_apdu": lambda ids: m.CApdu(command=VERIFY, **ids),
    "wrapped": lambda ids: m.CApdu(command=WRAPPED, **ids),
    "batch": BATCH,
    "control": lambda ids: m.Control(number=0x330006, data=PAD, **ids),
    "vendor code": lambda ids: m.Control(number=0x330008, data=VERIFY, **ids),
}
"""What a session can send that carries octets for the card."""

NO_OCTETS = {
    m.ResetReq,
    m.Reconnect,
    m.BeginTransaction,
    m.EndTransaction,
    m.Status,
    m.GetAttribute,
}
"""Requests that have no octets for a card or a reader."""

OF_READER = {m.SetAttribute}
"""What is for the reader, and can present nothing."""


def test_every_request_of_a_session_is_tried_or_has_no_octets() -> None:
    tried = {type(ask({"id": 1, "session": "s1", "seq": 1})) for ask in ATTEMPTS.values()}
    assert tried | NO_OCTETS | OF_READER == set(get_args(m.Plain))
    assert not tried & (NO_OCTETS | OF_READER)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("share", [Share.EXCLUSIVE, Share.SHARED, Share.DIRECT])
@pytest.mark.parametrize("name", ATTEMPTS)
async def test_no_verb_leads_around_the_guard(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, share: Share, raw: bool
) -> None:
    # A simulated reader says of all its codes that they reach no card: this one says nothing.
    monkeypatch.setattr(
        "wsrc.readers.simulated_connection.SimulatedDirect.harmless_controls", frozenset[int]()
    )
    await bench.ask(attach(share=share, raw_tpdu=raw, look_ahead=raw), m.AttachAck)
    bench.gate.commands.clear()
    asked = ATTEMPTS[name]({"id": 1, "session": "s1", "seq": 1})
    bench.agent.request(asked)
    answer = await bench.hear(m.BatchResp if name == "batch" and _has_card(share) else m.Error)
    error = answer.error if isinstance(answer, m.BatchResp) else answer
    assert error is not None
    refused = ErrorCode.NOT_SUPPORTED if _no_card_meant(asked, share) else ErrorCode.GUARDED
    assert (error.code, error.outcome) == (refused, Outcome.NOT_EXECUTED)
    assert all(each in {READ, ASK_PIN + b"\0"} for each in bench.gate.commands)
    await bench.ask(m.Detach(session="s1"), m.DetachAck)
    assert left(bench) == 1


def _has_card(share: Share) -> bool:
    return share is not Share.DIRECT


def _no_card_meant(asked: m.Forwarded, share: Share) -> bool:
    return share is Share.DIRECT and not isinstance(asked, m.ReaderQuestion)


async def test_what_a_session_has_of_its_card_is_guarded(bench: Bench) -> None:
    await bench.ask(shared("s1"), m.AttachAck)
    await bench.ask(shared("s2"), m.AttachAck)
    for held in bench.agent._turns.sessions.values():
        assert isinstance(held, Attachment)
        for reached in (held.direct, held.connection, held.line.connection):
            assert isinstance(reached, GuardedConnection)
    await bench.ask(m.Detach(session="s1"), m.DetachAck)
    await bench.ask(m.Detach(session="s2"), m.DetachAck)
    await bench.ask(attach("s3", share=Share.DIRECT), m.AttachAck)
    (only,) = bench.agent._turns.sessions.values()
    assert isinstance(only.direct, GuardedDirect)


async def test_a_session_goes_on_after_a_refusal_that_names_its_rule(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.ask(attach(), m.AttachAck)
    with caplog.at_level(logging.DEBUG):
        refused = await bench.ask(command(1, VERIFY), m.Error)
    assert "rule last-try: 1 try is left of PIN 01, and VERIFY may take one" in refused.message
    assert "The card has not run it" in refused.message
    assert refused.pcsc == "SCARD_W_SECURITY_VIOLATION"
    (told,) = [r.getMessage() for r in caplog.records if "was refused" in r.getMessage()]
    assert "00 20 00 01 + 9 octets was refused by rule last-try" in told
    assert "3030" not in caplog.text
    asked = await bench.ask(command(2, ASK_PIN), m.RApdu)
    assert asked.sw == "63c1"


async def test_a_flood_of_refusals_is_a_few_lines(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("wsrc.card_client.guarded.time.monotonic", lambda: now[0])
    await bench.ask(attach(), m.AttachAck)
    for number in range(1, 21):
        await bench.ask(command(number, VERIFY), m.Error)
    now[0] += 1.0
    await bench.ask(command(21, VERIFY), m.Error)
    told = [r.getMessage() for r in caplog.records if "was refused" in r.getMessage()]
    assert len(told) == 2
    assert told[1].endswith("; 19 more were refused since")


async def test_a_batch_ends_at_what_is_refused(bench: Bench) -> None:
    await bench.ask(attach(), m.AttachAck)
    steps = tuple(m.Step(command=each) for each in (ASK_PIN, VERIFY, ASK_PIN))
    ran = await bench.ask(m.Batch(id=1, session="s1", seq=1, steps=steps), m.BatchResp)
    assert [result.sw for result in ran.results] == ["63c1"]
    assert ran.stopped is None
    assert ran.error is not None
    assert (ran.error.code, ran.error.outcome) == (ErrorCode.GUARDED, Outcome.NOT_EXECUTED)


async def test_a_refusal_may_be_a_status_word() -> None:
    async with benched(guard_answer="6985") as bench:
        _spend(bench, 2)
        await bench.ask(attach(), m.AttachAck)
        answer = await bench.ask(command(1, VERIFY), m.RApdu)
        assert (answer.sw, answer.response) == ("6985", Octets())
        steps = tuple(m.Step(command=each) for each in (ASK_PIN, VERIFY, ASK_PIN))
        ran = await bench.ask(m.Batch(id=2, session="s1", seq=2, steps=steps), m.BatchResp)
        assert [result.sw for result in ran.results] == ["63c1", "6985"]
        assert (ran.stopped, ran.error) == (1, None)


async def test_what_an_owner_allows_passes() -> None:
    for chosen in ({"guard_allow": ("pin-last-try",)}, {"guard_profile": ("full",)}):
        async with benched(**chosen) as bench:
            _spend(bench, 2)
            await bench.ask(attach(), m.AttachAck)
            answer = await bench.ask(command(1, VERIFY), m.RApdu)
            assert answer.sw == "63c0"


@pytest.mark.parametrize(
    ("cards", "refused"),
    [
        ("*", True),
        ("bench*", True),
        ("89882110*", True),
        ("8988211000000430010", True),
        ("Simulated UICC*", True),
        ("other*", False),
    ],
)
async def test_a_table_is_for_the_cards_that_it_names(cards: str, refused: bool) -> None:
    table = Table(cards=cards, profile=("read-only",))
    labels = {"8988211000000430010": "bench 1"}
    async with benched(guard=(table,), labels=labels) as bench:
        await bench.ask(attach(), m.AttachAck)
        verify = Octets(bytes.fromhex("0020000108") + b"1234\xff\xff\xff\xff")
        bench.agent.request(command(1, verify))
        if refused:
            assert "rule read-only" in (await bench.hear(m.Error)).message
        else:
            assert (await bench.hear(m.RApdu)).sw == "9000"


async def test_the_last_table_that_says_something_counts() -> None:
    tables = (
        Table(profile=("no-pin",), allow=("pin-last-try",)),
        Table(profile=("last-try",)),
        Table(match="00b0xxxx", answer="6a82"),
    )
    async with benched(guard=tables) as bench:
        _spend(bench, 2)
        await bench.ask(attach(), m.AttachAck)
        assert (await bench.ask(command(1, READ), m.RApdu)).sw == "6a82"
        assert (await bench.ask(command(2, VERIFY), m.RApdu)).sw == "63c0"


async def test_what_is_known_of_a_card_outlives_resets_and_sessions() -> None:
    """A disabled PIN is one whose tries cannot be asked for."""
    enable = Octets(bytes.fromhex("0028000108 3030303030303030"))
    disable = Octets(bytes.fromhex("0026000108") + b"1234\xff\xff\xff\xff")
    async with benched() as bench:
        await bench.ask(attach(), m.AttachAck)
        assert (await bench.ask(command(1, disable), m.RApdu)).sw == "9000"
        assert (await bench.ask(command(2, enable), m.RApdu)).sw == "63c2"
        await bench.ask(m.ResetReq(id=3, session="s1", seq=3), m.ResetResp)
        assert (await bench.ask(command(4, enable), m.RApdu)).sw == "63c1"
        reconnect = m.Reconnect(id=5, session="s1", seq=5, initialization=Initialization.UNPOWER)
        await bench.ask(reconnect, m.ReconnectAck)
        await bench.ask(m.Detach(session="s1"), m.DetachAck)
        await bench.ask(attach("s2"), m.AttachAck)
        refused = await bench.ask(command(1, enable, session="s2"), m.Error)
        assert refused.code is ErrorCode.GUARDED


async def test_what_the_host_asks_itself_is_not_judged() -> None:
    table = Table(match="xx b0 xx xx")
    async with benched(guard=(table,)) as bench:
        await bench.ask(attach(), m.AttachAck)
        assert (await bench.ask(command(1, READ), m.Error)).code is ErrorCode.GUARDED
        await bench.ask(m.ResetReq(id=2, session="s1", seq=2), m.ResetResp)
        assert bench.agent.info.iccid == "8988211000000430010"


async def test_a_read_only_reader_lets_no_attribute_be_set() -> None:
    async with benched(guard_profile=("read-only",)) as bench:
        await bench.ask(attach(share=Share.DIRECT), m.AttachAck)
        wanted = m.SetAttribute(
            id=1, session="s1", seq=1, name="supress_t1_ifs_request", value=Octets(b"1")
        )
        assert (await bench.ask(wanted, m.Error)).code is ErrorCode.GUARDED


def calls_of(function: Callable[[], object]) -> int:
    seen: list[str] = []
    sys.setprofile(lambda _frame, event, _arg: seen.append(event))
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen.count("call")


@pytest.mark.parametrize("octets", [READ, Octets.fromhex("00a4000c023f00")])
async def test_a_command_that_needs_no_look_costs_a_look_up(octets: Octets) -> None:
    """Counted in calls, not in time: four more for each block that a UICC is given."""
    calls: dict[str, int] = {}
    for profile in ("full", "last-try"):
        async with benched(guard_profile=(profile,)) as bench:
            await bench.ask(attach(), m.AttachAck)
            (held,) = bench.agent._turns.sessions.values()
            assert isinstance(held, Attachment)
            command = partial(held.line.transmit, octets, raw_tpdu=False)
            calls_of(command)  # what is found out once, and kept, is not counted
            calls[profile] = calls_of(command)
    assert calls["last-try"] == calls["full"] + 4
