# SPDX-License-Identifier: Apache-2.0
"""Files of the simulated UICC: SELECT, READ, UPDATE, INCREASE, STATUS."""

import pytest

from tests.support.card_user import (
    BOTH,
    SELECT_COUNTER,
    SELECT_USIM,
    VERIFY_ADM,
    VERIFY_PIN1,
    apdu,
    card,
    usim,
)
from wsrc.card import tlv
from wsrc.readers.base import CardProtocol, ResetKind
from wsrc.readers.simulation import Card

EXTRA = """
[[file]]
path = "6fe0"
sfi = 6
content = "00112233445566778899"
[[file]]
path = "6fe1"
structure = "linear_fixed"
record_octets = 2
record_count = 3
content = "aabb"
[[file]]
path = "6fe2"
structure = "cyclic"
record_octets = 1
record_count = 3
[[file]]
path = "7fff6fe3"
read = "never"
update = "adm"
content = "00"
[[file]]
path = "6fe4"
deactivated = true
[[file]]
path = "6fe5"
structure = "cyclic"
record_octets = 1
content = "fe"
sfi = 9
"""


@pytest.fixture(params=BOTH)
def uicc(request: pytest.FixtureRequest) -> Card:
    return card(EXTRA, protocol=request.param)


def test_iccid_is_read_under_the_mf(uicc: Card) -> None:
    assert apdu(uicc, "00a4000c 02 2fe2") == "9000"
    assert apdu(uicc, "00b00000 0a") == "988812010000400310f09000"
    assert apdu(uicc, "00b00000 00") == "988812010000400310f09000"


@pytest.mark.parametrize(
    ("adf", "read"),
    [
        ("", "00b08200 0a"),
        ("", "00b08500 04"),
        ("", "00b201f4 30"),
        (SELECT_USIM, "00b08700 09"),
        (SELECT_USIM, "00b08b00 01"),
        (SELECT_USIM, "00b08300 04"),
        (SELECT_USIM, "00b201e4 03"),
    ],
    ids=["ICCID", "PL", "DIR", "IMSI", "LOCI", "AD", "counter"],
)
def test_files_have_the_short_identifiers_of_ts_102_221_and_31_102(
    uicc: Card, adf: str, read: str
) -> None:
    apdu(uicc, VERIFY_PIN1)
    if adf:
        apdu(uicc, adf)
        apdu(uicc, VERIFY_PIN1)
    assert apdu(uicc, read).endswith("9000")


def test_a_path_names_the_file_by_its_last_four_digits(uicc: Card) -> None:
    apdu(uicc, SELECT_USIM)
    apdu(uicc, "00a4000c 02 6fe3")
    assert apdu(uicc, "00a40004 02 6fe3 00").endswith("9000")
    assert apdu(uicc, "00a40004 02 6fe3 00").find("83026fe3") > 0


def test_iccid_is_read_by_short_identifier_and_becomes_current(uicc: Card) -> None:
    assert apdu(uicc, "00b08200 0a") == "988812010000400310f09000"
    assert apdu(uicc, "00b00008 02") == "10f09000"


def test_directory_file_names_the_usim(uicc) -> None:
    answer = bytes.fromhex(apdu(uicc, "00b201f4 30"))
    assert answer.endswith(b"\x90\x00")
    aid = tlv.find(answer.rstrip(b"\x90\x00").rstrip(b"\xff"), 0x61, 0x4F)
    assert aid is not None
    assert aid.hex().startswith("a0000000871002")
    assert apdu(uicc, f"00a4040c 10 {aid.hex()}") == "9000"


@pytest.mark.parametrize(
    ("file", "descriptor", "size"),
    [("2fe2", "4121", "000a"), ("2f00", "4221003002", "0060"), ("6fe2", "4621000103", "0003")],
)
def test_fcp_of_elementary_files(uicc: Card, file: str, descriptor: str, size: str) -> None:
    fcp = bytes.fromhex(apdu(uicc, f"00a40004 02 {file} 00"))[:-2]
    assert tlv.find(fcp, 0x62, 0x82) == bytes.fromhex(descriptor)
    assert tlv.find(fcp, 0x62, 0x83) == bytes.fromhex(file)
    assert tlv.find(fcp, 0x62, 0x80) == bytes.fromhex(size)
    assert tlv.find(fcp, 0x62, 0x8A) == b"\x05"


