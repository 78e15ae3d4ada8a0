# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.encoding and terms: octets that can be read in one way only."""

from wsrc.sealing.encoding import number, pack, pack_texts


def test_each_part_has_its_length_before_it() -> None:
    assert pack(b"ab", b"") == bytes.fromhex("00000002 6162 00000000")
    assert pack_texts(("é",)) == bytes.fromhex("00000002 c3a9")
    assert number(2**53 - 1) == bytes.fromhex("001fffffffffffff")
