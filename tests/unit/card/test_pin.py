# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.pin: what a PIN looks like to a card, and what a card says of it beforehand."""

import pytest

from tests.support.card_user import BOTH, apdu, card
from wsrc.card.apdu import parse_response
from wsrc.card.pin import Asked, ask, octets_of, reference_of
from wsrc.readers.simulation import Card

SIM = "gsm_only = true\n"


def asked(made: Card, reference: int) -> Asked:
    asking = ask(reference)
    command = next(asking)
    for _ in range(3):
        try:
            said = apdu(made, command.encode().hex())
            command = asking.send(parse_response(bytes.fromhex(said)))
        except StopIteration as done:
            result: Asked = done.value
            return result
    pytest.fail("asking does not end")


@pytest.mark.parametrize(
    ("text", "reference"),
    [("pin1", 1), ("PIN2", 0x81), ("adm1", 0x0A), ("adm5", 0x0E), ("adm6", 0x8A), ("adm10", 0x8E),
     ("01", 1), ("0a", 0x0A), ("8E", 0x8E)],
)  # fmt: skip
def test_a_key_is_a_word_or_its_reference(text: str, reference: int) -> None:
    assert reference_of(text) == reference


@pytest.mark.parametrize("text", ["", "1", "pin3", "adm11", "5678", "0x01", "zz", "\u0660\u0661"])
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="a key is pin1") as caught:
        reference_of(text)
    assert text not in str(caught.value) or text in {"", "1"}


def test_a_pin_is_filled_up() -> None:
    assert octets_of("9876", 1).hex() == "39383736ffffffff"
    assert octets_of("98765432", 0x81).hex() == "3938373635343332"
    assert octets_of("9876", 0x0A).hex() == "39383736ffffffff"
    assert octets_of("A1b2000000000000", 0x0A).hex() == "a1b2000000000000"


@pytest.mark.parametrize(
    ("pin", "reference"),
    [("", 1), ("987", 1), ("987654321", 1), ("98a6", 1), ("A1b2000000000000", 1),
     ("\u0669\u0668\u0667\u0666", 1), ("A1b2", 0x0A), ("9876 ", 1)],
)  # fmt: skip
def test_what_is_no_pin_is_refused_and_not_repeated(pin: str, reference: int) -> None:
    with pytest.raises(ValueError, match="a PIN is 4 to 8 digits") as caught:
        octets_of(pin, reference)
    assert not pin or pin not in str(caught.value)


@pytest.mark.parametrize("protocol", BOTH)
def test_a_card_says_how_many_tries_are_left_and_takes_none(protocol: object) -> None:
    made = card(protocol=protocol)  # type: ignore[arg-type]
    for _ in range(3):
        assert asked(made, 1) == Asked(0x00, 1, 0x63C3)
    assert asked(made, 1).tries == 3
    apdu(made, "0020000108 30303030ffffffff")
    assert asked(made, 1).tries == 2
    assert asked(made, 0x81).sw == 0x6A88
    assert asked(made, 0x81).tries is None


def test_a_sim_of_class_a0_says_it_by_its_status() -> None:
    made = card(SIM)
    said = asked(made, 1)
    assert (said.cla, said.tries) == (0xA0, 3)
    apdu(made, "a020000108 30303030ffffffff")
    assert asked(made, 1).tries == 2
    assert asked(card(f"{SIM}pin1_enabled = false\n"), 1).sw == 0x9000
    assert asked(made, 0x81).reference == 2
    assert asked(made, 0x0A).sw == 0x6A88


def test_the_command_is_that_of_the_class() -> None:
    sent = Asked(0xA0, 2, 0x63C3).command(octets_of("9876", 0x81))
    assert sent.encode().hex() == "a02000020839383736ffffffff"
    assert Asked(0x00, 1, 0x6983).tries == 0
