# SPDX-License-Identifier: Apache-2.0
"""The REST interface: each operation of `routes` asks the relay as any user does."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import web

from wsrc import __version__
from wsrc.card.slot import Disposition
from wsrc.errors import ErrorCode
from wsrc.protocol import messages as m
from wsrc.protocol.reader_events import ReaderView
from wsrc.server.answering import Answering
from wsrc.server.http import values as v, views
from wsrc.server.http.audit_tail import last_lines
from wsrc.server.http.desk import GRACE_S, Caller, Desk, Held
from wsrc.server.http.doorman import Doorman, Visit, body_of, json_of
from wsrc.server.http.events import Texts, stream
from wsrc.server.http.farm_api import LOOK_S, FarmApi
from wsrc.server.http.insider import A
from wsrc.server.http.openapi import document
from wsrc.server.http.problems import of_error, problem
from wsrc.server.http.queries import Query, count_in, filters_in, query_of
from wsrc.server.http.routes import BASE, ROUTES, Route
from wsrc.server.peers import Peers
from wsrc.server.token_table import TokenTable
from wsrc.server.turns import Line

# Longer than the aim: each operation has its method here.

STEPS = 8
"""Answers of the relay that are looked at for one page of a list."""

MOST_STEPS = 1_000
"""Answers of the relay that are looked at for all hosts."""

T = TypeVar("T")


class Api:
    """
    The operations.

    Args:
        doorman: Says who asks.
        desk: Has what belongs to whom.
        peers: The relay.
        tokens: Those of the server, if it has some.
        audit_dir: Where its audit log is, if there is one.
        farm: The operations for a farm of cards.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what the operations take, each once
        self,
        doorman: Doorman,
        desk: Desk,
        peers: Peers,
        tokens: TokenTable | None,
        audit_dir: Path | None,
        farm: FarmApi,
    ) -> None:
        self._doorman = doorman
        self._desk = desk
        self._peers = peers
        self._tokens = tokens
        self._audit_dir = audit_dir
        self._farm = farm
        self._texts = Texts()
        self._line = Line(asyncio.get_running_loop())
        self._document = document(__version__)

    def add_to(self, answering: Answering) -> None:
        """Add every operation, and the document of them."""
        for route in ROUTES:
            of = self if hasattr(self, route.name) else self._farm
            operation = getattr(of, route.name)
            answering.add(route.method, BASE + route.path, self._handler(route, operation))
        answering.add("GET", f"{BASE}/openapi.json", self._openapi)

    def _handler(
        self, route: Route, operation: Callable[..., Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            visit = await self._doorman.admit(request)
            if route.operator:
                self._refuse_others(visit)
            query = query_of(request, route.query)
            octets = request.content_length or 0
            who = visit.admitted, visit.address, octets
            async with self._desk.visit(*who, local=visit.local) as caller:
                return await operation(request, caller, query)

        return handle

    def _refuse_others(self, visit: Visit) -> None:
        who = visit.admitted.principal
        if not self._peers.relay.may_operate(who, direct=visit.local):
            why = "That is for operators: who has the verb admin for every card, by the policy."
            raise problem(403, ErrorCode.FORBIDDEN, why)

    async def _openapi(self, request: web.Request) -> web.Response:
        await self._doorman.admit(request)
        return json_of(self._document)

    # What there is

    async def list_cards(self, _: web.Request, caller: Caller, query: Query) -> web.Response:
        """Return cards."""
        cards, after = await self._page(caller, query, views.card)
        return json_of(v.Cards(cards=cards, next=after))

    async def list_readers(self, _: web.Request, caller: Caller, query: Query) -> web.Response:
        """Return readers."""
        readers, after = await self._page(caller, query, views.reader)
        return json_of(v.Readers(readers=readers, next=after))

    async def list_leases(self, _: web.Request, caller: Caller, query: Query) -> web.Response:
        """Return leases."""
        leases, after = await self._page(caller, query, views.lease)
        return json_of(v.Leases(leases=leases, next=after))

    async def list_hosts(self, _: web.Request, caller: Caller, query: Query) -> web.Response:
        """Return hosts."""
        seen: list[ReaderView] = []
        after: int | None = 0
        for _step in range(MOST_STEPS):
            if after is None:
                break
            found, after = await self._look(caller, query, after)
            seen += found
            await self._line.wait(rest=True)
        return json_of(v.Hosts(hosts=views.hosts(seen)))

    async def _page(
        self, caller: Caller, query: Query, show: Callable[[ReaderView], T | None]
    ) -> tuple[tuple[T, ...], int | None]:
        """Return what is shown of readers, and after which number to go on, if so."""
        after: int | None = count_in(query, "after", 0)
        limit = count_in(query, "limit", v.LIMIT)
        shown: list[T] = []
        for _ in range(STEPS):
            assert after is not None
            found, on = await self._look(caller, query, after)
            some, stopped = views.some(found, show, limit - len(shown))
            shown += some
            after = on if stopped is None else stopped
            if after is None or stopped is not None or len(shown) == limit:
                break
            await self._line.wait(rest=True)
        return tuple(shown), after

    async def _look(
        self, caller: Caller, query: Query, after: int
    ) -> tuple[tuple[ReaderView, ...], int | None]:
        asked = m.ListReaders(after=after, **filters_in(query))
        ack = await self._desk.looker(caller).ask(asked, m.ListReadersAck, LOOK_S)
        return ack.readers, ack.next

    async def events(
        self, request: web.Request, caller: Caller, query: Query
    ) -> web.StreamResponse:
        """Send events until the asker has enough."""
        return await stream(request, self._desk, self._texts, caller, filters_in(query))

    # Sessions

    async def list_sessions(self, _: web.Request, caller: Caller, __: Query) -> web.Response:
        """Return the sessions of a visitor."""
        sessions = [
            self._desk.shown(held) for held in caller.visitor.sessions.values() if not held.ends
        ]
        return json_of(v.Sessions(sessions=tuple(sessions)))

    async def connect(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Take a card."""
        wanted = await body_of(request, v.Connect)
        held = await self._desk.connect(caller, wanted)
        session = msgspec.structs.replace(self._desk.shown(held), seal=held.offer)
        response = json_of(session, 201)
        response.headers["Location"] = f"{BASE}/sessions/{held.name}"
        return response

    async def show_session(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Return one session."""
        async with self._desk.using(caller, request.match_info["session"]) as held:
            return json_of(self._desk.shown(held))

    async def disconnect(self, request: web.Request, caller: Caller, query: Query) -> web.Response:
        """Give a card back."""
        disposition = Disposition(str(query.get("disposition", Disposition.RESET)))
        async with self._desk.using(caller, request.match_info["session"]) as held:
            detach = m.Detach(session=held.name, disposition=disposition)
            await held.insider.ask(detach, m.DetachAck, GRACE_S)
            self._desk.release(held)
        return web.Response(status=204)

    async def transmit(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Send a command."""
        async with self._desk.using(caller, request.match_info["session"]) as held:
            asked = await body_of(request, v.Transmit)
            command = m.CApdu(session=held.name, command=asked.command, seq=asked.seq)
            answer = await self._command(held, command, m.RApdu)
        return json_of(views.response(answer))

    async def batch(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Send several commands."""
        async with self._desk.using(caller, request.match_info["session"]) as held:
            asked = await body_of(request, v.Batch)
            steps = tuple(m.Step(each.command, each.expect) for each in asked.steps)
            batch = m.Batch(session=held.name, steps=steps, seq=asked.seq)
            answer = await self._command(held, batch, m.BatchResp)
        results = tuple(map(views.response, answer.results))
        wrong = of_error(answer.error) if answer.error is not None else None
        return json_of(v.BatchResponse(results=results, stopped=answer.stopped, problem=wrong))

    async def reset(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Reset a card."""
        async with self._desk.using(caller, request.match_info["session"]) as held:
            asked = await body_of(request, v.Reset)
            reset = m.ResetReq(session=held.name, kind=asked.kind, seq=asked.seq)
            answer = await self._command(held, reset, m.ResetResp)
        return json_of(v.WasReset(atr=answer.atr, protocol=answer.protocol))

    async def control(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Send a control code."""
        async with self._desk.using(caller, request.match_info["session"]) as held:
            asked = await body_of(request, v.Control)
            control = m.Control(
                session=held.name, number=asked.number, data=asked.data, seq=asked.seq
            )
            answer = await self._command(held, control, m.ControlAck)
        return json_of(v.Controlled(response=answer.response))

    async def pass_sealed(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Send what only the card host can read."""
        async with self._desk.using(caller, request.match_info["session"]) as held:
            asked = await body_of(request, v.SealedRequest)
            sealed = m.Sealed(session=held.name, **msgspec.structs.asdict(asked))
            answer = await self._command(held, sealed, m.SealedResp)
        return json_of(v.SealedAnswer(of=answer.of, box=answer.box))

    async def _command(self, held: Held, request: m.Message, kind: type[A]) -> A:
        return await held.insider.ask(request, kind, 2 * self._desk.times.command_s + GRACE_S)

    # What is the operator's

    async def list_tokens(self, _: web.Request, __: Caller, ___: Query) -> web.Response:
        """Return all tokens, without what they are."""
        stored = self._tokens.all if self._tokens is not None else ()
        return json_of(v.Tokens(tokens=tuple(map(views.token, stored))))

    async def audit_tail(self, _: web.Request, __: Caller, query: Query) -> web.Response:
        """Return the last lines of the audit log."""
        folder, limit = self._audit_dir, count_in(query, "limit", v.LIMIT)
        if folder is None:
            raise problem(404, "no_audit_log", "This server keeps no audit log; set audit_dir.")
        try:
            about = str(query["card"]) if "card" in query else None
            lines = await asyncio.to_thread(last_lines, folder, "wsrc-server", limit, about)
        except OSError as exc:
            why = f"The audit log cannot be read: {exc.strerror}."
            raise problem(500, ErrorCode.INTERNAL, why) from exc
        return json_of(v.AuditTail(lines=tuple(lines)))
