# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.contents.texts: each coding of an alpha field, and octets that are none."""

import pytest

from wsrc.card.contents.texts import alpha_identifier, default_alphabet, utf8


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        ("57535243ffff", "WSRC"),
        ("", ""),
        ("ffff", ""),
        ("00411b65", "@A€"),
        ("1b1b", "\x1b"),
        ("1b41", "A"),
        ("8f", "\ufffd"),
        ("80004100e9ffffffff", "Aé"),
        ("80", ""),
        ("800041ff", "A"),
        # The example of ETSI TS 102 221 annex A, and its sister with a whole base.
        ("810513 53 95 a6 b3 a6 ffff", "S\u0995\u09a6\u09b3\u09a6"),
        ("8205 0530 2d 82 d3 2d 31 ffff", "-\u0532\u0583-1"),
        ("81051353", "S"),
        ("81ff", "\ufffd"),
        ("8102b05380", "S\u5800"),
    ],
)
def test_a_name_is_read_in_any_coding(octets: str, text: str) -> None:
    assert alpha_identifier(bytes.fromhex(octets)) == text


def test_a_character_that_would_be_half_of_one_is_none() -> None:
    assert alpha_identifier(bytes.fromhex("8201d80080")) == "\ufffd"
    assert alpha_identifier(bytes.fromhex("8201ffff81")) == "\ufffd"


def test_the_default_alphabet_has_all_128_characters() -> None:
    text = default_alphabet(bytes(n for n in range(0x80) if n != 0x1B))
    assert len(set(text)) == 127
    assert text.isprintable() is False
    assert text[0x23] == "¤"
    assert text[-1] == "à"


def test_utf8_shows_what_is_none() -> None:
    assert utf8(b"a\xff") == "a\ufffd"
