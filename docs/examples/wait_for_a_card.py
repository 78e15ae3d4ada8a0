# SPDX-License-Identifier: Apache-2.0
"""
Wait for a card that somebody else holds or that is in no reader yet, and know one's place.

    python wait_for_a_card.py blue 600              at most 600 seconds
"""

import os
import sys

from wsrc.blocking import Client, Waiting
from wsrc.errors import CardBusyError, NoSuchCardError

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")


def show(waiting: Waiting) -> None:
    holder = waiting.lease.holder if waiting.lease is not None else "nobody"
    print(f"Place {waiting.position} in the queue; the card is held by {holder}.", flush=True)


def main(which: str, wait_s: float) -> None:
    with Client(URL, ca=CA, name="patient") as client:
        try:
            with client.select(any=which, wait_s=wait_s, on_waiting=show) as card:
                print(f"Ours: {card.atr.hex()}")
        except (CardBusyError, NoSuchCardError) as error:
            sys.exit(f"Not in {wait_s:g} s: {error}")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
