# SPDX-License-Identifier: Apache-2.0
"""
Do T=0 oneself: TPDUs go to the card as they are, and 61xx and 6Cxx come back as they are.

    python raw_tpdus.py blue                        SELECT the USIM, and read what it says
"""

import os
import sys

from wsrc.blocking import Card, Client

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")
SELECT_USIM = bytes.fromhex("00a4040410a0000000871002ffffffff8907090000")


def exchange(card: Card, tpdu: bytes) -> bytes:
    response = card.transmit(tpdu)
    print(f"{tpdu.hex()} -> {response}")
    match divmod(response.sw, 0x100):
        # The card host fetched this response already: GET RESPONSE costs no round trip.
        case (0x61, available):
            return response.data + exchange(card, bytes((tpdu[0], 0xC0, 0, 0, available)))
        case (0x6C, exact):
            return exchange(card, tpdu[:4] + bytes((exact,)))
        case _:
            return response.data


def main(which: str) -> None:
    with Client(URL, ca=CA) as client, client.select(any=which, raw_tpdu=True) as card:
        print(f"FCP template of {len(exchange(card, SELECT_USIM))} octets")


if __name__ == "__main__":
    main(sys.argv[1])
