# SPDX-License-Identifier: Apache-2.0
"""How the sessions of a user are sealed; without that, nothing of it is loaded."""

import logging
import os
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from wsrc.errors import ConfigError, ErrorCode, RefusedError
from wsrc.net.state_dir import of_user
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.sealing.encoding import NONCE_OCTETS
from wsrc.selection import TAG, lookups, named, names_of, selection_of
from wsrc.settings.load import UserSettings

if TYPE_CHECKING:
    from wsrc.net.seal_files import UserFiles
    from wsrc.protocol.boxed import UserBoxes
    from wsrc.sealing.handshake import Agreed, Offer
    from wsrc.sealing.terms import Card

_log = logging.getLogger(__name__)

_NUMBER = re.compile(r"(?: \([1-9][0-9]*\))?$")
"""What servers add to a name that several claim."""


class SealedWith(NamedTuple):
    """
    Who the card host of a sealed session is.

    Attributes:
        name: As its certificate has it, or as it calls itself where no CA was asked.
        fingerprint: SHA-256 of its public key, as ssh writes such.
        suite: How the secret of the session was sealed.
    """

    name: str
    fingerprint: str
    suite: str


class Granted(NamedTuple):
    """
    A card that was given, with what its host itself says of it where the session is sealed.

    Attributes:
        card: The card, as its host has signed it where the session is sealed.
        boxes: The user's end of the seal.
        sealed: Who the card host is.
    """

    card: m.CardInfo | None
    boxes: "UserBoxes | None" = None
    sealed: SealedWith | None = None


class Seals:
    """
    Seals the sessions of a user who has that on.

    Files that `settings` name are read at once, others and what it takes to seal when a card is
    selected: who only looks for cards does without.

    Args:
        settings: Of the user.

    Raises:
        ConfigError: If a file of `settings` cannot work.
    """

    def __init__(self, settings: UserSettings) -> None:
        self._settings = settings
        self._read: UserFiles | None = None
        if settings.card_ca is not None or settings.known_hosts is not None:
            self.prepare()

    def prepare(self) -> None:
        """
        Read the files, and load what it takes to seal, unless that was done.

        Raises:
            ConfigError: If a file cannot work.
        """
        if self._read is not None:
            return
        from wsrc.net import seal_files  # noqa: PLC0415 - not every user seals
        from wsrc.protocol import boxed  # noqa: PLC0415 - not every user seals

        del boxed
        try:
            self._read = seal_files.UserFiles(self._settings, of_user(os.environ))
        except RuntimeError as exc:
            why = f"there is no folder for it: {exc} Give known_hosts, or seal = off"
            raise ConfigError("known_hosts", why) from exc

    @property
    def _files(self) -> "UserFiles":
        assert self._read is not None
        return self._read

    def wish(self, select: m.SelectCard) -> m.SelectCard:
        """
        Return a select that asks for a seal, with no secret where nothing else will do.

        Raises:
            ConfigError: If the file of known card hosts cannot work.
        """
        from wsrc.sealing.suites import available  # noqa: PLC0415 - not every user seals

        self.prepare()
        mode = self._settings.seal_mode
        suites = tuple(map(str, available()))
        ask = m.SealAsk(nonce=secrets.token_bytes(NONCE_OCTETS), suites=suites, mode=mode)
        secret = None if mode == "required" else select.secret
        return msgspec.structs.replace(select, seal=ask, secret=secret)

    def granted(
        self, select: m.SelectCard, ack: m.SelectCardAck, nonce: Callable[[], bytes]
    ) -> Granted:
        """
        Check what a card host offers, and have the session sealed.

        Args:
            select: What was asked, with `seal`.
            ack: What came.
            nonce: Returns that of the connection that there is.

        Raises:
            RefusedError: If it is not sealed and has to be, or not by whom it has to be.
        """
        if ack.seal is None or select.seal is None:
            self._check_unsealed(ack)
            return Granted(ack.card)
        from wsrc.protocol import boxed  # noqa: PLC0415 - not every user seals
        from wsrc.sealing.ends import UserSeal  # noqa: PLC0415 - not every user seals
        from wsrc.sealing.keys import SECRET_OCTETS  # noqa: PLC0415 - not every user seals

        agreed = self._agreed(select, ack, boxed.offer_of(ack.seal))
        master = secrets.token_bytes(SECRET_OCTETS)
        secret, keys = agreed.seal(master, self._files.identity if agreed.wants_user else None)
        end = boxed.UserBoxes(UserSeal(secret, keys, self._settings.pad_octets), nonce)
        self._remember(agreed)
        signer = agreed.signer
        who = SealedWith(signer.name or agreed.card.host, signer.fingerprint, str(agreed.suite))
        return Granted(None if ack.card is None else _as_signed(ack.card, agreed.card), end, who)

    def _agreed(self, select: m.SelectCard, ack: m.SelectCardAck, offer: "Offer") -> "Agreed":
        from wsrc.protocol import boxed  # noqa: PLC0415 - not every user seals
        from wsrc.sealing.handshake import Expected, agree  # noqa: PLC0415 - not every user seals

        assert select.seal is not None
        ways = boxed.ways_of(select.protocols, raw_tpdu=select.raw_tpdu)
        share = str(select.share)
        expected = Expected(ack.session or "", share, ways, _is_meant(select, ack.card))
        now = datetime.now(UTC)
        return agree(boxed.ask_of(select.seal), expected, offer, self._files.trust(), now)

    def _check_unsealed(self, ack: m.SelectCardAck) -> None:
        host = (ack.card.host if ack.card is not None else None) or "of the card"
        required = self._settings.seal_mode == "required"
        known = () if self._files.known is None else self._files.known.hosts
        if not required and not any(is_called(host, each) for each in known):
            return
        why = f"Card host {host} does not seal the session, or the server kept it from that"
        but = "it has sealed before; seal = off would use it all the same"
        if required:
            given = self._settings.seal is not None
            but = "seal = required" if given else "seal is required where card_ca is given"
        raise RefusedError(ErrorCode.SEAL_REQUIRED, f"{why}: {but}.")

    def _remember(self, agreed: "Agreed") -> None:
        signer, host, known = agreed.signer, agreed.card.host, self._files.known
        if known is None or not signer.first_use:
            return
        _log.warning(
            "The key of card host %s is not known: %s. It is believed from now on; card_ca would "
            "tell it from another.",
            host,
            signer.fingerprint,
        )
        try:
            known.remember(host, signer)
        except OSError as exc:
            _log.warning("The key of card host %s cannot be remembered: %s", host, exc)


