# SPDX-License-Identifier: Apache-2.0
"""The datagrams of a road, sealed."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wsrc.cluster.boxes import HEAD_OCTETS, TAG_OCTETS, WINDOW, Boxes

NUMBER, ONE, OTHER = b"01234567", bytes(32), bytes([1]) * 32


def pair() -> tuple[Boxes, Boxes]:
    return Boxes(NUMBER, ONE, OTHER), Boxes(NUMBER, OTHER, ONE)


def test_what_is_sealed_is_opened_once() -> None:
    here, there = pair()
    sealed = [here.seal(bytes([n])) for n in range(5)]
    for each in (0, 3, 1, 4, 2):
        assert there.open(sealed[each]) == bytes([each])
    assert [there.open(each) for each in sealed] == [None] * 5


def test_the_octets_are_those_of_the_document() -> None:
    here, _ = pair()
    here.seal(b"")
    sealed = here.seal(b"text")
    assert sealed[:HEAD_OCTETS] == b"s" + NUMBER + (2).to_bytes(8, "big")
    nonce = bytes(4) + (2).to_bytes(8, "big")
    opened = AESGCM(ONE).decrypt(nonce, sealed[HEAD_OCTETS:], sealed[:HEAD_OCTETS])
    assert opened == b"text"
    assert len(sealed) == HEAD_OCTETS + 4 + TAG_OCTETS


@pytest.mark.parametrize("at", [0, 1, 8, 9, 16, 17, 20, -1])
def test_a_datagram_that_was_changed_is_not_opened_and_the_right_one_still_is(at: int) -> None:
    here, there = pair()
    sealed = here.seal(b"text")
    changed = bytearray(sealed)
    changed[at] ^= 1
    assert there.open(bytes(changed)) is None
    assert there.open(sealed) == b"text"


def test_what_is_too_short_or_given_back_is_not_opened() -> None:
    here, there = pair()
    sealed = here.seal(b"")
    assert [there.open(sealed[:n]) for n in range(len(sealed))] == [None] * len(sealed)
    assert here.open(sealed) is None


def test_a_datagram_is_taken_while_it_is_in_the_window_and_not_later() -> None:
    here, there = pair()
    sealed = [here.seal(b"") for _ in range(WINDOW + 2)]
    assert there.open(sealed[-1]) == b""
    assert there.open(sealed[1]) is None
    assert there.open(sealed[2]) == b""
    assert there.open(sealed[2]) is None


def test_a_leap_over_the_window_forgets_what_is_behind_it() -> None:
    here, there = pair()
    sealed = [here.seal(b"") for _ in range(3 * WINDOW)]
    assert there.open(sealed[0]) == b""
    assert there.open(sealed[-1]) == b""
    assert there.open(sealed[0]) is None
    assert there.open(sealed[-2]) == b""
