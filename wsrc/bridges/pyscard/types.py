# SPDX-License-Identifier: Apache-2.0
"""
What the bridge to pyscard uses of pyscard, with types: pyscard itself has none.

Raises `ImportError` with one sentence where pyscard is missing.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

ReadersOf = Callable[[Any], list[Any]]
"""Returns the readers of some groups; all readers where there are none."""

if TYPE_CHECKING:
    scard: Any
    CardRequest: Any

    class SmartcardException(Exception):  # noqa: N818
        """Base of what pyscard raises."""

        hresult: int

        def __init__(self, *args: Any, message: str = "", hresult: int = -1) -> None: ...

    class CardConnectionException(SmartcardException):
        """A connection failed."""

    class CardRequestException(SmartcardException):
        """A request failed."""

    class CardRequestTimeoutException(SmartcardException):
        """No card came in time."""

        def __init__(self, *args: Any, hresult: int = -1) -> None: ...

    class NoCardException(SmartcardException):
        """No card is in the reader."""

        def __init__(self, message: str, hresult: int) -> None: ...

    class PcscException(Exception):  # noqa: N818
        """A call of the system's PC/SC failed."""

    class CardConnectionEvent:
        """What observers of a connection are told."""

        def __init__(self, event_type: str, args: Any = None) -> None: ...

    class CardConnection:
        """Base of connections."""

        T0_protocol: int
        T1_protocol: int
        RAW_protocol: int
        T15_protocol: int
        reader: Any
        errorcheckingchain: Any

        def __init__(self, reader: Any) -> None: ...
        def connect(self, protocol: Any = None, mode: Any = None, disposition: Any = None) -> None:
            """Tell observers."""

        def reconnect(
            self, protocol: Any = None, mode: Any = None, disposition: Any = None
        ) -> None:
            """Tell observers."""

        def disconnect(self) -> None:
            """Tell observers."""

        def release(self) -> None:
            """Tell observers."""

        def getProtocol(self) -> int: ...  # noqa: D102, N802
        def setProtocol(self, protocol: int) -> None: ...  # noqa: D102, N802
        def setChanged(self) -> None: ...  # noqa: D102, N802
        def notifyObservers(self, handlers: Any) -> None: ...  # noqa: D102, N802

    class CardConnectionDecorator:
        """A connection round another."""

        component: Any

        def __init__(self, component: Any) -> None: ...
        def connect(self, protocol: Any = None, mode: Any = None, disposition: Any = None) -> None:
            """Pass it on."""

        def transmit(self, command: list[int], protocol: Any = None) -> Any:
            """Pass it on."""

    class ExclusiveConnectCardConnection(CardConnectionDecorator):
        """Connects exclusively."""

    class ExclusiveTransmitCardConnection(CardConnectionDecorator):
        """Locks the card."""

        def lock(self) -> None:
            """Begin a transaction."""

        def unlock(self) -> None:
            """End it."""

    ReaderGroups: Any
    """The one list of reader groups."""

    class Reader:
        """Base of readers."""

        name: str

        def __init__(self, readername: str) -> None: ...

    class ReaderFactory:
        """Knows all kinds of readers."""

        factorymethods: list[ReadersOf]

    class Card:
        """A card in a reader."""

        def __init__(self, reader: Any, atr: Sequence[int]) -> None: ...

    class AbstractCardRequest:
        """Base of requests."""

        newcardonly: bool
        readersAsked: Any  # noqa: N815
        cardType: Any  # noqa: N815
        cardServiceClass: Any  # noqa: N815
        timeout: float | None

        def __init__(self, *args: Any) -> None: ...

else:
    try:
        from smartcard import CardRequest, scard
        from smartcard.AbstractCardRequest import AbstractCardRequest
        from smartcard.Card import Card
        from smartcard.CardConnection import CardConnection
        from smartcard.CardConnectionDecorator import CardConnectionDecorator
        from smartcard.CardConnectionEvent import CardConnectionEvent
        from smartcard.Exceptions import (
            CardConnectionException,
            CardRequestException,
            CardRequestTimeoutException,
            NoCardException,
            SmartcardException,
        )
        from smartcard.ExclusiveConnectCardConnection import (
            ExclusiveConnectCardConnection,
        )
        from smartcard.ExclusiveTransmitCardConnection import (
            ExclusiveTransmitCardConnection,
        )
        from smartcard.pcsc.PCSCExceptions import BaseSCardException as PcscException
        from smartcard.pcsc.PCSCReaderGroups import (
            pcscinnerreadergroups as ReaderGroups,
        )
        from smartcard.reader.Reader import Reader
        from smartcard.reader.ReaderFactory import ReaderFactory
    except ImportError as exc:
        raise ImportError(
            "The Python package pyscard is missing; install it (pip install 'wsrc[pcsc]')."
        ) from exc
