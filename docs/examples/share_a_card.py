# SPDX-License-Identifier: Apache-2.0
"""
Share a card: select and read in a transaction, and start again where another reset the card.

    python share_a_card.py blue
"""

import asyncio
import os
import sys

from wsrc.aio import Card, Client, Share
from wsrc.errors import CardWasResetError

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")


async def read_iccid(card: Card) -> str:
    async with card.transaction():  # nobody selects another file between our commands
        await card.transmit(bytes.fromhex("00a4000c023f00"))
        await card.transmit(bytes.fromhex("00a4000c022fe2"))
        return str(await card.transmit(bytes.fromhex("00b000000a")))


async def main(which: str) -> None:
    client = Client(URL, ca=CA, name="sharer")
    async with client, client.select(any=which, share=Share.SHARED, wait_s=60) as card:
        while True:
            try:
                return print(await read_iccid(card))
            except CardWasResetError as error:  # nothing was sent
                print(error)
                await card.reconnect()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
