# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.tlv: BER-TLV both ways, and what is malformed."""

import pytest

from wsrc.card.tlv import decode, encode, find

BOTH_WAYS = [
    ("5a00", 0x5A, 0),
    ("5a7f", 0x5A, 0x7F),
    ("5a8180", 0x5A, 0x80),
    ("5a81ff", 0x5A, 0xFF),
    ("5a820100", 0x5A, 0x100),
    ("5a83010000", 0x5A, 0x10000),
    ("bf3e03", 0xBF3E, 3),
    ("df810102", 0xDF8101, 2),
    ("0001", 0x00, 1),
]


@pytest.mark.parametrize(("head", "tag", "size"), BOTH_WAYS)
def test_both_ways(head: str, tag: int, size: int) -> None:
    value = bytes(size)
    octets = bytes.fromhex(head) + value
    assert encode(tag, value) == octets
    assert list(decode(octets)) == [(tag, value)]


def test_objects_come_in_turn() -> None:
    assert list(decode(bytes.fromhex("8001aa81008202bbcc"))) == [
        (0x80, b"\xaa"),
        (0x81, b""),
        (0x82, b"\xbb\xcc"),
    ]
    assert list(decode(b"")) == []


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        ("5a", "the length is missing"),
        ("bf", "the tag runs past the end"),
        ("bf8e", "the tag runs past the end"),
        ("5a02aa", "data object 5A runs past the end"),
        ("5a80aa0000", "the length is malformed"),
        ("5a85000000000100", "the length is malformed"),
        ("5a8201", "the length is malformed"),
    ],
)
def test_malformed_objects_are_refused(octets: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        list(decode(bytes.fromhex(octets)))
    assert find(bytes.fromhex(octets), 0x99) is None


def test_find_follows_a_path_of_tags() -> None:
    data = bytes.fromhex("8001ff") + encode(0xBF3E, encode(0x5A, b"\x89") + encode(0x5B, b""))
    assert find(data, 0xBF3E, 0x5A) == b"\x89"
    assert find(data, 0xBF3E, 0x5B) == b""
    assert find(data, 0xBF3E, 0x5C) is None
    assert find(data, 0xBF3F, 0x5A) is None
    assert find(data) == data


def test_what_stands_before_a_malformed_object_is_found() -> None:
    assert find(bytes.fromhex("8001aa5aff"), 0x80) == b"\xaa"
