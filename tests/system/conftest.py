# SPDX-License-Identifier: Apache-2.0
"""A server on loopback for each test."""

from collections.abc import AsyncIterator

import pytest

from certs.make_certs import Certificates
from tests.system.world import World, running


@pytest.fixture
async def world(certificates: Certificates) -> AsyncIterator[World]:
    async with running(certificates) as world:
        yield world
