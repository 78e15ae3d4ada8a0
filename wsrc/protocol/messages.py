# SPDX-License-Identifier: Apache-2.0
"""
Every message that crosses a connection.

This module is the protocol, with `fields` and `parts`, which messages are made of, `commands`,
`verbs`, `reader_events`, `operations`, `farm` and `reservations`: `docs/protocol.schema.json` and
the tables of `docs/protocol.md` are generated from them. A message is one JSON object in one text
frame; `msg_type` names it. Octets are lower-case hexadecimal digits, those of `seals` base64.
Unknown fields are ignored.

A peer whose `hello` has no `version` speaks the first form: no request ids, no sessions, and
never a message that it did not ask for. Fields marked *first form* are all that it knows.
"""

# Longer than the aim: the messages are one list, and each field says what it means.

from typing import Annotated, Any

from wsrc.card.slot import Disposition, Pick as Pick, Share
from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.protocol.commands import (
    Answer as Answer,
    Batch as Batch,
    BatchResp as BatchResp,
    CApdu as CApdu,
    Error as Error,
    RApdu as RApdu,
    ResetReq as ResetReq,
    ResetResp as ResetResp,
)
from wsrc.protocol.farm import (
    SetComment as SetComment,
    SetCommentAck as SetCommentAck,
    SetTags as SetTags,
    SetTagsAck as SetTagsAck,
)
from wsrc.protocol.fields import (
    MAX_PAGES as MAX_PAGES,
    MorePages,
    Pages,
    ProtocolInForce,
    Protocols,
    RawTpdu,
    ReaderFeatures,
    ReaderId,
    ReadsAhead,
    Session,
    ShareMode,
    Unanswered,
    Whole,
    means,
)
from wsrc.protocol.operations import (
    Allow as Allow,
    AllowAck as AllowAck,
    Ban as Ban,
    BanAck as BanAck,
    BanInfo as BanInfo,
    CardUse as CardUse,
    Drain as Drain,
    DrainAck as DrainAck,
    DrainedHost as DrainedHost,
    HolderInfo as HolderInfo,
    HolderState as HolderState,
    Kick as Kick,
    KickAck as KickAck,
    Lend as Lend,
    LendAck as LendAck,
    ListBans as ListBans,
    ListBansAck as ListBansAck,
    ListPeers as ListPeers,
    ListPeersAck as ListPeersAck,
    Operator as Operator,
    PeerInfo as PeerInfo,
    Revoke as Revoke,
    RevokeAck as RevokeAck,
    SessionIdle as SessionIdle,
    Stop as Stop,
    StopAck as StopAck,
    Unban as Unban,
    UnbanAck as UnbanAck,
    Undrain as Undrain,
    UndrainAck as UndrainAck,
    WaiterInfo as WaiterInfo,
    Who as Who,
    WhoAck as WhoAck,
)
from wsrc.protocol.parts import (
    CardInfo as CardInfo,
    CardState as CardState,
    Change as Change,
    ClientType as ClientType,
    Identities as Identities,
    LeaseInfo as LeaseInfo,
    Message as Message,
    ReadAhead as ReadAhead,
    ReaderInfo as ReaderInfo,
    ReaderState as ReaderState,
    RunningSession as RunningSession,
    Selecting as Selecting,
    ServerLimits as ServerLimits,
    Step as Step,
    StepResult as StepResult,
)
from wsrc.protocol.reader_events import (
    UNLISTED as UNLISTED,
    ListChange as ListChange,
    ListReaders as ListReaders,
    ListReadersAck as ListReadersAck,
    ReaderEvent as ReaderEvent,
    ReaderForm as ReaderForm,
    ReaderMark as ReaderMark,
    ReaderView as ReaderView,
    StateChange as StateChange,
    WatchReaders as WatchReaders,
    WatchReadersAck as WatchReadersAck,
    card_info as card_info,
    card_of as card_of,
    list_change as list_change,
    state_change as state_change,
)
from wsrc.protocol.reservations import (
    CancelReservation as CancelReservation,
    CancelReservationAck as CancelReservationAck,
    ListReservations as ListReservations,
    ListReservationsAck as ListReservationsAck,
    ReservationInfo as ReservationInfo,
    ReservationState as ReservationState,
    Reserve as Reserve,
    ReserveAck as ReserveAck,
    Reserving as Reserving,
)
from wsrc.protocol.seals import (
    HostWord,
    Nonce,
    SealAsk as SealAsk,
    Sealed as Sealed,
    SealedResp as SealedResp,
    SealOffer as SealOffer,
    SealProof as SealProof,
    SealSecret as SealSecret,
)
from wsrc.protocol.verbs import (
    BeginTransaction as BeginTransaction,
    BeginTransactionAck as BeginTransactionAck,
    Control as Control,
    ControlAck as ControlAck,
    EndTransaction as EndTransaction,
    EndTransactionAck as EndTransactionAck,
    GetAttribute as GetAttribute,
    GetAttributeAck as GetAttributeAck,
    Reconnect as Reconnect,
    ReconnectAck as ReconnectAck,
    SetAttribute as SetAttribute,
    SetAttributeAck as SetAttributeAck,
    Status as Status,
    StatusAck as StatusAck,
)

