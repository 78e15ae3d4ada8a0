# SPDX-License-Identifier: Apache-2.0
"""The command `wsrc` with streams that are closed, full or broken, and with odd arguments."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import LIMIT_S, argv, environment
from tests.support.scripted_server import card, card_host, in_thread

ICCID = "89860000000000000001"
HOST = card_host([card(1)], {"00a40004023f00": ("", "9000")})
MF = "00A40004023F00"


@pytest.fixture
def url() -> Iterator[str]:
    with in_thread(HOST) as url:
        yield url


def wsrc(url: str, *args: str | bytes, shell: str = "", **more: Any) -> tuple[int, str]:
    """Run the command, by a shell that redirects its streams; give status and all it printed."""
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", *argv("wsrc"), *args]
    done = subprocess.run(
        command,
        env=environment(WSRC_SERVER_URL=url, **more.pop("env", {})),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT_S,
        check=False,
        **more,
    )
    return done.returncode, done.stdout.decode(errors="replace")


def test_a_closed_standard_output_is_no_failure(url: str) -> None:
    assert wsrc(url, "list", "--quiet", shell=">&-") == (0, "")


@pytest.mark.parametrize(
    ("args", "status"), [(["shell"], 0), (["apdu", "-"], 2), (["script", "-"], 0)]
)
def test_a_closed_standard_input_is_an_empty_one(url: str, args: list[str], status: int) -> None:
    given, printed = wsrc(url, args[0], "--iccid", ICCID, *args[1:], shell="<&-")
    assert (given, "Traceback" in printed) == (status, False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("args", [["list"], ["apdu", "--iccid", ICCID, MF]])
def test_output_that_cannot_be_written_has_a_status_of_its_own(url: str, args: list[str]) -> None:
    status, printed = wsrc(url, *args, shell=">/dev/full")
    assert (status, printed) == (74, "wsrc: The input or output failed: No space left on device.\n")


@pytest.mark.parametrize("args", [["list"], ["apdu", "--iccid", "1234", MF], ["apdu"], ["nosuch"]])
def test_errors_that_nobody_reads_end_as_a_broken_pipe(url: str, args: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            argv("wsrc", *args),
            env=environment(WSRC_SERVER_URL=url),
            stdout=gone,
            stderr=gone,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 141


def test_a_script_with_a_comment_in_latin_1_runs(url: str, tmp_path: Path) -> None:
    (tmp_path / "s.wsrc").write_bytes(MF.encode() + b"  # Pr\xfcfung\n")
    status, printed = wsrc(url, "script", "--iccid", ICCID, str(tmp_path / "s.wsrc"))
    assert status == 0, printed


def test_a_script_that_is_no_text_is_refused_with_its_line(url: str, tmp_path: Path) -> None:
    (tmp_path / "s.wsrc").write_bytes(b"\n\xff\xfe\x00\n")
    status, printed = wsrc(url, "script", "--iccid", ICCID, str(tmp_path / "s.wsrc"))
    assert status == 2
    assert "s.wsrc:2: character 1 of 3" in printed
    assert "Traceback" not in printed


def test_standard_input_that_is_no_text_is_refused(url: str) -> None:
    env = {"PYTHONIOENCODING": "utf-8:strict"}
    status, printed = wsrc(url, "apdu", "--iccid", ICCID, "-", input=b"\xff\n", env=env)
    assert status == 2
    assert "character 1 of 1" in printed


def test_an_argument_that_is_not_utf_8_is_refused_in_words(url: str) -> None:
    status, printed = wsrc(url, "list", "--card", b"\xff", env={"PYTHONUTF8": "1"})
    assert status == 2
    assert "cannot be written in UTF-8" in printed
    assert "Traceback" not in printed


def test_a_wait_without_end_waits_as_long_as_the_server_lets(url: str) -> None:
    assert wsrc(url, "apdu", "--iccid", ICCID, "--wait", "inf", MF)[0] == 0


def test_a_wait_that_is_no_number_is_refused(url: str) -> None:
    status, printed = wsrc(url, "apdu", "--iccid", ICCID, "--wait", "nan", MF)
    assert (status, printed) == (
        2,
        "wsrc: The wait for a card must be 0 or more seconds, not nan.\n",
    )
