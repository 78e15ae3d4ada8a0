# SPDX-License-Identifier: Apache-2.0
"""A program with read-ahead and one without see the same, and leave the card in the same state."""

import asyncio

import pytest
from hypothesis import event, given, strategies as st

from tests.support.ahead_program import CountedCard, Program
from wsrc.card.slot import ResetKind, Share

BIG = '[[file]]\npath = "6fe0"\nsize_octets = 700\n'
LINEAR = (
    '[[file]]\npath = "2f40"\nstructure = "linear_fixed"\nrecord_octets = 9\nrecord_count = 40\n'
)
DEAD = '[[file]]\npath = "6fe4"\nsize_octets = 20\ndeactivated = true\n'
CYCLIC = '[[file]]\npath = "6fe5"\nstructure = "cyclic"\nrecord_octets = 3\nrecord_count = 4\n'
FILES = BIG + LINEAR + DEAD + CYCLIC
SIZES = {
    "2fe2": 10,
    "2f05": 4,
    "6f07": 9,
    "6fad": 4,
    "6f46": 17,
    "6fe0": 700,
    "6fe4": 20,
    "2f00": 48,
    "2f40": 9,
    "6fe5": 3,
    "6f3c": 176,
    "6f39": 3,
}
RECORDS = frozenset(("2f00", "2f40", "6fe5", "6f3c", "6f39"))
MF = ["00a40004023f0000"]
USIM = ["00a4040407a000000087100200", "002000010831323334ffffffff"]
ISD_R = "a0000005591010ffffffff8900000100"
OTHER = [
    "00a4000402 3f00",
    "00a4000402 3f00 00",
    "00a4000c02 3f00",
    "00a4000402 7f10 00",
    "00a4030400",
    "00a4010402 7f20 00",
    "00a4080404 7fff6f07 00",
    "00a4080404 3f002fe2 00",
    "00a4040407 a0000000871002 00",
    "00a4040c07 a0000000871002",
    "00a4044c07 a0000000871002",
    f"00a4040410 {ISD_R} 00",
    f"00a4040c10 {ISD_R}",
    "00a4040405 a000000063 00",
    "00a4000402 dead 00",
    "0020000108 31323334ffffffff",
    "0020000108 30303030ffffffff",
    "00200001",
    "00d6000001 99",
    "00d6000001 42",
    "00dc010409 010203040506070809",
    "00dc000303 0a0b0c",
    "8032000003 000001 00",
    "00b0820000",
    "00b082000a",
    "00b201f400",
    "00b2000400",
    "00b2000200",
    "00b2000300",
    "00b2000203",
    "00b2010400",
    "00b2020400",
    "00c0000000",
    "00c000000a",
    "00c0000002",
    "80f2000000",
    "80f200001c",
    "80f2000c",
    "0070000001",
    "0070800100",
    "01a4000402 2fe2 00",
    "01a4000402 2fe2",
    "01b000000a",
    "01b0000000",
    "41a4000402 2fe2 00",
    "80e2910006 bf3e035c015a 00",
    "0088008122 10 00000000000000000000000000000000 10 00000000000000000000000000000000 00",
    "a0a4000002 3f00",
    "a0b000000a",
    "10a4000402 2fe2 00",
    "04b000000a",
    "00eeeeee",
    "00b0",
]


@st.composite
def tools(draw: st.DrawFn) -> list[str]:
    """Return what a tool sends that selects a file and reads it, in one way or another."""
    file, cla = draw(st.sampled_from(list(SIZES))), draw(st.sampled_from(["00", "00", "00", "01"]))
    size, whole = SIZES[file], draw(st.booleans())
    before = [] if cla == "01" else draw(st.sampled_from([[], MF, USIM]))
    commands = [*before, f"{cla}a4000402{file}" + draw(st.sampled_from(["", "00"]))]
    commands += draw(st.sampled_from([[], [f"{cla}c0000000"], [f"{cla}c0000000"]]))
    if file in RECORDS:
        at = range(1, draw(st.integers(2, 40)))
        commands += [f"{cla}b2{n:02x}04" + ("00" if whole else f"{size:02x}") for n in at]
    else:
        block = draw(st.sampled_from([255, 100, 256]))
        blocks = [(at, min(block, size - at)) for at in range(0, size, block)]
        le = [0 if whole else octets & 0xFF for _, octets in blocks]
        commands += [f"{cla}b0{at:04x}{n:02x}" for (at, _), n in zip(blocks, le, strict=True)]
    if draw(st.booleans()):
        commands.insert(draw(st.integers(0, len(commands))), draw(st.sampled_from(OTHER)))
    return commands


ACTIONS = st.one_of(
    tools(),
    tools(),
    st.lists(st.sampled_from(OTHER), min_size=1, max_size=3),
    st.sampled_from([["reset"], ["warm"], ["wait"], ["batch"]]),
)


async def run(toml: str, actions: list[list[str]], share: Share, *, raw: bool) -> bool:
    """Run both programs, each with its card; return whether anything was answered ahead."""
    cards = CountedCard(toml), CountedCard(toml)
    lines = [
        each.connect(read_ahead=ahead) for each, ahead in zip(cards, (False, True), strict=True)
    ]
    programs = [
        [Program(line, read_ahead=ahead, share=share, raw=raw) for _ in range(2)]
        for line, ahead in zip(lines, (False, True), strict=True)
    ]
    for number, action in enumerate(actions):
        of = number % 2 if share is Share.SHARED else 0
        plain, ahead = programs[0][of], programs[1][of]
        for text in action:
            assert await step(plain, text) == await step(ahead, text), text
            assert cards[0].state == cards[1].state
    for text in ("00b2000400", "80f2000000", "00c0000000"):
        assert await step(programs[0][0], text) == await step(programs[1][0], text)
    assert cards[0].state == cards[1].state
    return programs[1][0].asked < programs[0][0].asked


async def step(program: Program, text: str) -> object:
    match text:
        case "reset" | "warm":
            return await program.reset(ResetKind.COLD if text == "reset" else ResetKind.WARM)
        case "wait":
            program.now += 3.0
            return None
        case "batch":
            return await program.batch(["00a4000c022fe2", "00b000000a"])
        case _:
            return await program.transmit(text)


@pytest.mark.parametrize("raw", [False, True], ids=["apdus", "tpdus"])
@given(
    actions=st.lists(ACTIONS, min_size=4, max_size=14),
    share=st.sampled_from([Share.EXCLUSIVE, Share.EXCLUSIVE, Share.SHARED]),
    kind=st.sampled_from(
        ['kind = "uicc"\n', 'kind = "euicc"\n', 'kind = "uicc"\nprotocol = "T1"\n']
    ),
)
def test_a_program_cannot_tell(
    raw: bool, actions: list[list[str]], share: Share, kind: str
) -> None:
    less = asyncio.run(run(kind + FILES, actions, share, raw=raw and "T1" not in kind))
    event("something was answered ahead" if less else "all was asked")
    assert not less or share is Share.EXCLUSIVE
