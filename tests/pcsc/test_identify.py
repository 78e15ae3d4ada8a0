# SPDX-License-Identifier: Apache-2.0
"""Identification and T=0 through a real pcscd, as the card client does it."""

import pytest

from tests.support.pcsc.asking import ask
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.virtual_card import ATR_T0, ATR_T1, VirtualCard
from wsrc.card.tpdu import exchange
from wsrc.readers.pcsc import PcscSource

pytestmark = pytest.mark.pcscd

ICCID = "8988211000000430010"
EID = "89882119900000000000000000007280"
EF_ICCID = bytes.fromhex("988812010000400310f0")
ISD_R = bytes.fromhex("a0000005591010ffffffff8900000100")


class Euicc:
    """A card without logical channels: MF, EF.ICCID and an ISD-R, over T=0 or T=1."""

    def __init__(self, *, t0: bool) -> None:
        self._t0 = t0
        self._waiting = b""

    def answer(self, tpdu: bytes) -> bytes:
        ins, p3 = tpdu[1], tpdu[4] if len(tpdu) > 4 else 0
        if ins == 0xC0:
            return self._waiting + b"\x90\x00"
        if ins == 0xB0:
            return EF_ICCID + b"\x90\x00" if p3 == 10 else b"\x6c\x0a"
        if ins == 0xA4:
            return self._select(tpdu[5 : 5 + p3])
        if ins == 0xE2:
            return self._give(bytes.fromhex(f"bf3e125a10{EID}"))
        return b"\x68\x81"

    def _select(self, name: bytes) -> bytes:
        if len(name) == 2:
            return b"\x90\x00"
        return self._give(bytes.fromhex("6f00")) if name == ISD_R else b"\x6a\x82"

    def _give(self, data: bytes) -> bytes:
        if not self._t0:
            return data + b"\x90\x00"
        self._waiting = data
        return bytes((0x61, len(data)))


@pytest.mark.parametrize(("atr", "t0"), [(ATR_T0, True), (ATR_T1, False)], ids=["T=0", "T=1"])
def test_iccid_and_eid_are_read_through_pcscd(
    bench: Bench, slot: Slot, source: PcscSource, atr: bytes, t0: bool
) -> None:
    with VirtualCard(atr, Euicc(t0=t0).answer).inserted(slot.port):
        bench.wait_present(slot)
        reader = source.open(slot.reader)
        connection = reader.connect()

        def send(octets: bytes) -> bytes:
            return exchange(octets, connection.transmit) if t0 else connection.transmit(octets)

        identified = ask(send)
        connection.close()
        reader.close()
    assert identified.moved
    assert identified.identities.iccid == ICCID
    assert identified.identities.eids == (EID,)
