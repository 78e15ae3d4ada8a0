# SPDX-License-Identifier: Apache-2.0
"""Time SCardTransmit, or how soon SCardGetStatusChange tells of a change; print microseconds."""

import sys
import time

from smartcard import scard

ASK_PIN = [0x00, 0x20, 0x00, 0x01, 0x00]


def transmit(context: int, name: str, count: int) -> list[float]:
    """Time commands one by one."""
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    _, card, _ = scard.SCardConnect(context, name, scard.SCARD_SHARE_SHARED, protocols)
    times: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        result, answer = scard.SCardTransmit(card, scard.SCARD_PCI_T0, ASK_PIN)
        times.append((time.perf_counter() - begun) * 1e6)
        assert result == 0
        assert answer == [0x63, 0xC3]
    scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
    return times


def hotplug(context: int, name: str, count: int) -> list[float]:
    """Time from the word that a change was made, which comes on standard input, to its sight."""
    times: list[float] = []
    known = scard.SCardGetStatusChange(context, 0, [(name, 0)])[1][0][1]
    for _ in range(count):
        print("ready", flush=True)
        _, states = scard.SCardGetStatusChange(context, 20_000, [(name, known)])
        seen = time.monotonic()
        known = states[0][1]
        times.append((seen - float(sys.stdin.readline())) * 1e6)
    return times


def main() -> None:
    """Print each time on a line of its own."""
    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    name = scard.SCardListReaders(context, [])[1][0]
    for each in globals()[sys.argv[1]](context, name, int(sys.argv[2])):
        print(f"{each:.1f}")


if __name__ == "__main__":
    main()
