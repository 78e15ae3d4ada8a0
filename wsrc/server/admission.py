# SPDX-License-Identifier: Apache-2.0
"""
Who is let in: by a certificate, a token or an identity provider, or because nobody is asked.

What a peer shows is never passed over: one with a good certificate and a wrong token is refused.
"""

import math
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from wsrc.net.addresses import group_of, is_in
from wsrc.net.answers import Reason
from wsrc.net.certificates import Subject
from wsrc.principal import AT, Principal
from wsrc.protocol.messages import ClientType
from wsrc.server.connection import Connection
from wsrc.server.refusals import NotAdmittedError
from wsrc.server.tls import ServerTls
from wsrc.server.token_table import TokenTable
from wsrc.settings.load import ServerSettings
from wsrc.tokens import PREFIX, is_token

if TYPE_CHECKING:
    from wsrc.server.provider import Provider

_WORDS = {ClientType.USER: "a user", ClientType.CARD: "a card host"}

SHOWN_NOTHING = frozenset(
    {Reason.NO_CERTIFICATE, Reason.NO_BEARER, Reason.NOTHING_SHOWN, Reason.NO_KEYS}
)
"""Reasons of whoever is not trying what lets them in."""


class Admitted(NamedTuple):
    """
    Who a peer is, and for how long.

    Attributes:
        principal: Who it is; None where nobody is asked.
        subject: Whom its certificate is of, if it has shown one.
        token: Number of its token, if it has sent one.
        until: When it must be gone, in seconds of UTC, if that is set.
        ends: What of it ends then, for people.
    """

    principal: Principal | None = None
    subject: Subject | None = None
    token: int | None = None
    until: float | None = None
    ends: str = "token"


