# SPDX-License-Identifier: Apache-2.0
"""What an operator is told at the start of certificates and keys (issue 11, 37)."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.certificates import make
from tests.support.world import running
from wsrc.net.certificates import warnings_of

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "days", "said"),
    [
        (
            timedelta(days=-40),
            30,
            "has expired on 2026-05-22: nobody accepts it; renew it",
        ),
        (timedelta(days=-20), 30, "expires on 2026-06-11, in 10 days; renew it"),
        (timedelta(hours=2), 30, "is not valid before 2026-06-01 14:00 UTC; check the clock"),
        (timedelta(days=-1), 32, None),
    ],
)
def test_37_a_certificate_that_is_not_valid_for_long_is_warned_of(
    start: timedelta, days: int, said: str | None, tmp_path: Path
) -> None:
    files = make(tmp_path, days=days, start=NOW + start)
    warnings = list(warnings_of([files.cert], files.key, NOW))
    assert warnings == ([f"The certificate in {files.cert} {said}"] if said else [])


def test_37_each_certificate_of_a_chain_is_looked_at(tmp_path: Path) -> None:
    first = make(tmp_path / "a", days=40, start=NOW)
    second = make(tmp_path / "b", start=NOW - timedelta(days=100))
    first.cert.write_bytes(first.cert.read_bytes() + second.cert.read_bytes())
    [warning] = warnings_of([first.cert], first.key, NOW)
    assert warning.startswith(f"Certificate 2 in {first.cert} has expired")


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_37_a_key_that_others_can_read_is_warned_of(
    mode: int, warned: bool, tmp_path: Path
) -> None:
    files = make(tmp_path, days=40, start=NOW)
    files.key.chmod(mode)
    warnings = list(warnings_of([files.cert], files.key, NOW + timedelta(hours=1)))
    assert [f"chmod o-rw {files.key}" in each for each in warnings] == ([True] if warned else [])


async def test_37_the_server_warns_when_it_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = make(tmp_path, days=1, start=datetime.now(UTC) - timedelta(days=9))
    files.key.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        async with running(files):
            pass
    said = [record.getMessage() for record in caplog.records]
    assert sum("has expired on" in each for each in said) == 1
    assert sum("can read or change the key" in each for each in said) == 1
