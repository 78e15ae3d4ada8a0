# SPDX-License-Identifier: Apache-2.0
"""A local PC/SC program, and our socket in which it finds the cards of a server."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.pcsc.bench import SOCKET_VARIABLE
from wsrc.bridges.pcscd.server import serving
from wsrc.bridges.remote.cards import RemoteCards
from wsrc.user_client.aio import Client
from wsrc.user_client.naming import Filters

_PROGRAM = """
import json, sys
from smartcard import scard
share, calls = json.loads(sys.argv[1])
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
_, names = scard.SCardListReaders(context, [])
code, card, protocol = scard.SCardConnect(context, names[0], share, 3 if share != 3 else 0)
told = [[code, protocol]]
for call, number, octets in calls if code == 0 else ():
    octets = list(bytes.fromhex(octets))
    if call == "transmit":
        code, answer = scard.SCardTransmit(card, protocol, octets)
    elif call == "control":
        code, answer = scard.SCardControl(card, number, octets)
    elif call == "get":
        code, answer = scard.SCardGetAttrib(card, number)
    else:
        code, answer = scard.SCardSetAttrib(card, number, octets), []
    told.append([code & 0xFFFFFFFF, bytes(answer).hex() if code == 0 else ""])
scard.SCardDisconnect(card, scard.SCARD_UNPOWER_CARD)
scard.SCardReleaseContext(context)
print(json.dumps(told))
"""

Call = tuple[str, int, str]
Told = list[list[int | str]]


async def told(socket_path: Path, share: int, calls: Sequence[Call]) -> Told:
    """Have a program connect to the first reader behind a socket, and return what it is told."""
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _PROGRAM,
        json.dumps([share, calls]),
        env={**os.environ, SOCKET_VARIABLE: str(socket_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        said, _ = await program.communicate()
    assert program.returncode == 0
    answers: Told = json.loads(said)
    return answers


@asynccontextmanager
async def our_socket(path: Path, make_client: Callable[[], Client]) -> AsyncIterator[Path]:
    """Show all cards of a server in a socket."""
    shown = RemoteCards(make_client, [Filters()], lambda _: None)
    async with serving(path, shown):
        await shown.begun()
        yield path
