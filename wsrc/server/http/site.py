# SPDX-License-Identifier: Apache-2.0
"""All that is served over HTTP, put together: health, metrics, the REST interface, events."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

from aiohttp import web

from wsrc.net.outbox import CLOSE_S
from wsrc.protocol.codec import MAX_MESSAGE_OCTETS
from wsrc.server.admission import Admission
from wsrc.server.answering import Answering
from wsrc.server.door import Door
from wsrc.server.http.activity import Activity, Now
from wsrc.server.http.api import Api
from wsrc.server.http.desk import Desk, Times
from wsrc.server.http.doorman import Doorman, json_of, refuse_foreign
from wsrc.server.http.farm_api import FarmApi
from wsrc.server.http.logins import Logins
from wsrc.server.http.metrics import Figures, Metrics
from wsrc.server.http.page_files import PageFiles
from wsrc.server.http.problems import problem
from wsrc.server.http.values import Ready
from wsrc.server.lag import Lag
from wsrc.server.limits import Quotas
from wsrc.server.peers import Peers
from wsrc.server.refusals import Refusals
from wsrc.server.room import Room
from wsrc.server.token_table import TokenTable
from wsrc.settings.load import ServerSettings

_log = logging.getLogger(__name__)

IDLE_S = 60.0
"""How long a connection is kept open for the next request, in seconds."""

COUNTED_S = 1.0
"""For how many seconds what was counted of all peers and cards is told again."""

INDEX = """\
This is a WSRC relay server: smart cards that are somewhere else.

