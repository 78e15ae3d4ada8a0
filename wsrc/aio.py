# SPDX-License-Identifier: Apache-2.0
"""Remote cards for programs that use asyncio: what such a program imports."""

from wsrc.card.apdu import Response
from wsrc.card.slot import (
    CardProtocol,
    CardStatus,
    Disposition,
    Initialization,
    Pick,
    ResetKind,
    Share,
    SlotState,
)
from wsrc.protocol.messages import (
    BanInfo,
    CardInfo,
    CardState,
    CardUse,
    Change,
    ClientType,
    DrainedHost,
    HolderInfo,
    HolderState,
    LeaseInfo,
    PeerInfo,
    ReaderView,
    ReservationInfo,
    ReservationState,
    Step,
    WaiterInfo,
    Waiting,
)
from wsrc.user_client.aio import Card, Client, Selecting
from wsrc.user_client.card import BatchLimits, BatchResult, IdleWarning, Status
from wsrc.user_client.core.feeds import (
    CardEvent,
    Notification,
    ReaderChange,
    ReaderMark,
    ReaderNews,
    ReaderSnapshot,
)
from wsrc.user_client.core.seals import SealedWith
from wsrc.user_client.naming import Filters
from wsrc.user_client.operating import Admin, Peers
from wsrc.user_client.reserving import Reserved

__all__ = [
    "Admin",
    "BanInfo",
    "BatchLimits",
    "BatchResult",
    "Card",
    "CardEvent",
    "CardInfo",
    "CardProtocol",
    "CardState",
    "CardStatus",
    "CardUse",
    "Change",
    "Client",
    "ClientType",
    "Disposition",
    "DrainedHost",
    "Filters",
    "HolderInfo",
    "HolderState",
    "IdleWarning",
    "Initialization",
    "LeaseInfo",
    "Notification",
    "PeerInfo",
    "Peers",
    "Pick",
    "ReaderChange",
    "ReaderMark",
    "ReaderNews",
    "ReaderSnapshot",
    "ReaderView",
    "ReservationInfo",
    "ReservationState",
    "Reserved",
    "ResetKind",
    "Response",
    "SealedWith",
    "Selecting",
    "Share",
    "SlotState",
    "Status",
    "Step",
    "WaiterInfo",
    "Waiting",
]
