# SPDX-License-Identifier: Apache-2.0
"""The parameters of a request, and which cards they mean."""

import re
from typing import Any

from aiohttp import web

from wsrc.errors import ErrorCode
from wsrc.server.http.problems import problem
from wsrc.server.http.routes import NAMES, TAG, Param

Query = dict[str, int | str | dict[str, str]]
"""Values by name: of `tag` those of each key."""

_digits = re.compile("[0-9]{1,16}").fullmatch


def query_of(request: web.Request, params: tuple[Param, ...]) -> Query:
    """
    Return the parameters of a request.

    Raises:
        ProblemError: If one is not known, is there twice, or cannot be what it is.
    """
    known, found = {each.name: each for each in params}, Query()
    for name, text in request.query.items():
        param = known.get(name)
        if param is None:
            raise _wrong(f"There is no parameter {name[:40]!r} here.")
        if param.kind == "tag":
            _add_tag(found, param, text)
        elif name in found:
            raise _wrong(f"{name!r} is there twice.")
        else:
            found[name] = _value(param, text)
    return found


def count_in(query: Query, name: str, otherwise: int) -> int:
    """Return a whole number of a request."""
    found = query.get(name, otherwise)
    assert isinstance(found, int)
    return found


def filters_in(query: Query) -> dict[str, Any]:
    """Return which cards are meant, as the messages of the protocol have it."""
    names: dict[str, Any] = {each.name: query[each.name] for each in NAMES if each.name in query}
    if TAG.name in query:
        names["tags"] = query[TAG.name]
    return names


def _add_tag(found: Query, param: Param, text: str) -> None:
    key, equals, value = text.partition("=")
    tags = found.setdefault(param.name, {})
    assert isinstance(tags, dict)
    if not equals or len(text) > param.most:
        raise _wrong(f"{param.name!r} is KEY=VALUE, of at most {param.most} characters.")
    if key in tags:
        raise _wrong(f"The tag {key[:40]!r} is there twice.")
    tags[key] = value


def _value(param: Param, text: str) -> int | str:
    if param.kind == "text":
        if len(text) > param.most:
            raise _wrong(f"{param.name!r} has at most {param.most} characters.")
        return text
    if param.kind == "word":
        if text not in param.words:
            raise _wrong(f"{param.name!r} is one of {', '.join(param.words)}.")
        return text
    if not _digits(text) or not param.least <= int(text) <= param.most:
        raise _wrong(f"{param.name!r} is a whole number from {param.least} to {param.most}.")
    return int(text)


def _wrong(sentence: str) -> Exception:
    return problem(400, ErrorCode.BAD_MESSAGE, sentence)
