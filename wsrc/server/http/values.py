# SPDX-License-Identifier: Apache-2.0
"""What the REST interface takes and gives, as JSON; the OpenAPI document is made of it."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from wsrc.card.apdu import MAX_COMMAND_OCTETS
from wsrc.card.slot import CardProtocol, Pick, ResetKind, Share, SlotState
from wsrc.octets import Octets
from wsrc.protocol.fields import (
    Atr,
    Comment,
    Draining,
    Eids,
    HostName,
    Iccid,
    Label,
    ProtocolInForce,
    Protocols,
    RawTpdu,
    ReaderId,
    ReaderName,
    Reserved,
    ResponseData,
    ShareMode,
    StatusPattern,
    StatusWord,
    means,
)
from wsrc.protocol.parts import CardState, LeaseInfo
from wsrc.protocol.seals import SealAsk, SealOffer, SealSecret

MOST_WAIT_S = 60.0
"""Longest wait for a card within one request, in seconds: no proxy cuts it off before."""

MAX_STEPS = 256
"""Commands in one batch."""

MAX_LIMIT, LIMIT = 500, 100
"""Most things in one answer, and as many as there are unless asked otherwise."""

Time = Annotated[
    str, Meta(description="RFC 3339 in UTC", extra_json_schema={"format": "date-time"})
]
Count = Annotated[int, Meta(ge=0)]
Next = Annotated[
    int | None, Meta(description="There may be more: ask again with `after` set to this")
]
SessionName = Annotated[str, Meta(description="Name of the session")]
Number = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Seq = Annotated[
    Number | None,
    Meta(
        description="Number of the request in its session, higher than that of the one before. A "
        "request that is sent again with its number runs at most once, and is answered as before"
    ),
]
Command = Annotated[
    Octets,
    means(
        "Command APDU of 4 to 65 544 octets (ISO/IEC 7816-3 clause 12.1), or a TPDU",
        minLength=2 * 4,
        maxLength=2 * MAX_COMMAND_OCTETS,
    ),
]
Selector = Annotated[str, Meta(max_length=256)]
CardTags = Annotated[Mapping[str, str], means("Value of each tag, by its key")]


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what is given."""


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what is taken."""


class Card(Value, frozen=True, kw_only=True):
    """A card in a reader."""

    number: Annotated[
        int,
        means("Number of its reader, the same as long as the server runs; absent in a session"),
    ] = 0
    state: Annotated[CardState, means("What the card is doing")]
    host: HostName
    reader: ReaderId
    reader_name: ReaderName
    atr: Atr | None = None
    iccid: Iccid | None = None
    eids: Eids = ()
    label: Label | None = None
    tags: CardTags = {}
    comment: Comment | None = None
    protocol: ProtocolInForce | None = None
    lease: Annotated[LeaseInfo | None, means("Who holds the card; absent while nobody does")] = None
    others: Annotated[tuple[LeaseInfo, ...], means("Further holders of a shared card")] = ()
    draining: Draining = False
    reserved: Reserved = False


class Cards(Value, frozen=True, kw_only=True):
    """Some or all cards that the asker may see."""

    cards: tuple[Card, ...]
    next: Next = None


class Reader(Value, frozen=True, kw_only=True):
    """A reader, whether or not there is a card in it."""

    number: Annotated[int, means("Number of the reader, the same as long as the server runs")]
    reader: ReaderId
    name: ReaderName
    host: HostName
    state: Annotated[SlotState, means("State of the slot")]
    in_use: Annotated[bool, means("A user, or a program of the card host, has the card")] = False
    exclusive: Annotated[bool, means("Nobody else can have it")] = False
    card: Annotated[Card | None, means("The card in it")] = None
    lease: Annotated[LeaseInfo | None, means("Who holds the card, or the reader alone")] = None
    tags: CardTags = {}
    comment: Comment | None = None
    draining: Draining = False
    reserved: Reserved = False
    waiting: Annotated[Count, means("How many wait for it, without those who want any card")] = 0


class Readers(Value, frozen=True, kw_only=True):
    """Some or all readers that the asker may see."""

    readers: tuple[Reader, ...]
    next: Next = None


class Host(Value, frozen=True, kw_only=True):
    """A card host, with counts of what the asker may see of it."""

    host: HostName
    readers: Count
    cards: Count
    held: Annotated[Count, means("Cards, and readers alone, that somebody holds")]
    draining: Draining = False


class Hosts(Value, frozen=True, kw_only=True):
    """The card hosts with readers that the asker may see, by name."""

    hosts: tuple[Host, ...]


class Lease(Value, frozen=True, kw_only=True):
    """Who holds which card, or reader alone."""

    number: Annotated[int, means("Number of the reader")]
    host: HostName
    reader: ReaderId
    reader_name: ReaderName
    iccid: Iccid | None = None
    label: Label | None = None
    lease: LeaseInfo
    others: Annotated[tuple[LeaseInfo, ...], means("Further holders of a shared card")] = ()


class Leases(Value, frozen=True, kw_only=True):
    """Some or all leases of cards that the asker may see."""

    leases: tuple[Lease, ...]
    next: Next = None


class Token(Value, frozen=True, kw_only=True):
    """A token, without what it is."""

    number: Count
    name: Annotated[str, means("Principal that it lets in")]
    role: Annotated[str, means("`user` or `card`")]
    made: Time
    expires: Time | None = None
    used: Annotated[Time | None, means("When it was used last, within a minute")] = None


class Tokens(Value, frozen=True, kw_only=True):
    """All tokens of the server, by number."""

    tokens: tuple[Token, ...]


class AuditTail(Value, frozen=True, kw_only=True):
    """The last lines of the audit log, the oldest first, as they are in its files."""

    lines: tuple[dict[str, Any], ...]


class Selecting(Asked, frozen=True, kw_only=True):
    """Which card is meant; at least one name or tag, all of them must hold."""

    iccid: Selector | None = None
    eid: Selector | None = None
    atr: Selector | None = None
    reader: Selector | None = None
    label: Selector | None = None
    any: Annotated[Selector | None, means("Any of the five above")] = None
    tags: Annotated[
        Mapping[str, Selector] | None, means("Value of each tag that it must have, by its key")
    ] = None


class Connect(Selecting, frozen=True, kw_only=True):
    """
    Which card is wanted, and how.

    At least one name or tag, all of which must hold; none is needed of any card, and none is given
    beside a reservation.
    """

    pick: Annotated[Pick, means("Which of the cards that match")] = Pick.ONE
    reservation: Annotated[
        str, Meta(min_length=1, max_length=256, description="Token of a reservation")
    ] = ""
    wait_s: Annotated[
        float, Meta(ge=0, le=MOST_WAIT_S, description="Seconds to wait for a card that is busy")
    ] = 0.0
    share: ShareMode = Share.EXCLUSIVE
    protocols: Annotated[Protocols, Meta(max_length=16)] = ()
    raw_tpdu: RawTpdu = False
    name: Annotated[
        str, Meta(max_length=64, description="What others are shown behind the principal")
    ] = "http"
    seal: Annotated[
        SealAsk | None,
        means("The asker wants the session sealed; octets are base64, as in the protocol"),
    ] = None


class Session(Value, frozen=True, kw_only=True):
    """A card that is the asker's until it is given back, or not used for `idle_s`."""

    session: SessionName
    card: Card | None = None
    share: ShareMode
    since: Time
    idle_s: Annotated[float, means("Seconds without a request after which the session ends")]
    seal: Annotated[
        SealOffer | None,
        means("Of the answer that gives it, where it is sealed: what the card host offers"),
    ] = None


