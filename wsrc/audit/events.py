# SPDX-License-Identifier: Apache-2.0
"""What an audit log is told; no event has octets of a command, a secret or a token."""

from typing import Protocol

import msgspec


def _tag(name: str) -> str:
    """Return `GaveBack` as `gave_back`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class Event(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag=_tag
):
    """Something that happened; its name on a line is that of its class, as `gave_back`."""


class Who(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    A user as an event names it.

    `peer` is the number of its connection, which `connected` has with the address, 0 where there
    is none. `name` is what the user calls itself, and `principal` who it was found to be.
    """

    peer: int
    name: str
    principal: str | None = None


class Card(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    A card with all that it is called, and where it is.

    `reader` is the id of the reader, `host` what its card host is called, and `host_principal` who
    that was found to be.
    """

    host: str
    reader: str
    reader_name: str
    iccid: str | None = None
    eids: tuple[str, ...] = ()
    atr: str | None = None
    label: str | None = None
    host_principal: str | None = None


class Recorder(Protocol):
    """Where events go; from any thread, at once, and without an error."""

    def record(self, event: Event, cause: str | None = None) -> None:
        """
        Take an event, with the time at which it is told.

        Args:
            event: What happened.
            cause: Who caused it, where that is somebody who can cause many.
        """


class Nowhere:
    """A `Recorder` that forgets."""

    def record(self, event: Event, cause: str | None = None) -> None:
        """Forget an event."""


NOWHERE = Nowhere()


# The program


class Started(Event, frozen=True, kw_only=True):
    """The program began."""

    version: str
    pid: int


class Stopped(Event, frozen=True, kw_only=True):
    """The program ends in order."""


class Reloaded(Event, frozen=True, kw_only=True):
    """Files were read anew; `why` is why they were not taken, in which case the old ones stay."""

    what: str
    why: str | None = None


class PolicyChanged(Event, frozen=True, kw_only=True):
    """Another policy is in force; `digest` is SHA-256 of its file."""

    digest: str


class TokenChanged(Event, frozen=True, kw_only=True):
    """A token was added or revoked; it is named, and never written."""

    action: str
    token: str
    role: str | None = None


# Connections


class Connected(Event, frozen=True, kw_only=True):
    """A peer opened a WebSocket; `role` is user or card, by the port or path."""

    peer: int
    role: str
    address: str
    principal: str | None = None


class Named(Event, frozen=True, kw_only=True):
    """A peer said hello; `name` is what it is called here, and `claimed` what it calls itself."""

    peer: int
    role: str
    name: str
    claimed: str | None = None


class Disconnected(Event, frozen=True, kw_only=True):
    """The connection of a peer ended."""

    peer: int
    role: str
    why: str
    goodbye: bool = False


class Refused(Event, frozen=True, kw_only=True):
    """A connection was refused; `unrecorded` more were since the last line that says so."""

    address: str
    why: str
    principal: str | None = None
    unrecorded: int = 0


class Slowed(Event, frozen=True, kw_only=True):
    """What a peer sends is read later; `unrecorded` more were since the last line that says so."""

    peer: int
    role: str
    limit: str
    unrecorded: int = 0


class Revoked(Event, frozen=True, kw_only=True):
    """What a principal had was ended, since it has lost its right to it."""

    principal: str
    why: str


class Operated(Event, frozen=True, kw_only=True):
    """An operator took a card, or did something to a peer, a host or the server, named by `to`."""

    who: Who
    did: str
    to: str
    why: str | None = None


class ServerFound(Event, frozen=True, kw_only=True):
    """A card host connected to a server."""

    server: str
    url: str


class ServerLost(Event, frozen=True, kw_only=True):
    """A card host lost its server."""

    why: str


# Cards


class Took(Event, frozen=True, kw_only=True):
    """
    A user was given a card, or the reader alone, after a wait of `waited_s`.

    `sealed` tells that the card host has sealed the session; of a server, that it has said so.
    `certificate` is SHA-256 of the certificate with which it has signed that, in hexadecimal; a
    server has not checked it, and can tell who checked it that this was the one.
    """

    session: str
    who: Who
    card: Card
    share: str
    waited_s: float = 0.0
    sealed: bool = False
    certificate: str | None = None


class GaveBack(Event, frozen=True, kw_only=True):
    """
    A card is no longer its user's, for the reason `why`; `asked` tells that the user wanted it so.

    `commands` were sent to it in `held_s`; of those of a batch, all that were asked for. A server
    counts a batch that is sealed as one. `proved` is the name in the certificate by which the user
    of a sealed session has proved who it is, at a card host that knows users by theirs.
    """

    session: str
    who: Who
    card: Card
    why: str
    held_s: float
    commands: int
    asked: bool = False
    proved: str | None = None


class Denied(Event, frozen=True, kw_only=True):
    """A user was refused a card, or the place of another in a session."""

    who: Who
    wanted: str
    code: str
    why: str
    unrecorded: int = 0


class Withheld(Event, frozen=True, kw_only=True):
    """
    A card host announced a card that the policy does not let it, and users are not shown it.

    `peer` is its connection; `unrecorded` more were announced since the last line that says so.
    """

    peer: int
    card: Card
    unrecorded: int = 0


class SessionTurned(Event, frozen=True, kw_only=True):
    """A session was kept without its user, interrupted, brought back or resumed."""

    session: str
    who: Who
    turn: str


class Reset(Event, frozen=True, kw_only=True):
    """A user asked for a reset of a card, cold or warm; a card host tells that it was done."""

    session: str
    who: Who
    card: Card
    kind: str


class Noted(Event, frozen=True, kw_only=True):
    """
    A user set tags or a comment of a card.

    `tags` are the keys of those that were set or went; neither values nor the comment are told.
    """

    who: Who
    card: Card
    tags: tuple[str, ...] = ()


class Reserved(Event, frozen=True, kw_only=True):
    """
    A user had a card reserved, or cancelled that, or one's gave way, as `did` says.

    `card` is the kind and the value of the name under which it is kept.
    """

    who: Who
    number: int
    did: str
    card: str
    begins: str
    ends: str


class Guarded(Event, frozen=True, kw_only=True):
    """
    The guard of a card host kept something from a card.

    `what` is the header of a command and its size, and no more. `unrecorded` more were refused
    since the last line that says so.
    """

    card: Card
    what: str
    rule: str
    why: str
    session: str | None = None
    unrecorded: int = 0


Common = Denied | Guarded | Refused | Slowed | Withheld
"""What anybody can cause at will, so that not all have lines of their own."""


# The log itself


class File(Event, frozen=True, kw_only=True):
    """
    The first line of a file.

    `file` is its number, `log` the name of all files that belong together, `after` the `chain` of
    the line before. `why` tells why there is a new file, where it is not for its size. `node` is
    what a server is called in its cluster.
    """

    file: int
    log: str
    after: str
    program: str
    host: str
    why: str | None = None
    node: str | None = None


class Torn(Event, frozen=True, kw_only=True):
    """The line before this one was not completed: so many octets, with this SHA-256, are there."""

    octets: int
    sha256: str


class Lost(Event, frozen=True, kw_only=True):
    """So many events since a time could not be written, and are not in this log."""

    events: int
    since: str


class Dropped(Event, frozen=True, kw_only=True):
    """The files up to this number were removed, for the setting says how many are kept."""

    up_to: int
