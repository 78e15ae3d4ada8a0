# SPDX-License-Identifier: Apache-2.0
"""Samples of every message, and a walk over the fields of all that are in them."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect

from wsrc.protocol import messages as m
from wsrc.protocol.codec import BY_TAG, encode

Json = dict[str, Any]

DEPTH = 4
"""How deep the walk goes: an `error` has the results of a batch, which has an `error`."""


class Place(NamedTuple):
    """A field of a message: its message, the way to it, and what it may hold."""

    kind: type[m.Message]
    path: tuple[str | int, ...]
    field: inspect.Field
    holds: inspect.Type

    @property
    def name(self) -> str:
        """Return what the test of this field is called."""
        tag = str(self.kind.__struct_config__.tag)
        return ".".join([tag, *map(str, self.path)])

    def holding(self, value: Any) -> Json:
        """Return a sample of the message that holds a value here."""
        text = sample(self.kind)
        inside: Any = text
        info: inspect.Type = _info(self.kind)
        for step in self.path[:-1]:
            if isinstance(step, int):
                inside, info = inside[step], dict(_items(info))[step]
            else:
                assert isinstance(info, inspect.StructType)
                info = _held(_field(info, step).type)
                inside = inside.setdefault(step, sample_of(info))
        inside[self.path[-1]] = value
        return text


@functools.cache
def _info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)


def every_field() -> Iterator[Place]:
    """Yield every field of every message, also of the objects within."""
    for kind in BY_TAG.values():
        info = _info(kind)
        assert isinstance(info, inspect.StructType)
        yield from _fields(kind, (), info)


def places(fits: Callable[[inspect.Type], bool]) -> list[Place]:
    """Return the places of values of a kind: fields, and the items of lists."""
    return [place for place in every_field() if fits(place.holds)]


def _fields(
    kind: type[m.Message], path: tuple[str | int, ...], info: inspect.StructType
) -> Iterator[Place]:
    if sum(isinstance(step, str) for step in path) >= DEPTH:
        return
    for field in info.fields:
        here = (*path, field.encode_name)
        held = _held(field.type)
        yield Place(kind, here, field, held)
        for at, item in _items(held):
            yield Place(kind, (*here, at), field, item)
            if isinstance(item, inspect.StructType):
                yield from _fields(kind, (*here, at), item)
        if isinstance(held, inspect.StructType):
            yield from _fields(kind, here, held)


def _items(held: inspect.Type) -> Iterator[tuple[int, inspect.Type]]:
    match held:
        case inspect.VarTupleType(item_type=item):
            yield 0, _held(item)
        case inspect.TupleType(item_types=items):
            yield from ((at, _held(item)) for at, item in enumerate(items))
        case _:
            pass


def _field(info: inspect.StructType, name: str) -> inspect.Field:
    return next(field for field in info.fields if field.encode_name == name)


def _held(kind: inspect.Type) -> inspect.Type:
    """Return what a field holds where it is not null; of several kinds the first."""
    match kind:
        case inspect.Metadata(type=inner):
            return _held(inner)
        case inspect.UnionType(types=types):
            return _held(next(each for each in types if not isinstance(each, inspect.NoneType)))
        case _:
            return kind


def sample(kind: type[msgspec.Struct]) -> Json:
    """Return a message, or an object, with just the fields that must be there."""
    made = sample_of(_info(kind))
    assert isinstance(made, dict)
    return made


def sample_of(held: inspect.Type) -> Any:  # noqa: PLR0911 - one line for each kind of value
    """Return a value of a kind."""
    match _held(held):
        case inspect.StructType() as info:
            tag = {info.tag_field: info.tag} if info.tag_field is not None else {}
            return tag | {f.encode_name: sample_of(f.type) for f in info.fields if f.required}
        case inspect.VarTupleType(item_type=item):
            return [sample_of(item)]
        case inspect.TupleType(item_types=items):
            return [sample_of(item) for item in items]
        case inspect.EnumType(cls=cls):
            return next(iter(cls)).value
        case inspect.CustomType():
            return "00a40000"
        case inspect.BoolType():
            return False
        case inspect.IntType():
            return 1
        case inspect.FloatType():
            return 1.5
        case inspect.StrType():
            return "9000"
        case inspect.BytesType():
            return "kAA="
        case inspect.DictType(key_type=key, value_type=value):
            return {sample_of(key): sample_of(value)}
        case other:
            raise TypeError(str(other))


def at(message: m.Message, place: Place) -> Any:
    """Return what a message has at a place, as it is written."""
    inside: Any = json.loads(encode(message))
    for step in place.path:
        inside = inside[step] if isinstance(step, int) else inside.get(step, place.field.default)
    return inside


NUMBERS = places(lambda held: isinstance(held, inspect.IntType))
"""The places of whole numbers."""

WRITTEN = ("{}", "{}.0", "{}e0")
"""How a whole number may be written."""


def number_at(place: Place, digits: str) -> str:
    """Return the text of a sample that has a number there."""
    return json.dumps(place.holding("NUMBER")).replace('"NUMBER"', digits)
