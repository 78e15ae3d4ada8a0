# SPDX-License-Identifier: Apache-2.0
"""Run a script on a card: one round trip for each batch of commands."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from wsrc.card.apdu import Response, sw_matches
from wsrc.command_line.script import (
    DEFAULT_EXPECT,
    Item,
    ScriptCommand,
    ScriptPin,
    ScriptReset,
    Single,
    batches,
    data_matches,
)
from wsrc.command_line.wrong_secrets import going_on
from wsrc.errors import WsrcError
from wsrc.guard.commands import read
from wsrc.guard.secrets import in_response
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.protocol.messages import MAX_BATCH, Step

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card
    from wsrc.user_client.card import BatchResult


class Answered(NamedTuple):
    """The card answered the command of a line."""

    line: int
    response: Response
    expect: tuple[str, ...]
    data: str | None = None
    secret: bool = False
    """Whether the card may have answered with a key."""

    @property
    def as_expected(self) -> bool:
        """Whether status word and data are among those that the script expects."""
        return self.sw_as_expected and data_matches(self.data, self.response.data)

    @property
    def sw_as_expected(self) -> bool:
        """Whether the status word is one of those that the script expects."""
        return sw_matches(self.expect, f"{self.response.sw:04X}")

    def goes_on(self, command: bytes) -> bool:
        """Return whether the next line is run after this answer to a command."""
        known = sw_matches(going_on(command, self.expect), f"{self.response.sw:04X}")
        return known and data_matches(self.data, self.response.data)


class WasReset(NamedTuple):
    """The card was reset as a line asked."""

    line: int
    atr: bytes


class Unanswered(NamedTuple):
    """The command of a line was not answered; the script is over."""

    line: int
    error: WsrcError


Event = Answered | WasReset | Unanswered

Verify = Callable[[int], Response]


def run(
    card: "Card",
    items: Sequence[Item],
    *,
    keep_going: bool = False,
    verify: Verify | None = None,
    last: bool = False,
) -> Iterator[Event]:
    """
    Run a script, whose `!pin` `verify` carries out, and yield what becomes of its lines.

    With `last` the card is given back at its end.

    It ends after the first status word that is not as expected and after a wrong PIN or key that
    is not expected by name, unless `keep_going`, and after the first command that is not answered.

    Raises:
        WsrcError: If nothing is known of a batch; it names the lines of it.
    """
    for part in (all_parts := list(parts(items, *card.batch_limits))):
        if isinstance(part, ScriptReset):
            yield WasReset(part.line, card.reset(part.kind))
            continue
        if isinstance(part, ScriptPin):
            verified = _verified(part, verify)
            yield verified
            if not (keep_going or verified.as_expected):
                return
            continue
        steps = [_step(command, keep_going) for command in part]
        result = _batch(card, part, steps, last=last and part is all_parts[-1])
        for command, response in zip(part, result.results, strict=False):
            answered = _answered(command, response)
            yield answered
            if not keep_going and not answered.goes_on(command.command):
                return
        if result.error is not None:
            at = min(len(result.results), len(part) - 1)
            yield Unanswered(part[at].line, result.error)
            return


def _batch(
    card: "Card", part: Sequence[ScriptCommand], steps: Sequence[Step], *, last: bool
) -> "BatchResult":
    try:
        return card.batch(steps, last=True) if last else card.batch(steps)
    except WsrcError as exc:
        exc.args = (f"{_lines(part)}: {exc}",)
        raise


def first_of(items: Sequence[Item], *, keep_going: bool) -> list[Step | bytes] | None:
    """Return what `run` asks of the card first, by `batch`, if that is no reset."""
    part = next(parts(items), None)
    if not isinstance(part, list):
        return None
    return [_step(command, keep_going) for command in part]


def parts(
    items: Sequence[Item], most: int = MAX_BATCH, octets: int = MAX_MESSAGE_OCTETS
) -> Iterator[Single | list[ScriptCommand]]:
    """
    Put commands together as `batches` does, but no more than servers take that tell no limits.

    So the first are the same before the limits are known.
    """
    return batches(items, min(most, MAX_BATCH), min(octets, MAX_MESSAGE_OCTETS))


def _verified(pin: ScriptPin, verify: Verify | None) -> Answered:
    assert verify is not None
    return Answered(pin.line, verify(pin.reference), DEFAULT_EXPECT)


def _answered(command: ScriptCommand, response: Response) -> Answered:
    secret = command.data is not None and in_response(read(command.command))
    return Answered(command.line, response, command.expect, command.data, secret)


def _lines(part: Sequence[ScriptCommand]) -> str:
    first, last = part[0].line, part[-1].line
    return f"Line {first}" if first == last else f"Lines {first} to {last}"


def _step(command: ScriptCommand, keep_going: bool) -> Step:
    expect = () if keep_going else going_on(command.command, command.expect)
    return Step(command=command.command, expect=expect)
