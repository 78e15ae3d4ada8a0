# SPDX-License-Identifier: Apache-2.0
"""wsrc.guard.parts: what a card may have put together is judged, and nothing else."""

import pytest

from tests.support.guard_talk import PIN, VERIFY, Talk
from wsrc.guard.machine import Orders


def destroys(*blocks: str) -> bool:
    """Return whether one of these blocks is refused."""
    talk = Talk(Orders(frozenset({"no-key-management"})))
    return any(not talk.passes(block) for block in blocks)


@pytest.mark.parametrize(
    "blocks",
    [
        ("80e2110001bf", "80e2910101" + "33"),
        ("80e2110000", "80e2110001bf", "80e2910201" + "33"),
        ("90e2910001bf", "80e2910001" + "33"),
        ("80e2110001bf", "00a40004023f00", "80e2910101" + "33"),
        ("81e2110001bf", "82e2110001aa", "81e2910101" + "33"),
        ("80e2110001aa", "00a40004023f00", "80e2910102" + "bf33"),
        ("80e2110001bf", "80f2000000", "80e2110101aa", "80e2910101" + "33"),
    ],
)
def test_blocks_are_put_together_in_every_way(blocks: tuple[str, ...]) -> None:
    assert destroys(*blocks)


def test_a_long_load_is_judged_by_its_beginning_alone() -> None:
    """A profile is loaded in thousands of blocks, which begin with anything."""
    talk = Talk(Orders(frozenset({"no-key-management"})))
    assert talk.passes("80e21100fe" + "bf36" + "00" * 252)
    for number in range(1, 200):
        block = ["bf33" + "00" * 100, "20" * 255][number % 2]
        assert talk.passes(f"80e211{number:02x}{len(block) // 2:02x}{block}"), number
    assert talk.passes("80e291c802bf33")
    assert not talk.guard._parts.open
    assert not talk.passes("80e2910002bf33")


def test_a_long_command_in_envelopes_is_judged_by_its_beginning_alone() -> None:
    talk = Talk(uicc=True, ins20="63c1")
    octets = "00d6000000" + "03e8" + "0020" * 500
    blocks = [octets[at : at + 510] for at in range(0, len(octets), 510)]
    for block in blocks:
        assert talk.passes(f"00c20000{len(block) // 2:02x}{block}")
    assert talk.asked == []
    assert not talk.passes("00c20000" + "0d" + VERIFY)


def test_what_follows_a_command_that_an_envelope_carried_whole_is_judged() -> None:
    talk = Talk(uicc=True, ins20="63c1")
    for beginning in ("05" + "00b0000008", "07" + "00d6000001aa00", "0800b00000000000ff"):
        talk.guard.was_reset()
        assert talk.passes(f"00c20000{beginning}")
        assert not talk.passes("00c200000d" + VERIFY)


def test_an_envelope_of_the_toolkit_is_none() -> None:
    talk = Talk(uicc=True, ins20="63c1")
    assert talk.passes("80c2000006" + "d62001000000")
    assert talk.passes("a0c2000006" + "d12001000000")
    assert not talk.passes("80c200000d" + VERIFY)
    assert talk.asked == ["00200001"]


def test_parts_that_may_belong_to_too_many_commands_are_refused() -> None:
    talk = Talk(Orders(frozenset({"no-key-management"})))
    refusal = None
    for number in range(40):
        refusal = refusal or talk.give(f"80e21100{1:02x}{number:02x}")
        talk.guard.saw(bytes.fromhex("00b000000a"), b"\x90\x00")
    assert refusal is not None
    assert refusal.rule == "parts"
    assert sum(map(len, talk.guard._parts._held.values())) <= 32
    talk.guard.was_reset()
    assert talk.passes("80e29100" + "06bf3e035c015a")


def test_a_chain_is_asked_for_once() -> None:
    talk = Talk(uicc=True, ins20="63c2")
    assert talk.passes("1020000104" + PIN[:8])
    assert talk.passes("0020000104" + PIN[8:], "63c1")
    assert talk.asked == ["00200001"]
    talk.answers["20"] = "63c1"
    assert not talk.passes("1020000104" + PIN[:8])
    assert not talk.passes("0020000104" + PIN[8:])
