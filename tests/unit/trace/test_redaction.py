# SPDX-License-Identifier: Apache-2.0
"""No PIN and no key is left in what is shown of an exchange (issue 13, 4)."""

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.support.guard_book import Meant, ways
from wsrc.trace.events import Traced, text_of
from wsrc.trace.packets import apdu_payload
from wsrc.trace.redaction import Redactor

PIN = b"1234\xff\xff\xff\xff"
KEY = bytes(range(0xA0, 0xB0))
OK = b"\x90\x00"


def octets(text: str) -> bytes:
    return bytes.fromhex(text.replace(" ", ""))


def shown(redactor: Redactor, command: bytes, answer: bytes = OK) -> tuple[str, bytes]:
    """Return the text and the octets that are shown of an exchange."""
    what = redactor.redact(command, answer)
    assert len(what.command) == len(command)
    assert len(what.answer) == len(answer)
    text = text_of(Traced(0.0, "1f2e3d4c", "X", what))
    return text, apdu_payload(what.command, what.answer)


def windows(secret: bytes, size: int = 3) -> Iterator[bytes]:
    return (secret[at : at + size] for at in range(len(secret) - size + 1))


def assert_hidden(secret: bytes, text: str, packet: bytes) -> None:
    for part in windows(secret):
        assert part.hex(" ") not in text.partition("->")[0]
        assert part not in packet


@pytest.mark.parametrize("cla", [0x00, 0x01, 0x0C, 0x41, 0x80, 0xA0, 0xFF])
@pytest.mark.parametrize("ins", [0x20, 0x21, 0x24, 0x26, 0x28, 0x2C, 0x82, 0x86, 0xD8, 0xDA])
def test_13_a_secret_is_hidden_in_every_way_in_which_it_can_be_sent(cla: int, ins: int) -> None:
    count = 0
    for way in ways(Meant(cla, ins, 0, 1, PIN)):
        redactor = Redactor()
        for command in way.octets:
            assert_hidden(PIN, *shown(redactor, command))
            count += 1
    assert count >= 6


def test_13_what_a_card_answers_to_authenticate_is_hidden_however_it_is_fetched() -> None:
    redactor = Redactor()
    text, packet = shown(redactor, octets("00 88 00 81 03 010203"), KEY + OK)
    assert "[16 octets] 90 00" in text
    assert "00 88 00 81 03 01 02 03" in text
    assert KEY[:3] not in packet
    shown(redactor, octets("00 88 00 81 03 010203"), b"\x61\x10")
    for _ in range(2):  # 6Cxx, then once more
        text, packet = shown(redactor, octets("00 c0 00 00 10"), KEY + OK)
        assert KEY[:3] not in packet
    shown(redactor, octets("00 a4 00 04 02 3f00"), b"\x61\x10")
    assert KEY[:3] in shown(redactor, octets("00 c0 00 00 10"), KEY + OK)[1]


def test_13_channels_have_nothing_to_do_with_one_another() -> None:
    redactor = Redactor()
    shown(redactor, octets("01 88 00 81 03 010203"), b"\x61\x10")
    shown(redactor, octets("00 a4 00 04 02 3f00"), b"\x61\x10")
    assert KEY[:3] in shown(redactor, octets("00 c0 00 00 10"), KEY + OK)[1]
    assert KEY[:3] not in shown(redactor, octets("01 c0 00 00 10"), KEY + OK)[1]
    shown(redactor, octets("01 a4 00 04 02 6f08"))
    assert KEY[:3] in shown(redactor, octets("00 b0 00 00 10"), KEY + OK)[1]
    assert KEY[:3] not in shown(redactor, octets("01 b0 00 00 10"), KEY + OK)[1]


def test_13_files_of_keys_are_hidden_and_others_are_not() -> None:
    redactor = Redactor()
    read, by_sfi = octets("00 b0 00 00 10"), octets("00 b0 88 00 10")
    assert KEY[:3] in shown(redactor, read, KEY + OK)[1]
    shown(redactor, octets("00 a4 00 04 02 6f08"))
    assert KEY[:3] not in shown(redactor, read, KEY + OK)[1]
    for refused in (b"\x6a\x82", b"\x69\x99", b""):
        shown(redactor, octets("00 a4 00 04 02 6fff"), refused)
    assert KEY[:3] not in shown(redactor, read, KEY + OK)[1]
    shown(redactor, octets("00 a4 00 04 02 6f07"))
    assert KEY[:3] in shown(redactor, read, KEY + OK)[1]
    assert KEY[:3] not in shown(redactor, by_sfi, KEY + OK)[1]
    shown(redactor, octets("00 a4 08 04 04 7fff6f08"))
    redactor.was_reset()
    assert KEY[:3] in shown(redactor, read, KEY + OK)[1]


def test_13_store_data_of_an_isd_r_is_shown_and_of_others_is_not() -> None:
    redactor = Redactor()
    assert "bf 2d" in shown(redactor, octets("80 e2 11 00 03 bf2d03"))[0]
    assert "5c 01 5a" in shown(redactor, octets("80 e2 91 01 03 5c015a"))[0]
    key = octets("80 e2 11 00 10") + KEY
    assert_hidden(KEY, *shown(redactor, key))
    assert_hidden(KEY, *shown(redactor, octets("80 e2 91 01 10") + KEY))


def test_13_a_question_and_its_answer_are_shown() -> None:
    assert shown(Redactor(), octets("00 20 00 01"), b"\x63\xc3")[0].endswith("00 20 00 01 -> 63 c3")


def test_13_a_command_without_an_answer_is_shown_as_such() -> None:
    assert shown(Redactor(), octets("00 b0 00 00 01"), b"")[0].endswith("-> no answer")


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=40), st.binary(max_size=20)), max_size=9))
def test_13_no_octets_crash_the_redactor(exchanges: list[tuple[bytes, bytes]]) -> None:
    redactor = Redactor()
    for command, answer in exchanges:
        what = redactor.redact(command, answer)
        assert (len(what.command), len(what.answer)) == (len(command), len(answer))
        assert what.command[:4] == command[:4]
        assert what.answer[-2:] == answer[-2:]
