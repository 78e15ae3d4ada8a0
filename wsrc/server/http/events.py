# SPDX-License-Identifier: Apache-2.0
"""
Server-sent events: a snapshot of the readers, and then each change, as a watcher has them.

The id of an event is the run of the server and the number of the change; a client that comes back
with it as `Last-Event-ID` is sent what it missed, or a new snapshot where that is not known.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode_octets
from wsrc.protocol.reader_events import ReaderView
from wsrc.server.http import views
from wsrc.server.http.desk import Caller, Desk
from wsrc.server.http.insider import Insider
from wsrc.server.http.problems import ProblemError, of_error
from wsrc.server.http.routes import EVENTS
from wsrc.server.http.values import Reader

MOST_WAITING: Final = 1_000
"""Changes that may wait for a client that reads slowly; with one more its stream ends."""

WRITE_S: Final = 30.0
"""How long a client may take to read what is written, before its connection is broken."""

RETRY_MS: Final = 2_000
"""After how many milliseconds a client is to come again whose stream has ended."""

_LOOK_S: Final = 30.0

_HEADERS: Final = {
    "Content-Type": EVENTS,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # of nginx
    "X-Content-Type-Options": "nosniff",
}


class Change(msgspec.Struct, frozen=True):
    """A reader, its card or who holds it is another."""

    change: m.Change
    reader: Reader


class Anyone(msgspec.Struct, frozen=True):
    """How many wait for any card of those that match, whichever is free first."""

    any: int


class Reserved(msgspec.Struct, frozen=True):
    """Reservations are others than before."""


class Texts:
    """Changes as they are sent; that of the latest is kept, for all streams are told of it."""

    def __init__(self) -> None:
        self._latest: m.ReaderEvent | None = None
        self._text = b""

    def of(self, message: m.ReaderEvent) -> bytes:
        """Return a change as an event, without its id."""
        if message is not self._latest:
            change = Change(message.change, views.reader(message.reader))
            self._latest, self._text = message, _event("reader", change)
        return self._text


class Stream:
    """What waits for one client; `lost` tells that it was too much."""

    def __init__(self) -> None:
        self.waiting: deque[m.Message] = deque()
        self.lost = False
        self._anyone: int | None = None
        self._silent = self._beats = self._reserved = False
        self._news = asyncio.Event()

    def told(self, message: m.Message) -> None:
        """Take what the relay says unasked."""
        if isinstance(message, m.Error) and message.code is ErrorCode.TOO_MANY:
            return
        if len(self.waiting) >= MOST_WAITING:
            self.lost = True
            self.waiting.clear()
        if not self.lost:
            self.waiting.append(message)
        self._news.set()

    def wait_for_any(self, number: int) -> None:
        """Take how many wait for any card; the last number counts."""
        self._anyone = number
        self._news.set()

    def reserve(self) -> None:
        """Take note that reservations are others than before."""
        self._reserved = True
        self._news.set()

    def beat(self) -> None:
        """Have something sent where nothing was since the beat before."""
        if self._silent:
            self._beats = True
            self._news.set()
        self._silent = True

    async def next(self) -> m.Message | Anyone | Reserved | None:
        """Return what comes next; None where nothing did between two beats, or too much."""
        self._news.clear()
        aside = self._reserved or self._anyone is not None
        if not (self.waiting or self.lost or self._beats or aside):
            await self._news.wait()
        self._silent = self._beats = False
        if self._anyone is not None and not self.lost:
            anyone, self._anyone = self._anyone, None
            return Anyone(anyone)
        if self._reserved and not self.lost:
            self._reserved = False
            return Reserved()
        return self.waiting.popleft() if self.waiting else None


async def stream(
    request: web.Request, desk: Desk, texts: Texts, caller: Caller, names: dict[str, str]
) -> web.StreamResponse:
    """
    Send events until the client, its rights or the server end.

    Args:
        request: What asks for them; its `Last-Event-ID` is where to go on.
        desk: Where a watcher is entered.
        texts: Those of all streams.
        caller: Whose it is.
        names: Filters.

    Raises:
        ProblemError: If there are too many streams.
    """
    queue = Stream()
    watcher = desk.watcher(caller, queue)
    try:
        instance, since = _last_of(request.headers.get("Last-Event-ID", ""))
        watch = m.WatchReaders(since=since, instance=instance, **names)  # type: ignore[arg-type]
        ack = await watcher.ask(watch, m.WatchReadersAck, _LOOK_S)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        await _write(request, response, f"retry: {RETRY_MS}\n\n".encode())
        try:
            if ack.readers is not None:
                await _snapshot(request, response, watcher, ack, names)
            await _follow(request, response, queue, texts, ack.instance)
        except ProblemError as exc:
            told = {"code": exc.problem.code, "detail": exc.problem.detail}
            await _write(request, response, _event("end", told))
        await response.write_eof()
    finally:
        desk.gone(watcher)
    return response


async def _follow(
    request: web.Request,
    response: web.StreamResponse,
    queue: Stream,
    texts: Texts,
    instance: str,
) -> None:
    """Send each change, until there is nothing more to be sent."""
    while True:
        message = await queue.next()
        if queue.lost:
            await _write(request, response, _event("lost", {}))
            return
        if message is None:
            await _write(request, response, b": \n\n")
        elif isinstance(message, Anyone):
            await _write(request, response, _event("waiting", message))
        elif isinstance(message, Reserved):
            await _write(request, response, _event("reservations", message))
        elif isinstance(message, m.ReaderEvent):
            id_ = f"id: {instance}:{message.seq}\n".encode()
            await _write(request, response, id_ + texts.of(message))
        elif isinstance(message, m.Error | m.Restarting):
            await _write(request, response, _event("end", _why(message)))
            return


async def _snapshot(
    request: web.Request,
    response: web.StreamResponse,
    watcher: Insider,
    ack: m.WatchReadersAck,
    names: dict[str, str],
) -> None:
    """
    Send all readers, some in each event; changes that come meanwhile follow them.

    The last of these events alone has an id: whoever has not seen it has not seen all.
    """
    readers, after = ack.readers or (), ack.next
    while after is not None:
        await _write(request, response, _event("snapshot", _page(readers, more=True)))
        asked = m.ListReaders(after=after, **names)  # type: ignore[arg-type]  # texts by name
        page = await watcher.ask(asked, m.ListReadersAck, _LOOK_S)
        readers, after = page.readers, page.next
    last = _event("snapshot", _page(readers, more=False), f"{ack.instance}:{ack.seq}")
    await _write(request, response, last)


def _page(readers: Sequence[ReaderView], *, more: bool) -> dict[str, object]:
    return {"readers": [views.reader(view) for view in readers], "more": more}


def _why(message: m.Error | m.Restarting) -> dict[str, Any]:
    if isinstance(message, m.Error):
        return {"code": of_error(message).code, "detail": message.message}
    return {"code": str(ErrorCode.SHUTTING_DOWN), "detail": "The server is about to restart."}


def _event(name: str, data: object, id_: str | None = None) -> bytes:
    """Return an event; its data is JSON, which has no end of line."""
    text = msgspec.json.encode(data, enc_hook=encode_octets)
    head = f"id: {id_}\n" if id_ is not None else ""
    return head.encode() + f"event: {name}\ndata: ".encode() + text + b"\n\n"


async def _write(request: web.Request, response: web.StreamResponse, octets: bytes) -> None:
    """Write, and break the connection of a client that does not read."""
    try:
        async with asyncio.timeout(WRITE_S):
            await response.write(octets)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("The client does not read.") from None


def _last_of(text: str) -> tuple[str | None, int | None]:
    """Return the run and the number of an event id; None of a text that is none."""
    instance, _, number = text.rpartition(":")
    if not instance or len(text) > 128 or not (number.isascii() and number.isdigit()):
        return None, None
    seq = int(number)
    return (instance, seq) if seq <= 2**53 - 1 else (None, None)
