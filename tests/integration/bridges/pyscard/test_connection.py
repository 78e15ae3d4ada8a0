# SPDX-License-Identifier: Apache-2.0
"""Readers and connections of pyscard, made and ended, with a card that is elsewhere."""

from typing import Any

import pytest
from smartcard.Exceptions import (  # noqa: TID251
    CardConnectionException,
    NoCardException,
)
from smartcard.reader.Reader import Reader  # noqa: TID251
from smartcard.scard import (  # noqa: TID251
    SCARD_ATTR_VENDOR_NAME,
    SCARD_E_NO_SMARTCARD,
    SCARD_E_PROTO_MISMATCH,
    SCARD_E_SHARING_VIOLATION,
    SCARD_LEAVE_CARD,
    SCARD_RESET_CARD,
    SCARD_SHARE_DIRECT,
    SCARD_SHARE_EXCLUSIVE,
    SCARD_SHARE_SHARED,
    SCARD_UNPOWER_CARD,
    SCARD_W_REMOVED_CARD,
    SCARD_W_RESET_CARD,
)
from smartcard.System import readers  # noqa: TID251

from tests.support.certificates import Certificates
from tests.support.remote_pyscard import (
    ASK_PIN,
    SELECT_MF,
    SELECT_NOTHING,
    VERIFY,
    RemotePyscard,
    remote_cards,
)
from tests.support.world import UICC, until
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import make_card, parse_description


def test_readers_tell_the_card_and_are_reader_objects(remote: RemotePyscard) -> None:
    reader = remote.reader
    assert isinstance(reader, Reader)
    assert str(reader) == reader.name == f"WSRC {UICC} 00 00"
    assert repr(reader) == f"'WSRC {UICC} 00 00'"
    assert reader == remote.reader
    assert len({reader, remote.reader}) == 1
    assert reader != "something else"


def test_readers_have_groups(remote: RemotePyscard) -> None:
    reader = remote.reader
    assert reader in readers(["SCard$DefaultReaders"])
    assert reader not in readers(["mine"])
    reader.addtoreadergroup("mine")
    assert reader in readers(["mine"])
    assert reader in readers("mine")
    reader.removefromreadergroup("mine")
    reader.removefromreadergroup("theirs")
    assert reader not in readers(["mine", "theirs"])


def test_connect_takes_the_card_and_disconnect_gives_it_back(remote: RemotePyscard) -> None:
    connection = remote.reader.createConnection()
    assert remote.state() is CardState.READY
    assert connection.connect() is None
    assert remote.state() is CardState.ASSOCIATED
    assert connection.disconnect() is None

    async def is_free() -> bool:
        return await remote.there.world.state_of(reader=remote.bay) is CardState.READY

    remote.there.do(until(is_free))
    connection.disconnect()
    with pytest.raises(CardConnectionException, match="Card not connected"):
        connection.transmit(SELECT_MF)


@pytest.mark.parametrize("protocol", ["T0", "T1"])
def test_connect_with_a_protocol(certificates: Certificates, protocol: str) -> None:
    card = make_card(parse_description(f'kind = "uicc"\nprotocol = "{protocol}"', "test"))
    with remote_cards(certificates, [card]) as remote:
        connection = remote.reader.createConnection()
        assert connection.getProtocol() == connection.T0_protocol | connection.T1_protocol
        right = getattr(connection, f"{protocol}_protocol")
        wrong = connection.T0_protocol | connection.T1_protocol ^ right
        connection.connect(right)
        assert connection.getProtocol() == right
        connection.connect(connection.T0_protocol | connection.T1_protocol)
        assert connection.getProtocol() == right
        connection.connect(connection.RAW_protocol)
        assert connection.getProtocol() == 0x10000
        assert connection.transmit(SELECT_NOTHING)[1:] == (0x6A, 0x82)
        connection.disconnect()
        wrong = connection.T0_protocol | connection.T1_protocol
        with pytest.raises(CardConnectionException, match="with protocol: T") as caught:
            connection.connect(wrong ^ right)
        assert caught.value.hresult == SCARD_E_PROTO_MISMATCH


def test_connect_without_a_card(remote: RemotePyscard) -> None:
    reader = remote.reader
    remote.remove()
    connection = reader.createConnection()
    for kind in (NoCardException, CardConnectionException):
        with pytest.raises(kind) as caught:
            connection.connect()
        assert caught.value.hresult == SCARD_E_NO_SMARTCARD
    connection.connect(mode=SCARD_SHARE_DIRECT)
    assert connection.getAttrib(SCARD_ATTR_VENDOR_NAME) == list(b"WSRC\0")
    connection.disconnect()
    remote.insert()
    connection.connect()
    assert connection.getATR() == remote.atr


