# SPDX-License-Identifier: Apache-2.0
"""Lets requests in: by the credentials of the port for users, and none for another's web page."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_network
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from wsrc.errors import BadHexError, ErrorCode
from wsrc.net.addresses import ip_of
from wsrc.net.answers import REASON
from wsrc.protocol.codec import decode_octets, encode_octets
from wsrc.server.admission import SHOWN_NOTHING, Admission, Admitted
from wsrc.server.connection import Connection, address_of, connection_of
from wsrc.server.door import Door
from wsrc.server.forwarded import UnclearError, is_passed_on
from wsrc.server.http.problems import ProblemError, problem
from wsrc.server.http.routes import JSON, PROBLEM
from wsrc.server.http.values import Problem
from wsrc.server.limits import Limit, Quotas
from wsrc.server.refusals import KeptOut, NotAdmittedError, Refusals
from wsrc.server.turns import Line
from wsrc.settings.hosts import host_in, hosts_of, is_loopback
from wsrc.settings.load import ServerSettings

_log = logging.getLogger(__name__)

BODY_S = 10.0
"""How long the body of a request may take to come."""

FULL_S = 5.0
"""After how many seconds a client that finds the server full is to come again."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""What every answer has that says nothing else; pages have theirs."""

T = TypeVar("T")

Way = Callable[[web.Request], Admitted | None]
"""Another way to say who a request is of, such as a cookie; it may raise ProblemError."""


class Visit(NamedTuple):
    """Who a request is of, and where it is from."""

    admitted: Admitted
    address: str
    local: bool = False
    """Whether it is of a program of this host, for all that is known."""


class Doorman:
    """
    Decides about requests.

    Args:
        settings: Where HTTP is served, and which proxies are believed.
        admission: Who is let in.
        quotas: Counts what each may use.
        refusals: Says who is refused.
        door: Where the connections come from.
        peers: Most connections.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a decision takes, each once
        self,
        settings: ServerSettings,
        admission: Admission,
        quotas: Quotas,
        refusals: Refusals,
        door: Door,
        peers: int,
    ) -> None:
        self.ways: list[Way] = []
        """Looked at first, in their order."""
        self._admission = admission
        self._quotas = quotas
        self._refusals = refusals
        self._door = door
        self._most = peers
        self._line = Line(asyncio.get_running_loop())
        self._proxies = [ip_network(each) for each in settings.trusted_proxies]
        hosts = hosts_of(settings.http_host)
        self._names = frozenset(map(str.lower, (*hosts, *settings.http_names)))
        self._local = all(map(is_loopback, hosts))

    async def told(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer what is refused as a problem, and tell the log of it."""
        try:
            await self._line.wait(rest=True)
            self._check(request)
            response = await handler(request)
        except ProblemError as exc:
            response = answer_of(exc.problem)
        except NotAdmittedError as exc:
            response = self._not_admitted(request, exc)
        except web.HTTPException as exc:
            response = answer_of(_of_status(exc))
            response.headers.update({k: v for k, v in exc.headers.items() if k == "Allow"})
        except ConnectionError:
            raise  # there is nobody to be answered
        except UnicodeError:
            response = answer_of(_bad("The request is not in UTF-8.").problem)
        except Exception:  # noqa: BLE001 - a bug ends one request
            _log.exception("A request over HTTP could not be answered")
            why = "The server has a bug; its log says more."
            response = answer_of(problem(500, ErrorCode.INTERNAL, why, outcome="unknown").problem)
        if not response.prepared:
            for name, value in _HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def admit(self, request: web.Request) -> Visit:
        """
        Return who a request is of.

        Raises:
            ProblemError: If it is of a page of another site, or from nowhere.
            NotAdmittedError: If its credentials do not let it in.
        """
        refuse_foreign(request)
        connection = self._connection(request)
        address = self.address(request)
        local = self.is_local(request) and is_loopback(host_in(request.host))
        for way in self.ways:
            found = way(request)
            if found is not None:
                return Visit(found, address, local)
        admitted = await self._admission.admit_over_http(request, connection)
        return Visit(admitted, address, local)

    def address(self, request: web.Request) -> str:
        """
        Return where a request is from.

        Raises:
            ProblemError: If that is not clear.
        """
        try:
            return address_of(request, self._connection(request), self._proxies)
        except UnclearError as exc:
            raise _bad(str(exc)) from exc

    def is_local(self, request: web.Request) -> bool:
        """Return whether a request is of a program of this host, which a proxy does not pass on."""
        ip = ip_of(self._connection(request).address)
        return ip is not None and ip.is_loopback and not is_passed_on(request.headers)

    @staticmethod
    def _connection(request: web.Request) -> Connection:
        connection = connection_of(request)
        if connection is None or connection.transport is None:
            raise problem(400, "gone", "The connection is gone.")
        return connection

    def _check(self, request: web.Request) -> None:
        """Refuse what no route may answer, and note that a connection has asked in time."""
        connection = self._connection(request)
        if connection.refusal is not None:
            raise _kept_out(connection.refusal.limit, KeptOut(connection.refusal))
        if not connection.upgraded:
            if self._door.websockets >= self._most:
                self._quotas.bit(Limit.PEERS)
                self._refusals.limited(Limit.PEERS, connection.address)
                why = "The server has reached its limit of peers."
                raise problem(503, "full", why, retry_after_s=FULL_S)
            connection.is_websocket()
        host = host_in(request.host)
        if self._local and not is_loopback(host) and host not in self._names:
            # RFC 9110 section 15.5.20; a page whose name leads here now is of another site.
            why = f"This server is not {host[:100]!r}; name it in http_names if it is."
            raise problem(421, "wrong_host", why)

    def _not_admitted(self, request: web.Request, exc: NotAdmittedError) -> web.Response:
        address = self.address(request)
        if exc.reason not in SHOWN_NOTHING:
            now = asyncio.get_running_loop().time()
            refusal = self._quotas.wrong(address, now)
            if refusal is not None:
                self._refusals.limited(refusal.limit, address)
                return answer_of(_kept_out(refusal.limit, KeptOut(refusal)).problem)
        self._refusals.refused(address, str(exc))
        given = exc.answer
        why = f"Who asks is not let in: {exc}."
        retry_after_s = float(given.headers.get("Retry-After", 0)) or None
        told = problem(given.status, _code_of(exc.reason), why, retry_after_s=retry_after_s).problem
        response = answer_of(told)
        for name in ("WWW-Authenticate", REASON):
            if name in given.headers:
                response.headers[name] = given.headers[name]
        return response


