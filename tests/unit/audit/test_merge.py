# SPDX-License-Identifier: Apache-2.0
"""Audit logs of several nodes come in one order, each in its own."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from wsrc.audit.chain import Chain, parse
from wsrc.audit.cli import audit
from wsrc.audit.events import (
    Card,
    Connected,
    Event,
    File,
    GaveBack,
    Reset,
    SessionTurned,
    Took,
    Who,
)
from wsrc.audit.files import Files, Where
from wsrc.audit.merge import Entry, Merge, Place, Turn, turn_of

AT = 1_790_000_000.0
DAY_S = 86_400.0
CARD = Card(host="bench", reader="r1", reader_name="Reader 1")
WHO = Who(peer=1, name="ida")


def took(session: str) -> Event:
    return Took(session=session, who=WHO, card=CARD, share="exclusive")


def resumed(session: str) -> Event:
    return SessionTurned(session=session, who=WHO, turn="was resumed")


def gave_back(session: str) -> Event:
    return GaveBack(session=session, who=WHO, card=CARD, why="done", held_s=1.0, commands=1)


def other(peer: int) -> Event:
    return Connected(peer=peer, role="user", address="192.0.2.1")


class Happened(NamedTuple):
    """What happened at a time, by a clock that all have, in a log."""

    log: int
    at: float
    event: Event


def logs_of(what: Sequence[Happened], clocks: Sequence[float]) -> list[list[Entry]]:
    """Return the logs in which what happened stands, each with its own clock."""
    chains = [Chain() for _ in clocks]
    logs: list[list[Entry]] = [[] for _ in clocks]
    for log, at, event in what:
        octets = chains[log].line(AT + at + clocks[log], event)[:-1]
        line = parse(octets)
        assert line is not None
        logs[log].append(Entry(f"{log}", len(logs[log]) + 1, octets, line))
    return logs


def merged(logs: Sequence[Sequence[Entry]]) -> tuple[list[tuple[int, Entry]], Merge]:
    """Return the lines of logs in one order."""
    places: dict[str, list[Place]] = {}
    for log, entries in enumerate(logs):
        for number, entry in enumerate(entries, start=1):
            turn = turn_of(entry.line)
            if turn is not None and turn.took:
                places.setdefault(turn.session, []).append(Place(log, number))
    merge = Merge([iter(each) for each in logs], lambda session: places.get(session, ()))
    return list(merge), merge


@pytest.mark.parametrize("event", [took, resumed, gave_back])
def test_what_an_event_says_of_a_session_is_read_from_its_line(event: Any) -> None:
    line = parse(Chain().line(AT, event("1f2e3d4c"))[:-1])
    assert line is not None
    assert turn_of(line) == Turn("1f2e3d4c", event is took)


def test_a_reset_is_one_of_them_and_what_somebody_calls_itself_is_none() -> None:
    reset = Reset(session="1f", who=WHO, card=CARD, kind="cold")
    posing = Connected(peer=1, role="user", address='"event":"took","session":"1f"')
    said = [parse(Chain().line(AT, each)[:-1]) for each in (reset, posing)]
    assert [turn_of(each) for each in said if each is not None] == [Turn("1f", took=False), None]


@pytest.mark.parametrize("behind_s", [0.0, DAY_S, -DAY_S])
def test_a_session_that_goes_on_with_another_node_is_taken_first(behind_s: float) -> None:
    """Though the clock of that node is a day off."""
    what = [
        Happened(0, 0.0, other(1)),
        Happened(0, 1.0, took("ab")),
        Happened(1, 2.0, other(2)),
        Happened(1, 3.0, resumed("ab")),
        Happened(1, 4.0, gave_back("ab")),
    ]
    lines, merge = merged(logs_of(what, [0.0, -behind_s]))
    turns = [turn for _, entry in lines if (turn := turn_of(entry.line)) is not None]
    assert [turn.took for turn in turns] == [True, False, False]
    assert len(lines) == len(what)
    assert merge.against == 0


def test_what_a_log_has_taken_itself_waits_for_no_other_log() -> None:
    """A card host has a session as well, and its clock is a day ahead."""
    what = [
        Happened(0, 0.0, took("ab")),
        Happened(0, 1.0, gave_back("ab")),
        Happened(1, 0.0, took("ab")),
        Happened(1, 1.0, gave_back("ab")),
    ]
    lines, _ = merged(logs_of(what, [0.0, DAY_S]))
    assert [log for log, _ in lines] == [0, 0, 1, 1]


def test_logs_that_contradict_each_other_are_merged_by_time_and_counted() -> None:
    what = [
        Happened(0, 0.0, resumed("ab")),
        Happened(0, 1.0, took("cd")),
        Happened(1, 2.0, resumed("cd")),
        Happened(1, 3.0, took("ab")),
    ]
    lines, merge = merged(logs_of(what, [0.0, 0.0]))
    assert len(lines) == 4
    assert merge.against == 1


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Happened], list[float]]:
    """Draw what happens to sessions that move from node to node, and how far off the clocks are."""
    nodes = draw(st.integers(1, 4))
    node = st.integers(0, nodes - 1)
    what: list[Happened] = []
    open_: list[str] = []
    made = 0
    for at in range(draw(st.integers(0, 40))):
        kind = draw(st.sampled_from(["other", "took", "resumed", "gave back"]))
        log = draw(node)
        if kind == "took":
            made += 1
            open_.append(f"s{made}")
            what.append(Happened(log, at, took(f"s{made}")))
        elif kind == "other" or not open_:
            what.append(Happened(log, at, other(at)))
        else:
            session = draw(st.sampled_from(open_))
            what.append(Happened(log, at, (resumed if kind == "resumed" else gave_back)(session)))
    off = st.sampled_from([0.0, 0.0, DAY_S, -DAY_S, 0.5, -3.0])
    return what, draw(st.lists(off, min_size=nodes, max_size=nodes))


@given(histories())
def test_each_line_is_there_once_in_its_logs_order_and_causes_come_first(
    given_: tuple[list[Happened], list[float]],
) -> None:
    what, clocks = given_
    logs = logs_of(what, clocks)
    lines, merge = merged(logs)
    for log, entries in enumerate(logs):
        assert [entry for at, entry in lines if at == log] == entries
    assert merge.against == 0, "what has happened contradicts nothing"
    seen: set[str] = set()
    for _, entry in lines:
        turn = turn_of(entry.line)
        if turn is not None:
            assert turn.took or turn.session in seen
            seen.add(turn.session)
    if not any(clocks):
        assert [entry.line.at for _, entry in lines] == sorted(e.line.at for _, e in lines)


# Files


def written(folder: Path, events: Sequence[tuple[float, Event]], node: str = "a") -> Path:
    """Have a log written, as a node does, over as many files as it takes."""
    files = Files(Where(folder, "wsrc-server", 1_000, node=node))
    files.open(AT)
    for at, event in events:
        files.append([(AT + at, event)])
    files.close()
    return folder


def run(*arguments: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """Merge, and return the exit status, the lines, and what was said."""
    done = CliRunner().invoke(audit, ["merge", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return the folders of two nodes, between which a session moves; the second's clock is off."""
    first = [(float(at), other(at)) for at in range(40)]
    first.insert(20, (19.5, took("1f2e3d4c")))
    second = [(at - DAY_S, other(100 + at)) for at in range(40)]
    second.insert(30, (30 - DAY_S, resumed("1f2e3d4c")))
    return written(tmp_path / "a", first), written(tmp_path / "b", second, "b")


