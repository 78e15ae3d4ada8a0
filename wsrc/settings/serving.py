# SPDX-License-Identifier: Apache-2.0
"""Settings of what a server serves over HTTP, and of proxies in front of it."""

from typing import Annotated

from msgspec import Meta

from wsrc.settings.types import Port, Seconds, Text

MAX_PORT = 65_535

AFTER_USERS = 2
"""By how much the port for HTTP is above that for users where nothing else is said."""

HttpHost = Annotated[
    Text,
    Meta(
        description="Addresses and names to serve HTTP on, as host has them: health, metrics, the "
        "REST interface, events. On a network it has TLS and asks who comes, as the other ports do."
    ),
]
HttpPort = Annotated[
    Port | None,
    Meta(
        description="Port for HTTP; 0 is any free one.",
        extra={
            "expected": f"a whole number from 0 to {MAX_PORT}",
            "default": "4222: two above user_port, or any free one where that is",
        },
    ),
]
HttpTls = Annotated[
    bool,
    Meta(
        description="Serve HTTP over TLS on loopback too, where certificates of clients are asked "
        "for."
    ),
]
HttpNames = Annotated[
    tuple[str, ...],
    Meta(
        description="Name by which HTTP on loopback is reached beside localhost, such as that of a "
        "reverse proxy; whoever asks for another host is refused."
    ),
]
HttpIdle = Annotated[
    Seconds,
    Meta(
        description="Seconds without a request after which a session that was begun over HTTP ends."
    ),
]
NoHttp = Annotated[bool, Meta(description="Serve no HTTP.")]
TrustedProxies = Annotated[
    tuple[str, ...],
    Meta(
        description="Network of reverse proxies that are believed whose address a client has, by "
        "Forwarded or X-Forwarded-For; limits and evidence are of that address then."
    ),
]


def port_of(given: int | None, user_port: int) -> int:
    """Return the port for HTTP; 0 is any free one."""
    if given is not None:
        return given
    return user_port + AFTER_USERS if user_port else 0
