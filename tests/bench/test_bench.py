# SPDX-License-Identifier: Apache-2.0
"""
The bench in short: it counts messages, round trips, system calls and turns of the loop.

No time is asserted. What is counted must not grow unseen: a limit here is what there was when it
was last lowered.
"""

import contextlib
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import (
    page_rows,
    path_rows,
    picture,
    profile,
    programs,
    relay_machine_rows,
    report,
    seal_rows,
    targets,
    wan_rows,
)
from tests.bench.__main__ import ROWS, chosen, main, measure
from tests.bench.book import QUICK, Book, interleaved
from tests.bench.calls import class_of, counted, summary
from tests.bench.driver import MissingError
from tests.bench.programs import BARE, FIRST, NGINX, WSRC, Candidate, Host, Server
from tests.support.certificates import Certificates

COMMANDS = 100

CALLS = {
    "server": {"read": 4.5, "write": 2.5, "wait": 4.5, "lock": 0.2, "pid": 2.5},
    "card_client": {"read": 1.5, "write": 1.5, "wait": 3.5, "lock": 0.3, "pid": 0.3, "memory": 0.3},
    "aio": {"read": 1.5, "write": 1.5, "wait": 4.0, "lock": 0.3, "pid": 0.3, "memory": 0.3},
    "blocking": {"read": 3.5, "write": 3.5, "wait": 6.5, "lock": 8.0, "pid": 0.3, "memory": 0.3},
}
"""System calls for a command, by what they are for; `wait` is one a turn of the loop."""

ATTEMPTS = 3
"""Times that a job is run: a client that a busy machine stops amid a flight makes one more."""
OF_TOOL = 5
"""Commands of a tool whose round trips are counted."""

ROUND_TRIPS = {
    "J1": (5, 5),
    "J1_two": (5, 6),
    "J1_shared": (8, 8),
    "J2": (4 + OF_TOOL, 5 + OF_TOOL),
    "J2_last": (3 + OF_TOOL, 4 + OF_TOOL),
    "J3": (5, 5),
}
"""
Of jobs, without and with a seal.

The first sealed request waits for a key, and one that is known to be the last takes `detach` along.
"""

OCTETS = {"on": 429, "off": 231}
"""Octets of the texts of READ BINARY of 10 octets and its answer, with a seal and without."""


@pytest.fixture
def host(certificates: Certificates, tmp_path: Path) -> Host:
    return Host(certificates, tmp_path)


@pytest.fixture
def book(host: Host) -> Book:
    return Book(host, QUICK, lambda _: None)


@contextlib.contextmanager
def with_simulated_card(host: Host) -> Iterator[tuple[Server, int, str]]:
    """Run our server and our card client; yield the latter's pid and the ICCID of its card."""
    [iccid] = path_rows.iccids(1)
    ours = path_rows.simulated(host.folder, [iccid])
    with (
        programs.running(host, WSRC, tls=True) as server,
        path_rows.card_client(host, server, *path_rows.SEALS, *ours) as client,
    ):
        client.wait_for("has card")
        yield server, client.process.pid, iccid


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
@pytest.mark.parametrize("candidate", [WSRC, FIRST, BARE, NGINX], ids=lambda each: each.name)
def test_bench_every_command_is_answered_once(host: Host, candidate: Candidate, tls: bool) -> None:
    if candidate is NGINX and programs.nginx() is None:
        return
    with (
        programs.running(host, candidate, tls=tls) as server,
        programs.driven(host, candidate, server, 5, tls=tls) as (cards, users),
    ):
        told = users.ask(f"times {COMMANDS}")
        assert told["apdus"] == COMMANDS
        assert cards.ask("counts")["answered"] == COMMANDS
        told = users.ask("run 0.05 5 0")
        assert told["apdus"] >= 5
        counts = users.ask("counts")
        assert (counts["answered"], counts["lost"]) == (COMMANDS + told["apdus"], 0)
        assert server.cpu_s > 0


def test_bench_cards_that_were_broken_off_come_back(host: Host) -> None:
    with (
        programs.running(host, WSRC, tls=True) as server,
        programs.driven(host, WSRC, server, 1, tls=True) as (cards, _),
    ):
        for _ in range(2):
            cards.ask("shut")
            assert cards.ask("open")["ready"] == 1


