# SPDX-License-Identifier: Apache-2.0
"""wsrc.octets: hexadecimal digits in, octets out, and no secret in an error."""

import pytest

from wsrc.errors import BadHexError
from wsrc.octets import Octets, from_person, from_wire


def test_octets_are_lower_case_digits_wherever_they_are_text() -> None:
    octets = Octets(b"\x3f\x00\xab")
    assert str(octets) == "3f00ab"
    assert repr(octets) == "Octets('3f00ab')"
    assert f"{octets}" == "3f00ab"


@pytest.mark.parametrize(
    ("text", "octets"), [("", b""), ("00", b"\0"), ("3F00", b"?\0"), ("aBcD", b"\xab\xcd")]
)
def test_the_wire_has_pairs_of_digits_of_either_case(text: str, octets: bytes) -> None:
    read = from_wire(text)
    assert read == octets
    assert isinstance(read, Octets)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0", "1 hexadecimal digits are not a whole number of octets"),
        ("3f0", "3 hexadecimal digits are not a whole number of octets"),
        ("3g", "character 2 of 2 is not a hexadecimal digit"),
        ("3f 00", "character 3 of 5 is not a hexadecimal digit"),
        ("3f\n", "character 3 of 3 is not a hexadecimal digit"),
        ("0x00", "character 2 of 4 is not a hexadecimal digit"),
        ("\N{ARABIC-INDIC DIGIT ZERO}" * 2, "character 1 of 2 is not a hexadecimal digit"),
    ],
)
def test_the_wire_has_nothing_else(text: str, words: str) -> None:
    with pytest.raises(BadHexError) as caught:
        from_wire(text)
    assert str(caught.value) == words


def test_a_person_may_put_space_and_colons_between() -> None:
    assert from_person(" 00 A4:00\t0c\n02 3f 00 ") == bytes.fromhex("00a4000c023f00")


def test_an_error_does_not_repeat_the_text() -> None:
    with pytest.raises(BadHexError) as caught:
        from_person("002000010831323334ffffffffz")
    assert "31323334" not in str(caught.value)
