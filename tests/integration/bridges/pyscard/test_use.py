# SPDX-License-Identifier: Apache-2.0
"""What a connection of pyscard is used for, with a card that is elsewhere."""

import threading
from typing import Any

import pytest
from smartcard.Card import Card  # noqa: TID251
from smartcard.CardConnection import CardConnection  # noqa: TID251
from smartcard.CardConnectionEvent import CardConnectionEvent  # noqa: TID251
from smartcard.CardConnectionObserver import (  # noqa: TID251
    CardConnectionObserver,
    ConsoleCardConnectionObserver,
)
from smartcard.CardService import CardService  # noqa: TID251
from smartcard.Exceptions import (  # noqa: TID251
    CardConnectionException,
    SmartcardException,
)
from smartcard.ExclusiveConnectCardConnection import (  # noqa: TID251
    ExclusiveConnectCardConnection,
)
from smartcard.ExclusiveTransmitCardConnection import (  # noqa: TID251
    ExclusiveTransmitCardConnection,
)
from smartcard.PassThruCardService import PassThruCardService  # noqa: TID251
from smartcard.reader.Reader import Reader  # noqa: TID251
from smartcard.scard import (  # noqa: TID251
    SCARD_ATTR_ATR_STRING,
    SCARD_ATTR_VENDOR_NAME,
    SCARD_E_PROTO_MISMATCH,
    SCARD_E_SHARING_VIOLATION,
    SCARD_E_UNSUPPORTED_FEATURE,
    SCARD_SHARE_EXCLUSIVE,
)
from smartcard.Session import Session  # noqa: TID251
from smartcard.sw.ErrorCheckingChain import ErrorCheckingChain  # noqa: TID251
from smartcard.sw.ISO7816_4ErrorChecker import ISO7816_4ErrorChecker  # noqa: TID251
from smartcard.sw.SWExceptions import CheckingErrorException, SWException  # noqa: TID251

from tests.support.remote_pyscard import (
    ASK_PIN,
    GET_FEATURES,
    SELECT_MF,
    SELECT_NOTHING,
    VERIFY,
    RemotePyscard,
)
from tests.support.world import UICC


class Watcher(CardConnectionObserver):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def update(self, observable: Any, handlers: CardConnectionEvent) -> None:
        assert isinstance(observable, CardConnection)
        self.events.append((handlers.type, handlers.args))


def test_transmit_gives_response_and_status_word_as_numbers(connection: Any) -> None:
    data, sw1, sw2 = answer = connection.transmit(SELECT_MF)
    assert (type(answer), data, sw1) == (tuple, [], 0x61)
    data, sw1, sw2 = connection.transmit([0x00, 0xC0, 0x00, 0x00, sw2])
    assert isinstance(data, list)
    assert all(isinstance(octet, int) for octet in data)
    assert (data[0], sw1, sw2) == (0x62, 0x90, 0x00)


def test_transmit_with_a_protocol(connection: Any) -> None:
    for protocol in (connection.T0_protocol, connection.RAW_protocol):
        assert connection.transmit(SELECT_NOTHING, protocol)[1:] == (0x6A, 0x82)
    with pytest.raises(CardConnectionException, match="protocol T1") as caught:
        connection.transmit(SELECT_MF, connection.T1_protocol)
    assert caught.value.hresult == SCARD_E_PROTO_MISMATCH
    for protocol in (connection.T15_protocol, 3):
        with pytest.raises(CardConnectionException, match="Invalid protocol"):
            connection.transmit(SELECT_MF, protocol)


def test_transmit_that_is_no_command(connection: Any) -> None:
    with pytest.raises(CardConnectionException, match=r"has (at least 4|4 to 65544) octets"):
        connection.transmit([0x00])
    assert connection.transmit(SELECT_MF)[1] == 0x61


def test_a_response_that_waits_comes_without_a_round_trip(
    remote: RemotePyscard, connection: Any
) -> None:
    for _ in range(3):
        _, sw1, sw2 = connection.transmit(SELECT_MF)
        assert sw1 == 0x61
        assert connection.transmit([0x00, 0xC0, 0x00, 0x00, sw2])[1:] == (0x90, 0x00)


def test_control(connection: Any) -> None:
    assert connection.control(GET_FEATURES) == []
    assert connection.control(GET_FEATURES, []) == []
    with pytest.raises(SmartcardException, match="Failed to control") as caught:
        connection.control(0x42000001, [1, 2])
    assert caught.value.hresult == SCARD_E_UNSUPPORTED_FEATURE


def test_attributes(remote: RemotePyscard, connection: Any) -> None:
    assert connection.getAttrib(SCARD_ATTR_ATR_STRING) == remote.atr
    with pytest.raises(SmartcardException, match="Failed to getAttrib") as caught:
        connection.getAttrib(0x12345)
    assert caught.value.hresult == SCARD_E_UNSUPPORTED_FEATURE


def test_atr_protocol_and_reader(remote: RemotePyscard, connection: Any) -> None:
    assert connection.getATR() == remote.atr
    assert connection.getReader() == remote.reader
    assert isinstance(connection.getReader(), Reader)
    assert connection.setProtocol(connection.T1_protocol) is None
    assert connection.getProtocol() == connection.T1_protocol
    idle = remote.reader.createConnection()
    for ask in (idle.getATR, lambda: idle.transmit(SELECT_MF)):
        with pytest.raises(CardConnectionException, match="Card not connected"):
            ask()


