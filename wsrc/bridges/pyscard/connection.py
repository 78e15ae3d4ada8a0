# SPDX-License-Identifier: Apache-2.0
"""Readers and connections of pyscard whose cards are elsewhere."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from wsrc.bridges.pcscd.requests import Refused
from wsrc.bridges.pyscard.context import Context
from wsrc.bridges.pyscard.service import Service
from wsrc.bridges.pyscard.types import (
    CardConnection,
    CardConnectionDecorator,
    CardConnectionEvent,
    CardConnectionException,
    NoCardException,
    Reader,
    SmartcardException,
    scard,
)
from wsrc.card.pcsc_numbers import (
    ATTRIBUTES,
    PROTOCOL_ANY,
    PROTOCOL_RAW,
    PROTOCOL_T0,
    PROTOCOL_T1,
    PROTOCOL_T15,
    Code,
    Disposition,
    ShareMode,
)

_NAMES = {
    PROTOCOL_T0: "T0",
    PROTOCOL_T1: "T1",
    PROTOCOL_RAW: "RAW",
    PROTOCOL_T15: "T15",
    PROTOCOL_ANY: "T0 or T1",
}
_NO_CARD = {Code.SCARD_E_NO_SMARTCARD, Code.SCARD_W_REMOVED_CARD}


class NoRemoteCardException(NoCardException, CardConnectionException):
    """No card is in the reader, which is why connecting failed."""


class RemoteReader(Reader, str):
    """
    A reader whose card is elsewhere.

    It is a string as well, its name, for programs that expect one or the other.
    """

    __slots__ = ()

    class Factory:
        """Makes readers by name, for `ReaderFactory.createReader`."""

        make: ClassVar[Callable[[str], "RemoteReader"] | None] = None
        """Set while remote cards are installed."""

        @staticmethod
        def create(readername: str) -> "RemoteReader":
            """
            Return the reader of that name.

            Raises:
                CardConnectionException: If no remote cards are installed.
            """
            make = RemoteReader.Factory.make
            if make is None:
                raise CardConnectionException("No remote cards are installed.")
            return make(readername)

    def __new__(cls, name: str, service: Service, groups: dict[str, set[str]]) -> Self:
        """Make the string."""
        del service, groups
        return str.__new__(cls, name)

    def __init__(self, name: str, service: Service, groups: dict[str, set[str]]) -> None:
        Reader.__init__(self, name)
        self._service = service
        self._groups = groups

    def __eq__(self, other: object) -> bool:
        """Return whether it is a reader of that name, or the name."""
        return isinstance(other, str) and self.name == str(other)

    def __ne__(self, other: object) -> bool:
        """Return whether it is neither."""
        return not self == other

    def __hash__(self) -> int:
        """Return the hash of the name."""
        return hash(self.name)

    def createConnection(self) -> "RemoteConnection":  # noqa: N802 - the interface is pyscard's
        """Return a connection that is not connected."""
        return RemoteConnection(RemoteCardConnection(self, self._service))

    def addtoreadergroup(self, groupname: str) -> None:
        """Make `readers([groupname])` return this reader, in this process."""
        self._groups.setdefault(groupname, set()).add(self.name)

    def removefromreadergroup(self, groupname: str) -> None:
        """Take that back."""
        self._groups.get(groupname, set()).discard(self.name)

    def connection_of_request(self) -> "RemoteConnection":
        """Return a connection that connects by itself when it is first used."""
        return RemoteConnection(RemoteCardConnection(self, self._service, by_itself=True))


class RemoteConnection(CardConnectionDecorator):
    """What programs are given: the connection, and the numbers of its protocols."""

    T0_protocol = 0x0000_0001
    T1_protocol = 0x0000_0002
    RAW_protocol = 0x0001_0000
    T15_protocol = 0x0000_0008


class RemoteCardConnection(CardConnection):
    """
    A connection to a card that is elsewhere.

    Args:
        reader: The reader.
        service: Where it is.
        by_itself: Connect when it is first used, unless it was connected before.

    Raises:
        CardConnectionException: If the service is closed.
    """

    def __init__(self, reader: RemoteReader, service: Service, *, by_itself: bool = False) -> None:
        self._context: Context | None = None
        self._card: int | None = None
        self._disposition = int(Disposition.UNPOWER)
        self._by_itself = by_itself
        CardConnection.__init__(self, reader)
        self._name = reader.name.encode()
        with _raising("Failed to establish context : "):
            self._context = Context(service)

    def __del__(self) -> None:
        """Release the card."""
        context = self._context
        if context is not None:
            context.release()

    def connect(self, protocol: Any = None, mode: Any = None, disposition: Any = None) -> None:
        """
        Connect; the first connection to a card takes it, freshly reset.

        Args:
            protocol: Mask of protocols; else those of `setProtocol`.
            mode: SCARD_SHARE_SHARED (default), SCARD_SHARE_EXCLUSIVE or SCARD_SHARE_DIRECT.
            disposition: What `disconnect` does, by default SCARD_UNPOWER_CARD.

        Raises:
            NoCardException: If no card is in the reader.
            CardConnectionException: For this and for any other reason.
        """
        CardConnection.connect(self, protocol)
        self._by_itself = False
        if self._context is None:
            raise CardConnectionException("Context already released")
        self._let_go(Disposition.LEAVE)
        wanted = _mask(protocol) or _mask(self.getProtocol())
        self._disposition = Disposition.UNPOWER if disposition is None else disposition
        share = ShareMode.SHARED if mode is None else mode
        with _raising(f"Unable to connect with protocol: {_name_of(wanted)}. ", "connect"):
            connected = self._context.connect(self._name, share, wanted)
            self._card = connected.card
            self.setProtocol(_protocol(connected.protocol))

    def reconnect(self, protocol: Any = None, mode: Any = None, disposition: Any = None) -> None:
        """
        Connect again after the card was reset or removed; where that fails, it is disconnected.

        Args:
            protocol: Mask of protocols; else those in force.
            mode: As of `connect`.
            disposition: What is done first, by default SCARD_RESET_CARD; and by `disconnect`.

        Raises:
            NoCardException: If no card is in the reader.
            CardConnectionException: For this and for any other reason.
        """
        CardConnection.reconnect(self, protocol)
        context, card = self._connected()
        wanted = _mask(protocol) or _mask(self.getProtocol())
        self._disposition = Disposition.RESET if disposition is None else disposition
        share = ShareMode.SHARED if mode is None else mode
        try:
            with _raising(f"Unable to reconnect with protocol: {_name_of(wanted)}. ", "reconnect"):
                active = context.reconnect(card, share, wanted, self._disposition)
        except SmartcardException:
            self._let_go(Disposition.LEAVE)
            raise
        self.setProtocol(_protocol(active))

    def disconnect(self) -> None:
        """
        Release the card; nothing happens if it is not connected.

        Raises:
            CardConnectionException: If another connection of the same program has locked it.
        """
        self._by_itself = False
        if self._card is not None:
            CardConnection.disconnect(self)
            self._let_go(self._disposition)

    def release(self) -> None:
        """Disconnect, and connect no more."""
        context = self._context
        if context is not None:
            CardConnection.release(self)
            try:
                self.disconnect()
            finally:
                self._context = None
                context.release()

    def getATR(self) -> list[int]:  # noqa: N802 - the interface is pyscard's
        """Return the ATR of the last reset."""
        context, card = self._connected()
        with _raising("Failed to get status: "):
            return list(context.get_attribute(card, ATTRIBUTES["atr_string"]))

    def doTransmit(self, command: list[int], protocol: Any = None) -> tuple[list[int], int, int]:  # noqa: N802
        """
        Send a TPDU (T=0) or an APDU (T=1); what is left to the program by PC/SC is left to it.

        Raises:
            CardConnectionException: If it failed; its `hresult` says how.
        """
        context, card = self._connected()
        by = _mask(self.getProtocol() if protocol is None else protocol)
        if by not in {PROTOCOL_T0, PROTOCOL_T1, PROTOCOL_RAW}:
            raise CardConnectionException(
                "Invalid protocol in transmit: must be CardConnection.T0_protocol, "
                "CardConnection.T1_protocol, or CardConnection.RAW_protocol"
            )
        with _raising(f"Failed to transmit with protocol {_name_of(by)}. "):
            answer = context.transmit(card, by, _octets(command))
        if len(answer) < 2:
            raise CardConnectionException("Card returned no valid response")
        return list(answer[:-2]), answer[-2], answer[-1]

    def control(self, controlCode: int, command: Any = None) -> list[int]:  # noqa: N803
        """
        Send a control command to the reader.

        An error-checking chain does not look at it: there is no status word.

        Raises:
            SmartcardException: If the reader does not know it.
        """
        octets: list[int] = [] if command is None else command
        self._tell("command", [controlCode, octets])
        data = self.doControl(controlCode, octets)
        self._tell("response", data)
        return data

    def doControl(self, controlCode: int, command: Any = None) -> list[int]:  # noqa: N802, N803
        """Send a control command, whose code is of this platform, and tell nobody."""
        context, card = self._connected()
        with _raising("Failed to control ", kind=SmartcardException):
            return list(context.control(card, controlCode, _octets(command or [])))

    def getAttrib(self, attribId: int) -> list[int]:  # noqa: N802, N803
        """
        Return an attribute of the reader.

        Raises:
            SmartcardException: If it has none.
        """
        self._tell("attrib", [attribId])
        return self.doGetAttrib(attribId)

    def doGetAttrib(self, attribId: int) -> list[int]:  # noqa: N802, N803
        """Return an attribute and tell nobody."""
        context, card = self._connected()
        with _raising("Failed to getAttrib ", kind=SmartcardException):
            return list(context.get_attribute(card, attribId))

    def lock(self) -> None:
        """Keep other connections from the card until `unlock`; it may be locked again within."""
        context, card = self._connected()
        with _raising("Failed to lock with SCardBeginTransaction: "):
            context.begin(card)

    def unlock(self) -> None:
        """Take back one `lock`."""
        context, card = self._connected()
        with _raising("Failed to unlock with SCardEndTransaction: "):
            context.end(card)

    def _connected(self) -> tuple[Context, int]:
        if self._by_itself and self._card is None:
            self.connect()
        if self._card is None or self._context is None:
            raise CardConnectionException("Card not connected")
        return self._context, self._card

    def _let_go(self, disposition: int) -> None:
        card, self._card = self._card, None
        if card is not None and self._context is not None:
            with _raising("Failed to disconnect: "):
                self._context.disconnect(card, disposition)

    def _tell(self, event: str, args: Any) -> None:
        self.setChanged()
        self.notifyObservers(CardConnectionEvent(event, args))


def innermost(connection: Any) -> RemoteCardConnection | None:
    """Return the remote connection that is inside of decorators, if that is what is inside."""
    while connection is not None and not isinstance(connection, RemoteCardConnection):
        connection = getattr(connection, "component", None)
    return connection


@contextmanager
def _raising(
    doing: str, unable: str = "", kind: Callable[..., Exception] = CardConnectionException
) -> Generator[None]:
    """Raise what failed as pyscard does; with `unable`, an absent card in its own way."""
    try:
        yield
    except Refused as exc:
        told = exc.reason or str(scard.SCardGetErrorMessage(exc.code))
        if unable and exc.code in _NO_CARD:
            raise NoRemoteCardException(f"Unable to {unable}", _hresult(exc.code)) from exc
        raise kind(doing + told, hresult=_hresult(exc.code)) from exc


def _octets(given: Iterable[int]) -> bytes:
    """
    Return octets as pyscard takes numbers for them: the low eight bits of each.

    Raises:
        TypeError: If they are no numbers.
    """
    try:
        return bytes(each & 0xFF for each in given)
    except TypeError as exc:
        raise TypeError("Expected a list of bytes.") from exc


def _hresult(code: Code) -> int:
    """Return the number of a code, which is not the same on all platforms."""
    return int(getattr(scard, code.name, code))


def _mask(protocol: int | None) -> int:
    """Return the protocols as PC/SC numbers them."""
    given = protocol or 0
    raw = PROTOCOL_RAW if given & RemoteConnection.RAW_protocol else 0
    return (given & (PROTOCOL_ANY | PROTOCOL_T15)) | raw


def _protocol(active: int) -> int:
    """Return the protocol in force as pyscard numbers it; T0 or T1 where none is."""
    return {0: PROTOCOL_ANY, PROTOCOL_RAW: RemoteConnection.RAW_protocol}.get(active, active)


def _name_of(mask: int) -> str:
    return _NAMES.get(mask, f"mask {mask:#x}")