class Sessions(Value, frozen=True, kw_only=True):
    """The sessions of the asker that were begun over HTTP."""

    sessions: tuple[Session, ...]


class Transmit(Asked, frozen=True, kw_only=True):
    """A command APDU for the card."""

    command: Command
    seq: Seq = None


class Response(Value, frozen=True, kw_only=True):
    """A response APDU."""

    response: ResponseData
    sw: StatusWord
    meaning: Annotated[
        str, means("What the status word says (ISO/IEC 7816-4, ETSI TS 102 221), for people")
    ]


class BatchStep(Asked, frozen=True, kw_only=True):
    """One command of a batch."""

    command: Command
    expect: Annotated[
        tuple[StatusPattern, ...],
        Meta(
            max_length=16,
            description="Status words with `x` for any digit; the batch stops after this command "
            "if none matches, and never without any",
        ),
    ] = ()


class Batch(Asked, frozen=True, kw_only=True):
    """Commands that the card host runs one after the other."""

    steps: Annotated[tuple[BatchStep, ...], Meta(min_length=1, max_length=MAX_STEPS)]
    seq: Seq = None


class BatchResponse(Value, frozen=True, kw_only=True):
    """What the card answered to the commands of a batch."""

    results: Annotated[tuple[Response, ...], means("One for each command that was answered")]
    stopped: Annotated[
        int | None, means("Index from 0 of the command whose status word did not match")
    ] = None
    problem: Annotated[
        "Problem | None", means("Why the command after the last result was not answered")
    ] = None