VERSION = 1
"""Version of the protocol in `hello` and `hello_ack`; raised by incompatible changes."""

MAX_BATCH = 256
"""Commands in one batch."""


Following = CApdu | Batch
"""Requests that can travel in `select_card`, to be carried out once the card is given."""

LastAnswer = Annotated[Answer | None, means("What the card client answered to it, if it did")]
Sentence = Annotated[str, means("A sentence for a person; it may change")]


class Hello(Message, frozen=True, tag="hello", kw_only=True):
    """The first message of a connection (first form: `client_type`, `atr` of a card client)."""

    client_type: Annotated[ClientType, means("What the sender is; it must fit the port")]
    atr: Annotated[Octets | None, means("First form, card client: ATR of its card")] = None
    version: Annotated[
        Whole | None,
        means("Highest version of the protocol that the sender speaks; absent in the first form"),
    ] = None
    features: Annotated[
        tuple[str, ...], means("What the sender can do; see Hello and versions")
    ] = ()
    name: Annotated[
        str | None, means("What others are shown; at most 64 printable characters are kept")
    ] = None
    instance: Annotated[
        str | None,
        means("Random for each start; a connection replaces the earlier one of the same instance"),
    ] = None
    shown_as: Annotated[
        str | None,
        means("Card client: `shown_as` of the last `hello_ack`, which it likes to be again"),
    ] = None
    readers: Annotated[
        tuple[ReaderInfo, ...], means("Card client: all readers that are known so far")
    ] = ()
    sessions: Annotated[
        tuple[RunningSession, ...],
        means("Card client: sessions that it kept while it had no server"),
    ] = ()


class HelloAck(Message, frozen=True, tag="hello_ack", kw_only=True):
    """The answer to `hello`."""

    version: Annotated[
        Whole | None, means("Version that is used, the lower of both; absent in the first form")
    ] = None
    features: Annotated[
        tuple[str, ...], means("What the server can do; see Hello and versions")
    ] = ()
    server: Annotated[str | None, means("Name of the server")] = None
    shown_as: Annotated[
        str | None,
        means("To a card client: what users see as its name, where that is not the one it claims"),
    ] = None
    limits: Annotated[
        ServerLimits | None, means("What the server takes and grants; absent in the first form")
    ] = None
    nonce: Annotated[
        Nonce | None,
        means("To a user: for this connection alone, which a proof of `resume` is good on"),
    ] = None


class ListCards(Selecting, frozen=True, tag="list_cards", kw_only=True):
    """Ask for the cards that match; `*` in a filter stands for any text."""

    after: Annotated[Whole, means("`next` of the page before; 0 is the beginning")] = 0
    pages: Pages = 1


class ListCardsAck(Message, frozen=True, tag="list_cards_ack", kw_only=True):
    """Some or all cards."""

    cards: Annotated[
        tuple[CardInfo, ...],
        means("At most 500, in the order in which the server came to know their readers"),
    ]
    next: Annotated[Whole | None, means("Go on: ask again with `after` set to this")] = None
    more: MorePages = False
    unanswered: Unanswered = ()


