# SPDX-License-Identifier: Apache-2.0
"""wsrc.command_line.wrong_secrets: after a wrong PIN or key nothing more is sent."""

from collections.abc import Sequence

import pytest

from wsrc.card.apdu import Response, is_sw_pattern, sw_matches
from wsrc.command_line.apdu_run import responses
from wsrc.command_line.script import parse
from wsrc.command_line.script_run import run
from wsrc.command_line.wrong_secrets import going_on, was_wrong
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.messages import MAX_BATCH, Step
from wsrc.user_client.card import BatchLimits, BatchResult

VERIFY = bytes.fromhex("0020000108 3030303030303030")
QUESTION = bytes.fromhex("00200001")
READ = bytes.fromhex("00b000000a")


class Card:
    """Answers what is listed by command, and stops a batch as a card host does."""

    batch_limits = BatchLimits(MAX_BATCH, MAX_MESSAGE_OCTETS)

    def __init__(self, sw: int) -> None:
        self.sw = sw
        self.ran: list[bytes] = []

    def transmit(self, command: bytes) -> Response:
        self.ran.append(command)
        return Response(b"", 0x9000 if command == READ else self.sw)

    def batch(self, steps: Sequence[Step | bytes]) -> BatchResult:
        results: list[Response] = []
        for at, step in enumerate(steps):
            assert isinstance(step, Step)
            results.append(self.transmit(bytes(step.command)))
            if not sw_matches(step.expect, f"{results[-1].sw:04x}"):
                return BatchResult(tuple(results), at)
        return BatchResult(tuple(results))

    def reset(self, kind: object = None) -> bytes:
        raise AssertionError(kind)


def test_of_all_status_words_those_of_a_wrong_secret_alone_stop() -> None:
    patterns = going_on(VERIFY, ())
    assert all(is_sw_pattern(pattern) for pattern in patterns)
    stops = {sw for sw in range(0x10000) if not sw_matches(patterns, f"{sw:04x}")}
    assert stops == {*range(0x63C0, 0x63D0), 0x9804}
    assert stops == {sw for sw in range(0x10000) if was_wrong(VERIFY, sw)}


@pytest.mark.parametrize("command", [READ, QUESTION, QUESTION + b"\0"])
def test_what_presents_nothing_stops_for_nothing(command: bytes) -> None:
    assert going_on(command, ()) == ()
    assert not was_wrong(command, 0x63C1)


@pytest.mark.parametrize(
    ("expect", "goes_on"),
    [
        ((), False),
        (("xxxx",), False),
        (("xxxx", "63cx"), True),
        (("63c2",), True),
        (("9000", "63xx"), True),
        (("9000",), False),
    ],
)
def test_a_wrong_secret_must_be_expected_by_name(expect: tuple[str, ...], goes_on: bool) -> None:
    assert sw_matches(going_on(VERIFY, expect), "63c2") is goes_on
    assert sw_matches(going_on(VERIFY, expect), "9000") is (expect != ("63c2",))


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("sw", "keep_going", "count"),
    [(0x63C2, False, 1), (0x9804, False, 1), (0x63C2, True, 3), (0x6983, False, 3)],
)
def test_commands_are_sent_on_unless_a_secret_was_wrong(
    sw: int, keep_going: bool, count: int, together: bool
) -> None:
    card = Card(sw)
    commands = [VERIFY, VERIFY, READ]
    told = list(responses(card, commands, (), together=together, keep_going=keep_going))
    assert len(told) == count
    assert card.ran == commands[:count]


@pytest.mark.parametrize(
    ("expected", "keep_going", "count"),
    [("any", False, 1), ("any", True, 3), ("63cx", False, 3), ("9000", False, 1)],
)
def test_a_script_is_run_on_unless_a_secret_was_wrong(
    expected: str, keep_going: bool, count: int
) -> None:
    card = Card(0x63C2)
    line = f"{VERIFY.hex()} -> {expected}\n"
    events = list(run(card, parse(2 * line + READ.hex(), "x"), keep_going=keep_going))
    assert (len(events), len(card.ran)) == (count, count)
