# SPDX-License-Identifier: Apache-2.0
"""A script for pyscard, in a process of its own, without a PC/SC service."""

import asyncio
import subprocess
import sys

from tests.support.certificates import Certificates
from tests.support.paths import ROOT
from tests.support.processes import LIMIT_S, environment
from tests.support.world import UICC, World, until
from wsrc.protocol.messages import CardState

SCRIPT = """
import sys
from smartcard.CardRequest import CardRequest
from smartcard.System import readers
from smartcard.util import toHexString

def main():
    [reader] = readers()
    print(reader)
    with CardRequest(timeout=5, readers=[reader]) as request:
        service = request.waitforcard()
        connection = service.connection
        connection.connect()
        for command in ("00A4000C023F00", "00A4000C022FE2", "00B000000A"):
            data, sw1, sw2 = connection.transmit(list(bytes.fromhex(command)))
        print(toHexString(data), f"{sw1:02X}{sw2:02X}")
        if "abrupt" in sys.argv:
            return
        connection.disconnect()
"""

RUN = (
    SCRIPT
    + """
import wsrc.bridges.pyscard.install
with wsrc.bridges.pyscard.install.install(iccid=sys.argv[1]):
    main()
"""
)

ABRUPT = (
    SCRIPT
    + """
import wsrc.bridges.pyscard.install
wsrc.bridges.pyscard.install.install(iccid=sys.argv[1])
main()
"""
)


async def run(world: World, certificates: Certificates, script: str, *args: str) -> str:
    def run() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", script, UICC, *args],
            env=environment(
                WSRC_SERVER_URL=world.user_url,
                WSRC_TLS_CA=str(certificates.ca),
                PCSCLITE_CSOCK_NAME="/nonexistent/pcscd.comm",
                PYTHONPATH=str(ROOT),
            ),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    done = await asyncio.to_thread(run)
    told = [
        line for line in done.stderr.splitlines() if not line.startswith("The key of card host")
    ]
    assert (done.returncode, told) == (0, [])
    return done.stdout


async def test_a_script_reads_a_card_that_is_elsewhere(
    world: World, certificates: Certificates
) -> None:
    await world.host()
    shown = f"WSRC {UICC} 00 00\n98 88 12 01 00 00 40 03 10 F0 9000\n"
    assert await run(world, certificates, RUN) == shown
    assert await run(world, certificates, ABRUPT, "abrupt") == shown

    async def is_free() -> bool:
        return await world.state_of(iccid=UICC) is CardState.READY

    await until(is_free)
