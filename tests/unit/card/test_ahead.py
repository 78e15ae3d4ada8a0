# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.ahead: what is read ahead of a program, and what never is."""

import pytest

from wsrc.card import tlv
from wsrc.card.ahead import NextReads, clearing, leaves_waiting

DONE = b"\x90\x00"
USIM = bytes.fromhex("00a4040407a0000000871002")


def fcp(descriptor: str, size: int, life_cycle: int = 5) -> bytes:
    """Return the FCP template of an EF (ETSI TS 102 221 clause 11.1.1.3)."""
    inner = tlv.encode(0x82, bytes.fromhex(descriptor)) + tlv.encode(0x83, b"\x6f\x07")
    return tlv.encode(0x62, inner + tlv.encode(0x8A, bytes((life_cycle,))) + _size(size))


def _size(size: int) -> bytes:
    return tlv.encode(0x80, size.to_bytes(2))


OCTETS = fcp("4121", 10)
RECORDS = fcp("4221000903", 27)


def proposed(model: NextReads, *answers: bytes) -> list[str]:
    """Return what is proposed; the card gives the answers, then 9000 with data as is asked."""
    reads, seen = model.take(), list[str]()
    command = None if reads is None else next(reads, None)
    given = iter(answers)
    while command is not None and reads is not None and len(seen) < 300:
        seen.append(command.hex())
        try:
            command = reads.send(next(given, bytes(command[4] or 256) + DONE))
        except StopIteration:
            break
    return seen


def model_of(select: str, described: bytes, *, uicc: bool = True) -> NextReads:
    """Return the model of a card on which a file has just been selected."""
    model = NextReads(uicc=uicc)
    model.saw(bytes.fromhex(select), described + DONE)
    return model


def test_after_a_select_the_file_is_read_in_both_ways_until_one_is_seen() -> None:
    model = model_of("00a40004026f0700", OCTETS)
    assert proposed(model) == ["00b0000000", "00b000000a"]
    assert proposed(model) == []
    model.asked(bytes.fromhex("00b0000000"))
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model, bytes(10) + DONE) == ["00b0000000"]
    model.asked(bytes.fromhex("00b000000a"))
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model) == ["00b000000a"]


def test_a_file_that_may_not_be_read_is_asked_for_once() -> None:
    assert proposed(model_of("00a40004026f0700", OCTETS), b"\x69\x82") == ["00b0000000"]


def test_a_long_file_is_read_in_the_blocks_of_the_program() -> None:
    model = model_of("00a40004026f0700", fcp("4121", 700))
    assert proposed(model) == ["00b0000000", "00b00000ff"]
    model.saw(bytes.fromhex("00b00000ff"), bytes(255) + DONE)
    assert proposed(model) == ["00b000ffff", "00b001febe"]
    model.saw(bytes.fromhex("00b0000064"), bytes(100) + DONE)
    assert proposed(model)[:2] == ["00b0006464", "00b000c864"]
    model.saw(bytes.fromhex("00b0000000"), bytes(256) + DONE)
    assert proposed(model, bytes(256) + DONE, b"\x6c\xbc") == [
        "00b0010000",
        "00b0020000",
        "00b00200bc",
    ]


def test_records_are_read_by_number_up_to_the_last() -> None:
    model = model_of("00a40004026f3a00", RECORDS)
    assert proposed(model) == ["00b2010400", "00b2010409"]
    model.saw(bytes.fromhex("00b2010409"), bytes(9) + DONE)
    assert proposed(model) == ["00b2020409", "00b2030409"]
    model.saw(bytes.fromhex("00b2030409"), bytes(9) + DONE)
    assert proposed(model) == []
    model.saw(bytes.fromhex("00a40004026f3a00"), RECORDS + DONE)
    assert proposed(model) == ["00b2010409", "00b2020409", "00b2030409"]


