# SPDX-License-Identifier: Apache-2.0
"""Script files: reading, batches, running."""

from collections.abc import Sequence

import pytest

from wsrc.card.apdu import Response, sw_matches
from wsrc.card.slot import ResetKind
from wsrc.command_line.script import (
    Item,
    ScriptCommand,
    ScriptError,
    ScriptPin,
    ScriptReset,
    batches,
    data_matches,
    parse,
    parse_data,
    parse_expect,
)
from wsrc.command_line.script_run import Answered, Unanswered, WasReset, run
from wsrc.errors import CardNotPresentError
from wsrc.octets import Octets
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.messages import MAX_BATCH, Step
from wsrc.user_client.card import BatchLimits, BatchResult

LIMITS = BatchLimits(MAX_BATCH, MAX_MESSAGE_OCTETS)
READ = Octets(bytes.fromhex("00b0000000"))


def test_commands_comments_expectations_and_directives() -> None:
    text = """\
# a comment
00 A4 00:04 02 3F00
00A40004022FE2 -> 9000 61xx  # after it

!expect 9000, 91XX
00b0000000
00b0000000->any
!reset
!RESET WARM
"""
    select_ef = Octets(bytes.fromhex("00a40004022fe2"))
    assert parse(text, "x") == [
        ScriptCommand(2, Octets(bytes.fromhex("00a40004023f00")), ("9000",)),
        ScriptCommand(3, select_ef, ("9000", "61xx")),
        ScriptCommand(6, READ, ("9000", "91xx")),
        ScriptCommand(7, READ, ("xxxx",)),
        ScriptReset(8, ResetKind.COLD),
        ScriptReset(9, ResetKind.WARM),
    ]
    assert parse("", "x") == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("00A4", "at least 4 octets"),
        ("00A40004FF3F00", "Lc says 255"),
        ("00A40004023F0", "whole number of octets"),
        ("VERIFY 1234", "not a hexadecimal digit"),
        ("-> 9000", "at least 4 octets"),
        ("00b0000000 ->", "a status word is four"),
        ("00b0000000 -> 90", "a status word is four"),
        ("00b0000000 -> 9000 -> 6A82", "a status word is four"),
        ("!expect", "a status word is four"),
        ("!expect ok", "a status word is four"),
        ("!reset hot", "a directive is"),
        ("!verify 1234", "a directive is"),
    ],
)
def test_a_wrong_line_is_named_and_not_repeated(line: str, complaint: str) -> None:
    with pytest.raises(ScriptError, match=f"^a.wsrc:2: .*{complaint}") as caught:
        parse(f"00b0000000\n{line}\n", "a.wsrc")
    assert caught.value.line == 2
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("sw", "patterns", "matches"),
    [
        (0x9000, "9000", True),
        (0x9001, "9000", False),
        (0x6110, "9000 61xx", True),
        (0x63C2, "63cx", True),
        (0x63D2, "63CX", False),
        (0x6F00, "any", True),
    ],
)
def test_patterns_of_status_words(sw: int, patterns: str, *, matches: bool) -> None:
    assert sw_matches(parse_expect(patterns), f"{sw:04X}") is matches


def test_e34_batches_end_at_resets_and_before_the_server_takes_no_more() -> None:
    short = ScriptCommand(1, READ, ())
    long = ScriptCommand(1, Octets(bytes.fromhex("00b0000000fde8")), ())
    reset = ScriptReset(2, ResetKind.COLD)
    parts = list(batches([short, reset, *[short] * (MAX_BATCH + 1), *[long] * 5], *LIMITS))
    sizes = [len(part) if isinstance(part, list) else part for part in parts]
    assert sizes == [1, reset, MAX_BATCH, 4, 2]
    assert list(batches([], *LIMITS)) == []
    assert [len(list(part)) for part in batches([short] * 5, 2, LIMITS.octets)] == [2, 2, 1]
    assert [len(list(part)) for part in batches([short] * 4, 256, 3_000)] == [2, 2]


class Recorder:
    """A card that answers each batch as a list says, and keeps what it was asked."""

    def __init__(self, *results: BatchResult) -> None:
        self._results = list(results)
        self.asked: list[Sequence[Step | bytes] | ResetKind] = []

    batch_limits = BatchLimits(MAX_BATCH, MAX_MESSAGE_OCTETS)

    def batch(self, steps: Sequence[Step | bytes]) -> BatchResult:
        self.asked.append(steps)
        return self._results.pop(0)

    def reset(self, kind: ResetKind = ResetKind.COLD) -> bytes:
        self.asked.append(kind)
        return b"\x3b\x00"


