# SPDX-License-Identifier: Apache-2.0
"""The guard of a card: commands of any kind, and cards that answer anything."""

import random
from typing import Literal

from tests.fuzz import records
from tests.fuzz.engine import mutate
from wsrc.guard.machine import Guard, Judging, Orders, Refusal
from wsrc.guard.parts import MAX_READINGS, PREFIX_OCTETS
from wsrc.guard.rules import rule_of
from wsrc.guard.tables import Profile, Table, check
from wsrc.guard.tries import MAX_SECRETS, Tries

COMMAND, ANSWER, RESET, CONTROL, ORDERS, TABLE = range(6)
"""What happens: a command, what the card answers to all from then on, a reset, a control code."""

_PIN = b"\x31\x32\x33\x34\xff\xff\xff\xff"
_VERIFY = bytes.fromhex("0020000108") + _PIN
_PROFILES: tuple[Literal["full", "last-try", "no-key-management", "no-pin", "read-only"], ...] = (
    "full",
    "last-try",
    "no-key-management",
    "no-pin",
    "read-only",
)
_POOL = (
    [
        (ANSWER, bytes.fromhex(sw))
        for sw in ("9000", "63c1", "63c0", "63c3", "6983", "9804", "6300", "6100", "9f10", "0a9000")
    ]
    + [
        (COMMAND, bytes.fromhex(apdu))
        for apdu in (
            _VERIFY.hex(),
            "00200001",
            "0024000110" + (_PIN * 2).hex(),
            "002c000110" + (_PIN * 2).hex(),
            "1020000104" + _PIN[:4].hex(),
            "0020000104" + _PIN[4:].hex(),
            "00a40004023f00",
            "00a4040c07a0000000871002",
            "01a4040c05a000000087",
            "0070000001",
            "00708001",
            "a020000108" + _PIN.hex(),
            "00c200000d" + _VERIFY.hex(),
            "80c2000005d003810101",
            "80e2110003bf3400",
            "80e2910006bf3e035c015a00",
            "80d8000000",
            "ff00000000",
            "ffca000000",
            "00820000080011223344556677",
            "002100810a5308" + _PIN.hex(),
        )
    ]
    + [(ORDERS, bytes([number])) for number in range(8)]
    + [
        (RESET, b""),
        (CONTROL, bytes.fromhex("00000d48") + _VERIFY),
        (TABLE, b"00 20 xx 0x\0\0a000000087\0refuse"),
        (TABLE, b"\0bf34\0\0006985"),
    ]
)
SEEDS = [
    records.joined(_POOL),
    records.joined(_POOL[10:20]),
    records.joined(_POOL[-6:] + _POOL[:24]),
]
WORDS = [octets for _, octets in _POOL]
SHARE = 4


def one(data: bytes) -> None:
    """No order of events makes a guard fail, grow, ask without end, or spend a last try."""
    orders, tries, answer = Orders(frozenset({"last-try"})), Tries(), b"\x90\x00"
    rules: list[Table] = []
    guard = Guard(orders, tries, uicc=False)
    for what, octets in records.split(data):
        match what % 6:
            case 0 if len(octets) >= 4:
                if _judged(guard.judge(octets), answer) is None:
                    guard.saw(octets, answer)
            case 1 if len(octets) >= 2:
                answer = octets
            case 2:
                guard.was_reset()
            case 3 if len(octets) >= 4:
                number = int.from_bytes(octets[:4])
                features = answer if number & 1 else b""
                judging = guard.judge_control(
                    number, octets[4:], features, harmless=False, card=bool(number & 2)
                )
                if _judged(judging, answer) is None:
                    guard.saw_control(number, octets[4:], features, answer)
            case 4 if octets:
                profiles = frozenset(p for at, p in enumerate(_PROFILES[1:]) if octets[0] >> at & 1)
                orders = orders._replace(profiles=profiles or frozenset({"full"}))
                guard = Guard(orders, tries, uicc=bool(octets[0] & 0x80))
            case 5:
                _add(rules, octets)
                orders = orders._replace(rules=tuple(rule_of(t, n) for n, t in enumerate(rules, 1)))
                guard = Guard(orders, tries, uicc=False)
            case _:
                pass
        _bounded(guard, tries)
    _last_try_is_kept(Guard(orders._replace(rules=()), tries, uicc=False), orders)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Change what happens, or its octets."""
    return records.mutated(data, rng, lambda each, r: mutate(each, r, WORDS), _POOL)


def _add(rules: list[Table], octets: bytes) -> None:
    """Add a table of the owner, if it is one."""
    texts = [*octets.decode("latin-1").split("\0"), "", "", ""][:4]
    table = Table(match=texts[0], data=texts[1], aid=texts[2], answer=texts[3] or "refuse")
    try:
        check([table])
    except ValueError as exc:
        assert len(str(exc)) < 300
        return
    if table.is_rule and len(rules) < 8:
        _checked_answer(table.answer)
        rules.append(table)


def _checked_answer(answer: str) -> None:
    assert answer in {"allow", "refuse", "error"} or len(bytes.fromhex(answer)) == 2


def _judged(judging: Judging, answer: bytes) -> Refusal | None:
    """Let a guard ask the card what it wants to know; it changes nothing there, and ends."""
    try:
        question = next(judging)
        for _ in range(64):
            assert question[1] in {0x20, 0x2C, 0xF2}
            assert len(question) <= 5
            question = judging.send(answer)
    except StopIteration as done:
        refusal: Refusal | None = done.value
        assert refusal is None or _is_fit(refusal)
        return refusal
    raise AssertionError("the guard asks without end")


def _is_fit(refusal: Refusal) -> bool:
    """Return whether a refusal says why, without octets of a PIN."""
    assert refusal.why
    assert len(refusal.why) < 200
    assert refusal.sw is None or len(bytes.fromhex(refusal.sw)) == 2
    return "31323334" not in refusal.why.lower()


def _bounded(guard: Guard, tries: Tries) -> None:
    assert len(guard._where) <= 32
    assert len(tries._left) <= MAX_SECRETS
    held = guard._parts._held
    assert len(held) <= 256
    assert all(len(each) <= MAX_READINGS * 2 for each in held.values())
    assert all(len(part) <= PREFIX_OCTETS for each in held.values() for part in each)


def _last_try_is_kept(guard: Guard, orders: Orders) -> None:
    """See that after all that a wrong PIN whose last try is left is refused."""
    if Profile.FULL in orders.profiles:
        return
    refusal = _judged(guard.judge(_VERIFY), b"\x63\xc1")
    if refusal is None:
        guard.saw(_VERIFY, b"\x63\xc1")
        assert _judged(guard.judge(_VERIFY), b"\x6d\x00") is not None
