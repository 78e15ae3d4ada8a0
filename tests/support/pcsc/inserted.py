# SPDX-License-Identifier: Apache-2.0
"""A simulated card in a reader of the private pcscd."""

import contextlib
import threading
from collections.abc import Iterator

from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.vpcd_card import VpcdCard
from wsrc.readers.simulation import Card


@contextlib.contextmanager
def inserted(bench: Bench, slot: Slot, card: Card) -> Iterator[Card]:
    """Put a card into a slot for as long as the context lasts."""
    line = VpcdCard(card, port=slot.port)
    thread = threading.Thread(target=line.run)
    thread.start()
    try:
        bench.wait_present(slot)
        yield card
    finally:
        line.stop()
        thread.join(10)
