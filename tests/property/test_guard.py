# SPDX-License-Identifier: Apache-2.0
"""wsrc.guard: no hostile sequence blocks a PIN of a simulated card, nor makes the guard grow."""

import os
from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, strategies as st

from tests.support.card_user import card
from wsrc.card.atr import read_atr
from wsrc.card_client.blocking import Line
from wsrc.card_client.guarded import GuardedConnection
from wsrc.errors import BadApduError, GuardedError
from wsrc.guard.machine import Guard, Orders
from wsrc.guard.parts import MAX_READINGS, PREFIX_OCTETS
from wsrc.guard.tries import MAX_SECRETS, Tries
from wsrc.readers.base import CardProtocol, ResetKind
from wsrc.readers.simulated import SimulatedSource
from wsrc.readers.simulation import Card
from wsrc.readers.simulation.pins import Secret

SEQUENCES = int(os.environ.get("WSRC_GUARD_SEQUENCES", "60"))
"""So many sequences for each of five kinds of cards."""

LENGTH = 80

RIGHT, WRONG = b"1234\xff\xff\xff\xff", b"00000000"
PUK, ADM = b"12345678", b"12345678"
CLASSES = (0x00, 0x01, 0x02, 0x04, 0x0C, 0x10, 0x11, 0x20, 0x40, 0x50, 0x80, 0x90, 0xA0, 0xC0, 0xFF)
REFERENCES = (0x01, 0x01, 0x01, 0x02, 0x00, 0x0A, 0x0A, 0x21, 0x81)
PINS = (0x20, 0x21, 0x24, 0x26, 0x28, 0x2C, 0x2D, 0x82)
OTHERS = (
    "00a40004023f00", "00a4040c07a0000000871002", "01a4040c05a000000087", "00a4000c027fff",
    "0070000001", "00708001", "00b000000a", "00c0000010", "10b0000000", "a0a40000023f00",
    "80f2000000", "0084000008", "80e2110001bf", "00c20000040020" + "0001", "00c2000000",
)  # fmt: skip

KINDS = {
    "a UICC in T=0": ("uicc", CardProtocol.T0, "", 0x00),
    "a UICC in T=1": ("uicc", CardProtocol.T1, "", 0x00),
    "a UICC without PIN": ("uicc", CardProtocol.T0, "pin1_enabled = false", 0x00),
    "an eUICC": ("euicc", CardProtocol.T0, "", 0x00),
    "a SIM": ("uicc", CardProtocol.T0, "gsm_only = true", 0xA0),
}


def presentation(random: Random, cla: int, ins: int, p2: int) -> bytes:
    """Draw a command that presents something, or nearly so."""
    count = 2 if ins & 0xFE in {0x24, 0x2C} else 1
    wrong = 0 if random.random() < 0.02 else 1
    data = b"".join(random.choice((RIGHT, PUK, WRONG)[2 * wrong :]) for _ in range(count))
    if random.random() < 0.3:
        cla = random.choice((0x00, 0xA0, random.choice(CLASSES), random.randrange(256)))
    p1 = 0 if random.random() < 0.9 else random.choice((1, 0xFF))
    header = bytes((cla, ins, p1, p2))
    forms = (
        header + bytes([len(data)]) + data + b"\0",
        header + b"\0" + len(data).to_bytes(2) + data,
        header + b"\0" + data,
        header,
        header + b"\0",
        header + bytes([len(data)]),
        header + b"\0\0\0",
        header + bytes([random.randrange(256)]) + data,
        header + bytes([4]) + data[:4],
    )
    usual = header + bytes([len(data)]) + data
    return usual if random.random() < 0.7 else random.choice(forms)


def attack(random: Random, cla: int) -> Iterator[bytes]:
    """Yield commands that try to use up the tries of a card, mostly of one of its PINs."""
    aimed = random.choice((0x20, 0x24, 0x26, 0x28, 0x2C)), random.choice((0x00, 0x01, 0x01, 0x0A))
    for _ in range(LENGTH):
        ins, p2 = aimed
        if random.random() < 0.4:
            ins, p2 = random.choice(PINS), random.choice(REFERENCES)
        octets = presentation(random, cla, ins, p2)
        match random.randrange(12):
            case 0:
                yield bytes.fromhex(random.choice(OTHERS))
            case 1:
                yield from chained(octets, random.randrange(1, 9))
            case 2:
                yield from wrapped(octets, random)
            case _:
                yield octets


def chained(octets: bytes, size: int) -> Iterator[bytes]:
    header, data = octets[:4], octets[5:]
    for at in range(0, len(data), size):
        more = 0x10 if at + size < len(data) else 0
        piece = data[at : at + size]
        yield bytes([header[0] | more]) + header[1:] + bytes([len(piece)]) + piece


