# SPDX-License-Identifier: Apache-2.0
"""T=0 and T=1 of the simulated card: blocks as a card answers them, and the same result by both."""

import pytest

from tests.support.card_user import VERIFY_PIN1, apdu, block, card
from wsrc.card.apdu import Command
from wsrc.readers.base import CardProtocol

BIG = '[[file]]\npath = "6fe0"\nsize_octets = 2000\n[[file]]\npath = "6fe4"\ndeactivated = true'
KEY_IDS = "ci_pki_ids = [" + ", ".join(f'"{n:040x}"' for n in range(20)) + "]"
EUICC_INFO = "80e29100 03 bf2000 00"
SELECT_ISD_R = "00a4040c 10 a0000005591010ffffffff8900000100"


def test_case_1_and_3_are_answered_at_once() -> None:
    uicc = card()
    assert block(uicc, "0020000100") == "63c3"
    assert block(uicc, "00200001") == "63c3"
    assert block(uicc, "0020000108 31323334ffffffff") == "9000"


def test_case_2_wants_the_exact_le() -> None:
    uicc = card()
    block(uicc, "00a4000c02 2fe2")
    assert block(uicc, "00b0000000") == "6c0a"
    assert block(uicc, "00b000000a") == "988812010000400310f09000"
    assert block(uicc, "00b0000003") == "9888129000"
    assert block(uicc, "00b000000b") == "6c0a"
    assert block(uicc, "80f2000001")[:2] == "6c"


def test_case_4_announces_and_holds_the_response() -> None:
    uicc = card()
    announced = block(uicc, "00a40004023f00")
    assert announced[:2] == "61"
    size = bytes.fromhex(announced)[1]
    assert block(uicc, f"00c00000{size + 1:02x}") == f"6c{size:02x}"
    assert block(uicc, "00c0000004")[:2] == "62"
    rest = block(uicc, f"00c00000{size - 4:02x}")
    assert rest.endswith("9000")
    assert len(rest) == 2 * (size - 4) + 4
    assert block(uicc, "00c0000001") == "6985"


def test_d27_p3_00_asks_for_what_was_announced() -> None:
    uicc = card()
    size = bytes.fromhex(block(uicc, "00a40004023f00"))[1]
    whole = block(uicc, "00c0000000")
    assert len(whole) == 2 * size + 4
    assert whole.endswith("9000")
    block(uicc, "00a40004023f00")
    assert block(uicc, "00c0000004").endswith(f"61{size - 4:02x}")
    assert block(uicc, "00c0000000") == whole[8:]


@pytest.mark.parametrize("between", ["0020000100", "00b0000001", "00eeeeee00", "0070000001"])
def test_any_command_between_loses_the_held_response(between: str) -> None:
    uicc = card()
    assert block(uicc, "00a40004023f00").startswith("61")
    block(uicc, between)
    assert block(uicc, "00c0000001") == "6985"


def test_response_is_not_given_to_another_channel() -> None:
    uicc = card()
    block(uicc, "0070000001")
    assert block(uicc, "01a40004023f00").startswith("61")
    assert block(uicc, "00c0000001") == "6985"
    assert block(uicc, "01c0000001") == "6985"
    assert block(uicc, "01a40004023f00").startswith("61")
    assert block(uicc, "01c0000001").startswith("6261")


def test_response_is_lost_by_a_reset() -> None:
    uicc = card()
    block(uicc, "00a40004023f00")
    uicc.power_on()
    assert block(uicc, "00c0000001") == "6985"


def test_warning_comes_before_the_data_and_hides_61xx() -> None:
    uicc = card(BIG)
    assert block(uicc, "00a40004026fe4") == "6283"
    size = bytes.fromhex(block(uicc, "00c0000000"))[1]
    assert block(uicc, f"00c00000{size:02x}").endswith("9000")


