# SPDX-License-Identifier: Apache-2.0
"""How `blocking` has the methods of `aio`: with the same arguments, and what is awaited there."""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from wsrc.errors import ConnectionLostError

P = ParamSpec("P")
R = TypeVar("R")


class Call(Protocol):
    """Runs a coroutine in the thread of a client, and waits for its end."""

    def __call__(self, doing: Coroutine[Any, Any, R], /) -> R:
        """Return its result."""
        ...


class Blocking:
    """What blocks until its twin of `aio` has done the same."""

    _twin: Any

    def _call(self, doing: Coroutine[Any, Any, R]) -> R:
        raise NotImplementedError


def waits(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]:
    """Return a method that waits for what the twin's gives."""

    @functools.wraps(method)
    def run(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self._call(method(self._twin, *args, **kwargs))
        return result

    return run


def follows(
    method: Callable[Concatenate[Any, P], AsyncGenerator[R, None]],
) -> Callable[Concatenate[Any, P], Generator[R, None, None]]:
    """Return a method that yields what the twin's does."""

    @functools.wraps(method)
    def run(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Generator[R, None, None]:
        events = method(self._twin, *args, **kwargs)

        async def following() -> R:
            return await anext(events)

        try:
            while True:
                yield self._call(following())
        finally:
            with suppress(ConnectionLostError):
                self._call(events.aclose())

    return run


def as_in(
    method: Callable[Concatenate[Any, P], Any],
) -> Callable[[Callable[..., R]], Callable[Concatenate[Any, P], R]]:
    """Return a decorator of a method that passes its arguments on to the twin's."""

    def decorate(own: Callable[..., R]) -> Callable[Concatenate[Any, P], R]:
        vars(own)["__signature__"] = inspect.signature(method)
        return own

    return decorate