class Reset(Asked, frozen=True, kw_only=True):
    """How the card is reset."""

    kind: Annotated[ResetKind, means("With or without taking the supply away")] = ResetKind.COLD
    seq: Seq = None


class WasReset(Value, frozen=True, kw_only=True):
    """The card as it is after its reset."""

    atr: Atr | None = None
    protocol: CardProtocol | None = None


class Control(Asked, frozen=True, kw_only=True):
    """A control code for the reader itself."""

    number: Annotated[
        int, Meta(ge=0, le=0xFFFF, description="n of the control code; see docs/pcsc.md")
    ]
    data: Annotated[Octets, means("What the reader is given; it may be empty")]
    seq: Seq = None


class Controlled(Value, frozen=True, kw_only=True):
    """What the reader answered."""

    response: Octets


class SealedRequest(Asked, frozen=True, kw_only=True):
    """A request of a sealed session, which the server cannot read: `sealed` of the protocol."""

    of: Annotated[str, Meta(max_length=64, description="`msg_type` of the request in the box")]
    box: Annotated[bytes, means("The request, sealed, in base64")]
    seq: Annotated[int, Meta(ge=1, le=2**53 - 1, description="Higher than that of all before")]
    secret: Annotated[
        SealSecret | None, means("Until the card host was heard: what its keys come of")
    ] = None
    share: Annotated[Share | None, means("Of `reconnect`: `share` in the box")] = None
    resets: Annotated[
        bool,
        means("Of `reconnect` and `end_transaction`: whether the one in the box resets the card"),
    ] = False


class SealedAnswer(Value, frozen=True, kw_only=True):
    """The answer, sealed: `sealed_resp` of the protocol."""

    of: Annotated[str, means("`msg_type` of the answer in the box, which may be `error`")]
    box: Annotated[bytes, means("The answer, sealed, in base64")]


class StatusWords(Value, frozen=True, kw_only=True):
    """What status words say, for people, of all that have a meaning."""

    words: Annotated[Mapping[str, str], means("By their four digits")]
    ranges: Annotated[
        Mapping[str, str],
        means(
            "Of any other, by its first two digits; the second two stand in it as `{number}` or "
            "`{digits}`"
        ),
    ]


class Ready(Value, frozen=True, kw_only=True):
    """Whether the server takes clients, why not, and what is wrong nevertheless."""

    ready: bool
    why: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Problem(Value, frozen=True, kw_only=True):
    """Why a request was not answered with its result (RFC 9457)."""

    type: Annotated[str, means("`urn:wsrc:` and the code")]
    title: Annotated[str, means("Reason phrase of the status")]
    status: Annotated[int, means("HTTP status")]
    detail: Annotated[str, means("A sentence for a person; it may change")]
    code: Annotated[str, means("Why, for programs; stable. An error code of the protocol, or one "
                               "of this interface")]  # fmt: skip
    outcome: Annotated[
        str | None,
        means("Of a command: `not_executed`, or `unknown` where the card may have run it"),
    ] = None
    pcsc: Annotated[str | None, means("Name of the PC/SC error that fits best")] = None
    retry_after_s: Annotated[float | None, means("Seconds after which it may be otherwise")] = None
    lease: Annotated[LeaseInfo | None, means("Who holds the card that was asked for")] = None
    candidates: Annotated[tuple[str, ...], means("Readers of some of the cards that match")] = ()