class SelectCard(Selecting, frozen=True, tag="select_card", kw_only=True):
    """Ask for the lease of one card, freshly reset (first form: `id_type` and `id_str`)."""

    id_type: Annotated[str | None, means("First form: `ICCID`, `EID` or `ATR`, in either case")] = (
        None
    )
    id_str: Annotated[str | None, means("First form: the value, in either case")] = None
    pick: Annotated[Pick, means("Which of the cards that match")] = Pick.ONE
    wait_s: Annotated[
        float, means("Seconds to wait for a card that is busy or absent; 0 is not to wait")
    ] = 0.0
    waited_s: Annotated[
        float,
        means("Seconds waited already on connections that were lost, which count for the queue"),
    ] = 0.0
    raw_tpdu: RawTpdu = False
    look_ahead: Annotated[
        bool, means("With raw TPDUs: send GET RESPONSE after 61xx at once, where that is certain")
    ] = False
    read_ahead: ReadsAhead = False
    share: ShareMode = Share.EXCLUSIVE
    protocols: Protocols = ()
    secret: Annotated[
        str | None,
        means("Secret that resumes the session, hard to guess; without it there is no resume"),
    ] = None
    keep_s: Annotated[
        float,
        means("Seconds for which the session is to outlive its connection; 0 is not to outlive it"),
    ] = 0.0
    then: Annotated[
        Following | None,
        means(
            "Request that follows where the card is given without waiting; see The first request"
        ),
    ] = None
    seal: Annotated[
        SealAsk | None, means("The session is to be sealed; see Sealing. There is no `then` then")
    ] = None
    reservation: Annotated[
        str | None, means("Token of a reservation, in place of a selection; see Reservations")
    ] = None


class SelectCardAck(Message, frozen=True, tag="select_card_ack", kw_only=True):
    """The card is the asker's (first form: `identities` alone)."""

    identities: Annotated[Identities, means("The card as the first form names it")]
    session: Annotated[
        str | None, means("Name of the session, which every request for the card has from now on")
    ] = None
    card: Annotated[CardInfo | None, means("The card; absent in the first form")] = None
    keep_s: Annotated[
        float, means("Seconds for which the session outlives its connection; 0 where it does not")
    ] = 0.0
    then: Annotated[
        bool, means("Whether `then` of the request was taken, and is answered after this")
    ] = False
    features: ReaderFeatures | None = None
    seal: Annotated[SealOffer | None, means("As `attach_ack` had it")] = None


class Waiting(Message, frozen=True, tag="waiting", kw_only=True):
    """The card is not free; `select_card`, whose `id` this has, is answered when it is."""

    position: Annotated[Whole, means("Place in the queue, 1 being next")]
    lease: Annotated[LeaseInfo | None, means("Who holds the card")] = None


class Attach(Message, frozen=True, tag="attach", kw_only=True):
    """
    The server gives a session to the card in a reader.

    The card is cold reset first, unless sessions that share it are there. With the share `direct`
    the session is for the reader, whatever is in it, and no card is powered. A session that the
    reader has and that cannot share it ends.
    """

    session: Session
    reader: ReaderId
    insertion: Annotated[Whole, means("`insertion` of the card that is meant")]
    raw_tpdu: RawTpdu = False
    look_ahead: Annotated[
        bool, means("With raw TPDUs: send GET RESPONSE after 61xx at once, where that is certain")
    ] = False
    read_ahead: ReadsAhead = False
    share: ShareMode = Share.EXCLUSIVE
    protocols: Protocols = ()
    secret: Annotated[
        str | None, means("Secret that resumes the session; absent where it cannot be resumed")
    ] = None
    keep_s: Annotated[
        float,
        means("Seconds for which the session is to outlive a connection, as the server grants"),
    ] = 0.0
    holder: Annotated[
        str | None,
        means("Name of the user; absent where the session can be neither resumed nor sealed"),
    ] = None
    instance: Annotated[
        str | None,
        means(
            "Run of the user client, as a digest, and after a dot a digest of its principal where "
            "it has one; absent where the session cannot be resumed"
        ),
    ] = None
    iccid: Annotated[
        str | None, means("ICCID by which the card was found, if it was; it must have that still")
    ] = None
    label: Annotated[
        str | None, means("Label by which the card was found, if it was; it must have that still")
    ] = None
    seal: Annotated[SealAsk | None, means("As `select_card` had it")] = None
    principal: Annotated[
        str | None, means("With `seal`: who the user is, where the server knows that")
    ] = None


