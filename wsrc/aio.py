# SPDX-License-Identifier: Apache-2.0
"""Remote cards for programs that use asyncio: what such a program imports."""

from wsrc.user_client.aio import (
    BatchResult,
    Card,
    CardEvent,
    CardInfo,
    CardStatus,
    Client,
    Disposition,
    Filters,
    Initialization,
    ResetKind,
    Response,
    Selecting,
    Share,
    Status,
    Step,
    Waiting,
)

__all__ = [
    "BatchResult",
    "Card",
    "CardEvent",
    "CardInfo",
    "CardStatus",
    "Client",
    "Disposition",
    "Filters",
    "Initialization",
    "ResetKind",
    "Response",
    "Selecting",
    "Share",
    "Status",
    "Step",
    "Waiting",
]
