# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.atr: protocols, historical octets and eUICC functions."""

import pytest

from wsrc.card.atr import AtrFacts, read_atr


@pytest.mark.parametrize(
    ("atr", "facts"),
    [
        ("3b00", AtrFacts(("T=0",), b"", False, False)),
        ("3b02abcd", AtrFacts(("T=0",), b"\xab\xcd", False, False)),
        ("3b1296abcd", AtrFacts(("T=0",), b"\xab\xcd", False, False)),
        ("3b8001" + "81", AtrFacts(("T=1",), b"", False, False)),
        ("3bd1968131fe45ab00", AtrFacts(("T=1",), b"\xab", False, False)),
        ("3b9196801fc7ab00", AtrFacts(("T=0",), b"\xab", True, False)),
        ("3b9196803fc782ab00", AtrFacts(("T=0",), b"\xab", True, True)),
        ("3b91968081" + "3fc780ab00", AtrFacts(("T=0", "T=1"), b"\xab", True, False)),
        ("3b", None),
        ("", None),
        ("3b80", None),
        ("3b10", None),
        ("3b9f96801f", None),
    ],
)
def test_an_atr_tells_protocols_historical_octets_and_uicc(
    atr: str, facts: AtrFacts | None
) -> None:
    assert read_atr(bytes.fromhex(atr)) == facts