def items(text: str) -> list[Item]:
    return parse(text, "x")


OK, BAD = Response(b"\1", 0x9000), Response(b"", 0x6A82)


def test_a_run_tells_of_every_line() -> None:
    card = Recorder(BatchResult((OK, OK)), BatchResult((OK,)))
    events = list(run(card, items("00b0000000\n00b0000000\n!reset warm\n00b0000000")))
    assert [type(event) for event in events] == [Answered, Answered, WasReset, Answered]
    assert [event.line for event in events] == [1, 2, 3, 4]
    assert card.asked[1] is ResetKind.WARM
    assert card.asked[0] == [Step(command=READ, expect=("9000",))] * 2


def test_a_run_stops_at_a_surprise_or_goes_on_if_told() -> None:
    script = items("00b0000000\n00b0000000\n!reset\n")
    card = Recorder(BatchResult((BAD,), stopped=0))
    (only,) = run(card, script)
    assert isinstance(only, Answered)
    assert not only.as_expected
    card = Recorder(BatchResult((BAD, OK)))
    assert [event.line for event in run(card, script, keep_going=True)] == [1, 2, 3]
    assert card.asked[0] == [Step(command=READ)] * 2


def test_a_run_ends_at_the_line_that_was_not_answered() -> None:
    gone = CardNotPresentError("Gone.")
    card = Recorder(BatchResult((OK,), error=gone))
    events = list(run(card, items("00b0000000\n\n00b0000000\n00b0000000\n"), keep_going=True))
    assert events[-1] == Unanswered(3, gone)


@pytest.mark.parametrize(
    ("pattern", "data", "matches"),
    [
        ("", "", True),
        ("", "00", False),
        ("98xx", "9812", True),
        ("98xx", "981234", False),
        ("9x *", "98", True),
        ("*0a", "01020a", True),
        ("01*0a", "010a", True),
        ("01*0a", "0a", False),
        ("01*01", "01", False),
        ("*", "", True),
    ],
)
def test_data_are_compared_digit_by_digit(pattern: str, data: str, matches: bool) -> None:
    assert data_matches(parse_data(pattern), bytes.fromhex(data)) is matches
    assert data_matches(None, bytes.fromhex(data))


@pytest.mark.parametrize("pattern", ["9", "98 y", "**", "9*8", "9?"])
def test_a_pattern_of_data_that_cannot_be_understood_is_refused(pattern: str) -> None:
    with pytest.raises(ScriptError, match="x:1: response data are pairs"):
        parse(f"00b000000a -> 9000 ={pattern}", "x")


def test_a_line_may_say_status_words_and_data_or_one_of_both() -> None:
    text = "!expect 91xx\n00b00000 -> 9000 61xx =98 xx\n00b00000 -> =\n00b00000 -> 9000\n!pin\n"
    first, second, third, pin = parse(text, "x")
    assert isinstance(first, ScriptCommand)
    assert (first.expect, first.data) == (("9000", "61xx"), "98xx")
    assert isinstance(second, ScriptCommand)
    assert (second.expect, second.data) == (("91xx",), "")
    assert isinstance(third, ScriptCommand)
    assert (third.expect, third.data) == (("9000",), None)
    assert pin == ScriptPin(5, 0x01)


def test_what_follows_data_that_are_looked_at_travels_later() -> None:
    items = parse("00b00000\n00b00001 -> =01\n00b00002\n!pin adm1\n00b00003\n", "x")
    parts = list(batches(items, 256, 1 << 20))
    assert [[each.line for each in part] if isinstance(part, list) else part for part in parts] == [
        [1, 2],
        [3],
        ScriptPin(4, 0x0A),
        [5],
    ]


def test_a_pin_in_a_script_is_refused_and_not_repeated() -> None:
    with pytest.raises(ScriptError, match="x:1: a key is pin1") as caught:
        parse("!pin 98765432", "x")
    assert "98765432" not in str(caught.value)
    with pytest.raises(ScriptError, match="x:1: a directive is"):
        parse("!pin pin1 98765432", "x")
