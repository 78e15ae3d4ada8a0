# SPDX-License-Identifier: Apache-2.0
"""pyscard with a card that is elsewhere: what is asked of the reader itself, and losses."""

from typing import Any

import pytest
from smartcard.Exceptions import CardConnectionException, SmartcardException  # noqa: TID251
from smartcard.scard import (  # noqa: TID251
    SCARD_ATTR_VENDOR_IFD_SERIAL_NO,
    SCARD_E_READER_UNAVAILABLE,
    SCARD_LEAVE_CARD,
    SCARD_SHARE_DIRECT,
    SCARD_SHARE_SHARED,
)

from tests.support.remote_pyscard import SELECT_MF, RemotePyscard
from tests.support.world import LIMIT_S, Host
from wsrc.bridges.pcscd.requests import Refused
from wsrc.bridges.pyscard.context import Context
from wsrc.card.pcsc_numbers import Code
from wsrc.readers.simulated_connection import ECHO_CONTROL

ECHO = 0x42000000 + ECHO_CONTROL


def test_control_reaches_the_reader(connection: Any) -> None:
    assert connection.control(ECHO, [1, 2, 3]) == [1, 2, 3]
    assert connection.control(ECHO) == []
    assert connection.control(ECHO, [7] * 65_000) == [7] * 65_000
    with pytest.raises(SmartcardException, match="Failed to control"):
        connection.control(0x00312000)


async def _stopped(host: Host) -> None:
    host.stop.set()


def test_control_codes_of_windows(remote: RemotePyscard) -> None:
    context = Context(remote.installed._service, windows=True)
    card = context.connect(remote.reader.name.encode(), SCARD_SHARE_SHARED, 3).card
    assert context.control(card, 0x00312000, b"hello") == b"hello"
    assert context.control(card, 0x00313520, b"") == b""
    with pytest.raises(Refused) as caught:
        context.control(card, ECHO, b"")
    assert caught.value.code is Code.SCARD_E_UNSUPPORTED_FEATURE
    context.disconnect(card, SCARD_LEAVE_CARD)
    context.release()


def test_attribute_that_the_reader_itself_knows(connection: Any) -> None:
    assert len(connection.getAttrib(SCARD_ATTR_VENDOR_IFD_SERIAL_NO)) == 8


def test_reader_without_a_card_can_be_asked(remote: RemotePyscard) -> None:
    connection = remote.reader.createConnection()
    remote.remove()
    connection.connect(mode=SCARD_SHARE_DIRECT)
    assert connection.control(ECHO, [1]) == [1]
    assert len(connection.getAttrib(SCARD_ATTR_VENDOR_IFD_SERIAL_NO)) == 8
    connection.disconnect()
    remote.insert()


def test_card_host_that_goes_makes_the_reader_unavailable(
    remote: RemotePyscard, connection: Any
) -> None:
    service = remote.installed._service
    remote.there.do(_stopped(remote.host))
    while service.readers:
        version = service.version
        assert not service.readers or service.wait(version, LIMIT_S)
    for ask in (connection.getATR, lambda: connection.transmit(SELECT_MF), connection.reconnect):
        with pytest.raises(CardConnectionException) as caught:
            ask()
        assert caught.value.hresult == SCARD_E_READER_UNAVAILABLE
