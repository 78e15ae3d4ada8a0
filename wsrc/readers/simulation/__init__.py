# SPDX-License-Identifier: Apache-2.0
"""
Simulated cards: a UICC or eUICC as a pure object, without reader, thread or socket.

Read `card` first (the contacts), then `transport` (T=0, T=1), `uicc` (the interpreter) and the
commands beside it; `description` is the TOML form, `catalogue` makes cards from it.
"""

from wsrc.readers.simulation.card import Card, Faults, When
from wsrc.readers.simulation.catalogue import default_cards, load_card, make_card
from wsrc.readers.simulation.description import CardDescription, parse_description

__all__ = [
    "Card",
    "CardDescription",
    "Faults",
    "When",
    "default_cards",
    "load_card",
    "make_card",
    "parse_description",
]
