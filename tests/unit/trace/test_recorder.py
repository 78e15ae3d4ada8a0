# SPDX-License-Identifier: Apache-2.0
"""wsrc.trace.recorder: the latest exchanges, bounded, without secrets."""

from wsrc.trace.recorder import MAX_LINE, Recorder

PIN = bytes.fromhex("002000010831323334ffffffff")


def test_the_latest_exchanges_are_kept_and_those_before_are_counted() -> None:
    recorder = Recorder(2)
    card = recorder.card("Reader")
    card.powered("session-1", b"\x3b\x00")
    for number in range(3):
        card.exchanged("session-1", bytes((0, 0xB0, 0, number, 1)), b"\x90\x00")
    assert recorder.lines() == [
        "2 before these are not shown",
        "session- Reader 00 b0 00 01 01 -> 90 00",
        "session- Reader 00 b0 00 02 01 -> 90 00",
    ]


def test_nothing_is_kept_where_nothing_is_wanted_or_all_was_forgotten() -> None:
    recorder = Recorder(0)
    recorder.card("Reader").exchanged("session-1", PIN, b"\x90\x00")
    assert recorder.lines() == []
    recorder = Recorder(5)
    recorder.card("Reader").exchanged("session-1", PIN, b"\x90\x00")
    recorder.clear()
    assert recorder.lines() == []


def test_what_was_selected_is_known_after_all_was_forgotten() -> None:
    """EF.Keys (3GPP TS 31.102 clause 4.2.3) is selected before, and read after."""
    recorder = Recorder(5)
    card = recorder.card("Reader")
    card.exchanged("session-1", bytes.fromhex("00a4000c026f08"), b"\x90\x00")
    recorder.clear()
    card.exchanged("session-1", bytes.fromhex("00b0000021"), bytes(range(33)) + b"\x90\x00")
    assert recorder.lines() == ["session- Reader 00 b0 00 00 21 -> [33 octets] 90 00"]


def test_a_long_line_is_cut_and_a_pin_is_left_out() -> None:
    recorder = Recorder(5)
    card = recorder.card("Reader")
    card.exchanged("session-1", PIN, b"\x90\x00")
    card.exchanged("session-1", bytes.fromhex("00b00000000000"), bytes(1000) + b"\x90\x00")
    pin, long = recorder.lines()
    assert pin == "session- Reader 00 20 00 01 08 [8 octets] -> 90 00"
    assert len(long) < MAX_LINE + 40
    assert "characters]" in long
    assert long.endswith("90 00")
