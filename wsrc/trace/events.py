# SPDX-License-Identifier: Apache-2.0
"""What a trace has: exchanges and resets of a session, and their text."""

from typing import NamedTuple

from wsrc.trace.redaction import Exchange


class Traced(NamedTuple):
    """
    An exchange, or a card that was powered or reset; `what` is an ATR then.

    `when` is in seconds since 1970 in UTC, `ahead` whether no program has asked for it yet.
    """

    when: float
    session: str
    reader: str
    what: Exchange | bytes
    ahead: bool = False


def text_of(traced: Traced) -> str:
    """Return one line for a person; what is left out is told by its size."""
    who = f"{traced.session} {traced.reader}"
    what = traced.what
    if not isinstance(what, Exchange):
        return f"{who} ATR {what.hex(' ')}"
    ahead = " (read ahead)" if traced.ahead else ""
    return f"{who}{ahead} {_command(what)} -> {_answer(what)}"


def _command(what: Exchange) -> str:
    at, size = what.data_at, what.data_octets
    shown = what.command[:at] if size else what.command
    return shown.hex(" ") + (f" [{size} octets]" if size else "")


def _answer(what: Exchange) -> str:
    hidden = what.response_octets
    if not what.answer:
        return "no answer"
    shown = what.answer[hidden:].hex(" ")
    return f"[{hidden} octets] {shown}" if hidden else shown
