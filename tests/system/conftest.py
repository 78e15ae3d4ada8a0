# SPDX-License-Identifier: Apache-2.0
"""A server on loopback for each test, and who must not notice what others suffer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.world import ASK_PIN, PIN, World, running, uicc


@pytest.fixture
def seal() -> str | None:
    """What all have as `seal`, if this is to say it; a module that is for both has another."""
    return None


@pytest.fixture
async def world(
    certificates: Certificates, seal: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "host"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))
    async with running(certificates) as world:
        if seal is not None:
            world.all_seal(seal)
        yield world


@pytest.fixture
async def bystander(world: World) -> AsyncIterator[None]:
    """Another user, whose session and verified PIN must survive all that happens."""
    await world.host([uicc("8988211999000000019")], "elsewhere")
    client = await world.user("bystander")
    async with client.select(reader="Simulated UICC 00 00@elsewhere") as card:
        assert (await card.transmit(PIN)).sw == 0x9000
        yield
        assert (await card.transmit(ASK_PIN)).sw == 0x9000