class AttachAck(Message, frozen=True, tag="attach_ack", kw_only=True):
    """The card was reset and waits for the commands of the session."""

    session: Session
    atr: Annotated[
        Octets, means("Answer to reset; empty with the share `direct`, since no card is powered")
    ]
    protocol: ProtocolInForce | None = None
    keep_s: Annotated[
        float, means("Seconds for which the card client keeps the session while it has no server")
    ] = 0.0
    features: ReaderFeatures | None = None
    seal: Annotated[
        SealOffer | None, means("The session is sealed from now on; absent where it is not")
    ] = None


class Detach(Message, frozen=True, tag="detach", kw_only=True):
    """End a session: by its user, or by the server to the card client."""

    session: Session
    disposition: Annotated[
        Disposition, means("What is done with a card that others share; see Reset and reconnect")
    ] = Disposition.RESET
    code: Annotated[
        ErrorCode | None,
        means("Why, of a session that could be resumed or was revoked; see The card client's side"),
    ] = None
    message: Annotated[
        str | None, means("With `code`: the sentence that who resumes it is to be told")
    ] = None
    after_answer: Annotated[
        bool,
        means(
            "Not before the open request of the session is answered, see The last request; to a "
            "card client: the user of the sealed session may ask for its word, see Sealing"
        ),
    ] = False


class DetachAck(Message, frozen=True, tag="detach_ack", kw_only=True):
    """The session is over; from a card client also: the card was powered off and identified."""

    session: Session


class Cancel(Message, frozen=True, tag="cancel", kw_only=True):
    """
    Give up a request.

    A command that the card is running is not interrupted: it is answered as usual.
    """

    target: Annotated[Whole, means("`id` of the request to give up")]
    session: Annotated[str | None, means("Session of the request, where it has one")] = None


class CancelAck(Message, frozen=True, tag="cancel_ack", kw_only=True):
    """Whether a request was given up; if so, it is answered with `cancelled`, except a batch."""

    cancelled: Annotated[bool, means("Whether it was given up")]
    session: Annotated[str | None, means("As `cancel` had it")] = None


class ReaderReport(Message, frozen=True, tag="reader_state", kw_only=True):
    """A reader of the card client is new, or it or its card changed."""

    reader: Annotated[ReaderInfo, means("The reader as it is now")]


class ReaderGone(Message, frozen=True, tag="reader_gone", kw_only=True):
    """A reader was unplugged."""

    reader: ReaderId


class Resume(Message, frozen=True, tag="resume", kw_only=True):
    """
    Go on with a session on another connection; the card client compares the secret.

    On the same connection it follows `session_interrupted`.
    """

    session: Session
    secret: Annotated[
        str, means("`secret` of the `select_card` that began the session; empty if it is sealed")
    ] = ""
    seq: Annotated[
        Whole,
        means("Number of the last request sent, 0 if none; nothing up to it is begun any more"),
    ] = 0
    host: Annotated[
        str | None,
        means("`host` of the card, which a server asks that does not know the session"),
    ] = None
    reader: Annotated[str | None, means("`reader` of the card, for the same")] = None
    proof: Annotated[
        SealProof | None, means("In place of the secret, of a sealed session; see Sealing")
    ] = None
    nonce: Annotated[
        Nonce | None,
        means("To a card client, with `proof`: `nonce` of the `hello_ack` of this connection"),
    ] = None
    seal: Annotated[
        SealSecret | None, means("With `proof`: as `secret` of `sealed`, and as long")
    ] = None
    owner: Annotated[
        str,
        means("To a card client: digest of the user's principal, as after the dot in `attach`"),
    ] = ""
    guests: Annotated[
        tuple[str, ...],
        means("Whom the user let share the card by `allow`, at most 16; not to a card client"),
    ] = ()


