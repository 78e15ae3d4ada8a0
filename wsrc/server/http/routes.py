# SPDX-License-Identifier: Apache-2.0
"""The routes of the REST interface: what each takes and gives, for the server and its document."""

from typing import Final, Literal, NamedTuple

from wsrc.card.slot import Disposition
from wsrc.server.http import farm_values as f, values as v

BASE: Final = "/api/v1"

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
EVENTS: Final = "text/event-stream"


class Param(NamedTuple):
    """
    A parameter in the query.

    Attributes:
        kind: `text`, `count` (a whole number), `word`, one of `words`, or `tag`, KEY=VALUE, which
            may be there several times.
    """

    name: str
    kind: Literal["text", "count", "word", "tag"]
    meaning: str
    least: int = 0
    most: int = 2**53 - 1
    words: tuple[str, ...] = ()


class Route(NamedTuple):
    """
    One operation.

    Attributes:
        method: In upper case.
        path: Below `BASE`; `{session}` is the name of a session, `{number}` that of a reservation.
        name: Of the operation, which is that of its handler.
        summary: What it does, for people.
        answer: What it gives; None for nothing.
        status: Of success.
        body: What it takes, if anything.
        query: Its parameters.
        operator: Whether it is for operators alone.
        media: Type of what it gives.
    """

    method: str
    path: str
    name: str
    summary: str
    answer: type | None
    status: int = 200
    body: type | None = None
    query: tuple[Param, ...] = ()
    operator: bool = False
    media: str = JSON


_LIKE: Final = "`*` stands for any text; spelled as for every list"
NAMES: Final = tuple(
    Param(name, "text", f"{what}; {_LIKE}", most=256)
    for name, what in (
        ("iccid", "ICCID of the card"),
        ("eid", "Any EID of the card"),
        ("atr", "Answer to reset, hexadecimal"),
        ("reader", "Id or name of the reader"),
        ("label", "Label of the card"),
        ("any", "Any of these five"),
    )
)
TAG: Final = Param("tag", "tag", "KEY=VALUE of a tag; several must all hold", most=300)
FILTERS: Final = (*NAMES, TAG)
_AFTER: Final = Param("after", "count", "`next` of the page before")
_LIMIT: Final = Param("limit", "count", "Most things in the answer", least=1, most=v.MAX_LIMIT)
PAGED: Final = (*FILTERS, _AFTER, _LIMIT)

_SESSION: Final = "/sessions/{session}"

ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/cards", "list_cards", "The cards that match", v.Cards, query=PAGED),
    Route("GET", "/readers", "list_readers", "The readers that match", v.Readers, query=PAGED),
    Route("GET", "/hosts", "list_hosts", "The card hosts", v.Hosts, query=FILTERS),
    Route("GET", "/leases", "list_leases", "Who holds which card", v.Leases, query=PAGED),
    Route(
        "GET",
        "/events",
        "events",
        "Readers, cards and leases as they change: server-sent events",
        None,
        query=FILTERS,
        media=EVENTS,
    ),
    Route("GET", "/sessions", "list_sessions", "The asker's own sessions", v.Sessions),
    Route("POST", "/sessions", "connect", "Take a card, freshly reset", v.Session, 201, v.Connect),
    Route("GET", _SESSION, "show_session", "One session", v.Session),
    Route(
        "DELETE",
        _SESSION,
        "disconnect",
        "Give the card back",
        None,
        204,
        query=(
            Param(
                "disposition",
                "word",
                "What is done with a card that others share",
                words=tuple(map(str, Disposition)),
            ),
        ),
    ),
    Route(
        "POST",
        f"{_SESSION}/transmit",
        "transmit",
        "Send a command APDU",
        v.Response,
        body=v.Transmit,
    ),
    Route(
        "POST",
        f"{_SESSION}/batch",
        "batch",
        "Send several, run one after the other at the card host",
        v.BatchResponse,
        body=v.Batch,
    ),
    Route("POST", f"{_SESSION}/reset", "reset", "Reset the card", v.WasReset, body=v.Reset),
    Route(
        "POST",
        f"{_SESSION}/control",
        "control",
        "Send a control code to the reader",
        v.Controlled,
        body=v.Control,
    ),
    Route(
        "POST",
        f"{_SESSION}/sealed",
        "pass_sealed",
        "Send a request of a sealed session",
        v.SealedAnswer,
        body=v.SealedRequest,
    ),
    Route(
        "GET",
        "/uses",
        "list_uses",
        "Who has which card, since when, and who waits for it",
        f.Uses,
        query=(
            *FILTERS,
            Param(
                "only", "word", "Only cards that nobody has, or somebody", words=("free", "busy")
            ),
            Param("holder", "text", "Only cards of this principal or name", most=256),
            Param("waited", "word", "Only cards for which somebody waits", words=("yes",)),
            _AFTER,
        ),
    ),
    Route("POST", "/revoke", "revoke", "Take a card back", f.Revoked, body=f.Revoke),
    Route("POST", "/tags", "set_tags", "Set tags of a card", v.Reader, body=f.SetTags),
    Route(
        "POST", "/comment", "set_comment", "Note something of a card", v.Reader, body=f.SetComment
    ),
    Route(
        "GET",
        "/reservations",
        "list_reservations",
        "Which cards are kept for a time",
        f.Reservations,
        query=(_AFTER,),
    ),
    Route(
        "POST",
        "/reservations",
        "reserve",
        "Have a card kept for a time",
        f.Reserved,
        201,
        f.Reserve,
    ),
    Route(
        "DELETE",
        "/reservations/{number}",
        "cancel_reservation",
        "Give a reservation up",
        None,
        204,
    ),
    Route(
        "POST",
        "/drain",
        "drain",
        "Begin no session on a host",
        f.Drained,
        body=f.Drain,
        operator=True,
    ),
    Route(
        "POST",
        "/undrain",
        "undrain",
        "Let its cards be had again",
        None,
        204,
        f.Undrain,
        operator=True,
    ),
    Route(
        "GET",
        "/peers",
        "list_peers",
        "The connections of the server",
        f.Peers,
        query=(_AFTER,),
        operator=True,
    ),
    Route(
        "GET",
        "/activity",
        "show_activity",
        "Commands and sessions of the last day, by minutes",
        f.Activity,
        query=(Param("minutes", "count", "Of how many minutes", least=1, most=1440),),
        operator=True,
    ),
    Route(
        "GET",
        "/atr",
        "read_atr",
        "What an answer to reset says",
        f.AtrMeaning,
        query=(Param("atr", "text", "Hexadecimal digits of 2 to 33 octets", most=66),),
    ),
    Route("GET", "/status-words", "list_status_words", "What status words say", v.StatusWords),
    Route("GET", "/me", "show_me", "Who asks", f.Me),
    Route(
        "POST", "/login", "login", "Get a cookie for a token, a JWT or a certificate", f.LoggedIn
    ),
    Route("POST", "/logout", "logout", "Give the cookie back", None, 204),
    Route("GET", "/tokens", "list_tokens", "All tokens", v.Tokens, operator=True),
    Route(
        "GET",
        "/audit",
        "audit_tail",
        "The last lines of the audit log",
        v.AuditTail,
        query=(
            _LIMIT,
            Param("card", "text", "Only of the card with this ICCID, EID or reader id", most=256),
        ),
        operator=True,
    ),
)
"""Every operation."""
