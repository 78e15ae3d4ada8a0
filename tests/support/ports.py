# SPDX-License-Identifier: Apache-2.0
"""Ports for programs that must be told one before they listen."""

import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