def test_logs_of_two_nodes_come_in_one_order_with_node_file_and_line(
    two: tuple[Path, Path],
) -> None:
    status, lines, said = run(*two)
    assert (status, said) == (0, "")
    assert len(list(two[0].glob("*.jsonl"))) > 2, "the logs have several files"
    for node, folder in zip("ab", two, strict=True):
        theirs = [each for each in lines if each["node"] == node]
        assert [each["entry"]["n"] for each in theirs] == list(range(1, len(theirs) + 1))
        for each in theirs:
            written_ = Path(each["file"]).read_text().splitlines()[each["line"] - 1]
            assert json.loads(written_) == each["entry"]
            assert Path(each["file"]).parent == folder
    events = [each["entry"]["event"] for each in lines]
    assert events.index("took") < events.index("session_turned")


def test_files_in_any_order_and_in_one_folder_are_told_apart(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    together = tmp_path / "together"
    together.mkdir()
    for folder in two:
        for path in folder.glob("*.jsonl"):
            (together / f"{folder.name}.{path.name}").write_bytes(path.read_bytes())
    status, lines, _ = run(*sorted(together.iterdir(), reverse=True))
    assert status == 0
    assert [each["entry"] for each in lines] == [each["entry"] for each in run(*two)[1]]


def _break(folder: Path) -> Path:
    path = sorted(folder.glob("*.jsonl"))[1]
    path.write_bytes(path.read_bytes().replace(b"192.0.2.1", b"192.0.2.9", 1) + b"no line\n")
    return path


def test_a_log_that_was_changed_is_refused_unless_told_otherwise(two: tuple[Path, Path]) -> None:
    path = _break(two[1])
    status, lines, said = run(*two)
    assert (status, lines) == (1, [])
    assert f"{path}:2: it was changed" in said
    assert f"{two[0]}" not in said
    assert "--accept-broken" in said
    status, lines, said = run("--accept-broken", *two)
    assert status == 1
    assert f"{path}:2: it was changed" in said
    assert {each["node"] for each in lines if each.get("broken")} == {"b"}
    assert all(each.get("broken") for each in lines if each["node"] == "b")


def test_a_file_that_is_missing_is_said(two: tuple[Path, Path]) -> None:
    sorted(two[0].glob("*.jsonl"))[1].unlink()
    status, _, said = run(*two)
    assert status == 1
    assert "file 2 is missing before this one" in said


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty")[0] == 74
    assert run(tmp_path / "none")[0] == 74
    (tmp_path / "text").write_text("hello\n")
    assert run(tmp_path / "text")[0] == 1
    assert run("--accept-broken", tmp_path / "text")[:2] == (1, [])


def test_a_line_that_is_no_json_makes_no_line_that_is_none(tmp_path: Path) -> None:
    """Whoever makes all lines anew can have octets in them that are no JSON."""
    chain = Chain()
    header = File(file=1, log="ab", after=chain.digest, program="wsrc-server", host="x")
    lines = chain.line(AT, header), chain.line(AT, other(1)).replace(b'"peer":1', b'"peer":}')
    (tmp_path / "wsrc-server-00000001.jsonl").write_bytes(b"".join(lines))
    status, found, _ = run("--accept-broken", tmp_path)
    assert status == 1
    assert [each["entry"] is None for each in found] == [False, True]


def test_who_reads_only_the_beginning_ends_it(two: tuple[Path, Path]) -> None:
    program = "from wsrc.audit.cli import audit; audit()"
    command = [sys.executable, "-c", program, "merge", *map(str, two * 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 74


def test_of_large_logs_a_line_of_each_is_held() -> None:
    """What is read ahead does not grow with the logs."""
    taken, given_out = [0, 0], 0

    def log(at: int) -> Iterator[Entry]:
        chain = Chain()
        for number in range(1, 5_001):
            octets = chain.line(AT + number, other(number))[:-1]
            line = parse(octets)
            assert line is not None
            taken[at] += 1
            yield Entry(str(at), number, octets, line)

    for _ in Merge([log(0), log(1)], lambda _session: ()):
        given_out += 1
        assert sum(taken) - given_out <= 2
    assert given_out == 10_000
