# SPDX-License-Identifier: Apache-2.0
"""What users, card hosts and the run itself tell of a night; times are seconds of UTC."""

import msgspec

HIDDEN_KINDS = ("sgp22", "sgp32")
"""Kinds of cards that are hidden from some users: they wait for one that never matches."""


def sees(user: str, kind: str) -> bool:
    """Return whether the policy of a night lets a user see the cards of a kind."""
    return not user.startswith("v") or kind not in HIDDEN_KINDS


class Asked(msgspec.Struct, frozen=True, tag=True):
    """
    A user is about to ask for a card.

    It is one by its `iccid`, any of a `kind`, or that of the `reservation` of this number.
    """

    user: str
    number: int
    at: float
    share: str
    iccid: str = ""
    kind: str = ""
    reservation: int = 0


class Waits(msgspec.Struct, frozen=True, tag=True):
    """A user was told that the request waits."""

    user: str
    number: int
    at: float


class Took(msgspec.Struct, frozen=True, tag=True):
    """A user was given a card; `session` is as audit logs name it."""

    user: str
    number: int
    at: float
    session: str
    iccid: str


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A request for a card ended without one: it was refused, or the user gave up."""

    user: str
    number: int
    at: float
    code: str
    why: str = ""


class Reserved(msgspec.Struct, frozen=True, tag=True):
    """
    A card is kept for a user; times are whole seconds, the next of which they may be.

    `any` tells that another card may be given in its place.
    """

    user: str
    number: int
    at: float
    iccid: str
    begins: float
    ends: float
    any: bool


class Cancels(msgspec.Struct, frozen=True, tag=True):
    """A user is about to give up a reservation."""

    user: str
    number: int
    at: float


class Listed(msgspec.Struct, frozen=True, tag=True):
    """The reservations of a user, as the server had them at some time since `at`."""

    user: str
    at: float
    until: float
    numbers: tuple[int, ...]


class Found(msgspec.Struct, frozen=True, tag=True):
    """What a card said as its session began: of its PIN, and how far it has counted."""

    session: str
    pin: str
    total: int


class Counted(msgspec.Struct, frozen=True, tag=True):
    """A card has added 1 for a session, and says what came of it."""

    session: str
    total: int


class Doubted(msgspec.Struct, frozen=True, tag=True):
    """A card may have added 1 for a session."""

    session: str


class Allowed(msgspec.Struct, frozen=True, tag=True):
    """The holder of a session let somebody share its card."""

    session: str
    guest: str


class Lent(msgspec.Struct, frozen=True, tag=True):
    """The holder of a session lent its card."""

    session: str
    to: str
    at: float


class Lost(msgspec.Struct, frozen=True, tag=True):
    """A session ended that its user had not given back."""

    user: str
    session: str
    at: float
    code: str
    why: str


class Revoked(msgspec.Struct, frozen=True, tag=True):
    """The operator took a card from these sessions, and said why, as nobody else did."""

    iccid: str
    why: str
    sessions: tuple[str, ...]


class Drained(msgspec.Struct, frozen=True, tag=True):
    """The operator had no session begin at a host, from `at` to `until`."""

    host: str
    at: float
    until: float


class Pulled(msgspec.Struct, frozen=True, tag=True):
    """A card was taken out of its reader, and comes back later."""

    iccid: str
    at: float


class Total(msgspec.Struct, frozen=True, tag=True):
    """How far a card has counted when all is over, as the card itself says."""

    iccid: str
    total: int


class Broke(msgspec.Struct, frozen=True, tag=True):
    """Something happened to a user that must not."""

    user: str
    why: str


Event = (
    Asked
    | Waits
    | Took
    | Ended
    | Reserved
    | Cancels
    | Listed
    | Found
    | Counted
    | Doubted
    | Allowed
    | Lent
    | Lost
    | Revoked
    | Drained
    | Pulled
    | Total
    | Broke
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def text_of(event: Event) -> str:
    """Return an event as the line that tells it."""
    return _encoder.encode(event).decode()


def event_of(line: str) -> Event | None:
    """Return what a line tells, None where it is one of a log."""
    return _decoder.decode(line) if line.startswith('{"type"') else None