def refuse_foreign(request: web.Request) -> None:
    """
    Refuse a request that a browser makes for a page of another site.

    Raises:
        ProblemError: If it is one.
    """
    why = "Pages of other sites may not use this server."
    if request.headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
        raise problem(403, "foreign_page", why)
    origin = request.headers.get("Origin")
    if origin is not None and _origin_host(origin) != request.host.lower():
        raise problem(403, "foreign_page", why)


async def body_of(request: web.Request, kind: type[T]) -> T:
    """
    Return what a request has in its body.

    Raises:
        ProblemError: If it is no JSON of this kind, or does not come in time.
        web.HTTPException: If it is too long.
    """
    if request.content_type != JSON:
        raise problem(415, "media_type", f"The body is {JSON}, said in Content-Type.")
    try:
        async with asyncio.timeout(BODY_S):
            text = await request.read()
        return msgspec.json.decode(text, type=kind, dec_hook=decode_octets)
    except TimeoutError as exc:
        raise problem(408, "too_slow", "The body did not come in time.") from exc
    except BadHexError as exc:
        raise problem(400, ErrorCode.BAD_HEX, f"Octets are wrong: {exc}.") from exc
    except msgspec.ValidationError as exc:
        raise problem(400, ErrorCode.BAD_MESSAGE, f"The body is wrong: {exc}.") from exc
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise _bad("The body is not JSON in UTF-8, or nested too deeply.") from exc


def answer_of(told: Problem) -> web.Response:
    """Return a problem as an answer."""
    headers: dict[str, str] = {}
    if told.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(told.retry_after_s + 0.5)))
    text = msgspec.json.encode(told)
    return web.Response(status=told.status, body=text, content_type=PROBLEM, headers=headers)


def json_of(value: object, status: int = 200) -> web.Response:
    """Return a value as an answer."""
    text = msgspec.json.encode(value, enc_hook=encode_octets)
    return web.Response(status=status, body=text, content_type=JSON)


def _bad(sentence: str) -> ProblemError:
    return problem(400, ErrorCode.BAD_MESSAGE, sentence)


def _kept_out(limit: Limit, answer: web.Response) -> ProblemError:
    again_s = float(answer.headers.get("Retry-After", 0)) or None
    why = (answer.text or f"{limit} is reached.").strip()
    code = _code_of(answer.headers.get(REASON, str(limit)))
    return problem(answer.status, code, why, retry_after_s=again_s)


def _code_of(reason: str) -> str:
    """Return a reason of the ports as a code of this interface."""
    return reason.replace("-", "_")


def _of_status(exc: web.HTTPException) -> Problem:
    codes = {404: "no_such_path", 405: "no_such_method", 413: "too_long"}
    sentences = {
        404: "There is nothing at this path; /api/v1/openapi.json says what there is.",
        405: "There is no such method for this path.",
        413: "The body is too long.",
    }
    code, why = codes.get(exc.status, "http"), sentences.get(exc.status, exc.reason)
    return problem(exc.status, code, why).problem


def _origin_host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
