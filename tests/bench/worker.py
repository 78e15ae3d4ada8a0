# SPDX-License-Identifier: Apache-2.0
"""
A user that sends one command after another and takes orders, as the driver in C does.

    worker.py pcsc|aio|blocking [NAME]

`pcsc` uses the first PC/SC reader, or the first whose name begins with NAME; the others select the
card with the ICCID NAME, `aio` also several with commas between them, which it uses at once.
`times N` sends a command N times, to each card, and answers with the median.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from typing import Any

READ = bytes.fromhex("00b082000a")
"""READ BINARY of EF.ICCID by its short identifier: it needs no SELECT before it."""


def times() -> int:
    """Return how many commands are wanted next; 0 at the end."""
    words = sys.stdin.readline().split()
    return int(words[1]) if words else 0


def tell(took: list[float]) -> None:
    """Answer an order; seconds are given."""
    told = {"p50_us": statistics.median(took) * 1e6, "max_us": max(took) * 1e6}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def options() -> dict[str, Any]:
    """Return the settings of a user of ours, of which each has a name in the environment."""
    names = {"ca": "TLS_CA", "seal": "SEAL", "known_hosts": "KNOWN_HOSTS"}
    found = {name: os.environ.get(f"WSRC_{of}") for name, of in names.items()}
    return {name: value for name, value in found.items() if value is not None}


def ready() -> None:
    sys.stdout.write(json.dumps({"pid": os.getpid()}) + "\n")
    sys.stdout.flush()


def pcsc(name: str) -> None:
    """Use a card of PC/SC."""
    from smartcard import scard  # noqa: PLC0415, TID251 - this kind of worker alone needs it

    context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)[1]
    [found] = [each for each in scard.SCardListReaders(context, [])[1] if each.startswith(name)][:1]
    either = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    result, card, _ = scard.SCardConnect(context, found, scard.SCARD_SHARE_SHARED, either)
    assert result == 0, scard.SCardGetErrorMessage(result)
    ready()
    while count := times():
        took: list[float] = []
        for _ in range(count):
            begun = time.perf_counter()
            result, answer = scard.SCardTransmit(card, scard.SCARD_PCI_T0, list(READ))
            took.append(time.perf_counter() - begun)
            assert (result, answer[-2:]) == (0, [0x90, 0])
        tell(took)
    scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)


def blocking(name: str) -> None:
    """Use a remote card without an event loop."""
    from wsrc.blocking import Client  # noqa: PLC0415 - each kind of worker loads what it needs

    with (
        Client(os.environ["WSRC_SERVER_URL"], **options()) as client,
        client.select(iccid=name) as card,
    ):
        ready()
        while count := times():
            took: list[float] = []
            for _ in range(count):
                begun = time.perf_counter()
                response = card.transmit(READ)
                took.append(time.perf_counter() - begun)
                assert response.sw == 0x9000
            tell(took)


async def aio(names: str) -> None:
    """Use remote cards on an event loop."""
    from wsrc.aio import Card, Client  # noqa: PLC0415

    async def each(card: Card, count: int) -> list[float]:
        took: list[float] = []
        for _ in range(count):
            begun = time.perf_counter()
            response = await card.transmit(READ)
            took.append(time.perf_counter() - begun)
            assert response.sw == 0x9000
        return took

    async with Client(os.environ["WSRC_SERVER_URL"], **options()) as client:
        cards = [await client.select(iccid=name) for name in names.split(",")]
        ready()
        while count := await asyncio.to_thread(times):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each(card, count)) for card in cards]
            tell([took for task in tasks for took in task.result()])


def main() -> None:
    """Run until standard input ends."""
    kind, name = sys.argv[1], "".join(sys.argv[2:])
    if kind == "aio":
        asyncio.run(aio(name))
    else:
        {"pcsc": pcsc, "blocking": blocking}[kind](name)


if __name__ == "__main__":
    main()
