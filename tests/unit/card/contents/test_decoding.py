# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.contents: FCP templates and data objects of SGP.22 as trees, and what they say."""

import json

import pytest

from wsrc.card import tlv
from wsrc.card.contents import es10, fcp
from wsrc.card.contents.decoding import decoded

ADF = bytes.fromhex(
    "62378202782183027fff8410a0000000871002ffffffff8907090000a5038001718a01058b032f0601"
    "c60f900160830101830181950100830111"
)
EF = bytes.fromhex("621a8205422100300283022f008a01058b032f0601800200608801f0")


def lines(data: bytes) -> list[str]:
    return [line for node in decoded(data) or () for line in node.lines()]


def test_an_fcp_of_an_application_is_named_line_by_line() -> None:
    adf = tlv.encode(0x62, ADF[2:])
    assert lines(adf) == [
        "62  FCP template",
        "  82 7821  file descriptor  DF or ADF, shareable",
        "  83 7fff  file identifier",
        "  84 a0000000871002ffffffff8907090000  DF name (AID)  USIM",
        "  A5  proprietary",
        "    80 71  UICC characteristics  clock stop allowed",
        "  8A 05  life cycle  operational, activated",
        "  8B 2f0601  security attributes, referenced  EF.ARR 2F06, record 1",
        "  C6  PIN status",
        "    90 60  enabled",
        "    83 01  key reference  PIN of application 1",
        "    83 81  key reference  second PIN of application 1",
        "    95 00  usage qualifier",
        "    83 11  key reference  universal PIN",
    ]
    json.dumps([node.document() for node in decoded(adf) or ()])


def test_an_fcp_says_how_a_file_is_read_and_which_pins_there_are() -> None:
    assert fcp.file_of(EF) == fcp.File(0x60, 48, 2)
    assert fcp.file_of(tlv.encode(0x62, ADF[2:])) is None
    assert [(each.reference, each.enabled) for each in fcp.pins_of(tlv.encode(0x62, ADF[2:]))] == [
        (0x01, False),
        (0x81, True),
        (0x11, False),
    ]
    assert fcp.pins_of(EF) == []


@pytest.mark.parametrize(
    ("octet", "text"),
    [
        (0x01, "clock stop allowed"),
        (0x05, "clock stop allowed, high level preferred"),
        (0x09, "clock stop allowed, low level preferred"),
        (0x00, "clock stop not allowed"),
        (0x04, "clock stop not allowed unless at high level"),
    ],
)
def test_an_fcp_says_when_the_clock_may_stop(octet: int, text: str) -> None:
    data = tlv.encode(0x62, tlv.encode(0xA5, tlv.encode(0x80, bytes([octet]))))
    assert lines(data)[-1].endswith(text)


def test_an_answer_of_an_isd_r_has_the_names_of_sgp_22() -> None:
    profile = bytes.fromhex("e3135a0a988812010000400310f09f700101950102")
    told = lines(tlv.encode(0xBF2D, tlv.encode(0xA0, profile)))
    assert told == [
        "BF2D  ProfileInfoList",
        "  A0  list",
        "    E3  ProfileInfo",
        "      5A 988812010000400310f0  iccid  8988211000000430010",
        "      9F70 01  profileState  enabled",
        "      95 02  profileClass  operational",
    ]


@pytest.mark.parametrize(
    "data", [b"", b"\x98\x88\x12", b"\x62\x05\x82", b"\x30\x00", b"\xff\xff", b"WSRC"]
)
def test_other_octets_are_left_alone(data: bytes) -> None:
    assert decoded(data) is None


def test_a_record_may_be_filled_up() -> None:
    usim = bytes.fromhex("61184f10a0000000871002ffffffff890709000050045553494d")
    assert lines(usim.ljust(48, b"\xff"))[-1] == "  50 5553494d  label  USIM"


def test_objects_within_objects_end_somewhere() -> None:
    data = b""
    for _ in range(200):
        data = tlv.encode(0xA0, data)
    assert len(lines(tlv.encode(0x62, data))) < 20


def test_an_error_of_an_isd_r_is_none_of_its_answers() -> None:
    with pytest.raises(ValueError, match="error 127"):
        es10.profiles(bytes.fromhex("bf2d0381017f"))
    with pytest.raises(ValueError, match="something else"):
        es10.info2(bytes.fromhex("bf2000"))
    with pytest.raises(ValueError, match="16 octets"):
        es10.eid(bytes.fromhex("bf3e035a0189"))


def test_info2_says_what_is_free() -> None:
    told = es10.info2(bytes.fromhex("bf22148303240501840d81010882040001000083022000"))
    assert told["firmware"] == "36.5.1"
    assert (told["applications"], told["free_nv_octets"], told["free_ram_octets"]) == (
        8,
        65_536,
        8_192,
    )
    assert told["sas"] is None