class Admission:
    """
    Decides who is let in.

    Args:
        tls: Whose certificates let in.
        tokens: The tokens that do, if any may.
        provider: The identity provider whose JWTs do, if there is one.
        settings: Which peers of the first form are let in, which send no header.
    """

    def __init__(
        self,
        tls: ServerTls,
        tokens: TokenTable | None,
        provider: "Provider | None",
        settings: ServerSettings,
    ) -> None:
        self._tls = tls
        self._tokens = tokens
        self._provider = provider
        self._networks = [ip_network(each) for each in settings.first_form_from]
        self._token_in_url = settings.first_form_token_in_url

    async def admit(
        self, request: web.Request, connection: Connection, role: ClientType
    ) -> Admitted:
        """
        Return who a peer is that asks for a WebSocket.

        Raises:
            NotAdmittedError: If it is not let in.
        """
        subject, by_token = await self._shown(request, connection, role)
        if by_token is None and subject is None and not _offers_ours(request):
            by_token = await self._as_first_form(request, connection.address, role)
        return self._found(subject, by_token, role)

    async def admit_over_http(self, request: web.Request, connection: Connection) -> Admitted:
        """
        Return which user a request is of, that stays with HTTP.

        Raises:
            NotAdmittedError: If it is of nobody who is let in.
        """
        return self._found(*await self._shown(request, connection, ClientType.USER))

    async def _shown(
        self, request: web.Request, connection: Connection, role: ClientType
    ) -> tuple[Subject | None, Admitted | None]:
        """Return whom a certificate is of, and who a token or a JWT says that it is."""
        assert connection.transport is not None
        subject = self._tls.admitted(connection.transport, role, datetime.now(UTC))
        shown = _bearer_of(request) if self._takes_bearers else None
        return subject, None if shown is None else await self._by_bearer(shown, role)

    def _found(
        self, subject: Subject | None, by_token: Admitted | None, role: ClientType = ClientType.USER
    ) -> Admitted:
        if subject is None:
            return by_token or self._unknown(role)
        end = subject.ends.timestamp()
        by_certificate = Admitted(Principal(subject.name), subject, None, end, "certificate")
        return by_certificate if by_token is None else _both(by_certificate, by_token)

    @property
    def _takes_bearers(self) -> bool:
        return self._tokens is not None or self._provider is not None

    async def _by_bearer(self, shown: str, role: ClientType) -> Admitted:
        """Return who a peer is by what it has sent as RFC 6750 has it."""
        if self._provider is None or shown.startswith(PREFIX):
            return await self._by_token(shown, role, datetime.now(UTC).timestamp())
        principal, until = await self._provider.admitted(shown, role)
        return Admitted(principal, until=until)

    async def _as_first_form(
        self, request: web.Request, address: str, role: ClientType
    ) -> Admitted | None:
        """Return who a peer is that may be one of the first form, and will have to be."""
        shown = request.query.getall("token", []) if self._token_in_url else []
        if len(shown) > 1:
            raise NotAdmittedError(Reason.UNKNOWN_BEARER, "it has several tokens in its URL")
        if shown:
            found = await self._by_token(shown[0], role, datetime.now(UTC).timestamp())
            assert found.principal is not None
            return found._replace(principal=found.principal._replace(first_form=True))
        if self._networks and is_in(address, self._networks):
            return Admitted(Principal(f"{AT}{address}", first_form=True))
        return None

    def is_over(self, shown: Connection | Admitted) -> str | None:
        """Return what of a peer was revoked since it was let in, for people."""
        subject, token = shown.subject, shown.token
        if subject is not None and self._tls.is_revoked(subject):
            return "certificate"
        if token is not None and self._tokens is not None and token not in self._tokens:
            return "token"
        return None

    async def _by_token(self, shown: str, role: ClientType, now: float) -> Admitted:
        tokens = self._tokens
        if tokens is None or not shown.startswith(PREFIX):
            raise NotAdmittedError(Reason.UNKNOWN_BEARER, "its token is none of this server's")
        if not is_token(shown):
            raise NotAdmittedError(Reason.UNKNOWN_BEARER, "its token is not whole")
        found = await tokens.find_anew(shown, now)
        if found is None:
            raise NotAdmittedError(Reason.UNKNOWN_BEARER, "its token is unknown, or was revoked")
        whose = f"token {found.number} of {found.name}"
        if found.expires is not None and found.expires <= now:
            raise NotAdmittedError(Reason.EXPIRED_BEARER, f"{whose} has expired")
        if found.role is not role:
            why = f"{whose} is one of {_WORDS[found.role]}, not of {_WORDS[role]}"
            raise NotAdmittedError(Reason.BEARER_OF_OTHER_ROLE, why)
        return Admitted(Principal(found.name), None, found.number, found.expires)

    def _unknown(self, role: ClientType) -> Admitted:
        """Let in who has shown nothing, if nobody is asked."""
        by_certificate = self._tls.asks(role)
        if by_certificate and self._takes_bearers:
            why = "it has neither a certificate nor a token"
            raise NotAdmittedError(Reason.NOTHING_SHOWN, why)
        if by_certificate:
            raise NotAdmittedError(Reason.NO_CERTIFICATE, "it has no certificate")
        if self._takes_bearers:
            raise NotAdmittedError(Reason.NO_BEARER, "it has no token")
        return Admitted()


def _both(one: Admitted, other: Admitted) -> Admitted:
    """Return who shows a certificate and sends a token, which must be of one principal."""
    assert one.principal is not None
    assert other.principal is not None
    if one.principal.name != other.principal.name:
        why = f"its certificate is of {one.principal.name}, and its token of {other.principal.name}"
        raise NotAdmittedError(Reason.TWO_NAMES, why)
    first = min((one, other), key=lambda each: math.inf if each.until is None else each.until)
    return other._replace(subject=one.subject, until=first.until, ends=first.ends)


def account_of(principal: Principal, address: str) -> str:
    """Return under which name a peer is limited: one of many addresses cannot choose it."""
    return f"{AT}{group_of(address)}" if principal.name.startswith(AT) else principal.name


def _offers_ours(request: web.Request) -> bool:
    """Return whether a peer offers our subprotocol, which the first form does not know."""
    return bool(request.headers.getall("Sec-WebSocket-Protocol", ()))


def _bearer_of(request: web.Request) -> str | None:
    """Return the token of a request (RFC 6750 section 2.1), if it has one."""
    values = request.headers.getall("Authorization", ())
    if len(values) > 1:
        raise NotAdmittedError(Reason.UNKNOWN_BEARER, "it has sent several tokens")
    for value in values:
        scheme, _, token = value.partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
    return None
