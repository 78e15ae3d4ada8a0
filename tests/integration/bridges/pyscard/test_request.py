# SPDX-License-Identifier: Apache-2.0
"""Waiting for cards and readers with pyscard, and the examples of its documents."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from smartcard.Card import Card  # noqa: TID251
from smartcard.CardMonitoring import (  # noqa: TID251
    CardMonitor,
    CardMonitoringThread,
    CardObserver,
)
from smartcard.CardRequest import CardRequest  # noqa: TID251
from smartcard.CardType import AnyCardType, ATRCardType, CardType  # noqa: TID251
from smartcard.Exceptions import (  # noqa: TID251
    CardConnectionException,
    CardRequestException,
    CardRequestTimeoutException,
    InvalidATRMaskLengthException,
    InvalidReaderException,
)
from smartcard.PassThruCardService import PassThruCardService  # noqa: TID251
from smartcard.ReaderMonitoring import ReaderMonitor, ReaderObserver  # noqa: TID251
from smartcard.Session import Session  # noqa: TID251
from smartcard.System import listReaders, readers  # noqa: TID251

from tests.support.certificates import Certificates
from tests.support.in_thread import elsewhere
from tests.support.remote_pyscard import RemotePyscard
from wsrc.bridges.pyscard import install as pyscard
from wsrc.bridges.pyscard.install import RemoteReader

LIMIT_S = 60.0
GET_CHALLENGE = [0x00, 0x84, 0x00, 0x00, 0x08]


class Mine(PassThruCardService):
    pass


class Nobodys(PassThruCardService):
    @staticmethod
    def supports(cardname: str) -> bool:
        return False


class OfReader(CardType):
    def __init__(self, reader: object) -> None:
        super().__init__()
        self.reader = reader

    def matches(self, atr: list[int], reader: Any = None) -> bool:
        return bool(reader == self.reader)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def ours(remote: RemotePyscard, **asked: Any) -> CardRequest:
    return CardRequest(readers=[remote.reader], **asked)


def test_a_card_that_is_there_is_given_at_once(remote: RemotePyscard) -> None:
    request = CardRequest(cardType=OfReader(remote.reader), timeout=LIMIT_S)
    service = request.waitforcard()
    assert isinstance(service, PassThruCardService)
    service.connection.connect()
    assert service.connection.getATR() == remote.atr
    assert remote.reader in request.getReaders()
    assert ours(remote).getReaders() == [remote.reader]


def test_a_card_is_waited_for(remote: RemotePyscard, threads: ThreadPoolExecutor) -> None:
    with ours(remote, timeout=LIMIT_S) as request:
        remote.remove()
        waiting = threads.submit(request.waitforcard)
        remote.insert()
        assert waiting.result(LIMIT_S).connection.getATR() == remote.atr


@pytest.mark.parametrize("timeout", [0, 0.1])
@pytest.mark.parametrize("newcardonly", [False, True])
def test_a_card_that_does_not_come(
    remote: RemotePyscard, timeout: float, newcardonly: bool
) -> None:
    request = ours(remote, timeout=timeout, newcardonly=newcardonly)
    if not newcardonly:
        remote.remove()
    for kind in (CardRequestTimeoutException, CardRequestException):
        with pytest.raises(kind, match="Time-out"):
            request.waitforcard()


def test_a_new_card_is_another_insertion(
    remote: RemotePyscard, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(ours(remote, timeout=None, newcardonly=True).waitforcard)
    while not waiting.done():  # it may begin to look when the card is in again
        remote.remove()
        remote.insert()
        wait([waiting], 0.2)
    assert waiting.result().connection.getATR() == remote.atr


def test_cards_are_chosen_by_their_type(remote: RemotePyscard) -> None:
    fits = ATRCardType(remote.atr, [0xFF] * len(remote.atr))
    other = ATRCardType([0x3B, *remote.atr[1:-1], 0x00])
    assert ours(remote, cardType=fits).waitforcard().connection.getATR() == remote.atr
    assert ours(remote, cardType=AnyCardType()).waitforcard()
    with pytest.raises(CardRequestTimeoutException):
        ours(remote, cardType=other, timeout=0.1).waitforcard()
    with pytest.raises(InvalidATRMaskLengthException):
        ATRCardType(remote.atr, [0xFF])


def test_cards_are_given_as_the_service_that_is_asked_for(remote: RemotePyscard) -> None:
    assert type(ours(remote, cardServiceClass=Mine).waitforcard()) is Mine
    with pytest.raises(CardRequestTimeoutException):
        ours(remote, cardServiceClass=Nobodys, timeout=0.1).waitforcard()


def test_readers_that_are_not_there_are_waited_for(remote: RemotePyscard) -> None:
    for asked in ([], ["Another Reader 00 00"]):
        with pytest.raises(CardRequestTimeoutException):
            CardRequest(readers=asked, timeout=0.1).waitforcard()


def test_card_events_give_the_cards_that_are_there(
    remote: RemotePyscard, threads: ThreadPoolExecutor
) -> None:
    with ours(remote, timeout=LIMIT_S) as request:
        here = Card(remote.reader, remote.atr)
        assert request.waitforcardevent() == [here]
        waiting = threads.submit(request.waitforcardevent)
        remote.remove()
        assert waiting.result(LIMIT_S) == []
        waiting = threads.submit(request.waitforcardevent)
        remote.insert()
        assert waiting.result(LIMIT_S) == [here]
    idle = ours(remote, timeout=0.1)
    assert idle.waitforcardevent() == [here]
    with pytest.raises(CardRequestTimeoutException):
        idle.waitforcardevent()


def test_sessions_are_made_by_the_name_of_the_reader(remote: RemotePyscard) -> None:
    assert str(remote.reader) in listReaders()
    with pytest.raises(InvalidReaderException):
        Session("No Such Reader 00 00")


class Cards(CardObserver):
    def __init__(self, reader: RemoteReader) -> None:
        super().__init__()
        self._reader = reader
        self._news = threading.Condition()
        self._present = False

    def update(self, observable: Any, handlers: Any) -> None:
        added, removed = handlers
        with self._news:
            for cards, present in ((removed, False), (added, True)):
                if any(str(card.reader) == str(self._reader) for card in cards):
                    self._present = present
            self._news.notify_all()

    def wait(self, *, present: bool) -> bool:
        with self._news:
            return self._news.wait_for(lambda: self._present is present, LIMIT_S)


def test_card_monitors_see_cards_come_and_go(remote: RemotePyscard) -> None:
    monitor, observer = CardMonitor(), Cards(remote.reader)
    monitor.addObserver(observer)
    try:
        assert observer.wait(present=True)
        remote.remove()
        assert observer.wait(present=False)
        remote.insert()
        assert observer.wait(present=True)
    finally:
        monitor.deleteObserver(observer)
        thread = CardMonitoringThread.instance
        thread.stop()
        remote.remove()
        thread.join(LIMIT_S)
        assert not thread.is_alive()
        CardMonitoringThread.instance = CardMonitor.instance = None


class Readers(ReaderObserver):
    def __init__(self) -> None:
        super().__init__()
        self.added = threading.Event()
        self.removed = threading.Event()

    def update(self, observable: Any, handlers: Any) -> None:
        added, removed = handlers
        if any(isinstance(reader, RemoteReader) for reader in added):
            self.added.set()
        if any(isinstance(reader, RemoteReader) for reader in removed):
            self.removed.set()


def test_reader_monitors_see_readers_come_and_go(certificates: Certificates) -> None:
    monitor, observer = ReaderMonitor(period=0.02), Readers()
    with contextlib.ExitStack() as server:
        there = server.enter_context(elsewhere(certificates))
        with pyscard.install(there.url, ca=certificates.ca, all_cards=True):
            monitor.addObserver(observer)
            try:
                there.do(there.world.host())
                assert observer.added.wait(LIMIT_S)
                server.close()
                assert observer.removed.wait(LIMIT_S)
            finally:
                monitor.deleteObserver(observer)


def test_example_of_a_basic_request(remote: RemotePyscard) -> None:
    cardservice = ours(remote, timeout=10, cardType=AnyCardType()).waitforcard()
    with cardservice:
        connection = cardservice.connection
        assert connection.getATR() == remote.atr
        response, sw1, _ = connection.transmit([0x00, 0xA4, 0x04, 0x00])
        assert response == []
        assert sw1
    with pytest.raises(CardConnectionException):
        connection.getATR()


def test_example_of_connection_management(remote: RemotePyscard) -> None:
    reader = next(reader for reader in readers() if reader == remote.reader)
    connection = reader.createConnection()
    try:
        connection.connect(connection.T0_protocol)
        assert connection.getProtocol() == connection.T0_protocol
        response, sw1, sw2 = connection.transmit(GET_CHALLENGE)
        assert (len(response), sw1, sw2) == (8, 0x90, 0x00)
    finally:
        connection.disconnect()


def test_example_of_contexts(remote: RemotePyscard) -> None:
    with (
        ours(remote, timeout=10).waitforcard() as cardservice,
        cardservice.connection as connection,
    ):
        assert connection.getATR() == remote.atr
        assert connection.transmit([0x00, 0xCA, 0x9F, 0x7F, 0x00])[1:] != (0, 0)
    cardservice = ours(remote).waitforcard()
    connection = cardservice.connection
    connection.connect()
    connection.disconnect()
    with pytest.raises(CardConnectionException, match="Card not connected"):
        connection.getATR()