def test_bench_system_calls_and_turns_for_a_command(host: Host) -> None:
    with with_simulated_card(host) as (server, card_client, iccid):
        env = path_rows.user_environment(host, server)
        pids = {"server": server.pids[0], "card_client": card_client}
        sealing = path_rows.sealing(env, host)
        for kind, of_user in (("aio", env), ("blocking", env), ("aio", sealing)):
            with path_rows.worker(kind, iccid, of_user) as user:
                user.answer()
                user.ask("times 20")
                for name, pid in {**pids, kind: user.process.pid}.items():
                    kinds = by_class(pid, lambda user=user: user.ask(f"times {COMMANDS}"))
                    if kinds is None:
                        return
                    limits = CALLS[name]
                    over = {k: kinds[k] for k in limits if kinds[k] > limits[k]}
                    assert over == {}, name
                    assert kinds["read"] >= 1
            pids = {}


def by_class(pid: int, do: Callable[[], object]) -> dict[str, float] | None:
    """Return what a process calls for each of `COMMANDS` commands, by what it is for."""
    try:
        with counted(pid) as calls:
            do()
    except MissingError:
        if anybody_traces():
            raise
        return None
    kinds: Counter[str] = Counter()
    for call, count in calls.items():
        kinds[class_of(call)] += count
    return defaultdict(float, {kind: count / COMMANDS for kind, count in kinds.items()})


def anybody_traces() -> bool:
    """Return whether this machine lets a program trace its own child."""
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], check=False, timeout=60)
    return tried.returncode == 0


@pytest.mark.shows_secrets("it prints what a card answers, and 32 octets look like a secret")
@pytest.mark.parametrize("is_sealed", [False, True], ids=["plain", "sealed"])
def test_bench_round_trips_of_a_job(host: Host, is_sealed: bool) -> None:
    with (
        with_simulated_card(host) as (server, _, iccid),
        wan_rows.far_away(server, 0.05) as (proxy, port),
    ):
        env = path_rows.user_environment(host, server)
        env["WSRC_SERVER_URL"] = f"wss://localhost:{port}/user"
        jobs = wan_rows.jobs(host, iccid, OF_TOOL)
        if is_sealed:
            env = path_rows.sealing(env, host)
        for name, counts_of in ROUND_TRIPS.items():
            most = counts_of[is_sealed]
            trips: list[int] = []
            while len(trips) < ATTEMPTS and most not in trips:
                proxy.ask("count")
                wan_rows.done(jobs[name], env)
                counts = proxy.ask("count")
                assert counts["connections"] == 1
                trips.append(counts["round_trips"])
            assert min(trips) == most, (name, trips)


def test_bench_octets_of_a_sealed_command() -> None:
    assert seal_rows.octets_of_command() == OCTETS


def test_bench_a_server_passes_on_boxes_that_nobody_can_open(host: Host) -> None:
    kind = WSRC._replace(options={"sealed": 1})
    with (
        programs.running(host, kind, tls=True) as server,
        programs.driven(host, kind, server, 5, tls=True) as (cards, users),
    ):
        assert users.ask(f"times {COMMANDS}")["apdus"] == COMMANDS
        assert cards.ask("counts")["answered"] == COMMANDS


def test_bench_rows_of_the_relay_alone(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_machine_rows, "CARDS", (10, 30))
    monkeypatch.setattr(relay_machine_rows, "WAITING", (10, 1000))
    monkeypatch.setattr(relay_machine_rows, "TIMES", 2)
    assert measure(book, ["lists", "watchers", "waiters"])
    assert book.get("watchers.each_of_100_us") is not None
    assert book.get("lists.select_30_over_10") is not None
    assert {t.figure for t in targets.TARGETS if t.row == "waiters"} <= set(book.values)


def test_bench_pages_are_measured_by_what_one_more_takes(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_rows, "FEW", (1, 2))
    monkeypatch.setattr(page_rows, "FEW_S", 0.1)
    monkeypatch.setattr(page_rows, "SESSIONS", 2)
    assert measure(book, ["pages"])
    assert 1.0 <= book.get("pages.events_of_session") <= 4.0
    assert {t.figure for t in targets.TARGETS if t.row == "pages"} <= set(book.values)


def test_bench_a_row_that_fails_is_told_and_the_others_go_on(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Book) -> None:
        raise RuntimeError("the server ended")

    def lacking(_: Book) -> None:
        raise MissingError("there is no pcscd")

    monkeypatch.setitem(ROWS, "path", lacking)
    monkeypatch.setitem(ROWS, "hops", broken)
    monkeypatch.setitem(ROWS, "wan", lambda book: book.add("wan.J1.round_trips", 5))
    assert not measure(book, ["path", "hops", "wan"])
    assert len(book.notes) == 2
    assert book.get("wan.J1.round_trips") == 5


