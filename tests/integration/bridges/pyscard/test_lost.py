# SPDX-License-Identifier: Apache-2.0
"""Connections of pyscard whose card is lost in a transaction, or while they have it alone."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from smartcard.Exceptions import CardConnectionException  # noqa: TID251
from smartcard.ExclusiveTransmitCardConnection import (  # noqa: TID251
    ExclusiveTransmitCardConnection,
)
from smartcard.scard import (  # noqa: TID251
    SCARD_LEAVE_CARD,
    SCARD_SHARE_EXCLUSIVE,
    SCARD_SHARE_SHARED,
    SCARD_W_RESET_CARD,
)

from tests.support.certificates import Certificates
from tests.support.remote_pyscard import ASK_PIN, RemotePyscard, remote_cards
from tests.support.world import until
from wsrc.protocol.messages import CardState

LIMIT_S = 60.0


@pytest.fixture
def hasty(certificates: Certificates) -> Iterator[RemotePyscard]:
    """A remote card whose leases end soon."""
    with remote_cards(certificates, lease_idle_s=2.0) as remote:
        yield remote


def lose(remote: RemotePyscard) -> None:
    """Wait until the lease has ended."""

    async def is_free() -> bool:
        return await remote.there.world.state_of(reader=remote.bay) is CardState.READY

    remote.there.do(until(is_free))


def connected_beside(remote: RemotePyscard) -> Any:
    """Return a connection, unless that takes too long."""
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(remote.connection()))
    thread.start()
    thread.join(LIMIT_S)
    assert got, "the connection still waits"
    return got[0]


def test_others_go_on_after_the_lease_ended_in_a_transaction(hasty: RemotePyscard) -> None:
    mine = ExclusiveTransmitCardConnection(hasty.connection())
    mine.lock()
    lose(hasty)
    with pytest.raises(CardConnectionException) as caught:
        mine.transmit(ASK_PIN)
    assert caught.value.hresult == SCARD_W_RESET_CARD
    with pytest.raises(CardConnectionException) as caught:
        mine.unlock()
    assert caught.value.hresult == SCARD_W_RESET_CARD
    mine.component.reconnect(disposition=SCARD_LEAVE_CARD)
    mine.lock()
    assert mine.transmit(ASK_PIN)[1:] == (0x63, 0xC3)
    mine.unlock()
    other = connected_beside(hasty)
    assert other.transmit(ASK_PIN)[1:] == (0x63, 0xC3)
    with pytest.raises(CardConnectionException, match="Failed to unlock"):
        mine.unlock()


def test_exclusive_use_is_given_up_after_the_lease_ended(hasty: RemotePyscard) -> None:
    connection = hasty.connection(None, SCARD_SHARE_EXCLUSIVE)
    lose(hasty)
    connection.reconnect(None, SCARD_SHARE_SHARED, SCARD_LEAVE_CARD)
    assert connected_beside(hasty).transmit(ASK_PIN)[1:] == (0x63, 0xC3)


def test_exclusive_use_is_given_up_after_the_card_was_out(remote: RemotePyscard) -> None:
    connection = remote.connection(None, SCARD_SHARE_EXCLUSIVE)
    remote.remove()
    remote.insert()
    connection.reconnect(None, SCARD_SHARE_SHARED, SCARD_LEAVE_CARD)
    assert connected_beside(remote).transmit(ASK_PIN)[1:] == (0x63, 0xC3)
    assert connection.transmit(ASK_PIN)[1:] == (0x63, 0xC3)
