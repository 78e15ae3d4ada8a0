# SPDX-License-Identifier: Apache-2.0
"""The guard of one card: whether a command may pass, and what the card's answers teach."""

from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

from wsrc.card.apdu import on_channel
from wsrc.guard import control
from wsrc.guard.commands import (
    ENVELOPE,
    GET_RESPONSE,
    MANAGE_CHANNEL,
    PRESENTATIONS,
    PSEUDO,
    SELECT,
    STORE_DATA,
    Secret,
    Seen,
    read,
    succeeded,
)
from wsrc.guard.parts import Parts
from wsrc.guard.profiles import MANAGEMENT, PUT_DATA, manages_keys, only_reads, passes_reader
from wsrc.guard.rules import Rule
from wsrc.guard.tables import ALLOW, ERROR, REFUSE, Allowed, Profile
from wsrc.guard.tries import Tries, Where


class Orders(NamedTuple):
    """
    What the owner of a card host wants for one card.

    `answer` is `error` or the status word with which refused commands are answered.
    """

    profiles: frozenset[str]
    allowed: frozenset[str] = frozenset()
    rules: tuple[Rule, ...] = ()
    answer: str = ERROR
    keep_tries: int = 1

    @property
    def guards(self) -> bool:
        """Whether anything may be refused."""
        return bool(self.rules) or Profile.FULL not in self.profiles

    @property
    def follows(self) -> bool:
        """Whether it must be known of every card which application is selected."""
        return any(rule.aid.mask for rule in self.rules)


class Refusal(NamedTuple):
    """Why a command is kept from a card; `sw` is what it is answered with, None for an error."""

    rule: str
    why: str
    sw: str | None = None


Judging = Generator[bytes, bytes, Refusal | None]
"""Yields commands that the card is to be asked, as APDUs without Le, and takes its answers."""

_FOLLOWED: Final = frozenset({SELECT, MANAGE_CHANNEL})
_ASKED_OF_RIDS: Final = tuple(
    bytes.fromhex(rid) for rid in ("a000000087", "a000000343", "a000000009", "a000000308")
)
"""3GPP, 3GPP2, ETSI, and PIV (NIST SP 800-73-4 part 2 clause 3.2.1): VERIFY may be a question."""

_CHV: Final = {
    (Secret.PIN, 0x01): 18,
    (Secret.UNBLOCK, 0x00): 19,
    (Secret.PIN, 0x02): 20,
    (Secret.UNBLOCK, 0x02): 21,
}
"""Where STATUS of a SIM has the state of each CHV (3GPP TS 51.011 clause 9.2.1)."""