def is_called(shown: str, host: str) -> bool:
    """
    Return whether a server may show a card host so that calls itself `host`.

    A server adds a number where several claim the same, and has the name in parentheses, behind a
    principal where it knows one.
    """
    inner = "(" + host.replace("(", "[").replace(")", "]") + ")"
    either = shown, _NUMBER.sub("", shown)
    return any(each in {host, inner} or each.endswith(f" {inner}") for each in either)


def _is_meant(select: m.SelectCard, shown: m.CardInfo | None) -> "Callable[[Card], bool]":
    """
    Return what tells whether a card is the one that was selected, by the names it has.

    Those are what its host has signed, and the id of its reader as the server shows it, where
    that differs in what servers add to names of hosts alone. Tags are the server's word: it knows
    those that users have set, and which cards are free.
    """
    items = [item for item in selection_of(select).items if item[0] != TAG]

    def meant(card: "Card") -> bool:
        names = set(named(names_of(_reader_of(card), _ids_of(card, shown))))
        return all(not names.isdisjoint(lookups(kind, text)) for kind, text in items)

    return meant


def _ids_of(card: "Card", shown: m.CardInfo | None) -> tuple[str, ...]:
    if shown is None or not shown.reader or not shown.host:
        return (card.reader,)
    own, _, number = shown.reader.rpartition(f"@{shown.host}")
    same = own == card.reader.removesuffix(f"@{card.host}") and _NUMBER.fullmatch(number)
    called = same and is_called(shown.host, card.host)
    return (card.reader, shown.reader) if called else (card.reader,)


def _reader_of(card: "Card") -> m.ReaderInfo:
    return m.ReaderInfo(
        reader=card.reader,
        name=card.name,
        state=m.ReaderState.READY,
        atr=Octets(card.atr) if card.atr else None,
        iccid=card.iccid or None,
        eids=card.eids,
        label=card.label or None,
    )


def _as_signed(shown: m.CardInfo, card: "Card") -> m.CardInfo:
    """Return a card as its host has signed it; host and reader are called as the server does."""
    return msgspec.structs.replace(
        shown,
        identities=m.Identities(
            atr=card.atr.hex(),
            eid=card.eids[0] if card.eids else None,
            iccid=card.iccid or None,
        ),
        reader_name=card.name,
        eids=card.eids,
        label=card.label or None,
    )
