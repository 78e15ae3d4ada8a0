# SPDX-License-Identifier: Apache-2.0
"""Log lines: one for each event, whatever a peer put into its name, and systemd's priorities."""

import logging
from collections.abc import Iterator

import pytest

from wsrc.process.logs import set_up

NAMES = ("", "asyncio", "aiohttp.access")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Give the loggers back as they were."""
    root = logging.getLogger()
    handlers, levels = list(root.handlers), [logging.getLogger(name).level for name in NAMES]
    yield
    root.handlers[:] = handlers
    for name, level in zip(NAMES, levels, strict=True):
        logging.getLogger(name).setLevel(level)


def test_what_a_peer_says_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up("info", {})
    logging.getLogger("wsrc").info("Card client 1 says: %s", "bad\nReady: \x1b[2Jü")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r"INFO    Card client 1 says: bad\nReady: \x1b[2Jü")


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("error", ["error"]),
        ("info", ["error", "info"]),
        ("debug", ["error", "info", "debug"]),
    ],
)
def test_a_level_shows_what_is_as_severe_or_more(
    level: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(level, {})
    log = logging.getLogger("wsrc")
    log.error("error")
    log.info("info")
    log.debug("debug")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == shown


def test_under_systemd_each_line_has_its_priority_and_no_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up("info", {"JOURNAL_STREAM": "8:1"})
    log = logging.getLogger("wsrc")
    log.info("ready")
    log.error("failed", exc_info=ValueError("a bug"))
    ready, *failed = capsys.readouterr().err.splitlines()
    assert ready == "<6>ready"
    assert failed[0] == "<3>failed"
    assert failed[-1] == "<3>  ValueError: a bug"
    assert all(line.startswith("<3>") for line in failed)
