# SPDX-License-Identifier: Apache-2.0
"""Readers and cards behind our own driver: whatever the field has, described by a test."""

import threading
from collections.abc import Callable, Mapping

from tests.support.ifd.calls import Answer, Ifd, IfdCall, Op

SERIAL, CHANNEL = 0x0001_0103, 0x0002_0110

_SLOTS, _READERS, _THREAD_SAFE, _SLOT_THREAD_SAFE = 0x0FAE, 0x0FAF, 0x0FAD, 0x0FAC
_ATR, _ATR_STRING = 0x0303, 0x0009_0303


class RefusesError(Exception):
    """What a card's or reader's function raises to have a call end with a code of `Ifd`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class OddCard:
    """
    A card as its reader sees it.

    Args:
        atr: What it answers to each reset.
        answer: Answers a TPDU or APDU, which comes with T; may raise RefusesError.
        mute_power_ups: How many of the first power-ups fail.
        refused: Protocols (T) that cannot be agreed on, each with the driver's code.
    """

    def __init__(
        self,
        atr: bytes,
        answer: Callable[[bytes, int], bytes] = lambda _octets, _t: b"\x90\x00",
        *,
        mute_power_ups: int = 0,
        refused: Mapping[int, int] | None = None,
    ) -> None:
        self.atr = atr
        self.answer = answer
        self.mute_power_ups = mute_power_ups
        self.refused = dict(refused or {})

    def reset(self) -> None:
        """Forget what commands left behind."""


class OddReader:
    """
    A reader with one or more slots; `calls` has what pcscd asked of each, in order.

    "up", "down", "warm", "T=0", "T=1", and TPDUs in hexadecimal digits.

    Args:
        name: FRIENDLYNAME; octets where it is not UTF-8.
        cards: What is in its slots.
        attributes: Tags and their values; those that a test sets are kept.
        controls: Answers to control codes (as PC/SC numbers them on Linux).
        serial: Attribute VENDOR_IFD_SERIAL_NO; none where empty.
        refuses_to_set: Answer to what would set an attribute that it does not have.
    """

    def __init__(
        self,
        name: str | bytes,
        *cards: OddCard | None,
        attributes: Mapping[int, bytes] | None = None,
        controls: Mapping[int, Callable[[bytes], bytes]] | None = None,
        serial: bytes = b"",
        refuses_to_set: Ifd = Ifd.ERROR_TAG,
    ) -> None:
        self.name = name.encode() if isinstance(name, str) else name
        self.cards = list(cards) or [None]
        self.attributes = dict(attributes or {})
        if serial:
            self.attributes[SERIAL] = serial
        self.controls = dict(controls or {})
        self._refuses_to_set = refuses_to_set
        self.calls: list[list[str]] = [[] for _ in self.cards]
        self.present_code: int | None = None
        self.changed: Callable[[int], None] = lambda _: None
        self._atrs = [b""] * len(self.cards)
        self._noted = threading.Condition()

    def insert(self, card: OddCard, slot: int = 0) -> None:
        """Put a card in."""
        self.cards[slot] = card
        self.changed(slot)

    def remove(self, slot: int = 0) -> None:
        """Take the card out."""
        self.cards[slot] = None
        self.changed(slot)

    def wait_for(self, true: Callable[[list[str]], bool], slot: int = 0) -> None:
        """Wait until the calls of a slot fit."""
        with self._noted:
            fits = self._noted.wait_for(lambda: true(self.calls[slot]), 10)
        assert fits, f"pcscd asked only for {self.calls[slot]}"

    def answer(self, call: IfdCall) -> Answer:
        """Answer a call of pcscd."""
        try:
            return self._answer(call)
        except RefusesError as exc:
            return exc.code, b""

    def _answer(self, call: IfdCall) -> Answer:
        calls = {
            Op.GET: self._get,
            Op.SET: self._set,
            Op.PRESENCE: self._presence,
            Op.POWER: self._power,
            Op.PROTOCOL: self._protocol,
            Op.TRANSMIT: self._transmit,
            Op.CONTROL: self._control,
        }
        return calls[call.op](call) if call.op in calls else (Ifd.SUCCESS, b"")

    def _set(self, call: IfdCall) -> Answer:
        if call.a not in self.attributes:
            return self._refuses_to_set, b""
        self.attributes[call.a] = call.octets
        return Ifd.SUCCESS, b""

    def _presence(self, call: IfdCall) -> Answer:
        there = Ifd.ICC_NOT_PRESENT if self._card(call) is None else Ifd.ICC_PRESENT
        return (there if self.present_code is None else self.present_code), b""

    def _control(self, call: IfdCall) -> Answer:
        if call.a not in self.controls:
            return Ifd.NOT_SUPPORTED, b""
        return Ifd.SUCCESS, self.controls[call.a](call.octets)

    def _card(self, call: IfdCall) -> OddCard | None:
        return self.cards[call.slot]

    def _get(self, call: IfdCall) -> Answer:
        slot, tag = call.slot, call.a
        known = {
            _SLOTS: bytes([len(self.cards)]),
            _READERS: b"\x10",
            _THREAD_SAFE: b"\x01",
            _SLOT_THREAD_SAFE: b"\x01",
            _ATR: self._atrs[slot],
            _ATR_STRING: self._atrs[slot],
        }
        value = known.get(tag, self.attributes.get(tag, b""))
        return (Ifd.SUCCESS, value) if value else (Ifd.ERROR_TAG, b"")

    def _power(self, call: IfdCall) -> Answer:
        words = {Ifd.POWER_UP: "up", Ifd.POWER_DOWN: "down", Ifd.RESET: "warm"}
        self._note(call.slot, words[Ifd(call.a)])
        card = self._card(call)
        self._atrs[call.slot] = b""
        if call.a == Ifd.POWER_DOWN:
            return Ifd.SUCCESS, b""
        if card is None or card.mute_power_ups > 0:
            if card is not None:
                card.mute_power_ups -= 1
            return Ifd.ERROR_POWER_ACTION, b""
        card.reset()
        self._atrs[call.slot] = card.atr
        return Ifd.SUCCESS, card.atr

    def _protocol(self, call: IfdCall) -> Answer:
        card, number = self._card(call), call.a - 1
        self._note(call.slot, f"T={number}")
        if card is None:
            return Ifd.COMMUNICATION_ERROR, b""
        return card.refused.get(number, Ifd.SUCCESS), b""

    def _transmit(self, call: IfdCall) -> Answer:
        card = self._card(call)
        self._note(call.slot, call.octets.hex())
        if card is None:
            return Ifd.ICC_NOT_PRESENT, b""
        return Ifd.SUCCESS, card.answer(call.octets, call.a)

    def _note(self, slot: int, what: str) -> None:
        with self._noted:
            self.calls[slot].append(what)
            self._noted.notify_all()
