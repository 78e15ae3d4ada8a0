# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.apdu against tests/vectors/apdu.json, and what is not for every language."""

import json
import re
from typing import Any

import pytest

from tests.support.paths import VECTORS
from wsrc.card.apdu import (
    MAX_COMMAND_OCTETS,
    Command,
    Response,
    channel_of,
    describe_sw,
    is_sw_pattern,
    on_channel,
    parse_command,
    parse_response,
    sw_matches,
)
from wsrc.errors import BadApduError, CardTransmissionError

CASES = json.loads((VECTORS / "apdu.json").read_text("utf-8"))


def vectors(section: str) -> Any:
    return pytest.mark.parametrize("v", [pytest.param(v, id=v["name"]) for v in CASES[section]])


def octets(text: str) -> bytes:
    """Read hexadecimal digits in which <xx*n> stands for n octets xx."""
    return bytes.fromhex(
        re.sub(r"<(..)\*(\d+)>", lambda found: found[1] * int(found[2]), text),
    )


@vectors("commands")
def test_commands(v: dict[str, Any]) -> None:
    apdu = octets(v["apdu"])
    command = parse_command(apdu)
    assert command == Command(
        v["cla"], v["ins"], v["p1"], v["p2"], octets(v["data"]), v["ne"], v["extended"]
    )
    assert command.case == v["case"]
    assert command.header == apdu[:4]
    assert command.encode() == apdu
    assert len(apdu) <= MAX_COMMAND_OCTETS


@vectors("bad_commands")
def test_bad_commands(v: dict[str, Any]) -> None:
    with pytest.raises(BadApduError):
        parse_command(octets(v["apdu"]))


@vectors("responses")
def test_responses(v: dict[str, Any]) -> None:
    response = parse_response(octets(v["rapdu"]))
    assert response == Response(octets(v["data"]), int(v["sw"], 16))
    assert response.ok is v["ok"]
    assert response.encode() == octets(v["rapdu"])


@vectors("bad_responses")
def test_bad_responses(v: dict[str, Any]) -> None:
    with pytest.raises(CardTransmissionError):
        parse_response(octets(v["rapdu"]))


@vectors("channels")
def test_channels(v: dict[str, Any]) -> None:
    cla, on = int(v["cla"], 16), int(v["on"], 16)
    assert channel_of(cla) == v["channel"]
    assert channel_of(on) == v["to"]
    assert on_channel(cla, v["to"]) == on


@pytest.mark.parametrize("channel", [-1, 20])
def test_there_are_20_channels(channel: int) -> None:
    with pytest.raises(BadApduError, match=f"no logical channel {channel}"):
        on_channel(0x00, channel)


def test_too_short_says_how_long() -> None:
    with pytest.raises(BadApduError, match=r"at least 4 octets .* has 3"):
        parse_command(b"\0\xa4\0")


def test_a_wrong_lc_says_what_follows() -> None:
    with pytest.raises(BadApduError, match=r"Lc says 2 octets .* 1 follow"):
        parse_command(bytes.fromhex("00a4000c023f"))
    with pytest.raises(BadApduError, match=r"extended Lc says 2 octets .* 1 follow"):
        parse_command(bytes.fromhex("00d6000000000201"))


@pytest.mark.parametrize(
    "command", [Command(0, 0, 0, 0, bytes(65_536)), Command(0, 0, 0, 0, ne=65_537)]
)
def test_more_than_the_extended_form_holds_is_refused(command: Command) -> None:
    with pytest.raises(BadApduError, match="too much"):
        command.encode()


def test_a_case_1_command_has_no_extended_form() -> None:
    assert Command(0, 0xA4, 0, 0, extended=True).encode() == bytes.fromhex("00a40000")


def test_length_chooses_the_extended_form() -> None:
    assert Command(0, 0xB0, 0, 0, ne=257).encode() == bytes.fromhex("00b00000000101")
    assert Command(0, 0xD6, 0, 0, bytes(256)).encode()[4:7] == bytes.fromhex("000100")


