# SPDX-License-Identifier: Apache-2.0
"""wsrc.process.loop: which event loop a program has."""

import asyncio
import sys

import pytest
import uvloop

from wsrc.process.loop import loop_factory, run_main


async def kind() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_ends_the_loop_is_that_of_uvloop_where_it_is_installed() -> None:
    assert loop_factory() is uvloop.new_event_loop
    assert run_main(kind()) == "uvloop"


def test_ends_the_loop_is_that_of_asyncio_where_uvloop_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None
    assert run_main(kind()) == "asyncio"
