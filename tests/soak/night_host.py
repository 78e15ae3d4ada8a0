# SPDX-License-Identifier: Apache-2.0
"""
A card client as a program, some of whose cards are taken out and put back.

    python -c 'from tests.soak.night_host import main; main()' SEED SPAN_S ARGUMENTS...

`SPAN_S` is the longest time between two cards that are taken out, and `ARGUMENTS` are those of
`wsrc-card-client`; the files of its cards are called as their ICCIDs. Prints `Pulled` for each card
that is taken out, and at the end `Total` for each, beside the log.
"""

import random
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from tests.soak.night_events import Event, Pulled, Total, text_of
from tests.support.counter import READ_COUNTER, SELECT_USIM, VERIFY_PIN
from tests.support.tokens import now
from wsrc.card_client import cli
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import Card

AWAY_S = 0.5
"""How long a card is out of its reader."""

LIMIT_S = 30.0
"""How long whoever takes cards out may take to end."""


class Restless(SimulatedSource):
    """Simulated readers, known by the ICCIDs of their cards; the program has one."""

    made: "Restless"

    def __init__(self, cards: Iterable[Card] = ()) -> None:
        given = list(cards)
        super().__init__(given)
        Restless.made = self
        files = [sys.argv[at + 1] for at, each in enumerate(sys.argv) if each == "--simulated"]
        self.iccids = [Path(file).stem for file in files]
        self.readers = dict(zip(self.iccids, self.names, strict=True))
        self.cards = dict(zip(self.iccids, given, strict=True))


def _pull(draw: random.Random, span_s: float, ended: threading.Event) -> None:
    """Take cards out and put them back until the end."""
    while not ended.wait(draw.uniform(0.2, 1.0) * span_s):
        source = Restless.made
        iccid = draw.choice(source.iccids)
        source.remove(source.readers[iccid])
        _say(Pulled(iccid, now()))
        ended.wait(AWAY_S)
        source.insert(source.readers[iccid])


def _total(card: Card) -> int:
    """Ask a card how far it has counted."""
    card.power_on()
    for command in (SELECT_USIM, VERIFY_PIN):
        assert card.transmit(command)[-2:] == b"\x90\x00"
    answer = card.transmit(READ_COUNTER)
    assert answer[-2:] == b"\x90\x00"
    return int.from_bytes(answer[:-2])


def _say(event: Event) -> None:
    sys.stdout.write(text_of(event) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the command line."""
    seed, span_s, *arguments = sys.argv[1:]
    sys.argv[1:] = arguments
    cli.SimulatedSource = Restless  # type: ignore[misc]
    ended = threading.Event()
    given = random.Random(f"{seed}/{arguments}"), float(span_s), ended
    puller = threading.Thread(target=_pull, args=given)
    puller.start()
    try:
        cli.command(standalone_mode=False)
    finally:
        ended.set()
        puller.join(LIMIT_S)
    for iccid, card in Restless.made.cards.items():
        _say(Total(iccid, _total(card)))
