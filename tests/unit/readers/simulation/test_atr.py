# SPDX-License-Identifier: Apache-2.0
"""Answers to reset of the simulated cards."""

import pytest

from wsrc.readers.base import CardProtocol
from wsrc.readers.simulation.atr import gsm_atr, uicc_atr


def interface_octets(atr: bytes) -> tuple[list[tuple[int, str, int]], bytes]:
    """Walk an ATR (ISO/IEC 7816-3 clause 8.2): protocol, name and value; historical octets."""
    found: list[tuple[int, str, int]] = []
    present, count, at, protocol = atr[1] >> 4, atr[1] & 0xF, 2, -1
    while present:
        following = 0
        for bit, name in ((1, "TA"), (2, "TB"), (4, "TC"), (8, "TD")):
            if present & bit:
                found.append((protocol, name, atr[at]))
                following = atr[at] if name == "TD" else following
                at += 1
        present, protocol = following >> 4, following & 0xF
    historical = atr[at : at + count]
    tck = any(name == "TD" and value & 0xF for _, name, value in found)
    assert len(atr) == at + count + tck
    return found, historical


@pytest.mark.parametrize("protocol", list(CardProtocol))
@pytest.mark.parametrize("euicc", [False, True])
@pytest.mark.parametrize("channels", [1, 4])
def test_uicc(protocol: CardProtocol, *, euicc: bool, channels: int) -> None:
    atr = uicc_atr(protocol, channels, euicc=euicc)
    check = 0
    for octet in atr[1:]:
        check ^= octet
    assert check == 0
    assert len(atr) <= 33
    found, historical = interface_octets(atr)
    offered = [value & 0xF for _, name, value in found if name == "TD"]
    assert offered[0] == (0 if protocol is CardProtocol.T0 else 1)
    assert offered[-1] == 15
    global_octets = [(name, value) for number, name, value in found if number == 15]
    assert (("TB", 0x82) in global_octets) is euicc
    assert historical[:1] == b"\x80"
    assert historical[6] & 7 == channels - 1
    assert (historical[6] & 0x18 == 0x10) is (channels > 1), "the card gives channel numbers"
    assert historical[6] & 0x40


def test_gsm_sim_offers_t0_alone() -> None:
    found, historical = interface_octets(gsm_atr())
    assert [name for _, name, _ in found] == ["TA"]
    assert historical == b"SIM"
