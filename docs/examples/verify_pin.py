# SPDX-License-Identifier: Apache-2.0
"""
Repeat a command only where that is right: a PIN that the card may have seen is never sent again.

    python verify_pin.py blue < pin.txt             the PIN comes on standard input
"""

import os
import sys

from wsrc.blocking import Client
from wsrc.errors import OutcomeUnknownError, WsrcError

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")
VERIFY = bytes.fromhex("0020000108")
TRIES_LEFT = bytes.fromhex("00200001")  # VERIFY without data: 63Cx, and no try is used up


def may_have_run(error: WsrcError) -> bool:
    return isinstance(error, OutcomeUnknownError) or getattr(error, "outcome", "") == "unknown"


def main(which: str) -> None:
    with Client(URL, ca=CA) as client:
        with client.select(any=which, wait_s=60) as card:
            command = VERIFY + input("PIN: ").encode("ascii").ljust(8, b"\xff")
            try:
                print(card.transmit(command))
            except WsrcError as error:
                print(error)
                command = TRIES_LEFT if may_have_run(error) else command
            else:
                return
        with client.select(any=which, wait_s=60) as card:  # waits for a host that is away
            print(card.transmit(command))


if __name__ == "__main__":
    main(sys.argv[1])
