# SPDX-License-Identifier: Apache-2.0
"""Operations of the REST interface for those who run a farm of cards, and for its page."""

import asyncio
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
from aiohttp import web

from wsrc import __version__
from wsrc.card.atr import read_atr
from wsrc.errors import BadHexError, ErrorCode
from wsrc.octets import Octets, from_wire
from wsrc.protocol import messages as m
from wsrc.server.http import farm_values as f, views
from wsrc.server.http.activity import Activity
from wsrc.server.http.desk import Caller, Desk, card_of
from wsrc.server.http.doorman import body_of, json_of
from wsrc.server.http.logins import Logins
from wsrc.server.http.problems import problem
from wsrc.server.http.queries import Query, count_in, filters_in
from wsrc.server.http.values import Selecting
from wsrc.server.peers import Peers

MOST_DIGITS = 15
"""Digits of the number of a reservation."""

LOOK_S = 30.0
"""How long the relay may take for what needs no card, in seconds."""


class FarmApi:
    """
    The operations; `Api` says what each is given.

    Args:
        desk: Has the user of the relay by whom a visitor asks.
        peers: The relay.
        logins: Cookies.
        activity: What went through the server.
    """

    def __init__(self, desk: Desk, peers: Peers, logins: Logins, activity: Activity) -> None:
        self._desk = desk
        self._peers = peers
        self._logins = logins
        self._activity = activity

    async def list_uses(self, _: web.Request, caller: Caller, query: Query) -> web.Response:
        """Return who has which cards."""
        only = query.get("only")
        who = m.Who(
            free=only == "free",
            busy=only == "busy",
            holder=str(query["holder"]) if "holder" in query else None,
            after=count_in(query, "after", 0),
            **filters_in(query),
        )
        ack = await self._desk.looker(caller).ask(who, m.WhoAck, LOOK_S)
        uses = [_use(each) for each in ack.cards if each.waiting or "waited" not in query]
        return json_of(f.Uses(uses=tuple(uses), next=ack.next))

    async def revoke(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Take a card back."""
        asked = await body_of(request, f.Revoke)
        revoke = m.Revoke(holder=asked.holder, why=asked.why, **_selection(asked))
        ack = await self._desk.looker(caller).ask(revoke, m.RevokeAck, LOOK_S)
        return json_of(f.Revoked(holders=ack.holders))

    async def set_tags(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Set tags of a card."""
        asked = await body_of(request, f.SetTags)
        change = m.SetTags(set=asked.set, unset=asked.unset, **_selection(asked))
        ack = await self._desk.looker(caller).ask(change, m.SetTagsAck, LOOK_S)
        return json_of(views.reader(ack.reader))

    async def set_comment(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Note something of a card."""
        asked = await body_of(request, f.SetComment)
        change = m.SetComment(comment=asked.comment, **_selection(asked))
        ack = await self._desk.looker(caller).ask(change, m.SetCommentAck, LOOK_S)
        return json_of(views.reader(ack.reader))

    async def list_reservations(self, _: web.Request, caller: Caller, query: Query) -> web.Response:
        """Return reservations."""
        asked = m.ListReservations(after=count_in(query, "after", 0))
        ack = await self._desk.looker(caller).ask(asked, m.ListReservationsAck, LOOK_S)
        return json_of(f.Reservations(reservations=ack.reservations, next=ack.next))

    async def reserve(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Have a card kept for a time."""
        asked = await body_of(request, f.Reserve)
        reserve = m.Reserve(
            pick=asked.pick,
            begins=asked.begins,
            for_s=asked.for_s,
            priority=asked.priority,
            **_selection(asked),
        )
        ack = await self._desk.looker(caller).ask(reserve, m.ReserveAck, LOOK_S)
        return json_of(f.Reserved(reservation=ack.reservation, token=ack.token), 201)

    async def cancel_reservation(
        self, request: web.Request, caller: Caller, _: Query
    ) -> web.Response:
        """Give a reservation up."""
        text = request.match_info["number"]
        number = int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else 0
        asked = m.CancelReservation(number=number)
        await self._desk.looker(caller).ask(asked, m.CancelReservationAck, LOOK_S)
        return web.Response(status=204)

    async def drain(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Begin no session on the cards of a host any more."""
        asked = await body_of(request, f.Drain)
        drain = m.Drain(host=asked.host, why=asked.why)
        ack = await self._desk.looker(caller).ask(drain, m.DrainAck, LOOK_S)
        return json_of(f.Drained(sessions=ack.sessions))

    async def undrain(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Let the cards of a host be had again."""
        asked = await body_of(request, f.Undrain)
        await self._desk.looker(caller).ask(m.Undrain(host=asked.host), m.UndrainAck, LOOK_S)
        return web.Response(status=204)

    async def list_peers(self, _: web.Request, caller: Caller, query: Query) -> web.Response:
        """Return connections of the server."""
        asked = m.ListPeers(after=count_in(query, "after", 0))
        ack = await self._desk.looker(caller).ask(asked, m.ListPeersAck, LOOK_S)
        peers = f.Peers(
            peers=ack.peers, next=ack.next, unanswered=ack.unanswered, drained=ack.drained
        )
        return json_of(peers)

    async def show_activity(self, _: web.Request, __: Caller, query: Query) -> web.Response:
        """Return what went through the server."""
        activity, most = self._activity, count_in(query, "minutes", 1440)
        first = max(0, len(activity.requests) - most)
        ago_s = asyncio.get_running_loop().time() - activity.ended
        now = activity.so_far()
        return json_of(
            f.Activity(
                until=views.utc(datetime.now(UTC).timestamp() - ago_s),
                commands=tuple(islice(activity.requests, first, None)),
                busy=tuple(islice(activity.sessions, first, None)),
                commands_now=now.requests,
                busy_now=now.sessions,
            )
        )

    async def list_status_words(self, _: web.Request, __: Caller, ___: Query) -> web.Response:
        """Return what status words say, to who does not want to tell which came."""
        return json_of(views.status_words())

    async def read_atr(self, _: web.Request, __: Caller, query: Query) -> web.Response:
        """Return what an answer to reset says."""
        try:
            atr = from_wire(str(query.get("atr", "")))
        except BadHexError as exc:
            raise problem(400, ErrorCode.BAD_HEX, f"Octets are wrong: {exc}.") from exc
        facts = read_atr(atr) if len(atr) >= 2 else None
        if facts is None:
            why = "That is no answer to reset: it ends too early (ISO/IEC 7816-3 clause 8.2)."
            raise problem(400, ErrorCode.BAD_MESSAGE, why)
        protocols, historical, uicc, euicc = facts
        said = f.AtrMeaning(
            protocols=protocols, historical=Octets(historical), uicc=uicc, euicc=euicc
        )
        return json_of(said)

    async def show_me(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Return who asks."""
        who = caller.admitted.principal
        me = f.Me(
            principal=who.name if who is not None else None,
            operator=self._peers.relay.may_operate(who, direct=caller.local),
            logged_in=self._logins.way(request) is not None,
            version=__version__,
        )
        return json_of(me)

    async def login(self, request: web.Request, caller: Caller, _: Query) -> web.Response:
        """Give a cookie for what else lets in, which is not another cookie."""
        if self._logins.way(request) is not None:
            why = "Show a token in Authorization; a cookie is not given for a cookie."
            raise problem(400, ErrorCode.BAD_MESSAGE, why)
        response = web.Response()
        until = self._logins.begin(request, response, caller.admitted)
        who = caller.admitted.principal
        said = f.LoggedIn(principal=who.name if who is not None else None, until=views.utc(until))
        response.body, response.content_type = msgspec.json.encode(said), "application/json"
        return response

    async def logout(self, request: web.Request, _: Caller, __: Query) -> web.Response:
        """Let the cookie of a request be good no more."""
        response = web.Response(status=204)
        self._logins.end(request, response)
        return response


def _selection(asked: Selecting) -> dict[str, Any]:
    """Return which card is meant, as the messages of the protocol have it."""
    return {name: getattr(asked, name) for name in Selecting.__struct_fields__}


def _use(use: m.CardUse) -> f.Use:
    return f.Use(
        card=card_of(use.card),
        holders=use.holders,
        waiting=use.waiting,
        waiters=use.waiters,
        lent=use.lent,
    )
