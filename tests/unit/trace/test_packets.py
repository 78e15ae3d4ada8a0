# SPDX-License-Identifier: Apache-2.0
"""Packets that others read: GSMTAP and pcapng (issue 13, 4)."""

import pytest
from hypothesis import given, strategies as st

from tests.support.gsmtap import read_gsmtap, read_pcapng
from wsrc.trace.packets import MAX_PAYLOAD, Kind, apdu_payload, gsmtap, packet, section

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")


@pytest.mark.parametrize(
    ("command", "payload"),
    [
        ("0070800100", "00708001009000"),
        ("00708001", "00708001009000"),
        ("00b000000a", "00b000000a9000"),
        ("00a40004023f00", "00a40004023f009000"),
        ("00a40004023f0000", "00a40004023f009000"),
        ("00a400040000023f000000", "00a40004023f009000"),
        ("00b00000000200", "00b00000009000"),
        ("0020", "00209000"),
        ("00d60000000100" + 256 * "5a", "00d60000000100" + 256 * "5a" + "9000"),
    ],
)
def test_13_an_exchange_is_as_t0_has_it(command: str, payload: str) -> None:
    assert apdu_payload(bytes.fromhex(command), b"\x90\x00").hex() == payload


@given(
    st.lists(
        st.tuples(
            st.floats(0, 4e9), st.sampled_from(Kind), st.binary(max_size=300), st.text(max_size=40)
        )
    )
)
def test_13_a_file_has_what_was_put_in(parts: list[tuple[float, Kind, bytes, str]]) -> None:
    octets = section()
    for when, kind, payload, comment in parts:
        octets += packet(when, gsmtap(kind, payload), comment)
    read = read_pcapng(octets + section())
    assert [(p.sub_type, p.payload) for p in read] == [(k, o) for _, k, o, _ in parts]
    assert [p.micros for p in read] == [int(when * 1_000_000) for when, *_ in parts]
    assert [p.comment for p in read] == [c.encode(errors="replace").decode() for *_, c in parts]


def test_13_what_is_longer_than_a_datagram_is_cut_off() -> None:
    datagram = gsmtap(Kind.APDU, bytes(2 * MAX_PAYLOAD))
    assert read_gsmtap(datagram) == (0, bytes(MAX_PAYLOAD))
    assert len(read_pcapng(section() + packet(0.0, datagram, ""))) == 1
