# SPDX-License-Identifier: Apache-2.0
"""Lines of an audit log hang together: whatever is done to them within is found (issue 13, 4)."""

import json
from collections.abc import Sequence

from hypothesis import assume, given, strategies as st

from wsrc.audit.chain import MAX_LINE_OCTETS, MAX_TEXT, Chain, parse, utc
from wsrc.audit.check import MAX_FINDINGS, Check, Finding
from wsrc.audit.events import (
    Card,
    Connected,
    Disconnected,
    Dropped,
    Event,
    File,
    Lost,
    Refused,
    Took,
    Torn,
    Who,
)
from wsrc.tokens import made_of

AT = 1_790_000_000.0

TEXTS = st.text(max_size=20)
EVENTS = st.one_of(
    st.builds(Refused, address=TEXTS, why=TEXTS, unrecorded=st.integers(0, 9)),
    st.builds(Disconnected, peer=st.integers(0, 99), role=TEXTS, why=TEXTS, goodbye=st.booleans()),
)


def header(file: int, chain: Chain, **more: str) -> File:
    after = chain.digest
    return File(file=file, log="ab", after=after, program="wsrc-server", host="relay", **more)


def written(events: Sequence[Event], per_file: int) -> list[list[bytes]]:
    """Return the lines of each file of a log, without their ends."""
    chain, files = Chain(), list[list[bytes]]()
    for at, event in enumerate(events):
        if at % per_file == 0:
            files.append([chain.line(AT + at, header(len(files) + 1, chain))[:-1]])
        files[-1].append(chain.line(AT + at, event)[:-1])
    return files


def looked_at(files: Sequence[Sequence[bytes]], cut: int | None = None) -> Check:
    """Check files; of the last line of one, `cut`, the end is missing."""
    check = Check()
    for number, lines in enumerate(files, start=1):
        check.begin(f"file {number}")
        for at, line in enumerate(lines):
            last = number - 1 == cut and at == len(lines) - 1
            check.line(line, whole=not last)
    check.end()
    return check


def faults(files: Sequence[Sequence[bytes]], cut: int | None = None) -> list[Finding]:
    return [each for each in looked_at(files, cut).findings if each.fault]


def refusals(count: int) -> list[Event]:
    return [Refused(address=f"192.0.2.{n}", why="no TLS") for n in range(count)]


def test_13_a_line_is_json_with_number_time_event_and_chain() -> None:
    who = Who(7, "user@lab", "tester@example.org")
    card = Card(host="farm-a", reader="id", reader_name="SIM Array", iccid="8988211000000430010")
    octets = Chain().line(AT, Took(session="1f2e3d4c", who=who, card=card, share="exclusive"))
    said = json.loads(octets)
    assert list(said)[:3] == ["n", "at", "event"]
    assert list(said)[-1] == "chain"
    assert (said["n"], said["at"], said["event"]) == (1, "2026-09-21T14:13:20.000000Z", "took")
    assert said["who"]["principal"] == "tester@example.org"
    assert said["card"]["iccid"] == "8988211000000430010"
    line = parse(octets[:-1])
    assert line is not None
    assert line.follows("0" * 64)
    assert line.event["event"] == "took"


