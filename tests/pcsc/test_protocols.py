# SPDX-License-Identifier: Apache-2.0
"""Which transmission protocol a card gets, where its ATR or its driver is not as in a UICC."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.certificates import Certificates
from tests.support.ifd.bench import IfdBench
from tests.support.ifd.calls import Ifd
from tests.support.ifd.far_away import far_away
from tests.support.ifd.gallery import ATR_BOTH, ATR_CONTACTLESS
from tests.support.ifd.reader import OddCard, OddReader
from tests.support.ifd.scripts import Script
from wsrc.errors import ErrorCode, RefusedError
from wsrc.protocol.messages import CardState
from wsrc.readers.base import CardProtocol

pytestmark = pytest.mark.pcscd

SELECT_NDEF = bytes.fromhex("00a4040007d276000085010100")
EXTENDED = bytes.fromhex("00d60000000100") + b"\x5a" * 256

Start = Callable[..., IfdBench]


async def test_a4_a_contactless_card_runs_in_t1_as_local_programs_get_it(
    ifd: Start, certificates: Certificates
) -> None:
    card = OddCard(bytes.fromhex(ATR_CONTACTLESS), Script({}, other="9000"))
    reader = OddReader("Contactless", card)
    ifd(reader)
    async with far_away(certificates, 1) as client, asyncio.timeout(20):
        async with client.select(atr=ATR_CONTACTLESS) as held:
            assert held.protocol is CardProtocol.T1
            reader.calls[0].clear()
            await held.transmit(SELECT_NDEF)
            await held.transmit(EXTENDED)
            assert reader.calls[0] == [SELECT_NDEF.hex(), EXTENDED.hex()]
        async with client.select(atr=ATR_CONTACTLESS, protocols=(CardProtocol.T1,)) as held:
            assert held.protocol is CardProtocol.T1
        async with client.select(atr=ATR_CONTACTLESS, protocols=(CardProtocol.T0,)) as held:
            assert held.protocol is CardProtocol.T0


@pytest.mark.parametrize("code", [Ifd.ERROR_PTS_FAILURE, Ifd.COMMUNICATION_ERROR])
@pytest.mark.parametrize("refused", [CardProtocol.T0, CardProtocol.T1])
async def test_a4_a_driver_that_refuses_one_protocol_leaves_the_other(
    ifd: Start, certificates: Certificates, refused: CardProtocol, code: Ifd
) -> None:
    other = CardProtocol.T1 if refused is CardProtocol.T0 else CardProtocol.T0
    ifd(OddReader("Picky", OddCard(bytes.fromhex(ATR_BOTH), refused={int(refused[1]): code})))
    async with far_away(certificates, 1) as client, asyncio.timeout(20):
        async with client.select(atr=ATR_BOTH) as held:
            assert held.protocol is other
            assert (await held.reset()).hex() == ATR_BOTH
            assert held.protocol is other
        with pytest.raises(RefusedError) as caught:
            await client.select(atr=ATR_BOTH, protocols=(refused,), wait_s=5.0)
        assert caught.value.code is ErrorCode.PROTOCOL_MISMATCH
        assert [card.state for card in await client.list_cards()] == [CardState.READY]
