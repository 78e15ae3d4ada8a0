# SPDX-License-Identifier: Apache-2.0
"""
Script files: commands with the status words that are expected of them.

    # text after a hash is for people
    !expect 9000 91xx               # of the commands that follow and say nothing themselves
    00A4 0004 02 3F00
    00A40004022FE2 -> 9000 61xx     # `x` stands for any digit, `any` for any status word
    00B000000A -> 9000 =98xx12*     # and the data of the response, `*` for any octets
    !pin pin1                       # a PIN that is asked for
    !reset warm
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wsrc.card.apdu import parse_command
from wsrc.card.pin import PIN1, reference_of
from wsrc.card.slot import ResetKind
from wsrc.errors import BadApduError, BadHexError, ErrorCode, WsrcError
from wsrc.octets import Octets, from_person

DEFAULT_EXPECT: tuple[str, ...] = ("9000",)
"""What is expected before the first `!expect`."""

_PART_OF_A_MESSAGE = 0.4
"""Of a message, what hexadecimal digits of a batch, and of what it may answer, take at most."""

_PATTERN = re.compile(r"[0-9a-f][0-9a-fx]{3}|xxxx")


class ScriptError(WsrcError):
    """A line that cannot be understood; the text of the line is not repeated."""

    code = ErrorCode.BAD_APDU

    def __init__(self, name: str, line: int, sentence: str) -> None:
        super().__init__(f"{name}:{line}: {sentence}")
        self.line = line


class ScriptCommand(NamedTuple):
    """One command; `expect` lists patterns of status words, `data` is one of response data."""

    line: int
    command: Octets
    expect: tuple[str, ...]
    data: str | None = None


class ScriptReset(NamedTuple):
    """A reset of the card."""

    line: int
    kind: ResetKind


class ScriptPin(NamedTuple):
    """A PIN or a key that is asked for and verified."""

    line: int
    reference: int


Item = ScriptCommand | ScriptReset | ScriptPin

Single = ScriptReset | ScriptPin
"""What does not travel together with commands."""


def parse(text: str, name: str) -> list[Item]:
    """
    Read a script.

    Args:
        text: The content of the file.
        name: Its name, for errors.

    Raises:
        ScriptError: If a line is neither a command APDU nor a directive.
    """
    items: list[Item] = []
    expect = DEFAULT_EXPECT
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0].strip()
        if not said:
            continue
        try:
            if said.startswith("!expect"):
                expect = parse_expect(said.removeprefix("!expect"))
            elif said.startswith("!"):
                items.append(_directive(number, said))
            else:
                items.append(_command(number, said, expect))
        except (BadApduError, BadHexError, ValueError) as exc:
            raise ScriptError(name, number, f"{exc}.") from exc
    return items


def parse_expect(text: str) -> tuple[str, ...]:
    """
    Read patterns of status words, between spaces or commas.

    Raises:
        ValueError: If there is none, or one is not four digits or `x`.
    """
    words = text.replace(",", " ").lower().split()
    patterns = tuple("xxxx" if word == "any" else word for word in words)
    if not patterns or not all(_PATTERN.fullmatch(pattern) for pattern in patterns):
        raise ValueError(
            "a status word is four hexadecimal digits such as 9000; x stands for any digit "
            "(61xx), any for every status word"
        )
    return patterns


def batches(
    items: Sequence[Item], most: int, octets: int
) -> Iterator[Single | list[ScriptCommand]]:
    """
    Put commands that follow one another together, as many as one message carries.

    What follows a command whose response data are looked at is not sent together with it.

    Args:
        items: The script.
        most: Commands that the server takes in a message.
        octets: Those of the longest message.
    """
    batch: list[ScriptCommand] = []
    digits = 0
    for item in items:
        size = _digits(item.command) if isinstance(item, ScriptCommand) else 0
        full = len(batch) == most or digits + size > octets * _PART_OF_A_MESSAGE
        checked = bool(batch) and batch[-1].data is not None
        if batch and (full or checked or not isinstance(item, ScriptCommand)):
            yield batch
            batch, digits = [], 0
        if isinstance(item, ScriptCommand):
            batch.append(item)
            digits += size
        else:
            yield item
    if batch:
        yield batch


def _digits(command: bytes) -> int:
    """Estimate what a command and its response take in messages."""
    return 2 * (len(command) + max(parse_command(command).ne, 256)) + 64


def _command(number: int, said: str, expect: tuple[str, ...]) -> ScriptCommand:
    digits, arrow, expected = said.partition("->")
    command = from_person(digits.strip())
    parse_command(command)
    words, equals, data = expected.partition("=")
    pattern = parse_data(data) if equals else None
    if arrow and (words.strip() or not equals):
        expect = parse_expect(words)
    return ScriptCommand(number, command, expect, pattern)


def parse_data(text: str) -> str:
    """
    Read a pattern of response data: hexadecimal digits, `x` for any digit, one `*` for any octets.

    Raises:
        ValueError: If it is none.
    """
    pattern = "".join(text.lower().split())
    before, _, after = pattern.partition("*")
    if not all(re.fullmatch("(?:[0-9a-fx]{2})*", part) for part in (before, after)):
        raise ValueError(
            "response data are pairs of hexadecimal digits after =; x stands for any digit, one * "
            "for any octets"
        )
    return pattern


def data_matches(pattern: str | None, data: bytes) -> bool:
    """Return whether response data are as a pattern of `parse_data` has them; None is any."""
    if pattern is None:
        return True
    before, star, after = pattern.partition("*")
    digits = data.hex()
    if len(digits) < len(before) + len(after) or not (star or len(digits) == len(before)):
        return False
    end = digits[len(digits) - len(after) :]
    return all(
        p in ("x", d) for p, d in zip(before + after, digits[: len(before)] + end, strict=True)
    )


def _directive(number: int, said: str) -> Single:
    match said.lower().split():
        case ["!reset"] | ["!reset", "cold"]:
            return ScriptReset(number, ResetKind.COLD)
        case ["!reset", "warm"]:
            return ScriptReset(number, ResetKind.WARM)
        case ["!pin"]:
            return ScriptPin(number, PIN1)
        case ["!pin", key]:
            return ScriptPin(number, reference_of(key))
        case _:
            raise ValueError(
                "a directive is !reset, !reset cold, !reset warm, !pin, !pin KEY or !expect SW…"
            )
