# SPDX-License-Identifier: Apache-2.0
"""Names of readers."""

import pytest

from tests.support.card_rows import EID, ICCID, card
from wsrc.bridges.remote.names import ascii_form, reader_name
from wsrc.protocol.messages import CardInfo


@pytest.mark.parametrize(
    ("info", "name"),
    [
        (card(), f"WSRC {ICCID} 00 00"),
        (card(eids=(EID,)), f"WSRC {EID} 00 00"),
        (card(label="blue"), "WSRC blue 00 00"),
        (card(label="größer 大"), "WSRC grosser U+5927 00 00"),
        (card(label="a\0b\n\x1b[31mc"), "WSRC a b [31mc 00 00"),
        (card(label="\0"), "WSRC card 00 00"),
        (card(None, reader_name="ACS ACR38 00 00"), "WSRC ACS ACR38 00 00 00 00"),
        (card(None), "WSRC r1 00 00"),
    ],
)
def test_name_tells_the_card(info: CardInfo, name: str) -> None:
    assert reader_name(info, ()) == name.encode()


def test_same_names_are_told_apart_by_their_number() -> None:
    taken: set[bytes] = set()
    for _ in range(300):
        taken.add(reader_name(card(label="x" * 200), taken))
    assert len(taken) == 300
    assert all(len(name) <= 127 for name in taken)
    assert b"WSRC " + b"x" * 116 + b" 01 00" in taken


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("grün", "grun"),
        ("gru\u0308n", "grun"),
        ("Gemalto\uff20 Lesegerät", "Gemalto@ Lesegerat"),
        ("łódź Straße Ærø ÞÓR", "lodz Strasse Aero ThOR"),
        ("кот Москва Щи соль", "kot Moskva Shchi sol"),
        ("Αθήνα", "Athina"),
        ("日本", "U+65E5 U+672C"),
        ("한", "U+D55C"),
        ("x\N{GRINNING FACE}y", "xU+1F600 y"),
        ("½ ™ № ﬁ \u2013 …", "1/2 TM No fi - ..."),
        ("a\N{NO-BREAK SPACE}b\N{RIGHT-TO-LEFT OVERRIDE}c", "a b c"),
        ("\udce4", ""),
    ],
)
def test_c19_what_leaves_through_pcsc_is_ascii(text: str, told: str) -> None:
    assert ascii_form(text) == told
    assert ascii_form(told) == told


def test_c19_labels_that_become_the_same_are_told_apart() -> None:
    first = reader_name(card(label="grün"), ())
    assert (first, reader_name(card(label="grun"), {first})) == (
        b"WSRC grun 00 00",
        b"WSRC grun 01 00",
    )
