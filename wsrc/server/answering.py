# SPDX-License-Identifier: Apache-2.0
"""What requests over HTTP are answered by, and that it is forgotten once a server has ended."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Answering:
    """
    An application whose handlers are let go of at its end.

    aiohttp keeps up to 1,024 handlers, with their applications, for as long as the process lasts,
    so that it puts their middleware around them once. All that those reach would be kept.

    Args:
        told: The middleware of all requests.
        longest: Octets of the longest body that is read.
    """

    def __init__(self, told: Middleware, longest: int = 1 << 20) -> None:
        self._handlers: list[Callable[..., Awaitable[web.StreamResponse]]] = [told]
        handlers = self._handlers

        @web.middleware
        async def first(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await handlers[0](request, handler)

        self.application = web.Application(middlewares=[first], client_max_size=longest)

    def add(self, method: str, path: str, handler: Handler, *, head: bool = False) -> None:
        """Have a handler answer the requests for a path; with `head` those with HEAD as well."""
        at, handlers = len(self._handlers), self._handlers
        handlers.append(handler)

        async def answer(request: web.Request) -> web.StreamResponse:
            return await handlers[at](request)

        for each in (method, "HEAD") if head else (method,):
            self.application.router.add_route(each, path, answer)

    def let_go(self) -> None:
        """Forget all handlers; no request may come after this."""
        self._handlers.clear()