@pytest.mark.parametrize(
    ("octets", "sw"),
    [
        ("00a4", "6700"),
        ("00a400040a3f00", "6700"),
        ("00a40004023f0000", "6700"),
        ("00b000000100", "6700"),
        ("00eeeeee0100", "6d00"),
        ("00c0010000", "6985"),
        ("00c2000003ff", "6700"),
        ("00c20001023f00", "6700"),
        ("00c2000000", "6700"),
    ],
)
def test_malformed_blocks(octets: str, sw: str) -> None:
    assert block(card(), octets) == sw


@pytest.mark.parametrize("octets", ["", "00", "00a400", "00a40004053f00", "00c00000"])
def test_malformed_apdus_over_t1(octets: str) -> None:
    uicc = card(protocol=CardProtocol.T1)
    assert block(uicc, octets) == ("6985" if octets == "00c00000" else "6700")


def test_parameters_of_get_response() -> None:
    uicc = card()
    block(uicc, "00a40004023f00")
    assert block(uicc, "00c0000101") == "6a86"
    assert block(uicc, "00c000000100") == "6700"


def test_long_response_comes_in_pieces_of_256_octets() -> None:
    euicc = card(KEY_IDS, kind="euicc")
    assert apdu(euicc, SELECT_ISD_R) == "9000"
    assert block(euicc, "80e29100 03 bf2000") == "6100"
    assert len(block(euicc, "80c0000000")) == 2 * 258
    whole = apdu(euicc, EUICC_INFO)
    assert whole.endswith("9000")
    assert len(whole) > 2 * 600


def test_t1_gives_the_rest_of_a_long_response_by_get_response() -> None:
    euicc = card(KEY_IDS, kind="euicc", protocol=CardProtocol.T1)
    apdu(euicc, SELECT_ISD_R)
    whole = apdu(euicc, "80e29100 000003 bf2000 0000")
    pieces = [apdu(euicc, EUICC_INFO)]
    while pieces[-1][-4:-2] == "61":
        pieces.append(apdu(euicc, "80c00000 00"))
    assert pieces[0].endswith("6100")
    assert "".join(piece[:-4] for piece in pieces) + "9000" == whole
    assert apdu(euicc, "80c00000 00") == "6985"
    apdu(euicc, EUICC_INFO)
    assert apdu(euicc, "80c00000") == "6700"
    apdu(euicc, EUICC_INFO)
    assert apdu(euicc, "00200001") == "63c3"
    assert apdu(euicc, "80c00000 00") == "6985"


@pytest.mark.parametrize("size", [256, 500, 501, 502, 503, 1_000])
def test_envelope_carries_long_data_whatever_its_length(size: int) -> None:
    uicc = card(BIG)
    apdu(uicc, "00a4000c 02 6fe0")
    update = Command(0x00, 0xD6, 0, 0, b"\xa5" * size)
    assert apdu(uicc, update.encode().hex()) == "9000"
    assert apdu(uicc, f"00b0{size - 1:04x} 02") == "a5009000"


def test_envelope_is_dropped_by_another_command_and_has_a_bound() -> None:
    uicc = card(BIG)
    apdu(uicc, "00a4000c 02 6fe0")
    whole = Command(0x00, 0xD6, 0, 0, b"\xa5" * 300).encode()
    assert block(uicc, "00c20000ff" + whole[:255].hex()) == "9000"
    assert block(uicc, "0020000100") == "63c3"
    rest = whole[255:]
    assert block(uicc, f"00c20000{len(rest):02x}{rest.hex()}") == "6700"
    answers = {block(uicc, "00c20000ff" + "00" * 255) for _ in range(258)}
    assert answers == {"9000", "6700"}


def test_each_of_the_four_cases_succeeds_over_both_protocols() -> None:
    cases = {1: "00708001", 2: "00700000 01", 3: VERIFY_PIN1, 4: "00a40004 02 3f00 00"}
    for protocol in CardProtocol:
        uicc = card(protocol=protocol)
        for number in (2, 1, 3, 4):
            assert apdu(uicc, cases[number]).endswith("9000")
