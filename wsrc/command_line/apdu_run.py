# SPDX-License-Identifier: Apache-2.0
"""Run commands on a card whose responses are looked at together, or one after the other."""

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from wsrc.card.apdu import Response, sw_matches
from wsrc.command_line.script import ScriptCommand
from wsrc.command_line.script_run import parts
from wsrc.command_line.wrong_secrets import going_on
from wsrc.errors import ErrorCode, OutcomeUnknownError, WsrcError, in_doubt
from wsrc.octets import Octets
from wsrc.protocol.messages import Step

if TYPE_CHECKING:
    from wsrc.user_client.blocking import Card
    from wsrc.user_client.card import BatchResult

_FULL = frozenset({ErrorCode.COMMAND_TIMEOUT, ErrorCode.TOO_MANY})
"""Why a card host leaves the rest of a batch alone, which another batch can then carry."""


def responses(  # noqa: PLR0913 - how commands are run, each by its name
    card: "Card",
    commands: Sequence[bytes],
    expect: tuple[str, ...],
    *,
    together: bool,
    keep_going: bool = False,
    last: bool = False,
) -> Iterator[Response]:
    """
    Run commands and yield their responses, up to the first that is not as expected.

    Args:
        card: Whose commands they are.
        commands: Command APDUs.
        expect: Patterns of status words; none means any.
        together: Whether they travel together, so that each answer need not be waited for. A card
            host that cannot do that is sent one after the other.
        keep_going: Whether a wrong PIN or key is expected that `expect` does not name.
        last: Whether the card is given back with the last response, where that comes alone.

    Raises:
        WsrcError: As `transmit`, of the command after those whose responses were yielded; where
            it is not known how many of a batch the card ran, the sentence says which may have run.
    """
    numbered = _numbered(commands, expect, keep_going=keep_going)
    if together and len(commands) > 1:
        try:
            for part in parts(numbered, *card.batch_limits):
                assert isinstance(part, list)
                if not (yield from _batch(card, part)):
                    return
        except _NoBatchError:
            pass
        else:
            return
    yield from _one_by_one(card, numbered, last=last)


def _one_by_one(
    card: "Card", numbered: Sequence[ScriptCommand], *, last: bool
) -> Iterator[Response]:
    for item in numbered:
        ends = last and item is numbered[-1]
        response = card.transmit(item.command, **({"last": True} if ends else {}))
        yield response
        if not sw_matches(item.expect, f"{response.sw:04X}"):
            return


def first_of(
    commands: Sequence[bytes], expect: tuple[str, ...], *, together: bool, keep_going: bool = False
) -> bytes | list[Step | bytes]:
    """Return what `responses` asks of the card first, by `transmit`, or by `batch` if a list."""
    if not together or len(commands) == 1:
        return commands[0]
    part = next(parts(_numbered(commands, expect, keep_going=keep_going)))
    assert isinstance(part, list)
    return _steps(part)


def _numbered(
    commands: Sequence[bytes], expect: tuple[str, ...], *, keep_going: bool
) -> list[ScriptCommand]:
    return [
        ScriptCommand(number, Octets(each), expect if keep_going else going_on(each, expect))
        for number, each in enumerate(commands, 1)
    ]


def _steps(part: Sequence[ScriptCommand]) -> list[Step | bytes]:
    return [Step(command=each.command, expect=each.expect) for each in part]


class _NoBatchError(Exception):
    """The card host does not know batches; nothing was sent to the card."""


def _batch(card: "Card", part: list[ScriptCommand]) -> Generator[Response, None, bool]:
    """Run commands together and yield their responses; return whether all were as expected."""
    while part:
        result = _sent(card, part)
        yield from result.results
        if result.stopped is not None:
            return False
        part = part[len(result.results) :]
        error = result.error
        if error is None:
            break
        if in_doubt(error) or error.code not in _FULL or not result.results:
            raise error
    return True


def _sent(card: "Card", part: list[ScriptCommand]) -> "BatchResult":
    first, last = part[0].line, part[-1].line
    try:
        return card.batch(_steps(part))
    except WsrcError as exc:
        if exc.code is ErrorCode.NOT_SUPPORTED and first == 1:
            raise _NoBatchError from exc
        if first == last or not in_doubt(exc):
            raise
        which = f"Commands {first} to {last} were sent together; the card may have run some of them"
        told = OutcomeUnknownError(f"{str(exc).rstrip('.')}. {which}.")
        told.code = exc.code
        raise told from exc
