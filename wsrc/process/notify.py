# SPDX-License-Identifier: Apache-2.0
"""State of the service for systemd (sd_notify(3)), without its library."""

import os
import socket
from collections.abc import Mapping


def notify(*assignments: str, environ: Mapping[str, str] = os.environ) -> bool:
    """
    Send assignments such as "READY=1", "STOPPING=1" or "STATUS=12 cards" in one datagram.

    Returns:
        Whether it was sent; False where no service manager listens. It never raises for that:
        a server whose supervisor is away still serves.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto("\n".join(assignments).encode(), address)
        except OSError:
            return False
    return True
