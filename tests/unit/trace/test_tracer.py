# SPDX-License-Identifier: Apache-2.0
"""A trace goes where it is wanted, has bounds, and is in no session's way (issue 13, 4)."""

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.gsmtap import read_pcapng
from wsrc.trace import tracer as module
from wsrc.trace.tracer import Options, Tracer

ATR = bytes.fromhex("3b9f96801fc78031a073be21136743200718000001a5")
VERIFY = bytes.fromhex("002000010831323334ffffffff")
SELECT = bytes.fromhex("00a40004023f00")
OK = b"\x90\x00"
LIMIT_S = 60.0


@contextmanager
def tracing(**options: Any) -> Iterator[Tracer]:
    tracer = Tracer(Options(**options))
    try:
        yield tracer
    finally:
        tracer.close()


def session(tracer: Tracer) -> None:
    card = tracer.card("Reader 00")
    card.powered("1f2e3d4c5b6a", ATR)
    card.exchanged("1f2e3d4c5b6a", SELECT, OK)
    card.exchanged("1f2e3d4c5b6a", VERIFY, b"\x63\xc2", ahead=True)


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_13_a_text_has_a_line_for_each_exchange_without_what_is_secret(tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    for _ in range(2):
        with tracing(file=file) as tracer:
            session(tracer)
    lines = [line.partition(" ")[2] for line in file.read_text("utf-8").splitlines()]
    assert lines[:3] == lines[3:]
    assert lines[:3] == [
        f"1f2e3d4c Reader 00 ATR {ATR.hex(' ')}",
        "1f2e3d4c Reader 00 00 a4 00 04 02 3f 00 -> 90 00",
        "1f2e3d4c Reader 00 (read ahead) 00 20 00 01 08 [8 octets] -> 63 c2",
    ]
    assert file.stat().st_mode & 0o777 == 0o600


def test_13_what_was_selected_before_a_reset_hides_nothing_after_it(tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    with tracing(file=file) as tracer:
        card = tracer.card("Reader 00")
        for _ in range(2):
            card.powered("1f2e3d4c5b6a", ATR)
            card.exchanged("1f2e3d4c5b6a", bytes.fromhex("00b0000002"), b"\x5a\x5a" + OK)
            card.exchanged("1f2e3d4c5b6a", bytes.fromhex("00a40004026f08"), OK)
            card.exchanged("1f2e3d4c5b6a", bytes.fromhex("00b0000002"), b"\xa5\xa5" + OK)
    lines = file.read_text("utf-8").splitlines()
    assert sum("5a 5a" in line for line in lines) == 2
    assert not any("a5 a5" in line for line in lines)


FULL = """
import resource, signal, sys
from pathlib import Path
from wsrc.trace.tracer import Options, Tracer

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
tracer = Tracer(Options(file=Path(sys.argv[1])))
for number in range(50):
    tracer.card("Reader 00").exchanged("1f2e3d4c", bytes.fromhex("00a40004023f00"), b"\\x90\\x00")
    while tracer._waiting:
        pass
tracer.close()
"""
"""Traces to where there are 1000 octets of room."""


def test_13_a_file_that_can_grow_no_more_ends_with_a_whole_line(tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    done = subprocess.run(
        [sys.executable, "-c", FULL, file], timeout=60, check=True, capture_output=True, text=True
    )
    lines = file.read_text("utf-8").splitlines(keepends=True)
    assert len(lines) > 5
    assert all(line.endswith("3f 00 -> 90 00\n") for line in lines)
    assert done.stderr.count("The trace is not complete") == 1


@pytest.mark.shows_secrets("its owner wants them in the trace")
def test_13_nothing_is_left_out_where_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    with tracing(file=file, secrets=True) as tracer:
        session(tracer)
    assert "31 32 33 34" in file.read_text("utf-8")


def test_13_a_trace_can_be_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with tracing(log=True) as tracer:
        session(tracer)
    assert [m.split()[0] for m in caplog.messages] == ["1f2e3d4c"] * 3
    assert "31 32" not in caplog.text


def test_13_a_pcapng_file_has_each_exchange_and_can_be_added_to(tmp_path: Path) -> None:
    file = tmp_path / "trace.pcapng"
    for _ in range(2):
        with tracing(file=file) as tracer:
            session(tracer)
    packets = read_pcapng(file.read_bytes())
    assert [p.sub_type for p in packets] == [1, 0, 0] * 2
    assert packets[1].payload == SELECT + OK
    assert packets[2].payload == VERIFY[:5] + bytes(8) + b"\x63\xc2"
    assert "redacted" in packets[2].comment
    assert "redacted" not in packets[1].comment
    assert packets[0].comment.startswith("session 1f2e3d4c, Reader 00")


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_13_tshark_reads_a_pcapng_file_back(tmp_path: Path) -> None:
    file = tmp_path / "trace.pcapng"
    with tracing(file=file) as tracer:
        session(tracer)
        tracer.card("Reader 00").exchanged("s", bytes.fromhex("00b000000a"), bytes(10) + OK)
    done = subprocess.run(
        ["tshark", "-r", file, "-T", "fields", "-E", "separator=|"]
        + [w for f in FIELDS for w in ("-e", f)],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
        env=os.environ | {"HOME": str(tmp_path)},
    )
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [[int(field, 16) for field in row[:2]] for row in rows[1:]] == [
        [0xA4, 0x9000],
        [0x20, 0x63C2],
        [0xB0, 0x9000],
    ]
    assert [row[2] for row in rows] == [""] * 4
    assert "redacted" in rows[2][3]


FIELDS = ("gsm_sim.apdu.ins", "gsm_sim.apdu.sw", "_ws.malformed", "frame.comment")


def test_13_a_file_that_is_too_long_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_OCTETS", 1000)
    file = tmp_path / "trace.txt"
    with tracing(file=file) as tracer:
        for number in range(20):
            session(tracer)
            size = number
            wait_until(lambda: not tracer._waiting)
    del size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trace.txt", "trace.txt.1"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_13_a_file_that_somebody_took_away_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "trace.pcapng"
    with tracing(file=file) as tracer:
        session(tracer)
        wait_until(lambda: file.exists() and len(read_pcapng(file.read_bytes())) == 3)
        file.rename(tmp_path / "old")
        session(tracer)
    assert len(read_pcapng(file.read_bytes())) == 3


def test_13_a_trace_that_cannot_be_written_is_told_once_and_harms_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")  # not followed: it may be somebody else's file
    with tracing(file=link, gsmtap=("host.invalid", 4729)) as tracer:
        for _ in range(5):
            session(tracer)
            wait_until(lambda: not tracer._waiting)
    assert caplog.text.count("The trace is not complete") == 1
    assert not (tmp_path / "elsewhere").exists()


def test_13_what_comes_faster_than_it_is_written_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED", 10)
    gate, writing = threading.Event(), threading.Event()
    with tracing(file=tmp_path / "trace.txt") as tracer:
        opened = tracer._open

        def slow(*args: Any, **more: Any) -> None:
            writing.set()
            gate.wait(LIMIT_S)
            opened(*args, **more)

        monkeypatch.setattr(tracer, "_open", slow)
        session(tracer)
        assert writing.wait(LIMIT_S)
        for _ in range(100):
            session(tracer)
        assert len(tracer._waiting) <= 10
        gate.set()
    assert "exchanges came too fast" in caplog.text
