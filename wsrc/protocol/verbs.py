# SPDX-License-Identifier: Apache-2.0
"""
The PC/SC verbs beside connect and transmit, as messages; `messages` has them with all others.

What PC/SC numbers has a name here; see `pcsc_numbers`. The server passes these requests on as
they came, and the card client answers them.
"""

from wsrc.card.slot import CardProtocol, CardStatus, Disposition, Initialization, Share
from wsrc.octets import Octets
from wsrc.protocol.parts import Numbered


class Status(Numbered, frozen=True, tag="status", kw_only=True):
    """Ask how the card is, as its card host's PC/SC says (SCardStatus)."""

    session: str


class StatusAck(Numbered, frozen=True, tag="status_ack", kw_only=True):
    """How the card is; `atr` and `protocol` are absent where there are none."""

    session: str
    reader_name: str
    states: tuple[CardStatus, ...]
    protocol: CardProtocol | None = None
    atr: Octets | None = None


class Reconnect(Numbered, frozen=True, tag="reconnect", kw_only=True):
    """Agree on a protocol anew, after a reset if one is asked for (SCardReconnect)."""

    session: str
    share: Share | None = None
    initialization: Initialization = Initialization.LEAVE
    protocols: tuple[CardProtocol, ...] = ()


class ReconnectAck(Numbered, frozen=True, tag="reconnect_ack", kw_only=True):
    """The card as it is now."""

    session: str
    atr: Octets | None = None
    protocol: CardProtocol | None = None


class BeginTransaction(Numbered, frozen=True, tag="begin_transaction", kw_only=True):
    """Have a shared card alone until `end_transaction`; may be asked for again within it."""

    session: str


class BeginTransactionAck(Numbered, frozen=True, tag="begin_transaction_ack", kw_only=True):
    """Requests of others who share the card wait from now on."""

    session: str


class EndTransaction(Numbered, frozen=True, tag="end_transaction", kw_only=True):
    """End the transaction that was begun last."""

    session: str
    disposition: Disposition = Disposition.LEAVE


class EndTransactionAck(Numbered, frozen=True, tag="end_transaction_ack", kw_only=True):
    """The transaction is over, and the card was reset if that was asked for."""

    session: str


class Control(Numbered, frozen=True, tag="control", kw_only=True):
    """
    Ask something of the reader itself (SCardControl).

    `number` is n where a control code is 0x42000000 + n on pcsc-lite, and CTL_CODE(n) on Windows.
    """

    session: str
    number: int
    data: Octets


class ControlAck(Numbered, frozen=True, tag="control_ack", kw_only=True):
    """What the reader answered; the codes of its features (number 3400) are numbers as well."""

    session: str
    response: Octets


class GetAttribute(Numbered, frozen=True, tag="get_attribute", kw_only=True):
    """Ask for an attribute of the reader by its name (SCardGetAttrib)."""

    session: str
    name: str


class GetAttributeAck(Numbered, frozen=True, tag="get_attribute_ack", kw_only=True):
    """The value of an attribute, as the reader gives it."""

    session: str
    value: Octets


class SetAttribute(Numbered, frozen=True, tag="set_attribute", kw_only=True):
    """Set an attribute of the reader by its name (SCardSetAttrib)."""

    session: str
    name: str
    value: Octets


class SetAttributeAck(Numbered, frozen=True, tag="set_attribute_ack", kw_only=True):
    """The attribute was set."""

    session: str
