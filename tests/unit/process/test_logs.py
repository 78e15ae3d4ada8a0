# SPDX-License-Identifier: Apache-2.0
"""Log lines: one for each event, whatever a peer put into its name, and systemd's priorities."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from wsrc.process.logs import set_up
from wsrc.tokens import made_of

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


def test_a_line_of_json_is_one_object_whatever_a_peer_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up("info", {}, "json")
    log = logging.getLogger("wsrc.server")
    log.info("Card client %d says: %s", 1, 'bad"\n{"level": "error"}\x1b[2J\u2028ü')
    log.error("failed", exc_info=ValueError("a\nbug"))
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == 'Card client 1 says: bad"\n{"level": "error"}\x1b[2J\u2028ü'
    assert (first["level"], first["logger"]) == ("info", "wsrc.server")
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)
    assert "error" not in first
    assert second["error"].endswith("ValueError: a\nbug")


def test_json_under_systemd_has_the_priority_before_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up("info", {"JOURNAL_STREAM": "8:1"}, "json")
    logging.getLogger("wsrc").warning("slow")
    line = capsys.readouterr().err
    assert line.startswith("<4>")
    assert json.loads(line[3:])["message"] == "slow"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("environ", [{}, {"JOURNAL_STREAM": "8:1"}])
def test_13_a_token_that_is_given_as_a_name_is_in_no_log(
    capsys: pytest.CaptureFixture[str], form: str, environ: dict[str, str]
) -> None:
    set_up("info", environ, form)
    token = made_of(bytes(range(32)))
    log = logging.getLogger("wsrc")
    log.info("No card here has LABEL %s", token)
    log.error("failed", exc_info=ValueError(token))
    said = capsys.readouterr().err
    assert token[:21] not in said
    assert said.count("wsrc_") == 2
