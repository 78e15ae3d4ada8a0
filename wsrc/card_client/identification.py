# SPDX-License-Identifier: Apache-2.0
"""Identity of the card in a reader: asked for, reported, asked for again when it may differ."""

import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from wsrc.card.atr import read_atr
from wsrc.card.identify import ISD_R_AIDS, Absent
from wsrc.card.identity import shorten
from wsrc.card_client import blocking
from wsrc.card_client.worker import ReaderThread
from wsrc.errors import CardError, CardNotPresentError, ReaderInUseError, ReaderUnavailableError
from wsrc.octets import Octets, from_person
from wsrc.protocol import messages as m
from wsrc.readers.base import Slot
from wsrc.selection import Filter, Key, forms, keys_of, reader_names
from wsrc.settings.load import CardClientSettings

_log = logging.getLogger(__name__)

IDENTIFY_S = 60.0
"""Longest identification: a dozen commands, each of which may take its time."""

NAME_S = 10.0
"""Longest question for a serial number."""

RETRY_S = 2.0
RETRY_MAX_S = 300.0
"""When a card that could not be talked to is tried again; the waits double."""


MAX_KNOWN_ATRS = 64
"""Cards of so many ATRs are remembered for what they are not."""

_LABELLED_BY = ("iccid", "eid", "reader", "atr")
"""By which names of a card it is looked for among the labels, the one that counts most first."""


