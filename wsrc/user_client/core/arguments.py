# SPDX-License-Identifier: Apache-2.0
"""
Arguments of a program to the library, checked before anything is sent.

All raise LocalProtocolError; the sentence names the argument, and never repeats octets.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar, cast

from wsrc.card.apdu import MAX_COMMAND_OCTETS, parse_command
from wsrc.errors import BadApduError, LocalProtocolError
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.tags import wrong_filter
from wsrc.user_client.naming import Filters

E = TypeVar("E", bound=StrEnum)

_OCTETS = (bytes, bytearray, memoryview)


def octets(value: object, name: str) -> Octets:
    """Return a copy of octets, which are bytes, a bytearray or a memoryview."""
    if isinstance(value, _OCTETS):
        return Octets(cast("bytes", value))
    hint = "; bytes.fromhex() reads hexadecimal digits" if isinstance(value, str) else ""
    raise _wrong(name, f"bytes, not {_kind(value)}{hint}")


def text(value: object, name: str) -> str:
    """Return a text."""
    if isinstance(value, str):
        return value
    raise _wrong(name, f"text, not {_kind(value)}")


def text_or_none(value: object, name: str) -> str | None:
    """Return a text, or None where there is none."""
    return None if value is None else text(value, name)


def whole(value: object, name: str) -> int:
    """Return a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise _wrong(name, f"a whole number, not {_kind(value)}")


def number(value: object, name: str) -> float:
    """Return a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise _wrong(name, f"a number, not {_kind(value)}")


def moment(value: object, name: str) -> str:
    """Return a time as the protocol has it, RFC 3339 in UTC."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _wrong(name, "a datetime with its zone")
    return value.astimezone(UTC).isoformat()


def flag(value: object, name: str) -> bool:
    """Return a truth value."""
    if isinstance(value, bool):
        return value
    raise _wrong(name, f"True or False, not {_kind(value)}")


def member(value: object, kind: type[E], name: str) -> E:
    """Return a member of an enumeration, which may be given by its value as well."""
    if isinstance(value, str) and value in tuple(kind):
        return kind(value)
    given = repr(value[:40]) if isinstance(value, str) else _kind(value)
    raise _wrong(name, f"one of {', '.join(kind)}, not {given}")


def members(values: object, kind: type[E], name: str) -> tuple[E, ...]:
    """Return several members of an enumeration."""
    return tuple(member(each, kind, name) for each in several(values, name))


def several(values: object, name: str) -> tuple[Any, ...]:
    """Return the items of a list, a tuple or the like; a text or octets are one thing."""
    given = _kind(values)
    if isinstance(values, (str, *_OCTETS, Mapping)) or not isinstance(values, Iterable):
        raise _wrong(name, f"a list, not {given}")
    return tuple(cast("Sequence[Any]", values))


def function(value: object, name: str) -> Callable[..., Any]:
    """Return what can be called."""
    if callable(value):
        return value
    raise _wrong(name, f"a function, not {_kind(value)}")


def mark(value: object, name: str) -> tuple[str, int]:
    """Return the parts of a `ReaderMark`."""
    match value:
        case (str(instance), int(seq)):
            return instance, seq
        case _:
            raise _wrong(name, "a mark that a watch of readers gave")


def filters(given: Mapping[str, Any]) -> Filters:
    """Return filters, or a selection, whose names are known and whose values are text."""
    for name, value in given.items():
        if name not in Filters.__annotations__:
            known = ", ".join(Filters.__annotations__)
            raise LocalProtocolError(f"Cards cannot be selected by {name[:40]!r}; use {known}.")
        if name == "tags" and value is not None:
            asked = tags(value, name)
            why = wrong_filter(asked)
            if why is not None:
                raise LocalProtocolError(f"No card has such tags: {why}.")
            given = {**given, name: asked}
        elif value is not None:
            text(value, name)
    return cast("Filters", given)


def tags(value: object, name: str) -> dict[str, str]:
    """Return tags by their keys, which are texts."""
    if not isinstance(value, Mapping):
        raise _wrong(name, f"a dict of texts by keys, not {_kind(value)}")
    given = cast("Mapping[object, object]", value)
    return {
        text(key, f"a key of {name}"): text(each, f"a tag of {name}") for key, each in given.items()
    }


def following(first: object, *, raw_tpdu: bool) -> m.Following:
    """Return the request for what a card is asked first: one command, or a batch of several."""
    if isinstance(first, _OCTETS):
        return m.CApdu(command=command(cast("bytes", first), "first", raw_tpdu=raw_tpdu))
    return batch(first, m.MAX_BATCH, raw_tpdu=raw_tpdu)


def batch(steps: object, most: int, *, raw_tpdu: bool) -> m.Batch:
    """Return a batch of at most so many commands; BadApduError if one is none."""
    given = several(steps, "steps")
    if not 1 <= len(given) <= most:
        raise LocalProtocolError(f"A batch has 1 to {most} commands, not {len(given)}.")
    numbered = map(functools.partial(_step, raw_tpdu=raw_tpdu), given, itertools.count(1))
    return m.Batch(session="", steps=tuple(numbered))


def _step(step: object, at: int, *, raw_tpdu: bool) -> m.Step:
    given, expect = (step.command, step.expect) if isinstance(step, m.Step) else (step, ())
    checked = command(given, f"command {at}", raw_tpdu=raw_tpdu)
    patterns = several(expect, f"expect of command {at}")
    of = f"what is expected of command {at}"
    return m.Step(checked, tuple(text(each, of) for each in patterns))


def command(value: object, name: str, *, raw_tpdu: bool) -> Octets:
    """Return a command APDU, or with `raw_tpdu` any TPDU; BadApduError if it is none."""
    given = octets(value, name)
    if not raw_tpdu:
        parse_command(given)
    elif len(given) > MAX_COMMAND_OCTETS:
        why = f"A TPDU has at most {MAX_COMMAND_OCTETS} octets; this one has {len(given)}."
        raise BadApduError(why)
    return given


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _wrong(name: str, what: str) -> LocalProtocolError:
    return LocalProtocolError(f"{name} must be {what}.")
