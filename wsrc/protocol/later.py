# SPDX-License-Identifier: Apache-2.0
"""
What a peer of a later version may say, and what a text means in any version.

Words that are not known are kept in what is told, and refused in what is asked; see Compatibility
in `docs/protocol.md`.
"""

from typing import Any, Final, cast

import msgspec

from wsrc.card.slot import Disposition
from wsrc.protocol import messages as m
from wsrc.protocol.conversation import ANSWERS
from wsrc.protocol.fields import MAX_WHOLE
from wsrc.words import OpenWord


def plain(value: Any) -> Any:
    """
    Return JSON values without what may be written in several ways.

    A member of an object that is null is left out, and a number without a fraction is whole.
    """
    match value:
        case dict():
            members = cast("dict[str, Any]", value)
            return {name: plain(each) for name, each in members.items() if each is not None}
        case list():
            items = cast("list[object]", value)
            return [plain(each) for each in items]
        case float() if value.is_integer() and abs(value) <= MAX_WHOLE:
            return int(value)
        case _:
            return value


def taken(message: m.Detach) -> m.Detach:
    """Return a `detach` with the words that stand for those that are not known."""
    if not message.disposition.known:
        return msgspec.structs.replace(message, disposition=Disposition.RESET)
    return message


def refused_field(message: m.Message) -> str | None:
    """Return the field of a request for whose word it is refused, if there is one."""
    for name in WORDS_ASKED[type(message)]:
        value = getattr(message, name)
        if value is None:
            continue
        words = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        if any(isinstance(word, OpenWord) and not word.known for word in words):
            return name
    return None


def _holds_words(kind: msgspec.inspect.Type) -> bool:
    match kind:
        case msgspec.inspect.Metadata(type=inner):
            return _holds_words(inner)
        case msgspec.inspect.UnionType(types=types):
            return any(map(_holds_words, types))
        case msgspec.inspect.VarTupleType(item_type=item):
            return _holds_words(item)
        case msgspec.inspect.EnumType(cls=cls):
            return issubclass(cls, OpenWord)
        case _:
            return False


def _words_of(kind: type[m.Message]) -> tuple[str, ...]:
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return tuple(field.name for field in info.fields if _holds_words(field.type))


class _Words(dict[type[m.Message], tuple[str, ...]]):
    """What is found out of each kind of message when the first of it comes."""

    def __missing__(self, kind: type[m.Message]) -> tuple[str, ...]:
        asks = kind in ANSWERS and kind is not m.Detach
        self[kind] = words = _words_of(kind) if asks else ()
        return words


WORDS_ASKED: Final = _Words()
"""
The fields with words of each request, none of other messages. `detach` is never refused for one:
its `code` is kept, and a disposition that is not known is the default.
"""
