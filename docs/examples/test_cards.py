# SPDX-License-Identifier: Apache-2.0
"""
Have tests take cards with pytest: any free one, one of a kind, or two at once.

    pytest test_cards.py --wsrc-tag host=bench      -n 4 for four tests at a time, with xdist
"""

from collections.abc import Callable

import pytest

from wsrc.blocking import Card

SELECT_MF = bytes.fromhex("00a4000c023f00")
SELECT_EF_ICCID = bytes.fromhex("00a4000c022fe2")


def test_any_card_has_a_master_file(card: Card) -> None:
    assert card.transmit(SELECT_MF).sw == 0x9000


@pytest.mark.wsrc(tag={"card": "euicc"}, wait=10)
def test_an_euicc_has_an_eid(card: Card) -> None:
    assert card.info.eids


def test_what_is_selected_on_one_card_is_not_on_the_other(
    cards: Callable[[int], list[Card]],
) -> None:
    one, other = cards(2)
    assert one.transmit(SELECT_EF_ICCID).sw == 0x9000
    assert other.transmit(bytes.fromhex("00b000000a")).sw != 0x9000
