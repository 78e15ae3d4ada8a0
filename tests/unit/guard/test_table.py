# SPDX-License-Identifier: Apache-2.0
"""wsrc.guard: a table of commands, in every way that they can be meant, beside the document."""

import itertools
from collections import Counter

import pytest

from tests.support.guard_book import NAMES, PRESENT, Meant, refuses, ways
from wsrc.guard.machine import Guard, Judging, Orders, Refusal
from wsrc.guard.tries import Tries

CLASSES = (
    0x00, 0x01, 0x03, 0x04, 0x0C, 0x10, 0x13, 0x20, 0x3F, 0x40, 0x4F, 0x50, 0x60, 0x7F,
    0x80, 0x83, 0x84, 0x90, 0xA0, 0xA1, 0xB0, 0xC0, 0xCF, 0xE0, 0xFE, 0xFF,
)  # fmt: skip
PROFILES = (
    {"full"},
    {"last-try"},
    {"no-key-management"},
    {"no-pin"},
    {"no-pin", "no-key-management"},
    {"read-only"},
)
TAGS = ("bf3e035c015a", "bf2d00", "bf3300", "bf3400", "bf3100", "bf6400", "bf3800")


def commands(cla: int) -> list[Meant]:
    """Every instruction in a class, with and without data."""
    found: list[Meant] = []
    for ins in NAMES:
        if ins == 0xC2:
            continue
        if ins == 0xE2:
            found += [Meant(cla, ins, 0x91, 0, bytes.fromhex(tag)) for tag in TAGS]
        elif ins == 0xDA:
            found += [Meant(cla, ins + 1, 0x3F, p2, b"\x4d\x02ab") for p2 in (0xFF, 0xFE)]
        else:
            p2 = 0x0C if ins == 0xA4 else 0x01
            found.append(Meant(cla, ins, 0, p2, b"\x31\x32\x33\x34\xff\xff\xff\xff"))
            found.append(Meant(cla, ins, 0, p2, None))
    odd = [Meant(cla, ins + 1, 0, 0x81, b"\x53\x0212") for ins in (0x20, 0x24, 0x2C, 0xD8, 0xB0)]
    return found + odd


def answer(question: bytes, left: int) -> bytes:
    """What a UICC answers to a question for tries; it fails of anything but a question."""
    if question[:2] == b"\xa0\xf2":
        return bytes(18) + bytes([0x80 | left] * 4) + b"\x90\x00"
    assert question[0] & 0x90 == 0
    assert question[1] in {0x20, 0x2C}
    assert len(question) == 4
    return bytes((0x63, 0xC0 | left))


def judged(judging: Judging, left: int) -> Refusal | None:
    try:
        question = next(judging)
        while True:
            question = judging.send(answer(question, left))
    except StopIteration as done:
        refusal: Refusal | None = done.value
        return refusal


def refused(guard: Guard, sent: list[bytes], left: int) -> bool:
    """Return whether any command was refused; those before it were run."""
    for octets in sent:
        if not guard.ignores(octets):
            if judged(guard.judge(octets), left) is not None:
                return True
            guard.saw(octets, b"\x90\x00")
    return False


@pytest.mark.parametrize("left", [3, 1])
@pytest.mark.parametrize("number", range(len(PROFILES)))
def test_a_command_is_refused_in_every_way_or_in_none(number: int, left: int) -> None:
    chosen = frozenset(PROFILES[number])
    every = itertools.count(number)
    wrong: list[str] = []
    seen: Counter[bool] = Counter()
    for cla in CLASSES:
        for meant in commands(cla):
            for way in ways(meant):
                if next(every) % 3:  # each profile takes other thirds of a table that is long
                    continue
                guard = Guard(Orders(chosen), Tries(), uicc=True)
                expected = refuses(chosen, meant, left, parts=way.parts, wrapped=way.wrapped)
                seen[expected] += 1
                if not expected and (way.odd or not Orders(chosen).guards):
                    continue
                if refused(guard, way.octets, left) is not expected:
                    wrong.append(f"{bytes(meant[:4]).hex()} {meant.name}, {way.name}: {expected}")
    assert wrong == []
    assert seen.total() > 6_000
    assert (seen[True] > 70) is ("full" not in chosen)


def test_every_class_hides_no_pin() -> None:
    """All 256 classes, each with each instruction that presents a PIN."""
    asked = {ins for ins, name in NAMES.items() if name in PRESENT} - {0x82, 0x86}
    for cla in range(256):
        for ins in asked:
            guard = Guard(Orders(frozenset({"last-try"})), Tries(), uicc=True)
            for p2 in (0x00, 0x01, 0x0A, 0x81, 0x8E):
                octets = bytes((cla, ins, 0, p2, 8)) + bytes(8)
                assert judged(guard.judge(octets), 1) is not None, octets.hex()
                assert judged(guard.judge(octets), 2) is None, octets.hex()