def test_records_of_a_file_that_nobody_described_are_read_until_there_is_none() -> None:
    model = model_of("00a4000c026f3a", b"")
    model.saw(bytes.fromhex("00b2010400"), bytes(9) + DONE)
    assert proposed(model, bytes(9) + DONE, b"\x6a\x83") == ["00b2020400", "00b2030400"]


def test_a_wrong_le_is_followed_by_the_right_one() -> None:
    model = model_of("00a40004026f3a00", RECORDS)
    model.saw(bytes.fromhex("00b2010400"), b"\x6c\x09")
    assert proposed(model, bytes(9) + DONE, b"\x6c\x09") == [
        "00b2010409",
        "00b2020400",
        "00b2020409",
        "00b2030400",
    ]
    model.saw(bytes.fromhex("00b2010400"), b"\x6c\x09")
    assert proposed(model, b"\x69\x82") == ["00b2010409"]


def test_with_tpdus_the_file_is_known_when_its_description_was_fetched() -> None:
    model = NextReads(uicc=True)
    model.saw(bytes.fromhex("01a40004026f07"), b"\x61\x1f")
    assert proposed(model) == []
    model.saw(bytes.fromhex("00c000001f"), OCTETS + DONE)
    assert proposed(model) == []


def test_with_tpdus_another_command_between_forgets_the_selection() -> None:
    for between in ("00b000000a", "00c000001f"):
        model = NextReads(uicc=True)
        model.saw(bytes.fromhex("00a40004026f07"), b"\x61\x1f")
        model.saw(bytes.fromhex(between), b"\x69\x82" if "b0" in between else OCTETS + DONE)
        read = proposed(model)
        assert read == ([] if "00b000" in between else ["00b0000000", "00b000000a"])


@pytest.mark.parametrize(
    ("select", "answer"),
    [
        ("00a40004026f0700", OCTETS + b"\x62\x83"),
        ("00a40004026f0700", OCTETS + b"\x91\x10"),
        ("00a40004026f0700", b"\x6a\x82"),
        ("00a4000c026f07", DONE),
        ("00a40004026f0700", fcp("4121", 10, 4) + DONE),
        ("00a40004023f0000", fcp("7821", 10) + DONE),
        ("00a40004026f0700", fcp("3921", 10) + DONE),
        ("00a40004026f0700", fcp("42210009", 9) + DONE),
        ("00a40004026f0700", fcp("", 9) + DONE),
        ("00a40004026f0700", tlv.encode(0x6F, b"") + DONE),
        ("00a40004026f0700", b"\x62\x7f" + DONE),
        ("a0a40000026f0700", OCTETS + DONE),
        ("10a40004026f0700", OCTETS + DONE),
        ("0ca40004026f0700", OCTETS + DONE),
        ("60a40004026f0700", OCTETS + DONE),
        ("01a40004026f0700", OCTETS + DONE),
    ],
)
def test_nothing_is_read_of_what_is_not_certain(select: str, answer: bytes) -> None:
    model = NextReads(uicc=True)
    model.saw(bytes.fromhex(select), answer)
    assert proposed(model) == []


def test_nothing_is_read_of_a_card_whose_atr_is_of_no_uicc() -> None:
    assert proposed(model_of("00a40004026f0700", OCTETS, uicc=False)) == []


@pytest.mark.parametrize(
    "read",
    [
        "00b082000a",
        "00b201f409",
        "00b2000409",
        "00b2000209",
        "00b2010209",
        "00b2010309",
        "00b00000000009",
        "00b0000002 aabb",
    ],
)
def test_a_read_that_selects_or_moves_is_followed_by_none(read: str) -> None:
    model = model_of("00a40004026f3a00", RECORDS)
    model.saw(bytes.fromhex(read), bytes(9) + DONE)
    assert proposed(model) == []


@pytest.mark.parametrize(
    "command",
    [
        "002000010831323334ffffffff",
        "0020000108",
        "00d600000100",
        "80320000030000010 0",
        "80f2000000",
    ],
)
def test_after_any_other_command_nothing_is_read(command: str) -> None:
    model = model_of("00a40004026f3a00", RECORDS)
    model.saw(bytes.fromhex(command.replace(" ", "")), DONE)
    assert proposed(model) == []
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model)