def wrapped(octets: bytes, random: Random) -> Iterator[bytes]:
    size = random.choice((255, 255, 5, 1))
    if random.random() < 0.3:
        octets = octets + bytes(random.randrange(300))
    for at in range(0, len(octets), size):
        piece = octets[at : at + size]
        yield bytes((random.choice((0, 0, 1, 0xA0)), 0xC2, 0, 0, len(piece))) + piece


class Attacked:
    """A card behind its guard, and the fewest tries that it ever had left."""

    def __init__(self, attacked: Card) -> None:
        self._source = SimulatedSource([attacked])
        self._reader = self._source.open(self._source.names[0])
        self._tries = Tries()
        self.fewest = 99
        self._lefts = secrets(attacked)
        self.take()

    def take(self) -> None:
        """Begin a session."""
        bare = self._reader.connect()
        facts = read_atr(bare.atr)
        uicc = facts is not None and facts.uicc
        self.guard = Guard(Orders(frozenset({"last-try"})), self._tries, uicc=uicc)
        self._bare = bare
        self._line = Line(GuardedConnection(bare, self.guard, "reader"), bare)

    def leave(self) -> None:
        self._bare.close()

    def reset(self) -> None:
        self._line.reset(ResetKind.WARM)

    def give(self, octets: bytes, *, raw: bool) -> bool:
        """Return whether a command was refused."""
        with suppress(BadApduError):
            try:
                self._line.transmit(octets, raw_tpdu=raw)
            except GuardedError:
                return True
            finally:
                self.fewest = min(self.fewest, *(each.tries for each in self._lefts))
        return False

    def size(self) -> tuple[int, int]:
        """Return how many tries the guard remembers, and how many octets of parts."""
        held = self.guard._parts._held.values()
        return len(self._tries._left), sum(len(each) for every in held for each in every)


def secrets(attacked: Card) -> list[Secret]:
    """Return every PIN, UNBLOCK PIN and key of a card, with its counter."""
    attacked.power_on()
    engine = attacked._transport._engine  # type: ignore[attr-defined]
    pins = list(engine._state.profile.pins.values())
    return [pin.secret for pin in pins] + [pin.unblock for pin in pins if pin.unblock]


@pytest.mark.parametrize("kind", KINDS)
def test_no_hostile_sequence_leaves_a_pin_without_a_try(kind: str) -> None:
    what, protocol, text, cla = KINDS[kind]
    refused = fewest = 0
    for seed in range(SEQUENCES):
        random = Random(f"{kind} {seed}")
        attacked = Attacked(card(text, kind=what, protocol=protocol))
        for octets in attack(random, cla):
            refused += attacked.give(octets, raw=random.random() < 0.5)
            chance = random.random()
            if chance < 0.02:
                attacked.reset()
            elif chance < 0.03:
                attacked.leave()
                attacked.take()
        attacked.leave()
        assert attacked.fewest >= 1, seed
        fewest += attacked.fewest == 1
    assert refused > SEQUENCES
    assert fewest > SEQUENCES // 8


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_guard_the_same_sequences_block_pins(kind: str) -> None:
    what, protocol, text, cla = KINDS[kind]
    blocked = 0
    for seed in range(20):
        random = Random(f"{kind} {seed}")
        attacked = card(text, kind=what, protocol=protocol)
        watched, fewest = secrets(attacked), 99
        for octets in attack(random, cla):
            attacked.transmit(octets)
            fewest = min(fewest, *(each.tries for each in watched))
        blocked += fewest == 0
    assert blocked >= 5


@given(st.lists(st.binary(min_size=4, max_size=300), max_size=60), st.sampled_from(sorted(KINDS)))
def test_no_octets_crash_a_guard_or_make_it_grow(commands: list[bytes], kind: str) -> None:
    what, protocol, text, _ = KINDS[kind]
    attacked = Attacked(card(text, kind=what, protocol=protocol))
    for octets in commands:
        attacked.give(octets, raw=True)
    known, octets_held = attacked.size()
    assert known <= MAX_SECRETS
    assert octets_held <= 128 * 2 * MAX_READINGS * PREFIX_OCTETS
    attacked.leave()


@given(st.binary(min_size=4, max_size=40), st.sampled_from([1, 5, 255]))
def test_a_command_that_a_guard_refuses_is_refused_in_envelopes_too(
    octets: bytes, size: int
) -> None:
    orders = Orders(frozenset({"no-pin"}))
    plain = Guard(orders, Tries(), uicc=False)
    if octets[0] == 0xFF or next(_refusals(plain, [octets]), None) is None:
        return
    pieces = [octets[at : at + size] for at in range(0, len(octets), size)]
    sent = [bytes((0, 0xC2, 0, 0, len(piece))) + piece for piece in pieces]
    assert any(_refusals(Guard(orders, Tries(), uicc=False), sent))


def _refusals(guard: Guard, sent: list[bytes]) -> Iterator[str]:
    for octets in sent:
        try:
            next(guard.judge(octets))
        except StopIteration as done:
            if done.value is not None:
                yield done.value.rule
        guard.saw(octets, b"\x90\x00")
