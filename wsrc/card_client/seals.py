# SPDX-License-Identifier: Apache-2.0
"""How the sessions of a card host are sealed; without that, nothing of it is loaded."""

import logging
import os
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from wsrc.errors import ConfigError, ErrorCode, RefusedError
from wsrc.net.state_dir import state_dir
from wsrc.protocol import messages as m
from wsrc.sealing.encoding import NONCE_OCTETS
from wsrc.selection import Filter, keys_of
from wsrc.settings.load import CardClientSettings

if TYPE_CHECKING:
    from wsrc.net.seal_files import HostFiles
    from wsrc.protocol.boxed import CardBoxes


_log = logging.getLogger(__name__)


class Seals:
    """
    Seals sessions, where the card host has that on.

    Args:
        settings: The operator's.
        longest: Returns how many octets a message to the server may have.

    Raises:
        ConfigError: If a file of `settings` cannot work.
    """

    def __init__(self, settings: CardClientSettings, longest: Callable[[], int]) -> None:
        self._settings = settings
        self._longest = longest
        self._cards = [Filter(m.ListCards(id=0, any=card)) for card in settings.seal_cards]
        self._files: HostFiles | None = None
        if settings.seal_mode != "off":
            self._files = _files_of(settings)

    @property
    def on(self) -> bool:
        """Whether a session is sealed whose user asks for that."""
        return self._files is not None

    def check(self, asked: m.Attach, info: m.ReaderInfo) -> None:
        """
        Check whether a session may begin as it is asked for.

        Args:
            asked: What is asked for.
            info: The reader and its card, as far as they are known.

        Raises:
            RefusedError: If it has to be sealed, and is not to be.
        """
        if asked.seal is not None and self._files is not None:
            return
        every = self._settings.seal_mode == "required"
        if every or any(each.fits(keys_of(info)) for each in self._cards):
            what = "its sessions" if every else f"every session with what is in {info.name}"
            why = (
                f"The card host wants {what} sealed, and this one is not: the user did not ask for "
                "that, or the server has kept it from the card host."
            )
            raise RefusedError(ErrorCode.SEAL_REQUIRED, why)

    def longest(self, asked: m.Attach) -> Callable[[], int]:
        """Return what tells how many octets an answer of a session may have."""
        if self._files is None or asked.seal is None:
            return self._longest
        from wsrc.protocol.boxed import room_for  # noqa: PLC0415 - not every host seals

        return lambda: room_for(self._longest(), self._settings.pad_octets)

    def offer(
        self, asked: m.Attach, info: m.ReaderInfo, atr: bytes
    ) -> "tuple[CardBoxes, m.SealOffer] | None":
        """
        Make the offer of a session, and its end of that; None where it is not sealed.

        Args:
            asked: What is asked for.
            info: The reader and its card, once that was reset.
            atr: Its answer to reset; empty where no card is powered.

        Raises:
            RefusedError: If the user has no suite in common, or what it said is malformed; if the
                session has to be sealed, and is not to be.
        """
        self.check(asked, info)
        if self._files is None or asked.seal is None:
            return None
        from wsrc.protocol import boxed  # noqa: PLC0415 - not every host seals
        from wsrc.sealing.ends import CardSeal  # noqa: PLC0415 - not every host seals

        card = boxed.card_of(self._settings.name, info, atr)
        nonce = secrets.token_bytes(NONCE_OCTETS)
        ask = boxed.ask_of(asked.seal)
        offered = self._files.host().offer(ask, boxed.asked_of(asked), card, nonce)
        pad = self._settings.pad_octets
        end = boxed.CardBoxes(CardSeal(offered, pad), _now, self._longest, pad)
        return end, boxed.said_of(offered.offer)


def _files_of(settings: CardClientSettings) -> "HostFiles | None":
    from wsrc.net import seal_files  # noqa: PLC0415 - not every host seals

    try:
        files = seal_files.HostFiles(settings, state_dir(None, os.environ))
    except ConfigError as exc:
        if settings.seal is not None or settings.seal_cards or settings.seal_mode == "required":
            raise
        _log.warning("No session is sealed: %s", exc)
        return None
    _log.info("Sessions can be sealed; the key of this host is %s", files.fingerprint)
    return files


def _now() -> datetime:
    return datetime.now(UTC)
