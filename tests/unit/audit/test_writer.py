# SPDX-License-Identifier: Apache-2.0
"""Files of an audit log: rotated, locked, found again after any end (issue 13, 4)."""

# Longer than the aim: one test for each thing that may befall a file.

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from wsrc.audit import writer
from wsrc.audit.check import Check
from wsrc.audit.cli import audit
from wsrc.audit.events import Refused
from wsrc.audit.files import Where, read_into
from wsrc.audit.writer import AuditLog
from wsrc.errors import ConfigError

LIMIT_S = 60.0


@contextmanager
def log_in(folder: Path, octets: int = 1 << 20, keep: int = 0, **more: Any) -> Iterator[AuditLog]:
    log = AuditLog(Where(folder, "wsrc-server", octets, keep), **more)
    try:
        yield log
    finally:
        log.close()


def event(number: int) -> Refused:
    return Refused(address="192.0.2.1", why=f"reason {number}")


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of files when they were synchronised."""
    sizes: list[int] = []

    def sync(file: int) -> None:
        sizes.append(os.fstat(file).st_size)
        fsync(file)

    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", sync)
    return sizes


def has_lines(folder: Path, count: int) -> bool:
    return len(said(folder)) == count


def test_13_what_is_written_is_safe_from_a_power_failure_soon(
    tmp_path: Path, synced: list[int]
) -> None:
    with log_in(tmp_path, sync_s=0.05) as log:
        for lines in (2, 3, 4):
            log.record(event(lines))
            wait_until(partial(has_lines, tmp_path, lines))
            wait_until(lambda: files(tmp_path)[0].stat().st_size in synced)
    assert synced[-1] == files(tmp_path)[0].stat().st_size


def test_13_what_is_written_last_is_safe_before_the_end(tmp_path: Path, synced: list[int]) -> None:
    with log_in(tmp_path, sync_s=3600.0) as log:
        log.record(event(1))
    assert synced[-1] == files(tmp_path)[0].stat().st_size


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def said(folder: Path) -> list[dict[str, Any]]:
    texts = [line for path in files(folder) for line in path.read_bytes().split(b"\n") if line]
    return [json.loads(line) for line in texts if line.endswith(b"}")]


def kinds(folder: Path) -> list[str]:
    return [each["event"] for each in said(folder)]


def check(folder: Path) -> Check:
    found = Check()
    for path in files(folder):
        read_into(found, path, path.name)
    found.end()
    return found


def wait_until(true: Callable[[], bool]) -> None:
    """Look again and again, with a bound; what is half written is looked at once more."""
    until = time.monotonic() + LIMIT_S
    while not _is(true):
        assert time.monotonic() < until
        time.sleep(0.005)


def _is(true: Callable[[], bool]) -> bool:
    try:
        return true()
    except (FileNotFoundError, IndexError, KeyError, json.JSONDecodeError):
        return False


def verified(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(audit, ["verify", *map(str, arguments)])
    return done.exit_code, done.output


def test_13_a_log_is_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "audit"
    with log_in(folder) as log:
        log.record(event(1))
        wait_until(lambda: kinds(folder) == ["file", "refused"])
        (path,) = files(folder)
        assert path.stat().st_mode & 0o777 == 0o600
        assert folder.stat().st_mode & 0o777 == 0o700
    assert check(folder).findings == []


def test_13_a_restart_goes_on_with_the_chain(tmp_path: Path) -> None:
    for number in range(3):
        with log_in(tmp_path) as log:
            log.record(event(number))
    assert kinds(tmp_path) == ["file", "refused", "refused", "refused"]
    assert [each["n"] for each in said(tmp_path)] == [1, 2, 3, 4]
    assert check(tmp_path).findings == []


def test_13_a_restart_says_what_is_wrong_and_nothing_of_what_the_log_says_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(9):
        with log_in(tmp_path, octets=1000) as log:
            log.record(event(number))
    assert len(files(tmp_path)) > 1
    assert "not as it was written" not in caplog.text
    last = files(tmp_path)[-1]
    last.write_bytes(last.read_bytes().replace(b"reason", b"treason"))
    with log_in(tmp_path) as log:
        log.record(event(9))
    assert f"{last.name}: it was changed, or the one before it was" in caplog.text
    assert kinds(tmp_path)[-1] == "refused"


def test_13_files_are_rotated_by_size_and_hang_together(tmp_path: Path) -> None:
    with log_in(tmp_path, octets=1000) as log:
        for number in range(40):
            log.record(event(number))
            wait_until(lambda n=number: kinds(tmp_path).count("refused") == n + 1)
    assert len(files(tmp_path)) > 5
    assert all(path.stat().st_size < 1500 for path in files(tmp_path))
    assert check(tmp_path).findings == []
    files(tmp_path)[2].unlink()
    assert check(tmp_path).faults == 1


def test_13_old_files_are_removed_where_the_settings_say_so_and_the_log_tells(
    tmp_path: Path,
) -> None:
    with log_in(tmp_path, octets=1000, keep=2) as log:
        for number in range(40):
            log.record(event(number))
            wait_until(lambda n=number: said(tmp_path)[-1].get("why") == f"reason {n}")
    assert len(files(tmp_path)) == 2
    assert check(tmp_path).faults == 0
    assert "dropped" in kinds(tmp_path)
    files(tmp_path)[0].unlink()  # one more than the log says
    assert check(tmp_path).faults == 1


def test_13_two_processes_have_no_log_in_common(tmp_path: Path) -> None:
    with log_in(tmp_path), pytest.raises(ConfigError, match="another process writes"):
        AuditLog(Where(tmp_path, "wsrc-server", 1000))
    with log_in(tmp_path):
        other = AuditLog(Where(tmp_path, "wsrc-card-client", 1000))  # a log of its own
        other.close()


@pytest.mark.parametrize(
    "torn", [b'{"n":3,"at":"2026', b"\0" * 100, b"\0" * 200_000, b"x\n", b"\xff"]
)
def test_13_a_line_that_was_not_completed_is_told_and_the_chain_goes_on(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with log_in(tmp_path) as log:
        log.record(event(1))
    with files(tmp_path)[0].open("ab") as file:
        file.write(torn)
    with log_in(tmp_path) as log:
        log.record(event(2))
    assert "line 3 of wsrc-server-00000001.jsonl was not completed" in caplog.text
    assert kinds(tmp_path) == ["file", "refused", "torn", "refused"]
    found = check(tmp_path)
    assert found.faults == 0
    assert "was not completed" in found.findings[0].sentence


def test_13_a_line_without_its_end_alone_is_taken_for_what_it_is(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        log.record(event(1))
    (path,) = files(tmp_path)
    os.truncate(path, path.stat().st_size - 1)
    assert check(tmp_path).faults == 1
    with log_in(tmp_path) as log:
        log.record(event(2))
    assert kinds(tmp_path) == ["file", "refused", "refused"]
    assert check(tmp_path).findings == []


@pytest.mark.parametrize("rest", [b"", b'{"n":1,"at"'])
def test_13_a_file_that_a_crash_left_without_a_line_is_made_anew(
    tmp_path: Path, rest: bytes
) -> None:
    with log_in(tmp_path) as log:
        log.record(event(1))
    (tmp_path / "wsrc-server-00000002.jsonl").write_bytes(rest)
    with log_in(tmp_path) as log:
        log.record(event(2))
    assert check(tmp_path).faults == 0
    assert kinds(tmp_path)[-1] == "refused"
    assert any(
        each.get("why", "").startswith("wsrc-server-00000002") for each in said(tmp_path)
    ) is (bool(rest))


@pytest.mark.parametrize("deed", ["removed", "renamed", "replaced", "emptied", "longer"])
def test_13_a_file_that_others_touch_is_left_and_the_log_goes_on_in_a_new_one(
    tmp_path: Path, deed: str, caplog: pytest.LogCaptureFixture
) -> None:
    with log_in(tmp_path) as log:
        log.record(event(1))
        wait_until(lambda: len(said(tmp_path)) == 2)
        (path,) = files(tmp_path)
        match deed:
            case "removed":
                path.unlink()
            case "renamed":
                path.rename(tmp_path / "server.jsonl.1")
            case "replaced":
                path.rename(tmp_path / "server.jsonl.1")
                path.write_bytes(b"")
            case "emptied":
                os.truncate(path, 0)
            case _:
                with path.open("ab") as file:
                    file.write(b"x\n")
        log.record(event(2))
        second = tmp_path / "wsrc-server-00000002.jsonl"
        wait_until(lambda: second.exists() and kinds(tmp_path)[-2:] == ["file", "refused"])
    assert "The audit log goes on in wsrc-server-00000002.jsonl" in caplog.text
    assert path.name in said(tmp_path)[-2]["why"]
    if deed == "renamed":
        assert verified(tmp_path / "server.jsonl.1", second)[0] == 0
    else:
        assert verified(tmp_path)[0] == 1


def test_13_a_folder_that_is_removed_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    with log_in(folder) as log:
        log.record(event(1))
        wait_until(lambda: len(said(folder)) == 2)
        moved = folder.rename(tmp_path / "old")
        log.record(event(2))
        wait_until(lambda: folder.exists() and kinds(folder)[-1:] == ["refused"])
        with pytest.raises(ConfigError, match="another process"):
            AuditLog(Where(folder, "wsrc-server", 1000))
    assert verified(*files(moved), *files(folder))[0] == 1  # two folders are two logs
    for path in files(moved):
        path.rename(folder / path.name)
    assert verified(folder)[0] == 0


def test_13_a_folder_that_cannot_be_used_is_a_setting_that_cannot_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="audit_dir"):
        AuditLog(Where(tmp_path / "file", "wsrc-server", 1000))


def test_13_a_clock_that_goes_back_changes_no_number(tmp_path: Path) -> None:
    times = iter([2_000_000_000.0 - 60 * n for n in range(99)])
    with log_in(tmp_path, clock=lambda: next(times)) as log:
        log.record(event(1))
    assert [each["n"] for each in said(tmp_path)] == [1, 2]
    found = check(tmp_path)
    assert found.faults == 0
    assert "the clock went back" in found.findings[0].sentence


def test_13_what_is_told_while_the_disk_is_full_is_written_later_or_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "MAX_QUEUED", 50)
    monkeypatch.setattr(writer, "AGAIN_S", 0.02)
    before, soft = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.RLIMIT_FSIZE
    limits = resource.getrlimit(soft)
    with log_in(tmp_path) as log:
        log.record(event(0))
        wait_until(lambda: len(said(tmp_path)) == 2)
        size = files(tmp_path)[0].stat().st_size
        resource.setrlimit(soft, (size + 100, limits[1]))  # in the midst of a line
        try:
            for number in range(1, 81):
                log.record(event(number))
            wait_until(lambda: "cannot be written: File too large" in caplog.text)
            assert files(tmp_path)[0].stat().st_size == size
        finally:
            resource.setrlimit(soft, limits)
            signal.signal(signal.SIGXFSZ, before)
        wait_until(lambda: "lost" in kinds(tmp_path))
    kept = [each["why"] for each in said(tmp_path) if each["event"] == "refused"]
    (lost,) = [each for each in said(tmp_path) if each["event"] == "lost"]
    assert kept == [f"reason {n}" for n in range(len(kept))]
    assert len(kept) + lost["events"] == 81
    assert lost["events"] >= 30 - 1
    assert check(tmp_path).faults == 0
    assert "The audit log is written again" in caplog.text


def test_13_whoever_tells_something_never_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(writer, "MAX_QUEUED", 10)
    with log_in(tmp_path) as log:
        appended = log._files.append

        def slow(*args: Any) -> Any:
            gate.wait(LIMIT_S)
            return appended(*args)

        monkeypatch.setattr(log._files, "append", slow)
        for number in range(1_000):  # returns although nothing is written
            log.record(event(number))
        assert not gate.is_set()
        gate.set()
        wait_until(lambda: "lost" in kinds(tmp_path))
    assert check(tmp_path).faults == 0


def test_13_a_fault_of_our_own_ends_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "AGAIN_S", 0.02)
    with log_in(tmp_path) as log:
        appended, first = log._files.append, [RuntimeError("of a test")]

        def broken(*args: Any) -> Any:
            if first:
                raise first.pop()
            return appended(*args)

        monkeypatch.setattr(log._files, "append", broken)
        log.record(event(1))
        wait_until(lambda: kinds(tmp_path) == ["file", "refused"])
    assert "of a test" in caplog.text


def test_13_the_last_line_is_named_in_the_ordinary_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(writer, "ANCHOR_S", 0.02)
    with log_in(tmp_path) as log:
        log.record(event(1))
        last = {"chain": ""}

        def named() -> bool:
            last.update(said(tmp_path)[-1])
            return f"has line 2, chain {last['chain']}" in caplog.text

        wait_until(named)
    assert verified("--expect", last["chain"], tmp_path)[0] == 0
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes().split(b"\n")[0] + b"\n")
    assert verified(tmp_path)[0] == 0  # what is cut off at the very end does not show by itself
    status, text = verified("--expect", last["chain"], tmp_path)
    assert status == 1
    assert f"No line ends with {last['chain']}" in text


def test_13_verify_names_file_and_line(tmp_path: Path) -> None:
    with log_in(tmp_path) as log:
        for number in range(9):
            log.record(event(number))
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"reason 4", b"reason 5"))
    status, text = verified(tmp_path)
    assert status == 1
    assert f"{path}:6: it was changed, or the one before it was; it has number 6" in text
    assert verified(tmp_path / "no")[0] == 74
    (tmp_path / "empty").mkdir()
    assert verified(tmp_path / "empty")[0] == 74
    assert verified("--expect", "abc", tmp_path)[0] == 2


@pytest.mark.parametrize("round_", range(3))
def test_13_a_log_outlives_a_kill_at_any_moment(tmp_path: Path, round_: int) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from wsrc.audit.files import Where; from wsrc.audit.writer import AuditLog\n"
        "from wsrc.audit.events import Refused\n"
        "log = AuditLog(Where(Path(sys.argv[1]), 'wsrc-server', 20_000))\n"
        "print('ready', flush=True)\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    log.record(Refused(address='192.0.2.1', why=f'reason {n}'))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        wait_until(lambda: len(files(tmp_path)) > 2 + round_)
        killed.kill()
    with log_in(tmp_path, octets=1 << 20) as log:
        log.record(event(0))
    assert check(tmp_path).faults == 0
    assert said(tmp_path)[-1]["why"] == "reason 0"
