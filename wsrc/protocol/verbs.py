# SPDX-License-Identifier: Apache-2.0
"""
The PC/SC verbs beside connect and transmit, as messages; `messages` has them with all others.

What PC/SC numbers has a name here; see `pcsc_numbers`. The server passes these requests on as
they came, and the card client answers them.
"""

from typing import Annotated

from wsrc.card.slot import CardStatus, Disposition, Initialization, Share
from wsrc.octets import Octets
from wsrc.protocol.fields import (
    Atr,
    ProtocolInForce,
    Protocols,
    ReaderName,
    Whole,
    means,
)
from wsrc.protocol.parts import OfSession

AttributeName = Annotated[str, means("Name of the attribute; see Attributes")]
AttributeValue = Annotated[
    Octets, means("Value of the attribute, in the form that PC/SC has; it may be empty")
]


class Status(OfSession, frozen=True, tag="status", kw_only=True):
    """Ask for the state of the card in its card host's PC/SC (SCardStatus)."""


class StatusAck(OfSession, frozen=True, tag="status_ack", kw_only=True):
    """State of the card; `protocol` and `atr` are absent where there are none."""

    reader_name: ReaderName
    states: Annotated[
        tuple[CardStatus, ...],
        means("All states that hold on pcsc-lite, the furthest one on Windows"),
    ]
    protocol: ProtocolInForce | None = None
    atr: Atr | None = None


class Reconnect(OfSession, frozen=True, tag="reconnect", kw_only=True):
    """Agree on a protocol anew, after a reset if one is asked for (SCardReconnect)."""

    share: Annotated[
        Share | None, means("With whom the card is used from now on; as before if absent")
    ] = None
    initialization: Annotated[Initialization, means("What is done with the card first")] = (
        Initialization.LEAVE
    )
    protocols: Protocols = ()


class ReconnectAck(OfSession, frozen=True, tag="reconnect_ack", kw_only=True):
    """The card as it is now."""

    atr: Atr | None = None
    protocol: ProtocolInForce | None = None


class BeginTransaction(OfSession, frozen=True, tag="begin_transaction", kw_only=True):
    """Reserve a shared card until `end_transaction`; transactions nest."""


class BeginTransactionAck(OfSession, frozen=True, tag="begin_transaction_ack", kw_only=True):
    """Requests of others who share the card wait from now on."""


class EndTransaction(OfSession, frozen=True, tag="end_transaction", kw_only=True):
    """End the transaction that was begun last."""

    disposition: Annotated[
        Disposition, means("What is done with the card then, for all who share it")
    ] = Disposition.LEAVE


class EndTransactionAck(OfSession, frozen=True, tag="end_transaction_ack", kw_only=True):
    """The transaction is over, and the card was reset if that was asked for."""


class Control(OfSession, frozen=True, tag="control", kw_only=True):
    """Send a control code to the reader itself (SCardControl)."""

    number: Annotated[
        Whole,
        means(
            "n where the control code is 42000000h + n on pcsc-lite, and CTL_CODE(n), which is "
            "310000h or 4n, on Windows"
        ),
    ]
    data: Annotated[Octets, means("What the reader is given; it may be empty")]


class ControlAck(OfSession, frozen=True, tag="control_ack", kw_only=True):
    """What the reader answered."""

    response: Annotated[
        Octets,
        means("What it answered, possibly empty; for 3400 with numbers in place of control codes"),
    ]


class GetAttribute(OfSession, frozen=True, tag="get_attribute", kw_only=True):
    """Ask for an attribute of the reader by its name (SCardGetAttrib)."""

    name: AttributeName


class GetAttributeAck(OfSession, frozen=True, tag="get_attribute_ack", kw_only=True):
    """The value of an attribute."""

    value: AttributeValue


class SetAttribute(OfSession, frozen=True, tag="set_attribute", kw_only=True):
    """Set an attribute of the reader by its name (SCardSetAttrib)."""

    name: AttributeName
    value: AttributeValue


class SetAttributeAck(OfSession, frozen=True, tag="set_attribute_ack", kw_only=True):
    """The attribute was set."""
