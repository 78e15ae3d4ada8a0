# SPDX-License-Identifier: Apache-2.0
"""A client as the settings of a user want it."""

from pathlib import Path
from typing import TypedDict

from wsrc.settings.load import UserSettings


class ClientOptions(TypedDict):
    """What `aio.Client` and `blocking.Client` are made with."""

    url: str
    ca: Path | None
    name: str
    timeout_s: float
    connect_s: float
    ping_s: float
    keep_s: float


def client_options(settings: UserSettings) -> ClientOptions:
    """Return the arguments for a client: `Client(**client_options(settings))`."""
    return ClientOptions(
        url=settings.server_url,
        ca=settings.tls_ca,
        name=settings.name,
        timeout_s=settings.timeout_s,
        connect_s=settings.connect_s,
        ping_s=settings.ping_s,
        keep_s=settings.keep_s,
    )