class Resumed(Message, frozen=True, tag="resumed", kw_only=True):
    """The session goes on."""

    session: Session
    seq: Annotated[
        Whole, means("Number of the last request that the card client took in hand, 0 if none")
    ]
    answer: LastAnswer = None
    word: HostWord = None


class SessionInterrupted(Message, frozen=True, tag="session_interrupted", kw_only=True):
    """The card host is out of reach; `resume` is answered when it is back, or not in time."""

    session: Session
    message: Sentence


class SessionEnded(Message, frozen=True, tag="session_ended", kw_only=True):
    """
    A session ended unasked, or before it was resumed.

    The latter answers `resume` and has its `id`. What the card knew of the session is gone.
    """

    session: Session
    code: Annotated[ErrorCode, means("Why, for programs; stable")]
    message: Sentence
    seq: Annotated[Whole | None, means("As in `resumed`; absent where it is not known")] = None
    answer: LastAnswer = None
    word: HostWord = None


class Restarting(Message, frozen=True, tag="restarting", kw_only=True):
    """The server is about to close the connection."""

    reconnect_in_s: Annotated[float, means("Seconds after which to connect again, 0 or more")]


class StateNotification(Message, frozen=True, tag="state_notification", kw_only=True):
    """First form only: the server tells a card client whether a user holds its card."""

    new_state: Annotated[CardState, means("`ready` or `associated`")]


AnyMessage = (
    Hello | HelloAck | ListCards | ListCardsAck | SelectCard | SelectCardAck | Waiting
    | CApdu | RApdu | Batch | BatchResp | ResetReq | ResetResp | Attach | AttachAck
    | Reconnect | ReconnectAck
    | BeginTransaction | BeginTransactionAck | EndTransaction | EndTransactionAck
    | Status | StatusAck | Control | ControlAck
    | GetAttribute | GetAttributeAck | SetAttribute | SetAttributeAck
    | Sealed | SealedResp
    | Detach | DetachAck | Cancel | CancelAck
    | ListReaders | ListReadersAck | WatchReaders | WatchReadersAck | ReaderEvent | ReaderMark
    | SetTags | SetTagsAck | SetComment | SetCommentAck
    | Reserve | ReserveAck | ListReservations | ListReservationsAck
    | CancelReservation | CancelReservationAck
    | ReaderReport | ReaderGone
    | Who | WhoAck | Revoke | RevokeAck | Allow | AllowAck | Lend | LendAck | SessionIdle
    | ListPeers | ListPeersAck | Kick | KickAck | Ban | BanAck | Unban | UnbanAck
    | ListBans | ListBansAck | Drain | DrainAck | Undrain | UndrainAck | Stop | StopAck
    | Resume | Resumed | SessionInterrupted | SessionEnded | Restarting | StateNotification | Error
)  # fmt: skip
"""Every message; the tag `msg_type` tells which."""


ReaderQuestion = Status | Control | GetAttribute | SetAttribute
"""What is asked of a reader rather than of the card in it."""

PcscVerb = ReaderQuestion | Reconnect | BeginTransaction | EndTransaction
"""Requests that a card client without the feature `pcsc` does not know."""

Plain = CApdu | Batch | ResetReq | PcscVerb
"""Requests for a session, and what is in a `sealed`."""

Forwarded = CApdu | Sealed | Plain
"""Requests for a session, which the server passes to the card client as they came."""

ForwardedAck = (
    RApdu | SealedResp | BatchResp | ResetResp | ReconnectAck | BeginTransactionAck
    | EndTransactionAck | StatusAck | ControlAck | GetAttributeAck | SetAttributeAck
)  # fmt: skip
"""The answers to them."""

Making = Allow | Lend
"""Requests of the holder of a session that the server answers itself."""

COMMANDS = (CApdu, Batch, ResetReq, Reconnect, EndTransaction, Control, SetAttribute)
"""Requests that change what is in a card or reader, so that their outcome matters."""


def session_of(message: Message) -> str | None:
    """Return the session that a message belongs to, if any."""
    session: str | None = getattr(message, "session", None)
    return session


def error(code: ErrorCode, sentence: str, **fields: Any) -> Error:
    """Return an `error` whose `pcsc` agrees with its code."""
    return Error(message=sentence, code=code, pcsc=code.pcsc, **fields)