@given(st.lists(EVENTS, min_size=1, max_size=20), st.integers(1, 7))
def test_13_a_log_as_it_was_written_has_no_fault(events: list[Event], per_file: int) -> None:
    check = looked_at(written(events, per_file))
    assert check.findings == []
    assert check.number == len(events) + -(-len(events) // per_file)


@given(st.lists(EVENTS, min_size=1, max_size=8), st.integers(1, 5), st.data())
def test_13_a_changed_octet_is_found_in_its_line_or_the_next(
    events: list[Event], per_file: int, data: st.DataObject
) -> None:
    files = written(events, per_file)
    f = data.draw(st.integers(0, len(files) - 1))
    n = data.draw(st.integers(0, len(files[f]) - 1))
    at = data.draw(st.integers(0, len(files[f][n]) - 1))
    changed = bytearray(files[f][n])
    changed[at] ^= data.draw(st.integers(1, 255))
    files[f][n] = bytes(changed)
    found = faults(files)
    assert found
    assert (found[0].file, found[0].line) == (f"file {f + 1}", n + 1)


@given(st.integers(1, 7), EVENTS)
def test_13_a_line_that_was_made_anew_with_its_chain_is_found_by_the_next(
    at: int, other: Event
) -> None:
    (lines,) = written(refusals(8), 20)
    before = json.loads(lines[at - 1])["chain"]
    lines[at] = Chain(at, before).line(AT, other)[:-1]
    (found,) = faults([lines])
    assert found.line == at + 2


@given(st.lists(EVENTS, min_size=2, max_size=12), st.integers(1, 5), st.data())
def test_13_a_removed_line_is_found_where_the_next_one_stands(
    events: list[Event], per_file: int, data: st.DataObject
) -> None:
    files = written(events, per_file)
    f = data.draw(st.integers(0, len(files) - 1))
    n = data.draw(st.integers(0, len(files[f]) - 1))
    assume((f, n) != (len(files) - 1, len(files[f]) - 1))  # the last line of all: see below
    del files[f][n]
    assume(files[f])
    found = faults(files)
    there = (f + 1, n + 1) if n < len(files[f]) else (f + 2, 1)
    assert (found[0].file, found[0].line) == (f"file {there[0]}", there[1])


@given(st.lists(EVENTS, min_size=2, max_size=12), st.integers(2, 12), st.data())
def test_13_lines_that_changed_places_are_found(
    events: list[Event], per_file: int, data: st.DataObject
) -> None:
    (lines, *rest) = written(events, per_file)
    one, other = data.draw(
        st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True)
    )
    lines[one], lines[other] = lines[other], lines[one]
    found = faults([lines, *rest])
    assert found
    assert found[0].line <= min(one, other) + 1


@given(st.lists(EVENTS, min_size=1, max_size=12), st.integers(1, 12), st.data())
def test_13_a_line_that_is_there_twice_is_found(
    events: list[Event], per_file: int, data: st.DataObject
) -> None:
    files = written(events, per_file)
    f = data.draw(st.integers(0, len(files) - 1))
    n = data.draw(st.integers(0, len(files[f]) - 1))
    at = data.draw(st.integers(n + 1, len(files[f])))
    files[f].insert(at, files[f][n])
    found = faults(files)
    assert (found[0].file, found[0].line) == (f"file {f + 1}", at + 1)
    if n:  # not the first of a file
        assert [each.sentence[:32] for each in found] == ["it is out of its place, or there"]


@given(st.lists(EVENTS, min_size=1, max_size=12), st.integers(1, 5), st.data())
def test_13_a_file_that_is_cut_off_is_found(
    events: list[Event], per_file: int, data: st.DataObject
) -> None:
    files = written(events, per_file)
    f = data.draw(st.integers(0, len(files) - 1))
    n = data.draw(st.integers(0, len(files[f]) - 1))
    size = data.draw(st.integers(1, len(files[f][n])))
    files[f] = [*files[f][:n], files[f][n][:size]]
    found = faults(files, cut=f)
    assert Finding(f"file {f + 1}", n + 1, "it is cut off") in found


def test_13_a_file_cut_off_between_two_lines_is_found_by_the_next_one() -> None:
    files = written(refusals(9), 3)
    del files[1][2:]
    assert faults(files) == [Finding("file 3", 1, "2 lines are cut off at the end of file 2")]


def test_13_a_file_that_is_missing_in_between_is_found() -> None:
    files = written(refusals(12), 3)
    del files[1:3]
    (found,) = faults(files)
    assert found.line == 1
    assert found.sentence == "files 2 to 3 are missing before this one, 8 lines are with them"


def test_13_files_that_are_missing_at_the_beginning_are_found_unless_the_log_dropped_them() -> None:
    files = written([*refusals(5), Dropped(up_to=1)], 3)
    assert [f.sentence for f in faults(files[1:])] == []
    files = written(refusals(9), 3)
    why = "file 1 is missing; no line says that they were to be removed"
    assert faults(files[1:]) == [Finding("file 1", 1, why)]
    after = json.loads(files[0][-1])["chain"]
    check = Check(after=after)
    check.begin("file 2")
    for line in files[1]:
        check.line(line)
    assert [f for f in check.end() if f.fault] == []


