# SPDX-License-Identifier: Apache-2.0
"""What a UICC knows between commands, and one command in that light."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wsrc.card.apdu import Command, Response
from wsrc.readers.simulation.filesystem import Access, AnyFile, Directory, Ef, File, FileSystem
from wsrc.readers.simulation.pins import ADM1, PIN1, Pin
from wsrc.readers.simulation.status import SW, StatusWordError
from wsrc.readers.simulation.usim import Usim

BASIC_CHANNEL = 0


class SecurityDomain(Protocol):
    """An application without files of its own, such as an ISD-R."""

    @property
    def aid(self) -> bytes:
        """AID, 5 to 16 octets."""
        ...

    def selected(self) -> bytes:
        """Return the FCI template for SELECT."""
        ...

    def process(self, command: Command) -> bytes:
        """
        Run STORE DATA or GET DATA.

        Raises:
            StatusWordError: If the command fails.
        """
        ...


@dataclass(slots=True)
class Profile:
    """What outlives resets: files, key references with their counters, and the subscription."""

    files: FileSystem
    pins: dict[int, Pin]
    usim: Usim


@dataclass(slots=True, eq=False)
class Channel:
    """What a logical channel has selected (ETSI TS 102 221 clause 8.4)."""

    directory: Directory
    adf: Directory | None = None
    ef: Ef | None = None
    record: int = 0
    domain: SecurityDomain | None = None

    def select(self, file: AnyFile) -> None:
        """Make a file the current one; the current record is no longer set."""
        if isinstance(file, Directory):
            self.directory, self.ef = file, None
        else:
            self.ef = file
        self.record = 0

    def copy(self) -> "Channel":
        """Return a channel at the same place (ETSI TS 102 221 clause 11.1.17)."""
        return Channel(self.directory, self.adf, domain=self.domain)


@dataclass(slots=True)
class State:
    """What a reset takes away, with the profile that this reset put in force."""

    profile: Profile
    supplementary_channels: int
    domains: Sequence[SecurityDomain] = ()
    channels: dict[int, Channel] = field(init=False)
    verified: set[int] = field(init=False, default_factory=set[int])
    application_was_selected: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.channels = {BASIC_CHANNEL: Channel(self.profile.files.mf)}

    def pin(self, reference: int) -> Pin:
        """
        Return the key that P2 names.

        Raises:
            StatusWordError: 6A88 if the card has no such key.
        """
        if reference not in self.profile.pins:
            raise StatusWordError(SW.REFERENCE_NOT_FOUND)
        return self.profile.pins[reference]

    def satisfied(self, reference: int) -> bool:
        """Return whether a key was verified since the reset, or need not be."""
        return reference in self.verified or not self.pin(reference).enabled

    def require(self, access: Access) -> None:
        """
        Check an access condition.

        Raises:
            StatusWordError: 6982 if it is not fulfilled.
        """
        if access is Access.ALWAYS:
            return
        reference = {Access.PIN1: PIN1, Access.ADM: ADM1}.get(access)
        if reference is None or not self.satisfied(reference):
            raise StatusWordError(SW.SECURITY_NOT_SATISFIED)


@dataclass(slots=True)
class Call:
    """
    One command on its way through the card.

    `exact` tells that Le must be the number of octets that the card has: T=0 refuses any other.
    """

    command: Command
    exact: bool
    state: State
    channel: Channel

    def offer(self, available: int) -> None:
        """
        Check Le before anything is done, for a response of one possible length.

        Raises:
            StatusWordError: 6700 without Le, 6CXX if Le does not suit.
        """
        ne = self.command.ne
        if not ne:
            raise StatusWordError(SW.WRONG_LENGTH)
        suits = ne == min(available, 256) if self.exact else ne >= min(available, 256)
        if not suits:
            raise StatusWordError(0x6C00 | min(available, 256) & 0xFF)

    def usable(self, file: File, access: Access) -> None:
        """
        Check that an operation on a file is allowed now.

        Raises:
            StatusWordError: 6982 if its condition is not fulfilled, 6984 if it is deactivated.
        """
        self.state.require(access)
        if file.deactivated:
            raise StatusWordError(SW.DATA_NOT_USABLE)


Handler = Callable[[Call], Response]


def done(data: bytes = b"") -> Response:
    """Return the response of a command that went well."""
    return Response(data, SW.DONE)


def require_parameters(command: Command, p1: int, p2: int) -> None:
    """
    Check that P1 and P2 are as the command has them.

    Raises:
        StatusWordError: 6A86 if they are not.
    """
    if (command.p1, command.p2) != (p1, p2):
        raise StatusWordError(SW.WRONG_P1_P2)