def test_an_error_checking_chain_looks_at_status_words(connection: Any) -> None:
    chain = [ErrorCheckingChain([], ISO7816_4ErrorChecker())]
    connection.addSWExceptionToFilter(SWException)
    connection.setErrorCheckingChain(chain)
    with pytest.raises(CheckingErrorException, match="not found"):
        connection.transmit(SELECT_NOTHING)
    assert connection.transmit(VERIFY)[1:] == (0x90, 0x00)
    assert connection.control(GET_FEATURES) == []
    assert connection.getAttrib(SCARD_ATTR_VENDOR_NAME)
    connection.addSWExceptionToFilter(CheckingErrorException)
    assert connection.transmit(SELECT_NOTHING)[1:] == (0x6A, 0x82)


@pytest.mark.shows_secrets("an observer of pyscard prints each command")
def test_observers_are_told(remote: RemotePyscard, capsys: pytest.CaptureFixture[str]) -> None:
    watcher, console = Watcher(), ConsoleCardConnectionObserver()
    connection = remote.reader.createConnection()
    connection.addObserver(watcher)
    connection.addObserver(console)
    connection.connect()
    connection.transmit(VERIFY)
    connection.reconnect()
    connection.deleteObserver(console)
    connection.control(GET_FEATURES)
    connection.getAttrib(SCARD_ATTR_VENDOR_NAME)
    connection.disconnect()
    connection.release()
    connection.deleteObserver(watcher)
    assert watcher.events == [
        ("connect", None),
        ("command", [VERIFY, None]),
        ("response", [[], 0x90, 0x00]),
        ("reconnect", None),
        ("command", [GET_FEATURES, []]),
        ("response", []),
        ("attrib", [SCARD_ATTR_VENDOR_NAME]),
        ("disconnect", None),
        ("release", None),
    ]
    assert f"connecting to {remote.reader}" in capsys.readouterr().out


def test_observers_are_told_that_a_control_code_has_no_data(remote: RemotePyscard) -> None:
    watcher, connection = Watcher(), remote.reader.createConnection().component
    connection.addObserver(watcher)
    connection.connect()
    connection.control(GET_FEATURES)
    assert ("command", [GET_FEATURES, []]) in watcher.events
    connection.disconnect()


def test_connections_and_services_are_contexts(remote: RemotePyscard) -> None:
    with remote.connection() as connection:
        assert connection.getATR() == remote.atr
    with pytest.raises(CardConnectionException):
        connection.connect()
    with CardService(remote.connection(), "a card") as service:
        assert service.connection.getATR() == remote.atr
        assert service.cardname == "a card"
    assert PassThruCardService.supports("anything")
    with PassThruCardService(remote.connection()) as service:
        assert service.connection.transmit(VERIFY)[1:] == (0x90, 0x00)
    inner = remote.connection().component
    with inner as connection:
        assert connection.getATR() == remote.atr


def test_cards(remote: RemotePyscard) -> None:
    card, same = Card(remote.reader, remote.atr), Card(remote.reader, remote.atr)
    assert card == same
    assert hash(card) == hash(same)
    assert card != Card(remote.reader, [0x3B, 0x00])
    assert repr(card).endswith(f" / {remote.reader}")
    for reader in (remote.reader, str(remote.reader)):
        connection = Card(reader, remote.atr).createConnection()
        connection.connect()
        assert connection.getATR() == remote.atr
        connection.release()


def test_sessions(remote: RemotePyscard) -> None:
    session = Session(str(remote.reader))
    assert session.getATR() == remote.atr
    assert session.sendCommandAPDU(VERIFY)[1:] == (0x90, 0x00)
    session.close()


def test_a_connection_that_is_forgotten_lets_go_of_the_card(remote: RemotePyscard) -> None:
    connection = remote.connection(None, SCARD_SHARE_EXCLUSIVE)
    del connection
    remote.connection(None, SCARD_SHARE_EXCLUSIVE).release()


def test_exclusive_connections_keep_others_out(remote: RemotePyscard) -> None:
    exclusive = ExclusiveConnectCardConnection(remote.reader.createConnection())
    exclusive.connect()
    with pytest.raises(CardConnectionException) as caught:
        remote.connection()
    assert caught.value.hresult == SCARD_E_SHARING_VIOLATION
    assert exclusive.transmit(VERIFY)[1:] == (0x90, 0x00)
    exclusive.disconnect()
    remote.connection().release()


def test_exclusive_transmissions_wait_for_one_another(remote: RemotePyscard) -> None:
    mine = ExclusiveTransmitCardConnection(remote.connection())
    other = ExclusiveTransmitCardConnection(remote.connection())
    mine.lock()
    mine.lock()
    done = threading.Event()

    def transmit() -> None:
        other.transmit(ASK_PIN)
        done.set()

    thread = threading.Thread(target=transmit)
    thread.start()
    assert mine.transmit(VERIFY)[1:] == (0x90, 0x00)
    mine.unlock()
    assert mine.transmit(ASK_PIN)[1:] == (0x90, 0x00)
    assert not done.is_set()
    mine.unlock()
    thread.join(20)
    assert done.is_set()
    with pytest.raises(CardConnectionException, match="Failed to unlock"):
        mine.unlock()
    mine.disconnect()
    with pytest.raises(CardConnectionException, match="not connected"):
        mine.lock()


def test_a_card_that_another_user_holds(remote: RemotePyscard) -> None:
    async def hold() -> Any:
        return await (await remote.there.world.user("third")).select(iccid=UICC)

    held = remote.there.do(hold())
    with pytest.raises(CardConnectionException, match="held by third") as caught:
        remote.connection()
    assert caught.value.hresult == SCARD_E_SHARING_VIOLATION
    remote.there.do(held.detach())
    remote.connection().release()
