# SPDX-License-Identifier: Apache-2.0
"""What both ends go by, and its octets: two different terms never have the same."""

from collections.abc import Sequence
from typing import NamedTuple

from wsrc.sealing.encoding import NONCE_OCTETS, PURPOSE, pack, pack_texts
from wsrc.sealing.faults import Fault, SealError
from wsrc.sealing.modes import Mode
from wsrc.sealing.signing import digest

MAX_NAMES = 16
"""Suites that an end may name, and EIDs of a card."""

MAX_NAME = 64
"""Characters of the name of a suite."""


class Ask(NamedTuple):
    """
    What a user says with `select_card`.

    Attributes:
        nonce: Random, `NONCE_OCTETS`.
        suites: Names of the suites that the user has.
        mode: `required` or `preferred`.
    """

    nonce: bytes
    suites: tuple[str, ...]
    mode: Mode


class Asked(NamedTuple):
    """
    What is asked of the card host, as it came to it.

    Attributes:
        session: Name of the session.
        share: With whom the card is used.
        ways: What else is asked of how the card is used: `raw_tpdu` where that is set, then the
            `protocols`, in their order.
        user: `holder`: what the server says that the user is called; may be empty.
        principal: Who the server says that the user is; empty where it does not know.
    """

    session: str
    share: str
    ways: tuple[str, ...] = ()
    user: str = ""
    principal: str = ""


class Card(NamedTuple):
    """
    The card of a session, as its card host knows it.

    Attributes:
        host: What the card client calls itself in `hello`.
        reader: Id of the reader, as the card client has it.
        name: Name of the reader on its host.
        atr: Answer to reset; empty with the share `direct`.
        iccid: Empty where it is not known.
        eids: All that are known.
        label: Empty where there is none.
    """

    host: str
    reader: str
    name: str = ""
    atr: bytes = b""
    iccid: str = ""
    eids: tuple[str, ...] = ()
    label: str = ""


class Said(NamedTuple):
    """
    What the card host chose, and can do.

    Attributes:
        nonce: Random, `NONCE_OCTETS`.
        suites: Names of the suites that the card host has.
        mode: `required` or `preferred`.
        suite: The one that is used.
        key: Its one-time key.
        wants_user: Whether the user must sign the secret with a certificate.
    """

    nonce: bytes
    suites: tuple[str, ...]
    mode: Mode
    suite: str
    key: bytes
    wants_user: bool = False


class Terms(NamedTuple):
    """All that both ends go by; `certificate` is SHA-256 of the card host's certificate in DER."""

    ask: Ask
    asked: Asked
    card: Card
    said: Said
    certificate: bytes

    def octets(self) -> bytes:
        """Return the transcript: every field, each with its length, in one order."""
        ask, asked, card, said = self.ask, self.asked, self.card, self.said
        return pack(
            PURPOSE + b"terms",
            asked.session.encode(),
            asked.share.encode(),
            pack_texts(asked.ways),
            asked.user.encode(),
            asked.principal.encode(),
            card.host.encode(),
            card.reader.encode(),
            card.name.encode(),
            card.atr,
            card.iccid.encode(),
            pack_texts(card.eids),
            card.label.encode(),
            ask.nonce,
            pack_texts(ask.suites),
            ask.mode.encode(),
            said.nonce,
            pack_texts(said.suites),
            said.mode.encode(),
            said.suite.encode(),
            said.key,
            b"user" if said.wants_user else b"",
            self.certificate,
        )

    def signed_by_host(self) -> bytes:
        """Return what the card host signs."""
        return pack(PURPOSE + b"offer", self.octets())

    def signed_by_user(self, sealed: bytes) -> bytes:
        """Return what a user with a certificate signs; `sealed` is the sealed secret."""
        return pack(PURPOSE + b"user", self.octets(), sealed)

    def info(self, certificates: Sequence[bytes]) -> bytes:
        """Return the `info` with which the secret is sealed; the certificates are the user's."""
        return pack(PURPOSE + b"secret", self.octets(), _first(certificates))

    def context(self, certificates: Sequence[bytes], sealed: bytes) -> bytes:
        """Return the salt with which keys are derived."""
        return digest(pack(PURPOSE + b"keys", self.octets(), _first(certificates), sealed))


def check_ask(ask: Ask) -> None:
    """
    Check what a user says before anything is made of it.

    Raises:
        SealError: If the nonce has another length, or there are too many suites, or long ones.
    """
    if len(ask.nonce) != NONCE_OCTETS:
        why = f"A nonce has {NONCE_OCTETS} octets; that of the user has {len(ask.nonce)}."
        raise SealError(Fault.TERMS, why)
    _check_suites("user", ask.suites)


def check_said(said: Said) -> None:
    """
    Check what a card host says, as `check_ask` does.

    Raises:
        SealError: If the nonce has another length, or there are too many suites, or long ones.
    """
    if len(said.nonce) != NONCE_OCTETS:
        why = f"A nonce has {NONCE_OCTETS} octets; that of the card host has {len(said.nonce)}."
        raise SealError(Fault.TERMS, why)
    _check_suites("card host", said.suites)


def _first(certificates: Sequence[bytes]) -> bytes:
    """Return SHA-256 of somebody's own certificate; nothing where there is none."""
    return digest(certificates[0]) if certificates else b""


def _check_suites(whose: str, suites: tuple[str, ...]) -> None:
    if len(suites) > MAX_NAMES or any(len(name) > MAX_NAME for name in suites):
        why = f"The {whose} names more than {MAX_NAMES} suites, or one of more than {MAX_NAME}."
        raise SealError(Fault.TERMS, why)