def test_fcp_of_directories_has_the_pin_status(uicc: Card) -> None:
    fcp = bytes.fromhex(apdu(uicc, "00a40004 02 3f00 00"))[:-2]
    assert tlv.find(fcp, 0x62, 0x82) == b"\x78\x21"
    assert tlv.find(fcp, 0x62, 0xC6, 0x90) == b"\x80"
    assert tlv.find(fcp, 0x62, 0xC6, 0x83) == b"\x01"
    adf = bytes.fromhex(apdu(uicc, "00a40404 07 a0000000871002 00"))[:-2]
    assert (tlv.find(adf, 0x62, 0x84) or b"").hex().startswith("a0000000871002")


def test_selection_reaches_parent_sibling_and_mf_but_no_file_of_another_directory(
    uicc: Card,
) -> None:
    assert apdu(uicc, "00a4000c 02 7f10") == "9000"
    assert apdu(uicc, "00a4000c 02 2fe2") == "6a82"
    assert apdu(uicc, "00a4000c 02 6f3a") == "9000"
    assert apdu(uicc, "00a4000c 02 7f20") == "9000"
    assert apdu(uicc, "00a4000c 02 7fff") == "6a82"
    assert apdu(uicc, "00a4030c") == "9000"
    assert apdu(uicc, "00a4000c 02 2fe2") == "9000"
    assert apdu(uicc, "00a4030c") == "6a82"
    assert apdu(uicc, "00a4010c 02 7f10") == "9000"
    assert apdu(uicc, "00a4090c 02 6f3a") == "9000"
    assert apdu(uicc, "00a4010c 02 6f3a") == "6a82"


def test_selection_by_path_and_of_the_current_application(uicc: Card) -> None:
    assert apdu(uicc, "00a4080c 04 7fff6f07") == "6a82"
    assert apdu(uicc, SELECT_USIM) == "9000"
    assert apdu(uicc, "00a4000c 02 3f00") == "9000"
    assert apdu(uicc, "00a4080c 04 7fff6f07") == "9000"
    assert apdu(uicc, "00a4080c 04 7f106f3a") == "9000"
    assert apdu(uicc, "00a4000c 02 7fff") == "9000"
    assert apdu(uicc, "00a4000c 02 6f07") == "9000"
    assert apdu(uicc, "00a4080c 03 7fff6f") == "6700"
    assert apdu(uicc, "00a4080c 04 2fe26f07") == "6a82"


def test_failed_selection_leaves_the_current_file(uicc: Card) -> None:
    apdu(uicc, "00a4000c 02 2fe2")
    assert apdu(uicc, "00a4000c 02 dead") == "6a82"
    assert apdu(uicc, "00a4040c 05 a000000099") == "6a82"
    assert apdu(uicc, "00b00000 0a") == "988812010000400310f09000"


@pytest.mark.parametrize(
    ("command", "sw"),
    [
        ("00a4000c 01 3f", "6700"),
        ("00a4050c 02 3f00", "6a86"),
        ("00a40003 02 3f00", "6a86"),
        ("00a4004c 02 3f00", "6a86"),
        ("00a4040c 04 a0000000", "6700"),
        ("00b00000 01", "6986"),
        ("00b0e200 01", "6a86"),
        ("00b09d00 01", "6a82"),
        ("00b09e00 01", "6981"),
        ("00b20114 01", "6981"),
        ("00eeeeee", "6d00"),
        ("80a40000 02 3f00", "6e00"),
        ("00320000 03 000001 00", "6e00"),
        ("04a40000 02 3f00", "6882"),
        ("40a40000 02 3f00", "6881"),
        ("01a40000 02 3f00", "6881"),
        ("80e29100 06 bf3e035c015a 00", "6d00"),
        ("80f20300 00", "6a86"),
        ("80f20002 00", "6a86"),
        ("80f20001 00", "6985"),
    ],
)
def test_refusals(uicc: Card, command: str, sw: str) -> None:
    assert apdu(uicc, command) == sw