def test_a_response_is_shown_as_data_and_status_word() -> None:
    assert str(Response(b"\x01\x02", 0x9000)) == "0102 9000"
    assert str(Response(b"", 0x6A82)) == "6A82"


@pytest.mark.parametrize(
    ("sw", "words"),
    [
        (0x9000, "done"),
        (0x63C2, "verification failed, 2 tries left"),
        (0x63C1, "verification failed, 1 try left"),
        (0x6110, "response waiting, octets: 16"),
        (0x63F4, "warning, memory changed (F4)"),
        (0x63F1, "more data expected"),
        (0x6C0A, "wrong Le, octets available: 10"),
        (0x6A82, "file or application not found"),
        (0x1234, "not defined by ISO/IEC 7816-4"),
    ],
)
def test_status_words_are_described(sw: int, words: str) -> None:
    assert describe_sw(sw) == words


@pytest.mark.parametrize("sw1", [*range(0x61, 0x70), *range(0x90, 0xA0)])
def test_every_status_word_has_a_description(sw1: int) -> None:
    assert all(describe_sw(sw1 << 8 | sw2) for sw2 in range(256))


@pytest.mark.parametrize(
    ("patterns", "sw", "expected"),
    [
        ((), "6a82", True),
        (("9000",), "9000", True),
        (("9000",), "9001", False),
        (("91xx", "9000"), "910B", True),
        (("9000", "63Cx"), "63c2", True),
        (("xxxx",), "6F00", True),
        (("63cx",), "6300", False),
    ],
)
def test_patterns_of_status_words(patterns: tuple[str, ...], sw: str, *, expected: bool) -> None:
    assert sw_matches(patterns, sw) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("9000", True), ("91xX", True), ("63Cx", True), ("900", False), ("900g", False), ("", False)],
)
def test_a_pattern_is_four_digits_or_x(text: str, *, expected: bool) -> None:
    assert is_sw_pattern(text) is expected


@pytest.mark.parametrize(
    ("sw", "told"),
    [
        (0x6200, "no information"),
        (0x6281, "corrupt"),
        (0x6282, "end of file"),
        (0x6283, "deactivated"),
        (0x6285, "terminated"),
        (0x6300, "verification failed"),
        (0x6581, "memory failure"),
        (0x6700, "wrong length"),
        (0x6881, "logical channel"),
        (0x6882, "secure messaging"),
        (0x6900, "command not allowed"),
        (0x6981, "incompatible with the file structure"),
        (0x6982, "security status"),
        (0x6983, "blocked"),
        (0x6984, "referenced data invalidated"),
        (0x6985, "conditions of use"),
        (0x6986, "no EF"),
        (0x6A80, "data field"),
        (0x6A81, "function not supported"),
        (0x6A82, "not found"),
        (0x6A83, "record not found"),
        (0x6A84, "memory"),
        (0x6A86, "P1 P2"),
        (0x6A87, "Lc"),
        (0x6A88, "referenced data not found"),
        (0x6B00, "P1 P2"),
        (0x6D00, "instruction"),
        (0x6E00, "class"),
        (0x6F00, "no precise diagnosis"),
        (0x9300, "busy"),
        (0x9400, "no EF"),
        (0x9402, "out of range"),
        (0x9404, "not found"),
        (0x9408, "inconsistent"),
        (0x9802, "no PIN"),
        (0x9804, "access condition"),
        (0x9840, "blocked"),
        (0x9850, "maximum"),
        (0x9862, "MAC"),
        (0x9864, "security context"),
    ],
)
def test_status_words_are_told_in_the_words_of_the_standards(sw: int, told: str) -> None:
    """Those of ISO/IEC 7816-4, ETSI TS 102 221 clause 10.2.1 and 3GPP TS 51.011 clause 9.4."""
    assert told in describe_sw(sw)
