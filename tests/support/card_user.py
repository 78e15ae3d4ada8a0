# SPDX-License-Identifier: Apache-2.0
"""How the tests of the simulated card talk to it."""

from wsrc.card import tpdu
from wsrc.readers.base import CardProtocol
from wsrc.readers.simulation import Card, make_card, parse_description

VERIFY_PIN1 = "00200001 08 31323334ffffffff"
VERIFY_ADM = "0020000a 08 3132333435363738"
SELECT_USIM = "00a4040c 07 a0000000871002"
SELECT_COUNTER = "00a4080c 04 7fff6f39"
BOTH = [CardProtocol.T0, CardProtocol.T1]


def card(toml: str = "", *, kind: str = "uicc", protocol: CardProtocol = CardProtocol.T0) -> Card:
    """Make a powered card."""
    text = f'kind = "{kind}"\nprotocol = "{protocol}"\n{toml}'
    made = make_card(parse_description(text, "test.toml"))
    made.power_on()
    return made


def apdu(card: Card, text: str) -> str:
    """Run one command APDU, over T=0 as WSRC does it; give the response in hexadecimal."""
    octets = bytes.fromhex(text)
    if card.protocol is CardProtocol.T0:
        return tpdu.exchange(octets, card.transmit).hex()
    return card.transmit(octets).hex()


def block(card: Card, text: str) -> str:
    """Send octets as they are; give the answer in hexadecimal."""
    return card.transmit(bytes.fromhex(text)).hex()


def usim(card: Card) -> Card:
    """Select the USIM and verify PIN1."""
    assert apdu(card, SELECT_USIM) == "9000"
    assert apdu(card, VERIFY_PIN1) == "9000"
    return card
