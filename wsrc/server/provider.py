# SPDX-License-Identifier: Apache-2.0
"""An identity provider: whose JWTs say who a peer is (OpenID Connect Core 1.0, RFC 8725)."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jwt
import msgspec

from wsrc.net.answers import Reason
from wsrc.principal import Principal, is_name
from wsrc.protocol.messages import ClientType
from wsrc.server.issuer_keys import ALGORITHMS, IssuerKeys
from wsrc.server.refusals import NotAdmittedError
from wsrc.settings.load import ServerSettings

LEEWAY_S = 30.0
"""How far the clocks of issuer and server may be apart."""

MAX_GROUPS = 1000

_ODD = (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError)
"""What PyJWT raises of what somebody has sent."""

_WHY = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet; check the clocks of issuer and server",
    jwt.InvalidAudienceError: "it is for another audience than oidc_audience",
    jwt.InvalidIssuerError: "it is of another issuer than oidc_issuer",
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.MissingRequiredClaimError: "it lacks one of the claims exp, iss and aud",
}


class Shown(NamedTuple):
    """Who a JWT is of, and when it ends, in seconds of UTC."""

    principal: Principal
    until: float


class Provider:
    """
    Checks JWTs of one issuer.

    Args:
        settings: Which, and what its claims mean.
        keys: Of the issuer.
    """

    def __init__(self, settings: ServerSettings, keys: IssuerKeys) -> None:
        self._settings = settings
        self.keys = keys

    async def admitted(self, token: str, role: ClientType) -> Shown:
        """
        Return who a peer is by a JWT.

        Raises:
            NotAdmittedError: If it is not one of the issuer for us, not valid now, or not for this
                port. No sentence has any of it but a name that was checked.
        """
        claims = await self._claims(token)
        principal = self._principal(claims)
        group = self._settings.oidc_card_group
        is_host = bool(group) and group in principal.groups
        if is_host is not (role is ClientType.CARD):
            why = f"{principal.name} is {'a' if is_host else 'no'} card host, by oidc_card_group"
            raise NotAdmittedError(Reason.BEARER_OF_OTHER_ROLE, why)
        try:
            return Shown(principal, float(claims["exp"]) + LEEWAY_S)
        except _ODD:
            raise _bad("it is broken") from None

    async def _claims(self, token: str) -> Mapping[str, Any]:
        algorithm, kid = _header(token)
        key = await self.keys.find(kid, algorithm)
        if key is None and not self.keys.there:
            why = "there are no keys of oidc_issuer to check it with"
            raise NotAdmittedError(Reason.NO_KEYS, f"its token cannot be checked: {why}")
        if key is None:
            raise _bad("it is signed with a key that oidc_issuer does not have")
        try:
            return jwt.decode(
                token,
                key.public,
                algorithms=[algorithm],
                audience=self._settings.oidc_audience,
                issuer=self._settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except _ODD as exc:
            why = next((why for kind, why in _WHY.items() if isinstance(exc, kind)), "it is broken")
            expired = isinstance(exc, jwt.ExpiredSignatureError)
            raise _bad(why, Reason.EXPIRED_BEARER if expired else Reason.BAD_BEARER) from None

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        settings = self._settings
        claim = settings.oidc_name_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not is_name(name):
            raise _bad(f"its claim {claim} is no name that can be shown")
        if claim == "email" and claims.get("email_verified", True) not in {True, "true"}:
            raise _bad("its issuer has not verified the e-mail address in it")
        return Principal(name, _groups(claims, settings.oidc_groups_claim))


def _header(token: str) -> tuple[str, str | None]:
    """Return algorithm and key id of a JWT, neither of which is checked yet."""
    first, *others = token.split(".")
    try:
        octets = base64.urlsafe_b64decode(first + "=" * (-len(first) % 4))
        header = msgspec.json.decode(octets, type=dict[str, object])
    except (ValueError, RecursionError):
        header = {}
    if not header or len(others) != 2:
        raise _bad("it is neither a token of wsrc-server nor a signed JWT")
    if "crit" in header:  # RFC 7515 section 4.1.11: there is none that is understood here
        raise _bad("it has a header that must be understood and is not")
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise _bad("its algorithm is none with a public key")
    if not isinstance(kid, str | None):
        raise _bad("its key id is no text")
    return str(algorithm), kid


def _groups(claims: Mapping[str, Any], claim: str) -> frozenset[str]:
    said = claims.get(claim, [])
    if not isinstance(said, list) or len(cast("list[object]", said)) > MAX_GROUPS:
        raise _bad(f"its claim {claim} is no list of groups")
    groups = cast("list[object]", said)
    if not all(isinstance(each, str) and is_name(each) for each in groups):
        raise _bad(f"its claim {claim} is no list of groups")
    return frozenset(cast("list[str]", groups))


def _bad(why: str, reason: Reason = Reason.BAD_BEARER) -> NotAdmittedError:
    return NotAdmittedError(reason, f"its token is not accepted: {why}")
