# SPDX-License-Identifier: Apache-2.0
"""Calls of pyscard that have no answer: the service is closed, or whoever waits is interrupted."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from smartcard.Exceptions import CardConnectionException  # noqa: TID251
from smartcard.ExclusiveTransmitCardConnection import (  # noqa: TID251
    ExclusiveTransmitCardConnection,
)
from smartcard.scard import SCARD_E_NO_SERVICE  # noqa: TID251

from tests.support.remote_pyscard import ASK_PIN, RemotePyscard

LIMIT_S = 60.0


@pytest.fixture
def locked(remote: RemotePyscard) -> Iterator[Any]:
    """A transaction that all who connect wait for."""
    locked = ExclusiveTransmitCardConnection(remote.connection())
    locked.lock()
    yield locked
    if remote.installed._service.readers:
        locked.unlock()


def wait_until_parked(remote: RemotePyscard) -> None:
    """Wait until a call waits for the transaction."""
    end = time.monotonic() + LIMIT_S
    while not remote.installed._service._server._parked:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_who_waits_is_told_that_the_service_is_closed(remote: RemotePyscard, locked: Any) -> None:
    caught: list[int] = []

    def connect() -> None:
        try:
            remote.connection()
        except CardConnectionException as exc:
            caught.append(exc.hresult)

    thread = threading.Thread(target=connect)
    thread.start()
    wait_until_parked(remote)
    remote.installed.uninstall()
    thread.join(LIMIT_S)
    assert caught == [SCARD_E_NO_SERVICE]
    for use in (lambda: locked.transmit(ASK_PIN), locked.component.getATR):
        with pytest.raises(CardConnectionException) as after:
            use()
        assert after.value.hresult == SCARD_E_NO_SERVICE


def test_who_is_interrupted_has_let_go(remote: RemotePyscard, locked: Any) -> None:
    waiting = remote.reader.createConnection()

    def interrupt() -> None:
        wait_until_parked(remote)
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        waiting.connect()
    thread.join(LIMIT_S)
    with pytest.raises(CardConnectionException) as caught:
        waiting.connect()
    assert caught.value.hresult == SCARD_E_NO_SERVICE
    assert locked.transmit(ASK_PIN)[1:] == (0x63, 0xC3)
    assert remote.installed._service._server._parked == []


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and later
def test_connection_of_the_parent_is_none_of_the_child(remote: RemotePyscard, locked: Any) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            locked.transmit(ASK_PIN)
        except CardConnectionException as exc:
            os.write(writing, str(exc.hresult).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as told:  # noqa: PTH123 - it has no path
        assert told.read() == str(SCARD_E_NO_SERVICE).encode()
    assert locked.transmit(ASK_PIN)[1:] == (0x63, 0xC3)
    assert remote.installed._service.readers
