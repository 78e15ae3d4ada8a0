# SPDX-License-Identifier: Apache-2.0
"""Unit tests do without network: an address of one that a test binds or connects to is an error."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest


class NetworkUsedError(AssertionError):
    """A unit test reached for the network; tests that need it are of tests/integration."""


@pytest.fixture(autouse=True, scope="module")
def _without_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("bind", "connect", "connect_ex"):
            patch.setattr(socket.socket, name, _local_only(name), raising=False)
        yield


def _local_only(name: str) -> Any:
    real = getattr(socket.socket, name)

    def call(self: socket.socket, address: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            raise NetworkUsedError(f"{name} to {address}")
        return real(self, address)

    return call
