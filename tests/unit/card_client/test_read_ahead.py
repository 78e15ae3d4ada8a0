# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.attachment: how much is read ahead, and what a card does that is read so."""

import threading
from collections.abc import Sequence

import pytest

from tests.support.ahead_program import READER, Program
from wsrc.card import tlv
from wsrc.card.slot import Share
from wsrc.card_client.blocking import Line
from wsrc.errors import CardUnresponsiveError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.readers.base import CardProtocol, ResetKind
from wsrc.readers.simulated_bay import Bay
from wsrc.readers.simulated_connection import SimulatedDirect

UICC_ATR = bytes.fromhex("3b9c96801fc78031e073fe215364575352438d")
SELECT = Octets.fromhex("00a40004026f3a00")


def described(descriptor: str, size: int) -> bytes:
    """Return the FCP of an EF, and 9000."""
    inner = tlv.encode(0x82, bytes.fromhex(descriptor)) + tlv.encode(0x8A, b"\x05")
    return tlv.encode(0x62, inner + tlv.encode(0x80, size.to_bytes(2))) + b"\x90\x00"


class ScriptedCard(SimulatedDirect):
    """A card over T=1 that describes its file, and answers reads as it is told, then with data."""

    def __init__(self, description: bytes, *answers: bytes | Exception) -> None:
        super().__init__(Bay("Reader", threading.Condition(), 0))
        self.event_count = None
        self.atr, self.protocol = UICC_ATR, CardProtocol.T1
        self.ran: list[str] = []
        self._description, self._answers = description, list(answers)

    def transmit(self, octets: bytes) -> bytes:
        self.ran.append(octets.hex())
        if octets[1] == 0xA4:
            return self._description
        answer = self._answers.pop(0) if self._answers else bytes(octets[4] or 16) + b"\x90\x00"
        if isinstance(answer, Exception):
            raise answer
        return answer

    def reset(self, kind: ResetKind, protocols: Sequence[CardProtocol] = ()) -> bytes:
        del kind, protocols
        return self.atr


def program(card: ScriptedCard) -> Program:
    line = Line(card, read_ahead=True)
    return Program(line, read_ahead=True, share=Share.EXCLUSIVE, raw=False)


async def selected(card: ScriptedCard) -> tuple[list[str], Exception | None]:
    """Select the file; return what was read ahead, by a program that reads whole records."""
    asks = program(card)
    asks.host.line.next_reads.asked(bytes.fromhex("00b2010400"))
    asks.host.line.next_reads.asked(bytes.fromhex("00b0000000"))
    done = await asks.host.carry_out(m.CApdu(session="s", command=SELECT), READER)
    assert isinstance(done.answer, m.RApdu)
    return [each.command.hex() for each in done.answer.read_ahead], done.failure


@pytest.mark.parametrize(
    ("descriptor", "size", "count"),
    [("422100ff64", 25_500, 16), ("42210010 64", 1_600, 16), ("4121", 32_000, 16)],
    ids=["long records", "short records", "octets"],
)
async def test_16_commands_are_run_and_no_more(descriptor: str, size: int, count: int) -> None:
    card = ScriptedCard(described(descriptor, size))
    read, failure = await selected(card)
    assert (len(read), failure) == (count, None)
    assert card.ran == [SELECT.hex(), *read]


async def test_no_command_is_run_after_4096_octets() -> None:
    long = bytes(1_024) + b"\x90\x00"
    read, _ = await selected(ScriptedCard(described("4121", 32_000), *[long] * 9))
    assert len(read) == 4


async def test_a_read_that_leaves_something_waiting_is_undone_and_the_last() -> None:
    card = ScriptedCard(described("4121", 600), bytes(256) + b"\x90\x00", b"\x00\x61\x10")
    asks = program(card)
    asks.host.line.next_reads.asked(bytes.fromhex("00b0000000"))
    await asks.transmit(SELECT.hex())
    assert card.ran == [SELECT.hex(), "00b0000000", "00b0010000", "00b0000001"]
    await asks.transmit("00b0000000")
    await asks.transmit(SELECT.hex())
    assert card.ran[4:] == [SELECT.hex()]


async def test_a_proactive_command_that_is_told_ends_it_and_is_not_lost() -> None:
    read, _ = await selected(ScriptedCard(described("4121", 600), bytes(256) + b"\x91\x10"))
    assert read == ["00b0000000"]


async def test_a_failure_comes_after_what_was_read_before() -> None:
    data, hangs = bytes(256) + b"\x90\x00", CardUnresponsiveError("It hangs.")
    card = ScriptedCard(described("4121", 600), data, hangs)
    read, failure = await selected(card)
    assert (read, failure) == (["00b0000000"], hangs)


async def test_after_a_failure_nothing_is_read_ahead_until_the_card_is_reset() -> None:
    hangs = CardUnresponsiveError("It hangs.")
    card = ScriptedCard(described("4121", 600), hangs)
    asks = program(card)
    with pytest.raises(CardUnresponsiveError):
        await asks.transmit("00b0000000")
    await asks.transmit(SELECT.hex())
    assert card.ran == ["00b0000000", SELECT.hex()]
    asks.host.line.reset(ResetKind.WARM)
    await asks.transmit(SELECT.hex())
    assert card.ran[3:] == ["00b0000000", "00b00000ff"]


async def test_what_a_session_that_did_not_ask_sends_is_followed_by_nothing() -> None:
    card = ScriptedCard(described("4121", 600))
    line = Line(card, read_ahead=True)
    asks = Program(line, read_ahead=False, share=Share.EXCLUSIVE, raw=False)
    await asks.transmit(SELECT.hex())
    assert card.ran == [SELECT.hex()]


@pytest.mark.parametrize(
    ("asked", "goes_on"),
    [
        (m.Status(session="s"), True),
        (m.GetAttribute(session="s", name="maxinput"), True),
        (m.Control(session="s", number=3400, data=Octets()), True),
        (m.Control(session="s", number=2048, data=Octets()), False),
        (m.SetAttribute(session="s", name="supress_t1_ifs_request", value=Octets(b"1")), False),
    ],
    ids=["status", "attribute", "features", "control", "set attribute"],
)
async def test_after_what_a_reader_may_do_to_its_card_nothing_is_read(
    asked: m.Forwarded, goes_on: bool
) -> None:
    card = ScriptedCard(described("4121", 600))
    asks = program(card)
    await asks.host.carry_out(asked, READER)
    await asks.transmit(SELECT.hex())
    assert (len(card.ran) > 1) is goes_on


async def test_nothing_is_read_ahead_where_the_answer_may_not_fit() -> None:
    asks = program(ScriptedCard(described("4121", 600)))
    asks.host._room = asks.host._room._replace(longest=lambda: 16_000)
    done = await asks.host.carry_out(m.CApdu(session="s", command=SELECT), READER)
    assert isinstance(done.answer, m.RApdu)
    assert done.answer.read_ahead == ()
