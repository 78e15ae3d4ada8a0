# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.contents.selecting: files and applications by name, by number, by AID."""

import pytest

from tests.support.card_user import apdu, card
from wsrc.card.apdu import Response, parse_response
from wsrc.card.contents.selecting import NAMES, select
from wsrc.readers.simulation import Card


def selected(made: Card, text: str) -> Response:
    asking = select(text)
    command = next(asking)
    for _ in range(10):
        try:
            said = apdu(made, command.encode().hex())
            command = asking.send(parse_response(bytes.fromhex(said)))
        except StopIteration as done:
            result: Response = done.value
            return result
    pytest.fail("selecting does not end")


@pytest.mark.parametrize(
    ("text", "read"),
    [("iccid", "00b000000a"), ("2FE2", "00b000000a"), ("3f00 2fe2", "00b000000a"),
     ("spn", "00b0000001"), ("7F206F07", "00b0000009"), ("dir", "00b2010430")],
)  # fmt: skip
def test_a_file_can_be_read_once_it_is_selected(text: str, read: str) -> None:
    made = card("pin1_enabled = false\n")
    answer = selected(made, text)
    assert (answer.data[:1], answer.sw) == (b"\x62", 0x9000)
    assert apdu(made, read).endswith("9000")


@pytest.mark.parametrize("text", ["usim", "USIM", "a0000000871002", "mf", "telecom", "gsm", "3F00"])
def test_a_directory_tells_of_itself(text: str) -> None:
    assert selected(card(), text).data[:1] == b"\x62"


def test_an_application_of_an_euicc_tells_of_itself() -> None:
    assert selected(card(kind="euicc"), "isd-r").data[:1] == b"\x6f"
    assert selected(card(kind="euicc"), "ecasd").sw == 0x6A82


def test_a_sim_of_class_a0_is_asked_in_its_own_way() -> None:
    made = card("gsm_only = true\npin1_enabled = false\n")
    assert selected(made, "iccid").sw == 0x9000
    assert selected(made, "imsi").sw == 0x9000
    assert apdu(made, "a0b0000009").endswith("9000")
    assert selected(made, "usim").sw == 0x6E00


def test_what_is_not_there_is_said_by_the_card() -> None:
    made = card()
    assert selected(made, "gid1").sw == 0x6A82
    assert selected(made, "3f007f205f30").sw == 0x6A82


@pytest.mark.parametrize("text", ["", "colour", "6f", "6f0701", "zz", "00" * 17])
def test_what_is_none_of_these_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="one of usim"):
        next(select(text))


def test_each_name_is_asked_for() -> None:
    assert all(next(select(name)).ins == 0xA4 for name in NAMES)
