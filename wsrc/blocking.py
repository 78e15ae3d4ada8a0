# SPDX-License-Identifier: Apache-2.0
"""Remote cards for programs that do not use asyncio: what such a program imports."""

from wsrc.user_client.blocking import (
    BatchResult,
    Card,
    CardStatus,
    Client,
    Disposition,
    Initialization,
    ResetKind,
    Response,
    Share,
    Status,
    Step,
)

__all__ = [
    "BatchResult",
    "Card",
    "CardStatus",
    "Client",
    "Disposition",
    "Initialization",
    "ResetKind",
    "Response",
    "Share",
    "Status",
    "Step",
]
