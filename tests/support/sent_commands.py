# SPDX-License-Identifier: Apache-2.0
"""The commands that clients of this process send to their server."""

import pytest

from wsrc.net.websocket import Link
from wsrc.protocol import messages as m


def sent_commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that the command APDUs are added to as they are sent, in hexadecimal."""
    sent: list[str] = []
    forward = Link.send

    def count(link: Link, message: m.Message) -> None:
        if isinstance(message, m.CApdu):
            sent.append(message.command.hex())
        forward(link, message)

    monkeypatch.setattr(Link, "send", count)
    return sent