@pytest.mark.parametrize(
    "command", ["80e2910000", "00ee0000", "a0a40000023f00", "04a40004023f00", "ffca000000"]
)
def test_after_a_command_that_is_not_known_nothing_is_read_any_more(command: str) -> None:
    model = model_of("00a40004026f3a00", RECORDS)
    model.saw(bytes.fromhex(command), DONE)
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model) == []


@pytest.mark.parametrize("sw", ["9000", "6110", "6283", "6999"])
@pytest.mark.parametrize(
    "aid", ["a000000063504b43532d3135", "a0000000871003ff33ff0189", "a000000087", "a00000008710"]
)
def test_nothing_is_read_within_an_application_of_others(aid: str, sw: str) -> None:
    model = NextReads(uicc=True)
    select = f"00a4040c{len(aid) // 2:02x}{aid}"
    model.saw(bytes.fromhex(select), bytes.fromhex(sw))
    model.saw(bytes.fromhex("00a40004023f0000"), OCTETS + DONE)
    assert proposed(model) == []
    model.saw(USIM, b"\x61\x20")
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model)


def test_an_application_that_is_not_there_changes_nothing() -> None:
    model = NextReads(uicc=True)
    model.saw(bytes.fromhex("00a4040c0ca000000063504b43532d3135"), b"\x6a\x82")
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model)


def test_an_application_of_3gpp_that_warns_is_not_certain() -> None:
    model = NextReads(uicc=True)
    model.saw(USIM, b"\x62\x83")
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model) == []


def test_a_channel_is_read_ahead_while_it_is_open() -> None:
    model = NextReads(uicc=True)
    select = bytes.fromhex("01a40004026f0700")
    model.saw(bytes.fromhex("0070000001"), b"\x6a\x81")
    model.saw(select, OCTETS + DONE)
    assert proposed(model) == []
    model.saw(bytes.fromhex("0070000001"), b"\x01" + DONE)
    model.saw(select, OCTETS + DONE)
    assert proposed(model) == ["01b0000000", "01b000000a"]
    model.saw(bytes.fromhex("00708001"), DONE)
    model.saw(select, OCTETS + DONE)
    assert proposed(model) == []
    model.saw(bytes.fromhex("00700004"), DONE)
    model.saw(bytes.fromhex("40a40004026f0700"), OCTETS + DONE)
    assert proposed(model) == ["40b0000000", "40b000000a"]
    model.saw(bytes.fromhex("40708000"), DONE)
    model.saw(bytes.fromhex("40a40004026f0700"), OCTETS + DONE)
    assert proposed(model) == []


def test_a_channel_that_was_opened_within_an_application_of_others_is_theirs() -> None:
    model = NextReads(uicc=True)
    model.saw(bytes.fromhex("00a4040c0ca000000063504b43532d3135"), DONE)
    model.saw(USIM.replace(b"\x00\xa4", b"\x02\xa4", 1), DONE)
    model.saw(bytes.fromhex("0070000001"), b"\x01" + DONE)
    model.saw(bytes.fromhex("01a40004026f0700"), OCTETS + DONE)
    assert proposed(model) == []


def test_a_model_that_is_stopped_stays_so() -> None:
    model = model_of("00a40004026f0700", OCTETS)
    model.stop()
    assert proposed(model) == []
    model.saw(USIM, DONE)
    model.saw(bytes.fromhex("00a40004026f0700"), OCTETS + DONE)
    assert proposed(model) == []


def test_what_waits_is_cleared_on_its_channel() -> None:
    assert leaves_waiting(b"\x00\x61\x10")
    assert leaves_waiting(b"\x9f\x10")
    assert not leaves_waiting(bytes(16) + DONE)
    assert clearing(bytes.fromhex("02b2010400")) == bytes.fromhex("02b0000001")