def test_13_a_file_of_another_log_is_found() -> None:
    mine, other = written(refusals(6), 3), written(refusals(6), 3)
    chain = Chain(4, "7" * 64)
    other[1][0] = chain.line(AT, File(file=2, log="cd", after="7" * 64, program="x", host="y"))[:-1]
    assert faults([mine[0], other[1]])[0].sentence == "it is of another log than file 1"


def test_13_a_line_that_a_crash_tore_is_no_fault_once_the_next_one_says_so() -> None:
    from hashlib import sha256  # noqa: PLC0415 - as a reader of the log would

    chain = Chain()
    first = chain.line(AT, header(1, chain))[:-1]
    torn = chain.copy().line(AT, refusals(1)[0])[:20]
    note = chain.line(AT, Torn(octets=20, sha256=sha256(torn).hexdigest()))[:-1]
    check = looked_at([[first, torn, note]])
    assert [f.fault for f in check.findings] == [False]
    other = looked_at([[first, torn + b" ", note]])
    assert [f.line for f in other.findings if f.fault] == [2]


def test_13_a_line_behind_what_is_too_long_for_one_is_none() -> None:
    check, chain = Check(), Chain()
    check.begin("file")
    check.line(chain.line(AT, header(1, chain))[:-1])
    check.line(bytes(MAX_LINE_OCTETS), whole=False)
    check.line(chain.line(AT, refusals(1)[0])[:-1])
    assert [(f.line, f.sentence) for f in check.end()] == [(2, "it is no line of an audit log")]


def test_13_what_was_not_written_and_a_clock_that_went_back_are_told() -> None:
    chain = Chain()
    lines = [
        chain.line(AT, header(1, chain))[:-1],
        chain.line(AT - 60, Lost(events=3, since=utc(AT)))[:-1],
    ]
    check = looked_at([lines])
    assert check.faults == 0
    assert any("3 events since" in f.sentence for f in check.findings)
    assert any("the clock went back" in f.sentence for f in check.findings)


def test_13_what_is_missing_at_the_very_end_shows_by_a_chain_that_was_noted() -> None:
    files = written(refusals(4), 10)
    last = json.loads(files[0][-1])["chain"]
    check = Check(expect=[last])
    check.begin("file")
    for line in files[0][:-1]:
        check.line(line)
    assert check.end() == []
    assert check.unseen == {last}
    check.line(files[0][-1])
    assert check.unseen == set()


def test_13_a_line_has_a_bound_and_a_reader_of_lines_is_not_led_astray() -> None:
    texts = tuple("\n" * 9_000 for _ in range(100))
    card = Card(host="\x1b[2J", reader='"}\n{"n":9', reader_name="\u202e", eids=texts)
    who = Who(1, "ü" * 9_000)
    octets = Chain().line(AT, Took(session="s", who=who, card=card, share="exclusive"))
    assert octets.count(b"\n") == 1
    assert len(octets) < MAX_LINE_OCTETS
    said = json.loads(octets)
    assert len(said["who"]["name"]) == MAX_TEXT
    assert "\x1b" not in said["card"]["host"]
    assert parse(octets[:-1]) is not None


def test_13_a_token_that_is_given_as_a_name_is_in_no_line() -> None:
    token = made_of(bytes(range(32)))
    line = Chain().line(0.0, Refused(address="192.0.2.1", why=f"no card has LABEL {token}"))
    assert b"no card has LABEL wsrc_\xe2\x80\xa6" in line
    assert token[:21].encode() not in line


def test_13_a_lone_surrogate_of_a_name_is_written() -> None:
    event = Connected(peer=1, role="user", address="\udcff")
    assert json.loads(Chain().line(AT, event))["address"] == "\\udcff"


@given(st.lists(st.binary(max_size=80), max_size=12))
def test_13_no_octets_crash_the_check(lines: list[bytes]) -> None:
    assert faults([lines])


def test_13_findings_have_a_bound() -> None:
    check = looked_at([[b"x"] * (2 * MAX_FINDINGS)])
    assert len(check.findings) == MAX_FINDINGS
    assert check.unsaid == check.faults - MAX_FINDINGS
