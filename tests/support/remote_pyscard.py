# SPDX-License-Identifier: Apache-2.0
"""pyscard with remote cards installed, for tests of what its programs see."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from smartcard.System import readers  # noqa: TID251

from tests.support.certificates import Certificates
from tests.support.in_thread import Elsewhere, elsewhere
from tests.support.world import Host
from wsrc.bridges.pyscard import install as pyscard
from wsrc.bridges.pyscard.install import Installation, RemoteReader
from wsrc.protocol.messages import CardState
from wsrc.readers.simulation import Card, default_cards

SELECT_MF = [0x00, 0xA4, 0x00, 0x04, 0x02, 0x3F, 0x00]
SELECT_NOTHING = [0x00, 0xA4, 0x00, 0x04, 0x02, 0x12, 0x34]
VERIFY = [0x00, 0x20, 0x00, 0x01, 0x08, 0x31, 0x32, 0x33, 0x34, 0xFF, 0xFF, 0xFF, 0xFF]
ASK_PIN = [0x00, 0x20, 0x00, 0x01, 0x00]
GET_FEATURES = 0x42000000 + 3400


class RemotePyscard:
    """A UICC in a reader that is elsewhere, and whoever holds it."""

    def __init__(self, there: Elsewhere, host: Host, card: Card, installed: Installation) -> None:
        self.there = there
        self.host = host
        self.card = card
        self.installed = installed

    @property
    def reader(self) -> RemoteReader:
        """The reader of the UICC."""
        [reader] = [r for r in readers() if isinstance(r, RemoteReader)]
        return reader

    @property
    def atr(self) -> list[int]:
        return list(self.card.atr)

    @property
    def bay(self) -> str:
        """Name of the reader at the card's host."""
        [name] = self.host.source.names
        return name

    def connection(self, *args: Any) -> Any:
        """Return a connection that is connected."""
        connection = self.reader.createConnection()
        connection.connect(*args)
        return connection

    def remove(self) -> None:
        """Take the card out, and wait until that is known here."""
        self.host.source.remove(self.bay)
        self._until(present=False)

    def insert(self) -> None:
        """Put it in again, and wait until that is known here."""
        self.host.source.insert(self.bay)
        self._until(present=True)

    def state(self) -> CardState | None:
        return self.there.do(self.there.world.state_of(reader=self.bay))

    def _until(self, *, present: bool) -> None:
        service = self.installed._service
        while True:
            version = service.version
            if any(seen.present for seen in service.readers) == present:
                return
            assert service.wait(version, 20.0)


@contextlib.contextmanager
def remote_cards(
    certificates: Certificates, cards: Sequence[Card] | None = None, **settings: Any
) -> Iterator[RemotePyscard]:
    """Install one remote card of a server, a UICC on T=0 if no other is given."""
    cards = cards or default_cards()[:1]
    with elsewhere(certificates, **settings) as there:
        host = there.do(there.world.host(cards))
        with pyscard.install(
            there.url, ca=certificates.ca, name="first", all_cards=True
        ) as installed:
            yield RemotePyscard(there, host, cards[0], installed)
