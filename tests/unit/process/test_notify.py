# SPDX-License-Identifier: Apache-2.0
"""wsrc.process.notify against real datagram sockets."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsrc.process.notify import notify


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        yield sock


def test_without_a_supervisor_nothing_is_sent() -> None:
    assert notify("READY=1", environ={}) is False


def test_a_path_gets_all_assignments_in_one_datagram(
    receiver: socket.socket, tmp_path: Path
) -> None:
    address = str(tmp_path / "notify")
    receiver.bind(address)
    assert notify("READY=1", "STATUS=2 cards", environ={"NOTIFY_SOCKET": address}) is True
    assert receiver.recv(100) == b"READY=1\nSTATUS=2 cards"


def test_an_abstract_socket_is_reached(receiver: socket.socket) -> None:
    name = f"wsrc-test-notify-{os.getpid()}"
    receiver.bind("\0" + name)
    assert notify("STOPPING=1", environ={"NOTIFY_SOCKET": "@" + name}) is True
    assert receiver.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["vsock:2:1234", "relative"])
def test_other_kinds_of_address_are_left_alone(address: str) -> None:
    assert notify("READY=1", environ={"NOTIFY_SOCKET": address}) is False


def test_a_supervisor_that_is_gone_does_no_harm(tmp_path: Path) -> None:
    assert notify("READY=1", environ={"NOTIFY_SOCKET": str(tmp_path / "gone")}) is False
