# SPDX-License-Identifier: Apache-2.0
"""Another program on this host that holds a card, as a process of its own."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from tests.support.pcsc.bench import Bench, Slot

_PROGRAM = """
import sys
from smartcard import scard
reader, mode = sys.argv[1:]
_, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
code, card, _ = scard.SCardConnect(context, reader, int(mode), protocols)
if int(mode) == scard.SCARD_SHARE_SHARED:
    code = code or scard.SCardBeginTransaction(card)
print("held" if code == scard.SCARD_S_SUCCESS else f"failed: {code:08X}", flush=True)
sys.stdin.read()
scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
scard.SCardReleaseContext(context)
"""

EXCLUSIVE, SHARED = 1, 2


@contextlib.contextmanager
def holding(bench: Bench, slot: Slot, mode: int = EXCLUSIVE) -> Iterator[None]:
    """
    Hold the card in a slot by another process while the block runs.

    Where it is shared, a transaction is open, as gpg's scdaemon and browsers keep one.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, slot.reader, str(mode)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=bench.environment,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        try:
            said = program.stdout.readline()
            assert said == "held\n", said
            yield
            program.stdin.close()
            assert program.wait(10) == 0
        finally:
            program.kill()
