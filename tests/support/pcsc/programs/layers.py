# SPDX-License-Identifier: Apache-2.0
"""What each layer of pyscard finds and does."""

import sys
import threading

from smartcard import scard
from smartcard.CardConnectionObserver import ConsoleCardConnectionObserver
from smartcard.CardMonitoring import CardMonitor, CardObserver
from smartcard.CardRequest import CardRequest
from smartcard.CardType import ATRCardType
from smartcard.Exceptions import CardRequestTimeoutException
from smartcard.ExclusiveConnectCardConnection import ExclusiveConnectCardConnection
from smartcard.ExclusiveTransmitCardConnection import (
    ExclusiveTransmitCardConnection,
)
from smartcard.ReaderMonitoring import ReaderMonitor, ReaderObserver
from smartcard.Session import Session
from smartcard.sw.ErrorCheckingChain import ErrorCheckingChain
from smartcard.sw.ISO7816_4ErrorChecker import ISO7816_4ErrorChecker
from smartcard.sw.SWExceptions import SWException
from smartcard.System import readergroups, readers
from smartcard.util import toHexString

MF = [0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]
MISSING = [0x00, 0xA4, 0x00, 0x0C, 0x02, 0x12, 0x34]
LIMIT_S = 20


def connections() -> None:
    """Connect to each reader, plainly and with the decorators that exclude others."""
    print("groups", readergroups())
    for reader in readers():
        connection = reader.createConnection()
        connection.connect()
        print(reader, toHexString(connection.getATR()), connection.getProtocol())
        print(connection.transmit(MF))
        connection.reconnect()
        print(connection.transmit(MISSING))
        connection.disconnect()
        exclusive = ExclusiveConnectCardConnection(reader.createConnection())
        exclusive.connect()
        print(exclusive.transmit(MF))
        exclusive.disconnect()
        locking = ExclusiveTransmitCardConnection(reader.createConnection())
        locking.connect()
        print(locking.transmit(MF))
        locking.disconnect()


def checking() -> None:
    """Turn status words into exceptions, and print what goes on."""
    connection = readers()[0].createConnection()
    connection.addObserver(ConsoleCardConnectionObserver())
    connection.connect()
    connection.setErrorCheckingChain([ErrorCheckingChain([], ISO7816_4ErrorChecker())])
    try:
        connection.transmit(MISSING)
    except SWException as exc:
        print(type(exc).__name__, exc)
    connection.disconnect()


def requesting() -> None:
    """Wait for a card of a type, and for one that does not come."""
    session = Session(str(readers()[0]))
    print(toHexString(session.getATR()), session.sendCommandAPDU(MF))
    atr = session.getATR()
    session.close()
    service = CardRequest(timeout=LIMIT_S, cardType=ATRCardType(atr)).waitforcard()
    service.connection.connect()
    print(service.connection.getReader(), service.connection.transmit(MF))
    service.connection.disconnect()
    try:
        CardRequest(timeout=0.2, newcardonly=True).waitforcard()
    except CardRequestTimeoutException as exc:
        print(type(exc).__name__)


class Seen:
    """What a monitor told, until all is there."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.names: list[str] = []

    def update(self, _: object, handlers: tuple[list[object], list[object]]) -> None:
        self.names = sorted({*self.names, *map(str, handlers[0])})
        if len(self.names) == len(readers()):
            self.told.set()


class Cards(Seen, CardObserver):
    """The cards that are there."""


class Readers(Seen, ReaderObserver):
    """The readers that are there."""


def monitoring() -> None:
    """Watch readers and cards."""
    for monitor, observer in ((ReaderMonitor(), Readers()), (CardMonitor(), Cards())):
        monitor.addObserver(observer)
        print(observer.told.wait(LIMIT_S), observer.names)
        monitor.deleteObserver(observer)


def raw() -> None:
    """Use the functions of PC/SC themselves."""
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    result, names = scard.SCardListReaders(context, [])
    print(result, names)
    states = [(name, scard.SCARD_STATE_UNAWARE) for name in names]
    for name, state, atr in scard.SCardGetStatusChange(context, 0, states)[1]:
        print(name, hex(state & 0xFFFF), bytes(atr).hex())
    wanted = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    for name in names:
        result, card, protocol = scard.SCardConnect(context, name, scard.SCARD_SHARE_SHARED, wanted)
        print(result, protocol, scard.SCardBeginTransaction(card))
        pci = scard.SCARD_PCI_T0 if protocol == 1 else scard.SCARD_PCI_T1
        result, answer = scard.SCardTransmit(card, pci, MF)
        print(result, bytes(answer).hex(), scard.SCardStatus(card)[2] & 0xFFFF)
        print(scard.SCardEndTransaction(card, scard.SCARD_LEAVE_CARD))
        print(scard.SCardDisconnect(card, scard.SCARD_UNPOWER_CARD))
    print(scard.SCardReleaseContext(context))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
