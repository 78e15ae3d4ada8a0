# SPDX-License-Identifier: Apache-2.0
"""
Use many cards at once with asyncio: one task for each card, and no card holds up another.

    python many_cards.py 'farm-*'                   labels, ICCIDs, readers …; * is any text
"""

import asyncio
import os
import sys

from wsrc.aio import CardInfo, Client
from wsrc.errors import WsrcError

URL, CA = os.environ["WSRC_SERVER_URL"], os.environ.get("WSRC_TLS_CA")
READ_ICCID = [bytes.fromhex(c) for c in ("00a4000c023f00", "00a4000c022fe2", "00b000000a")]
AT_ONCE = 50  # a server lets one client hold 64 cards, unless it was told otherwise


async def read(client: Client, info: CardInfo, turn: asyncio.Semaphore) -> None:
    async with turn:
        try:
            async with client.select(reader=info.reader) as card:
                result = await card.batch(READ_ICCID)
            print(f"{info.reader}: {result.error or result.results[-1]}")
        except WsrcError as error:  # held by somebody, gone, mute: the other cards go on
            print(f"{info.reader}: {error}")


async def main(which: str) -> None:
    turn = asyncio.Semaphore(AT_ONCE)
    async with Client(URL, ca=CA) as client, asyncio.TaskGroup() as tasks:
        for info in await client.list_cards(any=which):
            tasks.create_task(read(client, info, turn))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
