# SPDX-License-Identifier: Apache-2.0
"""The commands that clients of this process send to their server."""

import pytest

from wsrc.net.websocket import Link
from wsrc.protocol import messages as m
from wsrc.protocol.boxed import UserBoxes


def sent_commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that the command APDUs are added to as they are sent, in hexadecimal."""
    sent: list[str] = []
    forward, seal = Link.send, UserBoxes.seal

    def count(link: Link, message: m.Message) -> None:
        if isinstance(message, m.CApdu):
            sent.append(message.command.hex())
        forward(link, message)

    def count_sealed(boxes: UserBoxes, request: m.Plain) -> m.Sealed:
        if isinstance(request, m.CApdu):
            sent.append(request.command.hex())
        return seal(boxes, request)

    monkeypatch.setattr(Link, "send", count)
    monkeypatch.setattr(UserBoxes, "seal", count_sealed)
    return sent