class Identification:
    """
    What the server is told of one reader, in `info`.

    `retry_s` is when a card that could not be talked to is to be tried again, None where it need
    not be. `to_be_named` tells that the reader could not be asked yet by what it is to be called.
    """

    def __init__(
        self,
        settings: CardClientSettings,
        name: str,
        thread: ReaderThread,
        send: Callable[[m.Message], None],
    ) -> None:
        self.info = m.ReaderInfo(reader="", name=name, state=m.ReaderState.EMPTY)
        self.retry_s: float | None = None
        self.to_be_named = True
        self._absent: dict[bytes, Absent] = {}
        self._whole: tuple[int, tuple[str, ...]] | None = None
        aids = tuple(bytes(from_person(aid)) for aid in settings.isd_r_aids)
        self._isd_r_aids: Sequence[bytes] = aids or ISD_R_AIDS
        self._labels = _by_key(settings.labels)
        self._tags = [
            (Filter(m.ListCards(id=0, any=each.cards)), each.cards == "*", each.set)
            for each in settings.tags
        ]
        self._thread = thread
        self._send = send

    async def name(self, claim: Callable[[str, str], str]) -> None:
        """
        Find the id of the reader, before which the server is not told of it.

        A reader that cannot be asked is called by its name until it can.
        """
        stable, position = self.info.name, ""
        try:
            stable, position = await self._thread.with_reader(
                lambda reader: (reader.stable_id, reader.position), NAME_S
            )
            self.to_be_named = False
        except CardError as exc:
            if not self.info.reader:
                _log.warning("%s: its serial number is not known: %s", self.info.name, exc)
        self.rename(claim(stable, position))

    def rename(self, reader: str) -> None:
        """Call the reader otherwise; to the server one is gone and another there."""
        before = self.info.reader
        if before and before != reader:
            self._send(m.ReaderGone(reader=before))
        info = msgspec.structs.replace(self.info, reader=reader)
        known = info.state in {m.ReaderState.READY, m.ReaderState.IN_USE}
        label = self._label(info) if known else None
        self._report(msgspec.structs.replace(info, label=label))

    def new_card(self, slot: Slot) -> None:
        """Enter a card of which no more is known than its ATR, and tell the server at once."""
        self.retry_s = None
        blank = _blank(self.info, m.ReaderState.IDENTIFYING, slot.atr)
        self._report(msgspec.structs.replace(blank, insertion=self.info.insertion + 1))

    def used_elsewhere(self, slot: Slot) -> None:
        """
        Enter whether another program of this host has the card.

        It is `in_use` while that program has it alone. One that would share it may let go at any
        moment, so that the card stays what it is. What is known of a card is known when the
        program lets go, too: whoever selects it by what may have changed has it asked again.
        """
        state = self.info.state
        if slot.exclusive and state in {m.ReaderState.READY, m.ReaderState.IDENTIFYING}:
            state = m.ReaderState.IN_USE
        elif not slot.in_use and state is m.ReaderState.IN_USE:
            known = self._eids is not None and self.info.protocol is not None
            state = m.ReaderState.READY if known else m.ReaderState.IDENTIFYING
        use = {"in_use": slot.in_use, "exclusive": slot.exclusive}
        self._report(msgspec.structs.replace(self.info, state=state, **use))

    def no_card(self, state: m.ReaderState, atr: bytes) -> None:
        """Enter that there is no card that can be talked to."""
        self.retry_s = None
        self._report(_blank(self.info, state, atr))

    @property
    def _eids(self) -> tuple[str, ...] | None:
        """The EIDs of the card that is in the reader now, if it was asked for them already."""
        if self._whole is None or self._whole[0] != self.info.insertion:
            return None
        return self._whole[1]

    @property
    def may_switch(self) -> bool:
        """Whether the card may have another ICCID without being taken out: if it is an eUICC."""
        facts = read_atr(bytes(self.info.atr or b""))
        return self._eids != () or facts is None or facts.euicc

    async def identify(self, still_there: Callable[[int | None], bool]) -> None:
        """
        Cold reset the card, ask it who it is, power it off, and tell the server.

        A card that stayed in the reader has the EIDs that it had, and is not asked for them. What
        comes of it is dropped if the card is not `still_there` by then.
        """
        aids, eids, absent = self._isd_r_aids, self._eids, self._absent
        if len(absent) > MAX_KNOWN_ATRS:
            absent.clear()
        try:
            found = await self._thread.with_reader(
                lambda reader: blocking.find_out(reader, aids, eids, absent), IDENTIFY_S
            )
        except CardError as exc:
            if still_there(None):
                self.failed(exc)
            return
        if not still_there(found.event_count):
            return
        self.retry_s = None
        ids = found.identities
        self._whole = (self.info.insertion, ids.eids) if found.whole else None
        info = msgspec.structs.replace(
            self.info,
            state=m.ReaderState.IN_USE if self.info.exclusive else m.ReaderState.READY,
            atr=Octets(found.atr),
            protocol=found.protocol,
            iccid=ids.iccid,
            eids=ids.eids,
        )
        self._report(msgspec.structs.replace(info, label=self._label(info)))
        names = [shorten(name) for name in (ids.iccid, *ids.eids) if name] or ["without a number"]
        _log.info("%s has card %s, %s", self.info.name, ", ".join(names), found.protocol)

    def has_iccid(self, iccid: str | None) -> m.ReaderInfo:
        """Enter and return what the card is now, and tell the server if it is another one."""
        info = msgspec.structs.replace(self.info, iccid=iccid)
        self._report(msgspec.structs.replace(info, label=self._label(info)))
        return self.info

    def failed(self, exc: CardError) -> None:
        """Report the state of a card that could not be talked to, and plan to try again."""
        state = m.ReaderState.MUTE
        if isinstance(exc, ReaderInUseError):
            state = m.ReaderState.IN_USE
        elif isinstance(exc, ReaderUnavailableError):
            state = m.ReaderState.UNAVAILABLE
        elif isinstance(exc, CardNotPresentError):
            state = m.ReaderState.EMPTY
        if state is not self.info.state:
            _log.warning("%s: %s", self.info.name, exc)
        self.retry_s = min(2 * self.retry_s if self.retry_s else RETRY_S, RETRY_MAX_S)
        if state is m.ReaderState.IN_USE:
            self._report(msgspec.structs.replace(self.info, state=state))
        else:
            self._report(_blank(self.info, state, bytes(self.info.atr or b"")))

    def was_reset(self, reset: m.ResetResp | m.ReconnectAck, iccid: str | None) -> None:
        """Enter what a reset inside a session brought to light."""
        info = msgspec.structs.replace(
            self.info, atr=reset.atr, protocol=reset.protocol, iccid=iccid or self.info.iccid
        )
        self._report(msgspec.structs.replace(info, label=self._label(info)))

    def _label(self, info: m.ReaderInfo) -> str | None:
        names = keys_of(msgspec.structs.replace(info, label=None, tags=None))
        keys = sorted(names, key=_weight)
        return next((self._labels[key] for key in keys if key in self._labels), None)

    def _tagged(self, info: m.ReaderInfo) -> m.ReaderInfo:
        """Return a reader with the tags of its tables; where two have a key, the last counts."""
        full = info.state not in {m.ReaderState.EMPTY, m.ReaderState.UNAVAILABLE}
        names = keys_of(info) if full else reader_names(info.reader, info.name)
        fitting = [tags for which, every, tags in self._tags if every or which.fits(names)]
        merged = {key: value for tags in fitting for key, value in tags.items()}
        return msgspec.structs.replace(info, tags=merged or None)

    def _report(self, info: m.ReaderInfo) -> None:
        info = self._tagged(info) if self._tags else info
        before, self.info = self.info, info
        if info != before and info.reader:
            self._send(m.ReaderReport(reader=info))


def _by_key(labels: Mapping[str, str]) -> dict[Key, str]:
    """Return the operator's labels by each key that a card may have; a very name counts most."""
    named = [
        (kind, form, place, label)
        for name, label in labels.items()
        for kind in _LABELLED_BY
        for place, form in enumerate(forms(kind, name))
    ]
    named.sort(key=lambda each: each[2], reverse=True)
    return {(kind, form): label for kind, form, _, label in named}


def _weight(key: Key) -> int:
    return _LABELLED_BY.index(key[0])


def _blank(info: m.ReaderInfo, state: m.ReaderState, atr: bytes) -> m.ReaderInfo:
    """Describe a reader of whose card no more is known than its ATR."""
    return m.ReaderInfo(
        reader=info.reader,
        name=info.name,
        state=state,
        insertion=info.insertion,
        atr=Octets(atr) if atr else None,
    )