def test_connect_with_a_mode(remote: RemotePyscard) -> None:
    first, second = remote.reader.createConnection(), remote.reader.createConnection()
    first.connect(mode=SCARD_SHARE_EXCLUSIVE)
    for mode in (SCARD_SHARE_SHARED, SCARD_SHARE_EXCLUSIVE, SCARD_SHARE_DIRECT):
        with pytest.raises(CardConnectionException) as caught:
            second.connect(mode=mode)
        assert caught.value.hresult == SCARD_E_SHARING_VIOLATION
    first.connect(mode=SCARD_SHARE_SHARED)
    second.connect(mode=SCARD_SHARE_SHARED)
    assert first.transmit(VERIFY)[1:] == (0x90, 0x00)
    assert second.transmit(ASK_PIN)[1:] == (0x90, 0x00)


@pytest.mark.parametrize("disposition", [SCARD_RESET_CARD, SCARD_UNPOWER_CARD, None])
def test_disconnect_with_a_reset_is_told_to_the_others(
    remote: RemotePyscard, disposition: int | None
) -> None:
    stays, goes = remote.connection(), remote.connection(None, None, disposition)
    assert stays.transmit(VERIFY)[1:] == (0x90, 0x00)
    goes.disconnect()
    for ask in (lambda: stays.transmit(ASK_PIN), stays.getATR):
        with pytest.raises(CardConnectionException) as caught:
            ask()
        assert caught.value.hresult == SCARD_W_RESET_CARD
    stays.reconnect(disposition=SCARD_LEAVE_CARD)
    assert stays.transmit(ASK_PIN)[1:] == (0x63, 0xC3)


def test_disconnect_that_leaves_the_card(remote: RemotePyscard) -> None:
    stays, goes = remote.connection(), remote.connection(None, None, SCARD_LEAVE_CARD)
    assert stays.transmit(VERIFY)[1:] == (0x90, 0x00)
    goes.disconnect()
    assert stays.transmit(ASK_PIN)[1:] == (0x90, 0x00)


@pytest.mark.parametrize("disposition", [None, SCARD_RESET_CARD, SCARD_UNPOWER_CARD])
def test_reconnect_resets(connection: Any, disposition: int | None) -> None:
    assert connection.transmit(VERIFY)[1:] == (0x90, 0x00)
    assert connection.reconnect(disposition=disposition) is None
    assert connection.getProtocol() == connection.T0_protocol
    assert connection.transmit(ASK_PIN)[1:] == (0x63, 0xC3)


def test_reconnect_after_the_card_was_out(remote: RemotePyscard, connection: Any) -> None:
    remote.remove()
    with pytest.raises(CardConnectionException) as caught:
        connection.transmit(SELECT_MF)
    assert caught.value.hresult == SCARD_W_REMOVED_CARD
    remote.insert()
    with pytest.raises(CardConnectionException) as caught:
        connection.getATR()
    assert caught.value.hresult == SCARD_W_REMOVED_CARD
    connection.reconnect(connection.T0_protocol, SCARD_SHARE_SHARED, SCARD_RESET_CARD)
    assert connection.getATR() == remote.atr


def test_reconnect_that_fails_leaves_no_connection(remote: RemotePyscard, connection: Any) -> None:
    with pytest.raises(CardConnectionException, match="reconnect with protocol: T1"):
        connection.reconnect(connection.T1_protocol)
    with pytest.raises(CardConnectionException, match="Card not connected"):
        connection.transmit(SELECT_MF)
    connection.connect()
    remote.remove()
    with pytest.raises(NoCardException):
        connection.reconnect()
    remote.insert()
    connection.connect()


def test_reconnect_needs_a_connection(remote: RemotePyscard) -> None:
    with pytest.raises(CardConnectionException, match="Card not connected"):
        remote.reader.createConnection().reconnect()


def test_release_is_for_good(connection: Any) -> None:
    assert connection.release() is None
    connection.release()
    connection.disconnect()
    for use in (connection.connect, connection.getATR, connection.reconnect):
        with pytest.raises(CardConnectionException):
            use()
    with pytest.raises(CardConnectionException, match="Context already released"):
        connection.connect()
