# SPDX-License-Identifier: Apache-2.0
"""wsrc.sealing.boxes: each number once, and nothing that was moved opens."""

import pytest

from wsrc.sealing.boxes import Direction, Opened, Opener, Sealer, check_order
from wsrc.sealing.encoding import MAX_NUMBER
from wsrc.sealing.faults import Fault, SealError

KEY, SESSION, TEXT = bytes(range(32)), "5f0c", b'{"msg_type":"c_apdu","command":"00a40000"}'


def sealer(pad_octets: int = 1) -> Sealer:
    return Sealer(KEY, Direction.REQUESTS, SESSION, pad_octets)


def opener() -> Opener:
    return Opener(KEY, Direction.REQUESTS, SESSION)


def test_what_is_sealed_is_opened() -> None:
    box = sealer().seal("c_apdu", 7, TEXT, 6)
    assert opener().open("c_apdu", 7, box) == Opened(TEXT, 6)
    assert TEXT not in box
    assert len(box) == 8 + len(TEXT) + 1 + 16


def test_no_two_numbers_and_no_two_directions_have_a_nonce_in_common() -> None:
    """The same text, kind and key: with one nonce the sealed octets would be the same."""
    ours = [Sealer(KEY, each, SESSION) for each in Direction]
    boxes = [
        each.seal("c_apdu", seq, TEXT)[:-16] for each in ours for seq in (1, 2, 256, 2**53 - 1)
    ]
    assert len(set(boxes)) == 8


def test_a_copy_is_the_same_octets() -> None:
    ours = sealer()
    assert ours.seal("c_apdu", 1, TEXT) is ours.seal("c_apdu", 1, bytes(TEXT))


@pytest.mark.parametrize(
    "again", [("c_apdu", 5, TEXT + b" ", 0), ("batch", 5, TEXT, 0), ("c_apdu", 5, TEXT, 1)]
)
def test_a_number_is_never_sealed_twice_with_something_else(
    again: tuple[str, int, bytes, int],
) -> None:
    ours = sealer()
    box = ours.seal("c_apdu", 5, TEXT)
    with pytest.raises(SealError, match="Number 5 of the session was sealed") as caught:
        ours.seal(*again)
    assert caught.value.fault is Fault.NUMBER
    assert ours.seal("c_apdu", 5, TEXT) == box


@pytest.mark.parametrize("seq", [4, 1, 0, -1, MAX_NUMBER + 1])
def test_a_number_below_one_that_was_used_or_out_of_range_is_refused(seq: int) -> None:
    ours = sealer()
    ours.seal("c_apdu", 5, TEXT)
    with pytest.raises(SealError, match=f"Number {seq} "):
        ours.seal("c_apdu", seq, TEXT)


@pytest.mark.parametrize("step", [1, 16, 64, 256])
def test_sizes_can_be_padded_to_steps(step: int) -> None:
    for size in (0, 1, step - 9, step - 8, step, 5 * step + 3):
        text = b"\x80\x00"[: size % 3] + bytes(max(0, size))
        box = sealer(step).seal("r_apdu", 1, text)
        assert (len(box) - 16) % step == 0
        assert 0 < len(box) - 16 - len(text) - 8 <= step
        assert opener().open("r_apdu", 1, box).text == text


def moved() -> dict[str, tuple[Opener, str, int]]:
    return {
        "another number": (opener(), "c_apdu", 8),
        "another kind": (opener(), "batch", 7),
        "another session": (Opener(KEY, Direction.REQUESTS, "5f0d"), "c_apdu", 7),
        "the other direction": (Opener(KEY, Direction.ANSWERS, SESSION), "c_apdu", 7),
        "another key": (Opener(bytes(32), Direction.REQUESTS, SESSION), "c_apdu", 7),
        "no number": (opener(), "c_apdu", 0),
        "a number too high": (opener(), "c_apdu", MAX_NUMBER + 1),
        "a number beyond eight octets": (opener(), "c_apdu", 2**64),
        "a number below 0": (opener(), "c_apdu", -1),
    }


@pytest.mark.parametrize("to", moved())
def test_a_box_that_was_moved_does_not_open(to: str) -> None:
    box = sealer().seal("c_apdu", 7, TEXT)
    other, kind, seq = moved()[to]
    with pytest.raises(SealError) as caught:
        other.open(kind, seq, box)
    assert caught.value.fault is Fault.BOX


def test_an_answer_that_was_delayed_into_the_next_number_does_not_open() -> None:
    answers = Sealer(KEY, Direction.ANSWERS, SESSION)
    user = Opener(KEY, Direction.ANSWERS, SESSION)
    late = answers.seal("r_apdu", 1, b"9000")
    assert user.open("r_apdu", 1, late).text == b"9000"
    with pytest.raises(SealError, match="was changed on its way, or is another's"):
        user.open("r_apdu", 2, late)


def test_a_relay_that_answers_by_itself_is_not_believed() -> None:
    user = Opener(KEY, Direction.ANSWERS, SESSION)
    asked = sealer().seal("c_apdu", 1, TEXT)
    for made_up in (bytes(40), asked, b'{"response":"","sw":"9000"}'):
        with pytest.raises(SealError, match="was changed on its way"):
            user.open("r_apdu", 1, made_up)


@pytest.mark.parametrize("plain", [b"", b"\x80", bytes(8), bytes(40), bytes(7) + b"\x80"])
def test_a_text_without_its_end_is_refused(plain: bytes) -> None:
    ours = sealer()
    number = (1).to_bytes(8)
    box = ours._encrypt(ours._nonce + number, plain, ours._heads["c_apdu"] + number)
    with pytest.raises(SealError, match="has no end"):
        opener().open("c_apdu", 1, box)


def test_a_request_is_not_begun_where_one_ran_that_its_user_was_told_had_not() -> None:
    check_order(3, ran=2, taken=2)
    check_order(3, ran=2, taken=0)
    with pytest.raises(SealError, match="Request 2 was begun") as caught:
        check_order(3, ran=1, taken=2)
    assert caught.value.fault is Fault.ORDER


@pytest.mark.parametrize("seq", [0, -1, MAX_NUMBER + 1])
def test_a_box_is_for_no_number_that_none_can_have(seq: int) -> None:
    box = sealer().seal("c_apdu", 1, TEXT)
    with pytest.raises(SealError, match=f"Number {seq} is none"):
        opener().open("c_apdu", seq, box)
