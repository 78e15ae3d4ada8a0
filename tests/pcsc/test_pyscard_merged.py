# SPDX-License-Identifier: Apache-2.0
"""pyscard with a card in a real pcscd and another one elsewhere."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.certificates import Certificates
from tests.support.pcsc.bench import Bench, Slot
from tests.support.pcsc.inserted import inserted
from wsrc.readers.simulation import make_card, parse_description

pytest.importorskip("smartcard", reason="the Python package pyscard is missing")

from smartcard.Card import Card as ScCard  # noqa: TID251
from smartcard.CardRequest import CardRequest  # noqa: TID251
from smartcard.CardType import ATRCardType  # noqa: TID251
from smartcard.Exceptions import CardRequestTimeoutException  # noqa: TID251
from smartcard.System import readers  # noqa: TID251

from tests.support.remote_pyscard import RemotePyscard, remote_cards
from wsrc.bridges.pyscard.install import RemoteReader

pytestmark = pytest.mark.pcscd

LIMIT_S = 60.0
LOCAL = make_card(parse_description('kind = "uicc"\nprotocol = "T1"', "local"))


@pytest.fixture
def remote(certificates: Certificates) -> Iterator[RemotePyscard]:
    with remote_cards(certificates) as remote:
        yield remote


def request(remote: RemotePyscard, slot: Slot, **asked: Any) -> CardRequest:
    local = next(reader for reader in readers() if reader.name == slot.reader)
    return CardRequest(readers=[local, remote.reader], **asked)


def test_readers_of_both_are_listed(bench: Bench, slot: Slot, remote: RemotePyscard) -> None:
    names = [reader.name for reader in readers()]
    assert slot.reader in names
    assert names[-1] == remote.reader.name
    bench.kill()
    assert [reader.name for reader in readers()] == [remote.reader.name]
    assert CardRequest(timeout=0.1).waitforcard().connection.getATR() == remote.atr


def test_whichever_card_comes_first_is_given(
    bench: Bench, slot: Slot, remote: RemotePyscard
) -> None:
    remote.remove()
    with ThreadPoolExecutor() as threads, request(remote, slot, timeout=LIMIT_S) as both:
        waiting = threads.submit(both.waitforcard)
        with inserted(bench, slot, LOCAL):
            service = waiting.result(LIMIT_S)
            assert not isinstance(service.connection.getReader(), RemoteReader)
            service.connection.connect()
            assert service.connection.getATR() == list(LOCAL.atr)
            service.connection.release()
        bench.wait_empty(slot)
        waiting = threads.submit(both.waitforcard)
        remote.insert()
        assert isinstance(waiting.result(LIMIT_S).connection.getReader(), RemoteReader)
    assert not [t for t in threading.enumerate() if t.name == "wsrc-local-pcsc"]


def test_cards_of_both_are_chosen_by_their_type(
    bench: Bench, slot: Slot, remote: RemotePyscard
) -> None:
    wanted = ATRCardType(list(LOCAL.atr))
    with pytest.raises(CardRequestTimeoutException):
        request(remote, slot, cardType=wanted, timeout=0.1).waitforcard()
    with inserted(bench, slot, LOCAL):
        service = request(remote, slot, cardType=wanted, timeout=LIMIT_S).waitforcard()
        assert str(service.connection.getReader()) == slot.reader


def test_events_tell_the_cards_of_both(bench: Bench, slot: Slot, remote: RemotePyscard) -> None:
    there, local = ScCard(remote.reader, remote.atr), ScCard(slot.reader, list(LOCAL.atr))

    def until(expected: list[ScCard]) -> None:
        for _ in range(10):
            cards = both.waitforcardevent()
            if sorted(cards, key=repr) == sorted(expected, key=repr):
                return
        raise AssertionError(cards)

    with request(remote, slot, timeout=LIMIT_S) as both:
        until([there])
        with inserted(bench, slot, LOCAL):
            until([there, local])
            remote.remove()
            until([local])
        until([])
        remote.insert()
        until([there])
