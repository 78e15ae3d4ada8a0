# SPDX-License-Identifier: Apache-2.0
"""Tests of the bridge to pyscard are for hosts that have pyscard; CI does not go on without."""

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.certificates import Certificates

if TYPE_CHECKING:
    from tests.support.remote_pyscard import RemotePyscard

if importlib.util.find_spec("smartcard") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def remote(certificates: Certificates) -> "Iterator[RemotePyscard]":
    """A remote card that pyscard knows."""
    from tests.support.remote_pyscard import remote_cards  # noqa: PLC0415 - it imports pyscard

    with remote_cards(certificates) as remote:
        yield remote


@pytest.fixture
def connection(remote: "RemotePyscard") -> Any:
    """A connection of pyscard to it."""
    return remote.connection()