/healthz               whether the program runs
/readyz                whether it takes clients, and why not
/metrics               for Prometheus
/api/v1/openapi.json   what the REST interface has
"""


class Parts(NamedTuple):
    """What a server is made of, as far as HTTP has to do with it."""

    settings: ServerSettings
    peers: Peers
    quotas: Quotas
    refusals: Refusals
    admission: Admission
    door: Door
    room: Room
    tokens: TokenTable | None
    shared: Callable[[], Mapping[str, int]] = dict[str, int]


class Site:
    """
    What is served over HTTP.

    `doorman.ways` takes other ways to say who asks, such as a cookie.

    Args:
        parts: Of the server.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        s, p = parts.settings, parts
        times = Times(s.http_idle_s, s.attach_s, s.command_s)
        self.doorman = Doorman(s, p.admission, p.quotas, p.refusals, p.door, p.room.peers)
        self.desk = Desk(p.peers, p.quotas, p.refusals, times, p.admission.is_over)
        self.logins = Logins(p.admission.is_over)
        self.doorman.ways.append(self.logins.way)
        self.activity = Activity(self._now)
        farm = FarmApi(self.desk, p.peers, self.logins, self.activity)
        self.api = Api(self.doorman, self.desk, p.peers, p.tokens, s.audit_dir, farm)
        self._page = PageFiles()
        self._metrics = Metrics(self.figures)
        self._lag = Lag()
        self._counted: tuple[float, Mapping[str, int], Mapping[str, int]] | None = None
        self._answering = Answering(self.doorman.told, MAX_MESSAGE_OCTETS)
        self._add_routes()

    async def serve(self) -> web.AppRunner:
        """Begin; return what is to be cleaned up in the end."""
        runner = web.AppRunner(
            self._answering.application,
            access_log=None,
            logger=self._parts.refusals.http_log,
            handle_signals=False,
            handler_cancellation=True,
            shutdown_timeout=CLOSE_S,
            keepalive_timeout=IDLE_S,
            auto_decompress=False,
        )
        await runner.setup()
        self._lag.start()
        self.activity.start()
        return runner

    def close(self) -> None:
        """End all sessions and streams, and each connection once its request is answered."""
        self.desk.close()
        self._lag.stop()
        self.activity.stop()

    def let_go(self) -> None:
        """Forget all that requests were answered by, when what `serve` returned is cleaned up."""
        self._answering.let_go()

    def figures(self) -> Figures:
        """Return what there is to tell now."""
        p, relay = self._parts, self._parts.peers.relay
        counts, roles = self._counts()
        received, sent = p.peers.octets
        handshakes = {
            "accepted": p.door.accepted,
            "refused": p.refusals.refusals,
            "kept_out": p.refusals.kept_out,
        }
        return Figures(
            counts=counts,
            roles=roles,
            tally=relay.tally,
            draining=relay.draining,
            handshakes=handshakes,
            limits=p.quotas.bitten,
            received=received,
            sent=sent,
            http_users=len(self.desk),
            lag_s=self._lag.worst_s,
            beside=self._beside(),
        )

    def why_not_ready(self) -> tuple[str, ...]:
        """Return why the server takes no clients; empty if it does."""
        p = self._parts
        reasons = {
            "it has run out of memory and must be started again": p.peers.broken,
            "it is about to stop": p.peers.stopping,
            "it has as many connections as it may have": p.door.websockets >= p.room.peers,
        }
        return tuple(why for why, holds in reasons.items() if holds)

    def notes(self) -> tuple[str, ...]:
        """Return what an operator should know of a server that takes clients nevertheless."""
        beside = self._beside()
        notes = {
            "NATS is out of reach: only the cards of this server are found": (
                bool(beside) and not beside["connected"]
            ),
            "no other server of the cluster is there": (
                bool(beside) and beside["connected"] > 0 and not beside["nodes"]
            ),
            "what servers share may be out of date, and nothing of it can be changed here": (
                beside.get("shared") == 0
            ),
            "other servers of the cluster have another policy in force": (
                beside.get("other_policy", 0) > 0
            ),
        }
        return tuple(note for note, holds in notes.items() if holds)

    def _beside(self) -> Mapping[str, int]:
        """Return what is known of the other servers, and of what is shared with them, if it is."""
        return {**self._parts.peers.relay.beside, **self._parts.shared()}

    def _counts(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Count peers and cards, once in `COUNTED_S`: that takes longer where there are more."""
        now = asyncio.get_running_loop().time()
        if self._counted is None or self._counted[0] + COUNTED_S <= now:
            relay = self._parts.peers.relay
            self._counted = now, relay.counts, {str(k): n for k, n in relay.roles.items()}
        return self._counted[1], self._counted[2]

    def _now(self) -> Now:
        tally = self._parts.peers.relay.tally
        return Now(sum(tally.outcomes.values()), self._counts()[0]["sessions"])

    def _add_routes(self) -> None:
        add = self._answering.add
        add("GET", "/", self._index, head=True)
        add("GET", "/page/{name}", self._page.file, head=True)
        add("GET", "/healthz", self._healthz, head=True)
        add("GET", "/readyz", self._readyz, head=True)
        add("GET", "/metrics", self._expose, head=True)
        self.api.add_to(self._answering)

    async def _index(self, request: web.Request) -> web.Response:
        """Answer a browser with the page, and a program with what there is."""
        if "text/html" in request.headers.get("Accept", ""):
            return await self._page.index(request)
        return web.Response(text=INDEX)

    async def _healthz(self, _: web.Request) -> web.Response:
        """Answer that the loop runs, which is why there is an answer."""
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        why = self.why_not_ready()
        ready = Ready(ready=not why, why=why, notes=self.notes())
        return json_of(ready, 503 if why else 200)

    async def _expose(self, request: web.Request) -> web.Response:
        """Answer with the metrics, to programs of this host and to operators."""
        refuse_foreign(request)
        if not self.doorman.is_local(request):
            visit = await self.doorman.admit(request)
            who = visit.admitted.principal
            asked = self._parts.settings.asks_who
            relay = self._parts.peers.relay
            if asked and not relay.may_operate(who, direct=visit.local):
                why = "Metrics are for operators: who has the verb admin for every card."
                raise problem(403, "forbidden", why)
        body, kind = self._metrics.latest(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": kind})
