# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.atr: protocols, historical octets and eUICC functions."""

import pytest

from wsrc.card.atr import AtrFacts, first_protocol, read_atr
from wsrc.card.slot import CardProtocol


@pytest.mark.parametrize(
    ("atr", "facts"),
    [
        ("3b00", AtrFacts(("T=0",), b"", False)),
        ("3b02abcd", AtrFacts(("T=0",), b"\xab\xcd", False)),
        ("3b1296abcd", AtrFacts(("T=0",), b"\xab\xcd", False)),
        ("3b8001" + "81", AtrFacts(("T=1",), b"", False)),
        ("3bd1968131fe45ab00", AtrFacts(("T=1",), b"\xab", False)),
        ("3b9196801fc7ab00", AtrFacts(("T=0",), b"\xab", False)),
        ("3b9196803fc782ab00", AtrFacts(("T=0",), b"\xab", True)),
        ("3b91968081" + "3fc780ab00", AtrFacts(("T=0", "T=1"), b"\xab", False)),
        ("3b", None),
        ("", None),
        ("3b80", None),
        ("3b10", None),
        ("3b9f96801f", None),
    ],
)
def test_an_atr_tells_protocols_historical_octets_and_euicc(
    atr: str, facts: AtrFacts | None
) -> None:
    assert read_atr(bytes.fromhex(atr)) == facts


@pytest.mark.parametrize(
    ("atr", "expected"),
    [
        ("3b00", CardProtocol.T0),
        ("3b021450", CardProtocol.T0),
        ("3b9095801fc75d", CardProtocol.T0),
        ("3b800181", CardProtocol.T1),
        ("3b80800101", CardProtocol.T0),
        ("3bf0110000910181", CardProtocol.T1),
        ("3b80900010", CardProtocol.T0),
        ("3b809101", CardProtocol.T1),
        ("3b809100", CardProtocol.T0),
        ("3b800e", None),
        ("3b80", None),
        ("3bf01100", None),
        ("3b", None),
        ("", None),
    ],
)
def test_first_protocol_is_of_ta2_else_td1_else_t0(atr: str, expected: CardProtocol | None) -> None:
    assert first_protocol(bytes.fromhex(atr)) is expected
