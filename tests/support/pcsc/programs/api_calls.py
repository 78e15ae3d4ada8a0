# SPDX-License-Identifier: Apache-2.0
"""The calls of PC/SC, named shortly, with answers that can be printed."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from smartcard import scard

MF = [0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]
VERIFY = [0x00, 0x20, 0x00, 0x01, 0x08, *b"1234", 0xFF, 0xFF, 0xFF, 0xFF]
ASK_PIN = [0x00, 0x20, 0x00, 0x01]
T0, T1, RAW = scard.SCARD_PROTOCOL_T0, scard.SCARD_PROTOCOL_T1, scard.SCARD_PROTOCOL_RAW
LEAVE, RESET, UNPOWER = scard.SCARD_LEAVE_CARD, scard.SCARD_RESET_CARD, scard.SCARD_UNPOWER_CARD
SHARED, EXCLUSIVE, DIRECT = (
    scard.SCARD_SHARE_SHARED,
    scard.SCARD_SHARE_EXCLUSIVE,
    scard.SCARD_SHARE_DIRECT,
)
NO_BLOCKING = "PCSCLITE_NO_BLOCKING"
"""Set for whoever wants to see SHARING_VIOLATION, where the library would ask again for ever."""
PNP = "\\\\?PnP?\\Notification"

_NAMES: dict[int, str] = {
    getattr(scard, name): name
    for name in reversed(dir(scard))
    if name.startswith(("SCARD_S_", "SCARD_E_", "SCARD_W_", "SCARD_F_"))
}


def code(value: int) -> str:
    """Name a return code."""
    return _NAMES.get(value, hex(value & 0xFFFFFFFF))


def show(what: str, *answers: Any) -> None:
    """Print one line."""
    told = [code(a) if isinstance(a, int) else str(a) for a in answers]
    print(f"{what}: {' '.join(told)}", flush=True)


def ask(what: str) -> None:
    """Have the card taken out or put in."""
    print(f"?{what}", flush=True)
    sys.stdin.readline()


class Context:
    """A context and what can be done with it; answers are return codes and more."""

    def __init__(self) -> None:
        result, self.number = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
        assert result == 0, code(result)

    @property
    def readers(self) -> list[str]:
        return scard.SCardListReaders(self.number, [])[1]

    def connect(self, share: int = SHARED, protocols: int = T0 | T1, number: int = 0) -> "Handle":
        return Handle(*scard.SCardConnect(self.number, self.readers[number], share, protocols))

    def change(self, timeout_ms: int, *believed: tuple[str, int]) -> tuple[int, list[Any]]:
        result, states = scard.SCardGetStatusChange(self.number, timeout_ms, list(believed))
        return result, states

    def state(self, number: int = 0) -> int:
        return self.change(0, (self.readers[number], 0))[1][0][1]

    def release(self) -> int:
        return scard.SCardReleaseContext(self.number)


class Handle:
    """A handle, and the last return code."""

    def __init__(self, result: int, number: int, protocol: int) -> None:
        self.result = result
        self.number = number
        self.protocol = protocol

    def transmit(self, command: list[int], protocol: int = T0) -> str:
        pci = {T0: scard.SCARD_PCI_T0, T1: scard.SCARD_PCI_T1, RAW: scard.SCARD_PCI_RAW}[protocol]
        result, answer = scard.SCardTransmit(self.number, pci, command)
        return f"{code(result)} {bytes(answer).hex()}"

    def status(self) -> str:
        result, reader, state, protocol, atr = scard.SCardStatus(self.number)
        if result:
            return code(result)
        return f"{bool(reader)} {state & 0xFFFF:#x} {protocol} {bytes(atr).hex()}"

    def begin(self) -> int:
        return scard.SCardBeginTransaction(self.number)

    def end(self, disposition: int = LEAVE) -> int:
        return scard.SCardEndTransaction(self.number, disposition)

    def reconnect(self, initialization: int, share: int = SHARED, protocols: int = T0 | T1) -> str:
        result, protocol = scard.SCardReconnect(self.number, share, protocols, initialization)
        return f"{code(result)} {protocol if not result else ''}"

    def disconnect(self, disposition: int = LEAVE) -> int:
        return scard.SCardDisconnect(self.number, disposition)

    def questions(self) -> str:
        """Ask for what readers of either service do not have."""
        return " ".join(
            code(result)
            for result in (
                scard.SCardControl(self.number, 0x42000001, [1])[0],
                self.attribute(0x30125),
                self.attribute(0x7A999),
                scard.SCardSetAttrib(self.number, 0x10103, [1]),
                scard.SCardSetAttrib(self.number, 0x7A999, [1]),
            )
        )

    def attribute(self, number: int) -> int:
        return scard.SCardGetAttrib(self.number, number)[0]


@contextlib.contextmanager
def other(doing: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Run one of the parts below in another process."""
    process = subprocess.Popen(
        [sys.executable, sys.argv[0], doing],
        env={k: v for k, v in os.environ.items() if k != NO_BLOCKING} | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        yield process
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        process.wait(20)
        process.stdout.close()


def heard(process: "subprocess.Popen[str]") -> str:
    """Return the next line of another process."""
    assert process.stdout
    return process.stdout.readline().strip()


def tell(process: "subprocess.Popen[str]") -> None:
    """Let another process go on."""
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def odd(found: tuple[int, list[Any]]) -> tuple[str, ...]:
    """Show the answer of GetStatusChange without names and counts."""
    result, states = found
    shown = [f"{state & 0xFFFF:#x} {bytes(atr).hex()}" for _, state, atr in states]
    return (code(result), *shown)


def waited(
    context: Context, believed: tuple[str, int], doing: Any, timeout_ms: int = 10_000
) -> tuple[int, list[Any]]:
    """Do something while another thread waits for a change; give what it saw."""
    answers: list[tuple[int, list[Any]]] = []
    thread = threading.Thread(target=lambda: answers.append(context.change(timeout_ms, believed)))
    thread.start()
    time.sleep(0.3)  # nothing tells that a call is under way inside of the library
    doing()
    thread.join(20)
    return answers[0]
