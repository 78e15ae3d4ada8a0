# SPDX-License-Identifier: Apache-2.0
"""pyscard with a card that is elsewhere: what its own tests look at, and programs rely on."""

from typing import Any

import pytest
from smartcard.CardRequest import CardRequest  # noqa: TID251
from smartcard.reader.ReaderGroups import readergroups as kept  # noqa: TID251
from smartcard.System import readergroups  # noqa: TID251

from tests.support.remote_pyscard import SELECT_MF, RemotePyscard
from tests.support.world import LIMIT_S
from wsrc.readers.simulated_connection import ECHO_CONTROL

ECHO = 0x42000000 + ECHO_CONTROL


def test_d30f_reader_of_a_connection_is_its_name(remote: RemotePyscard, connection: Any) -> None:
    name = str(remote.reader.name)
    reader = connection.getReader()
    assert reader == name
    assert name == reader
    assert (reader != name) is False
    assert reader != name + "x"
    assert reader != 7
    assert {name: 1}[reader] == 1
    assert {reader: 1}[name] == 1


def test_d30f_reader_of_a_card_is_its_name(remote: RemotePyscard) -> None:
    [card] = CardRequest(timeout=LIMIT_S).waitforcardevent()
    assert card.reader == str(remote.reader.name)
    assert {str(remote.reader.name): 1}[card.reader] == 1


def test_d30f_groups_are_told_without_pcsc(
    remote: RemotePyscard, monkeypatch: pytest.MonkeyPatch
) -> None:
    del remote
    monkeypatch.setattr(kept, "instance", None)
    assert list(readergroups()) == ["SCard$DefaultReaders"]


def test_d30f_octets_are_the_low_eight_bits(connection: Any) -> None:
    plain = connection.transmit(SELECT_MF)
    for beyond in ([0x100, *SELECT_MF[1:]], [-0x100, 0xA4 - 0x100, *SELECT_MF[2:]]):
        assert connection.transmit(beyond) == plain
    assert connection.control(ECHO, [1, 0x102, -1]) == [1, 2, 0xFF]


@pytest.mark.parametrize("wrong", [[0.0, 1, 2, 3], ["a", 1, 2, 3], [None, 1, 2, 3]])
def test_d30f_what_is_no_number_is_no_octet(connection: Any, wrong: list[Any]) -> None:
    with pytest.raises(TypeError, match="Expected a list of bytes"):
        connection.transmit(wrong)
    with pytest.raises(TypeError, match="Expected a list of bytes"):
        connection.control(ECHO, wrong)
