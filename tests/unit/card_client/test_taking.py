# SPDX-License-Identifier: Apache-2.0
"""wsrc.card_client.blocking.take: a card for a session, and what its reader can do."""

from collections.abc import Iterator

import pytest

from wsrc.card_client import blocking
from wsrc.errors import CardTransmissionError, ErrorCode, RefusedError, WsrcError
from wsrc.readers.base import Connection
from wsrc.readers.simulated import SimulatedReader, SimulatedSource
from wsrc.readers.simulation import default_cards

SELECT_MF = bytes.fromhex("00a4000c023f00")


class Silent(SimulatedReader):
    """A reader that does not tell its features."""

    why: WsrcError

    def connect(self, *args: object, **options: object) -> Connection:  # type: ignore[override]
        connection = super().connect(*args, **options)  # type: ignore[arg-type]

        def control(number: int, octets: bytes) -> bytes:
            raise self.why

        connection.control = control  # type: ignore[method-assign]
        return connection


@pytest.fixture
def source() -> Iterator[SimulatedSource]:
    source = SimulatedSource(default_cards()[:1])
    yield source
    source.stop()


def test_a_reader_is_asked_for_its_features(source: SimulatedSource) -> None:
    line = blocking.take(source.open(source.names[0]), (), lambda bare: bare, read_ahead=False)
    assert line.features == b""
    line.connection.close()


@pytest.mark.parametrize(
    "why",
    [RefusedError(ErrorCode.NOT_SUPPORTED, "No."), CardTransmissionError("It failed.")],
    ids=["refuses", "fails"],
)
def test_a_card_is_taken_though_its_reader_does_not_tell_its_features(
    source: SimulatedSource, why: WsrcError
) -> None:
    reader = source.open(source.names[0])
    reader.__class__, reader.why = Silent, why  # type: ignore[assignment, attr-defined]
    line = blocking.take(reader, (), lambda bare: bare, read_ahead=False)
    assert line.features is None
    assert line.transmit(SELECT_MF, raw_tpdu=False) == b"\x90\x00"
    line.connection.close()
