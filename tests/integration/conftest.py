# SPDX-License-Identifier: Apache-2.0
"""Servers that run in this process notice at once what changes beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shared import KEEPERS, Kept, keeping


@pytest.fixture(autouse=True)
def _changes_are_seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have tokens, policies and files of TLS looked at so often that no test waits for it."""
    for module in ("token_table", "app"):
        monkeypatch.setattr(f"wsrc.server.{module}.LOOK_S", 0.05)


@pytest.fixture(params=KEEPERS)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """Have each keeper of what outlives a server."""
    with keeping(request.param, tmp_path) as kept:
        yield kept