def test_access_conditions(uicc: Card) -> None:
    assert apdu(uicc, SELECT_USIM) == "9000"
    assert apdu(uicc, "00b08700 09") == "6982"
    assert apdu(uicc, VERIFY_PIN1) == "9000"
    assert apdu(uicc, "00b08700 09") == "0809101000000000109000"
    assert apdu(uicc, "00d68700 01 08") == "6982"
    assert apdu(uicc, VERIFY_ADM) == "9000"
    assert apdu(uicc, "00d68700 01 08") == "9000"
    assert apdu(uicc, "00a4000c 02 6fe3") == "9000"
    assert apdu(uicc, "00b00000 01") == "6982"


def test_contents_outlive_resets_and_verification_does_not(uicc: Card) -> None:
    usim(uicc)
    assert apdu(uicc, "00d68b00 02 0102") == "9000"
    for kind in ResetKind:
        uicc.reset(kind)
        assert apdu(uicc, "00b00000 01") == "6986"
        apdu(uicc, SELECT_USIM)
        assert apdu(uicc, "00b08b00 02") == "6982"
        apdu(uicc, VERIFY_PIN1)
        assert apdu(uicc, "00b08b00 02") == "01029000"


def test_binary_bounds(uicc: Card) -> None:
    apdu(uicc, "00a4000c 02 6fe0")
    assert apdu(uicc, "00b00009 01") == "999000"
    assert apdu(uicc, "00b0000a 01") == "6b00"
    assert apdu(uicc, "00d6000a 01 00") == "6b00"
    assert apdu(uicc, "00d60009 02 0000") == "6700"
    assert apdu(uicc, "00d60008 02 aabb") == "9000"
    assert apdu(uicc, "00b08608 02") == "aabb9000"
    assert apdu(uicc, "00b20104 02") == "6981"


def test_linear_records(uicc: Card) -> None:
    apdu(uicc, "00a4000c 02 6fe1")
    assert apdu(uicc, "00dc0104 02 0101") == "9000"
    assert apdu(uicc, "00dc0204 02 0202") == "9000"
    assert apdu(uicc, "00dc0304 01 03") == "6700"
    assert apdu(uicc, "00dc0404 02 0000") == "6a83"
    assert apdu(uicc, "00b20002 02") == "01019000"
    assert apdu(uicc, "00b20002 02") == "02029000"
    assert apdu(uicc, "00b20004 02") == "02029000"
    assert apdu(uicc, "00b20002 02") == "aabb9000"
    assert apdu(uicc, "00b20002 02") == "6a83"
    assert apdu(uicc, "00b20003 02") == "02029000"
    assert apdu(uicc, "00b20304 02") == "aabb9000"
    assert apdu(uicc, "00b20404 02") == "6a83"
    assert apdu(uicc, "00b20105 02") == "6a86"
    assert apdu(uicc, "00b00000 02") == "6981"


def test_wrong_le_moves_no_record_pointer() -> None:
    uicc = card(EXTRA)
    apdu(uicc, "00a4000c 02 6fe1")
    apdu(uicc, "00dc0104 02 0101")
    assert uicc.transmit(bytes.fromhex("00b2000200")).hex() == "6c02"
    assert uicc.transmit(bytes.fromhex("00b2000202")).hex() == "01019000"


def test_cyclic_records_count_from_the_newest(uicc: Card) -> None:
    apdu(uicc, "00a4000c 02 6fe2")
    assert apdu(uicc, "00dc0104 01 01") == "6981"
    for value in ("01", "02", "03", "04"):
        assert apdu(uicc, f"00dc0003 01 {value}") == "9000"
    assert [apdu(uicc, f"00b2{n:02}04 01")[:2] for n in (1, 2, 3)] == ["04", "03", "02"]
    assert apdu(uicc, "00b20003 01") == "029000"
    assert apdu(uicc, "00b20002 01") == "049000"


def test_increase_adds_each_time_and_outlives_a_reset(uicc: Card) -> None:
    usim(uicc)
    assert apdu(uicc, SELECT_COUNTER) == "9000"
    assert apdu(uicc, "80320000 03 000005 00") == "0000050000059000"
    assert apdu(uicc, "80320000 03 000005 00") == "00000a0000059000"
    uicc.reset(ResetKind.COLD)
    usim(uicc)
    assert apdu(uicc, "80329c00 03 000001 00") == "00000b0000019000"
    assert apdu(uicc, "00b20104 03") == "00000b9000"
    assert apdu(uicc, "00b20204 03") == "00000a9000"