class Guard:
    """
    Judges all that one card is given, in the order in which it is given.

    Args:
        orders: What its owner wants.
        tries: What is known of its PINs and keys.
        uicc: Whether its ATR says that it is a UICC, whose PINs can be asked for their tries.
    """

    def __init__(self, orders: Orders, tries: Tries, *, uicc: bool) -> None:
        self._judged = _judged(orders)
        followed = _FOLLOWED if orders.follows or not uicc else frozenset[int]()
        self._seen = bytes(
            judged or ins & 0xFE in followed for ins, judged in enumerate(self._judged)
        )
        self._orders = orders
        self._tries = tries
        self._uicc = uicc
        self._parts = Parts()
        self._where: dict[int, Where] = {}

    def ignores(self, octets: bytes) -> bool:
        """Return whether a command passes, and teaches nothing."""
        return not (self._seen[octets[1]] or octets[0] == PSEUDO or self._parts.open)

    def judge(self, octets: bytes) -> Judging:
        """
        Return why a command must not reach the card, or None.

        Args:
            octets: APDU or TPDU, of 4 octets at least.
        """
        if not (self._judged[octets[1]] or octets[0] == PSEUDO or self._parts.open):
            return None
        seen = read(octets)
        if seen.ins == GET_RESPONSE and seen.cla != PSEUDO:
            return None
        readings = self._parts.readings(seen)
        if readings is None:
            return self._refusal("parts", "its data may belong to too many commands in parts")
        refusal = yield from self._judge(seen, readings)
        if refusal is None and seen.carries:
            for inner in readings:
                if refusal is None and len(inner) >= 4:
                    carried = read(inner)
                    refusal = yield from self._judge(carried, carried.readings, wrapped=True)
        return refusal

    def saw(self, octets: bytes, answer: bytes | None) -> None:
        """Take note of a command that the card was given; `answer` is None if none came."""
        seen = read(octets)
        if seen.ins == GET_RESPONSE:
            return
        sw = None if answer is None else int.from_bytes(answer[-2:])
        readings = self._parts.readings(seen) or ()
        unfinished = seen.more and (sw is None or succeeded(sw))
        self._parts.went(seen, readings, sw)
        commands = [seen]
        if seen.carries:
            commands += [read(inner) for inner in readings if len(inner) >= 4]
        for each in commands:
            if not unfinished:
                self._learn(each, sw, answer)

    def was_reset(self) -> None:
        """Note a reset: channels, selections and parts are gone, and counters are not."""
        self._where.clear()
        self._parts.was_reset()

    def judge_control(
        self, number: int, octets: bytes, features: bytes, *, harmless: bool, card: bool
    ) -> Judging:
        """
        Return why a control code must not reach the reader, or None.

        Args:
            number: The same on every platform.
            octets: What the reader would be given.
            features: What it answered to GET_FEATURE_REQUEST.
            harmless: Whether the reader itself says that the code concerns no card.
            card: Whether the card can be asked.
        """
        asked = control.asked(number, octets, features)
        if harmless or asked.harmless:
            return None
        if asked.seen is not None and (card or Allowed.PIN_LAST_TRY in self._orders.allowed):
            return (yield from self._judge(asked.seen, asked.seen.readings))
        if Allowed.VENDOR_CODES in self._orders.allowed:
            return None
        why = "the control code may make the reader give its card a command"
        if asked.seen is not None:
            why = "nobody can ask the card for its tries while the reader is used without it"
        return None if self._is_full else self._refusal(Allowed.VENDOR_CODES, why)

    def saw_control(self, number: int, octets: bytes, features: bytes, answer: bytes) -> None:
        """Take note of what came of a control code."""
        seen = control.asked(number, octets, features).seen
        if seen is not None and len(answer) >= 2:
            self._learn(seen, int.from_bytes(answer[-2:]), answer)
        self._parts.interrupted()

    def judge_attribute(self) -> Refusal | None:
        """Return why no attribute of the reader may be set, or None."""
        if Profile.READ_ONLY in self._orders.profiles:
            return self._refusal(Profile.READ_ONLY, "it sets an attribute of the reader")
        return None

    # Judging

    @property
    def _is_full(self) -> bool:
        return Profile.FULL in self._orders.profiles

    def _judge(self, seen: Seen, readings: Sequence[bytes], *, wrapped: bool = False) -> Judging:
        where = self._where.get(seen.channel, Where())
        for rule in self._orders.rules:
            if rule.holds(seen, readings, where):
                if rule.answer != ALLOW:
                    answer = self._orders.answer if rule.answer == REFUSE else rule.answer
                    return self._refusal(f"table {rule.number} of guard", seen.name, answer)
                break
        else:
            refusal = self._by_profile(seen, readings)
            if refusal is not None:
                return refusal
        secret = seen.secret
        if secret is None or self._is_full or Allowed.PIN_LAST_TRY in self._orders.allowed:
            return None
        return (yield from self._by_tries(seen, secret, goes_on=self._goes_on(seen, wrapped)))

    def _goes_on(self, seen: Seen, wrapped: bool) -> bool:
        return not wrapped and self._parts.goes_on(seen)

    def _by_profile(self, seen: Seen, readings: Sequence[bytes]) -> Refusal | None:
        profiles = self._orders.profiles
        vendor = Allowed.VENDOR_CODES
        if self._is_full:
            return None
        if Profile.READ_ONLY in profiles and not only_reads(seen, readings):
            return self._refusal(Profile.READ_ONLY, f"{seen.name} does more than read")
        if Profile.NO_PIN in profiles and seen.secret is not None:
            return self._refusal(Profile.NO_PIN, f"{seen.name} presents a {seen.secret.value}")
        if Profile.NO_KEY_MANAGEMENT in profiles and manages_keys(seen, readings):
            why = f"{seen.name} may load, replace or delete what the card has"
            return self._refusal(Profile.NO_KEY_MANAGEMENT, why)
        if not passes_reader(seen) and vendor not in self._orders.allowed:
            return self._refusal(vendor, "a command of class FF may hide a command of the card")
        return None

    def _by_tries(self, seen: Seen, secret: Secret, *, goes_on: bool) -> Judging:
        where = self._where.get(seen.channel, Where())
        left: int | None = None
        if not goes_on:
            left = yield from self._ask(seen, secret, where)
        if left == 0:
            return None
        if left is None:
            left = self._tries.known(where, secret, seen.p2)
        if left is None or left > self._orders.keep_tries:
            return None
        kept = f"{left} {'try is' if left == 1 else 'tries are'} left of"
        why = f"{kept} {secret.value} {seen.p2:02X}, and {seen.name} may take one"
        return self._refusal(Profile.LAST_TRY, why)

    def _refusal(self, rule: str, why: str, answer: str | None = None) -> Refusal:
        answer = answer or self._orders.answer
        return Refusal(str(rule), why, None if answer == ERROR else answer.lower())

    # Questions to the card

    def _ask(self, seen: Seen, secret: Secret, where: Where) -> Generator[bytes, bytes, int | None]:
        """Ask the card how many tries are left, where a standard says that this takes none."""
        found: list[int] = []
        if secret is not Secret.KEY and self._may_ask(secret, where):
            ins = 0x20 if secret is Secret.PIN else 0x2C
            channels = dict.fromkeys((seen.channel, 0))
            for channel in channels:
                question = bytes((on_channel(0x00, channel), ins, 0x00, seen.p2))
                answer = yield question
                self.saw(question, answer)
                sw = int.from_bytes(answer[-2:])
                left = 0 if sw == 0x6983 else sw & 0xF if sw & 0xFFF0 == 0x63C0 else None
                if left is not None:
                    found.append(left)
                if sw >> 8 not in {0x68, 0x6E}:
                    break
        at = _CHV.get((secret, seen.p2))
        if seen.base == 0xA0 and at is not None:
            found += yield from self._ask_sim(at)
        return min(found, default=None)

    def _may_ask(self, secret: Secret, where: Where) -> bool:
        if self._uicc:
            return True
        return secret is Secret.PIN and where.aid.startswith(_ASKED_OF_RIDS)

    def _ask_sim(self, at: int) -> Generator[bytes, bytes, list[int]]:
        """Return the tries of a CHV from STATUS (3GPP TS 51.011 clause 9.2.2), if it says them."""
        answer = yield bytes((0xA0, 0xF2, 0, 0, 22))
        if answer[0] in {0x67, 0x6C} and len(answer) == 2 and answer[1]:
            answer = yield bytes((0xA0, 0xF2, 0, 0, answer[1]))
        state = answer[at] if len(answer) > at + 2 else 0
        return [state & 0x0F] if state & 0x80 else []

    # What answers teach

    def _learn(self, seen: Seen, sw: int | None, answer: bytes | None) -> None:
        if seen.ins in PRESENTATIONS:
            self._learn_tries(seen, sw)
        elif sw is None or answer is None or seen.base == PSEUDO:
            return
        elif seen.ins == SELECT and (succeeded(sw) or sw >> 8 in {0x62, 0x63}):
            self._selected(seen)
        elif seen.ins == MANAGE_CHANNEL and seen.base == 0x00 and sw == 0x9000:
            self._channel(seen, answer)

    def _learn_tries(self, seen: Seen, sw: int | None) -> None:
        where = self._where.get(seen.channel, Where())
        secret = PRESENTATIONS[seen.ins][0]
        if sw is None:
            if seen.secret is not None:
                self._tries.lost(where, secret, seen.p2)
        elif succeeded(sw):
            if seen.sound and seen.secret is not None:
                self._tries.verified(where, secret, seen.p2)
        else:
            self._tries.learn(where, secret, seen.p2, sw)

    def _selected(self, seen: Seen) -> None:
        by_name = seen.p1 == 0x04 and not seen.p2 & 0x43 and seen.base != 0xA0
        aid = seen.readings[0]
        if by_name and not seen.more and seen.sound:
            self._where[seen.channel] = Where(aid[:16], certain=True)
        elif seen.p1 == 0x04:
            self._where[seen.channel] = Where()
        elif not self._uicc:
            self._where[seen.channel] = self._where.get(seen.channel, Where())._replace(
                certain=False
            )

    def _channel(self, seen: Seen, answer: bytes) -> None:
        number = seen.p2 or (answer[0] if len(answer) > 2 else seen.channel)
        if seen.p1 == 0x00:
            opener = self._where.get(seen.channel, Where()) if seen.channel else Where()
            self._where[number & 0x1F] = opener
        else:
            self._where.pop(number, None)


def _judged(orders: Orders) -> bytes:
    """
    Return, by INS, whether a command may be refused whatever came before it.

    What is selected on a UICC need not be followed for its PINs: it is asked on the channel.
    """
    if orders.rules or Profile.READ_ONLY in orders.profiles:
        return b"\1" * 256
    kept = {*PRESENTATIONS, ENVELOPE}
    if Profile.NO_KEY_MANAGEMENT in orders.profiles:
        kept |= {*MANAGEMENT, PUT_DATA, STORE_DATA}
    return bytes(ins & 0xFE in kept for ins in range(256))