def test_bench_a_verdict_is_that_of_the_median(book: Book) -> None:
    for value in (1.0, 9.0, 1.2):
        book.add("pair.tls.wsrc_b.cpu", value)
    for value in (0.7, 0.9, 0.1):
        book.add("relay.tls.100.wsrc_over_b.apdus", value)
    found = {line.what: line for line in targets.lines(book.get, {"pairs", "relay"})}
    most = found["Server CPU per APDU, 100 sessions, TLS, in terms of b"]
    assert (most.aim, most.measured, most.verdict) == ("<= 1.25 x", "1.2 x", "met")
    [least] = [line for line in found.values() if line.aim == ">= 0.75 x"]
    assert least.verdict == "missed"
    assert {line.verdict for line in found.values()} == {"met", "missed", "not measured"}
    assert report.of_targets(list(found.values())).count("\n") == len(found) + 1


def test_bench_a_report_stands_between_its_marks_in_the_document(book: Book) -> None:
    book.add("relay.tls.100.wsrc.cpu_us", 54.0)
    book.add("calls.server", 10.0)
    book.note("nginx is not installed")
    host = {"processor": "P", "processors": 2, "load_before": 1, "load_after": 2}
    result = {"host": host, "rows": ["relay", "calls"], "notes": book.notes}
    text = report.report(result | {"figures": book.as_json()})
    assert re.search(r"\| wsrc +\| 54 +\|", text)
    assert "nginx is not installed" in text
    document = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    assert report.put(document, text).startswith(f"before\n{report.BEGIN}\n\n{text}")
    assert "old" not in report.put(document, text)


def test_bench_every_target_belongs_to_a_row() -> None:
    assert {target.row for target in targets.TARGETS} <= set(ROWS)
    assert all((t.most is None) != (t.least is None) for t in targets.TARGETS)
    names = [target.figure for target in targets.TARGETS]
    assert len(names) == len(set(names))


def test_bench_rows_are_chosen_by_name() -> None:
    assert chosen("") == list(ROWS)
    assert chosen("wan, relay") == ["relay", "wan"]
    with pytest.raises(SystemExit, match="no row is called nothing"):
        chosen("nothing")


def test_bench_no_candidate_is_always_first() -> None:
    assert [each for _, each in interleaved("ab", 3)] == ["a", "b", "b", "a", "a", "b"]


def test_bench_what_strace_prints_is_read() -> None:
    text = (
        "% time     seconds  usecs/call     calls    errors syscall\n"
        "------ ----------- ----------- --------- --------- ------------------\n"
        " 60.00    0.000100           1       100           epoll_wait\n"
        " 40.00    0.000050           1        50         3 recvfrom\n"
        "------ ----------- ----------- --------- --------- ------------------\n"
        "100.00    0.000150           1       150         3 total\n"
    )
    assert summary(text) == {"epoll_wait": 100, "recvfrom": 50}
    assert [class_of(call) for call in ("epoll_wait", "recvfrom", "umask")] == [
        "wait",
        "read",
        "other",
    ]


def test_bench_its_picture_needs_an_extra_and_nothing_else_does() -> None:
    project = tomllib.loads((programs.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert any(each.startswith("matplotlib") for each in project["optional-dependencies"]["bench"])
    assert "matplotlib" not in sys.modules
    assert picture.LABELS.keys() == {each.name for each in (*programs.candidates(), NGINX)}


def test_bench_an_export_needs_a_pysim_that_somebody_names(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYSIM", raising=False)
    assert measure(book, ["export"])
    assert book.notes == [
        "export is left out: pySim is no part of this project; PYSIM=/path/to/pySim has it measured"
    ]


def test_bench_a_profile_needs_py_spy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(profile, "BIN", tmp_path)
    with pytest.raises(SystemExit, match="a profile needs py-spy"):
        main(["--profile"])


def test_bench_a_picture_needs_matplotlib_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(picture, "find_spec", lambda _: None)
    figures = tmp_path / "figures.json"
    with pytest.raises(SystemExit, match=r"a picture needs matplotlib .*wsrc\[bench\]"):
        main(["--picture", str(tmp_path / "x.svg"), "--json", str(figures), "--rows", "watchers"])
    assert not figures.exists()


@pytest.mark.parametrize(
    ("said", "why"),
    [("Error: Permission denied", "Permission denied"), ("Sampling process", "no profile of x")],
)
def test_bench_a_profile_that_cannot_be_is_said(
    said: str, why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "py-spy"
    program.write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
    program.chmod(0o700)
    monkeypatch.setattr(profile, "BIN", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError, match=why), profile.profiled(1, "x", wanted=True):
        pass
