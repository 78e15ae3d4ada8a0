# SPDX-License-Identifier: Apache-2.0
"""Servers that run in this process notice at once what changes beside them; and a browser."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.browser import browsing, chromium
from tests.support.sealed_world import SealedWorld, sealed
from tests.support.shared import KEEPERS, Kept, keeping


@pytest.fixture(autouse=True)
def _changes_are_seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tokens, policies and files of TLS looked at so often that no test waits for it."""
    for module in ("token_table", "app"):
        monkeypatch.setattr(f"wsrc.server.{module}.LOOK_S", 0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    """Run Chromium for the tests of a file, which have one loop."""
    with chromium(tmp_path_factory.mktemp("chromium")) as at:
        async with browsing(at) as made:
            yield made


@pytest.fixture(params=KEEPERS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """Have each keeper of what outlives a server."""
    with keeping(request.param, tmp_path) as kept:
        yield kept


@pytest.fixture
def state_of_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what card hosts and users keep in folders of this test alone."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "host"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user"))


@pytest_asyncio.fixture
async def sealed_world(state_of_both: None, tmp_path: Path) -> AsyncIterator[SealedWorld]:
    """Run a server, for card hosts and users that seal their sessions."""
    async with sealed(tmp_path) as world:
        yield world