def test_increase_is_refused_where_it_cannot_be(uicc: Card) -> None:
    apdu(uicc, SELECT_USIM)
    assert apdu(uicc, "80320000 03 000005 00") == "6986"
    assert apdu(uicc, SELECT_COUNTER) == "9000"
    assert apdu(uicc, "80320000 03 000005 00") == "6982"
    assert apdu(uicc, "80320001 03 000005 00") == "6a86"
    apdu(uicc, "00a4000c 02 3f00")
    assert apdu(uicc, "80328600 01 01 00") == "6981"
    assert apdu(uicc, "80328900 02 0001 00") == "6700"
    assert apdu(uicc, "80328900 01 01 00") == "ff019000"
    assert apdu(uicc, "80328900 01 01 00") == "9850"
    assert apdu(uicc, "00b20104 01") == "ff9000"


def test_no_file_has_the_short_identifier_0(uicc: Card) -> None:
    usim(uicc)
    assert apdu(uicc, "80328000 03 000001 00") == "6a82"
    assert apdu(uicc, "00b08000 01") == "6a82"


def test_the_increase_file_can_be_another(uicc: Card) -> None:
    other = usim(card('increase_file = "6fbb"', protocol=uicc.protocol))
    assert apdu(other, "00a4000c 02 6f39") == "6a82"
    assert apdu(other, "00a4000c 02 6fbb") == "9000"
    assert apdu(other, "80320000 01 01 00") == "000001019000"


def test_deactivated_file_is_selected_with_a_warning_and_not_read(uicc: Card) -> None:
    answer = apdu(uicc, "00a40004 02 6fe4 00")
    assert answer.endswith("6283")
    assert tlv.find(bytes.fromhex(answer)[:-2], 0x62, 0x8A) == b"\x04"
    assert apdu(uicc, "00a4000c 02 6fe4") == "6283"
    assert apdu(uicc, "00b00000 01") == "6984"


def test_status_describes_the_directory_and_names_the_application(uicc: Card) -> None:
    fcp = apdu(uicc, "00a40004 02 3f00 00")
    assert apdu(uicc, "80f20000 00") == fcp
    assert apdu(uicc, "80f2000c") == "9000"
    apdu(uicc, SELECT_USIM)
    assert apdu(uicc, "80f20001 12") == "8410a0000000871002ffffffff89070900009000"


def test_application_session_can_be_ended(uicc: Card) -> None:
    apdu(uicc, SELECT_USIM)
    assert apdu(uicc, "00a4044c 05 a000000099") == "6a82"
    assert apdu(uicc, "00a4044c 07 a0000000871002") == "9000"
    assert apdu(uicc, "80f20001 12") == "6985"
    assert apdu(uicc, "00a4000c 02 7fff") == "6a82"


def test_extended_length_reads_more_than_256_octets() -> None:
    uicc = card('[[file]]\npath = "6fe0"\nsize_octets = 1000', protocol=CardProtocol.T1)
    apdu(uicc, "00a4000c 02 6fe0")
    assert apdu(uicc, "00b00000 0003e8") == "00" * 1000 + "9000"
    assert apdu(uicc, "00b00000 000000") == "00" * 1000 + "9000"
    assert apdu(uicc, "00b00000 00") == "00" * 256 + "9000"


@pytest.mark.parametrize("command", ["00b08200", "00d68600", "80f20000", "00840000", "80100000"])
def test_missing_le_or_data_over_t1(command: str) -> None:
    uicc = card(EXTRA, protocol=CardProtocol.T1)
    assert apdu(uicc, command) == "6700"


def test_own_file_in_a_directory_of_the_card() -> None:
    uicc = card('[[file]]\npath = "7f106fe0"\ncontent = "2a"')
    assert apdu(uicc, "00a4080c 04 7f106fe0") == "9000"
    assert apdu(uicc, "00b00000 01") == "2a9000"
