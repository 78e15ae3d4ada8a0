# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.pcsc_numbers: the names of what PC/SC numbers, and the numbers of each platform."""

import pytest

from wsrc.card.pcsc_numbers import (
    ATTRIBUTES,
    CONTROL_NUMBER_MAX,
    Code,
    attribute_name,
    card_status,
    code_name,
    code_number,
    control_code,
    control_number,
    neutral_features,
    platform_features,
)
from wsrc.card.slot import CardStatus


@pytest.mark.parametrize("windows", [False, True])
def test_a_result_code_has_a_name_and_a_number_on_each_platform(windows: bool) -> None:
    for code in Code:
        assert code_name(code_number(code, windows=windows), windows=windows) == code.name
    assert code_name(0x8010_0099, windows=windows) is None


def test_what_a_platform_cannot_do_has_two_numbers() -> None:
    code = Code.SCARD_E_UNSUPPORTED_FEATURE
    assert code_number(code, windows=False) == 0x8010_001F
    assert code_number(code, windows=True) == 0x8010_0022
    assert code_name(0x8010_001F, windows=True) == "SCARD_E_UNEXPECTED"
    assert code_name(0x8010_0022, windows=False) is None


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("vendor_name", 0x10100),
        ("vendor_ifd_serial_no", 0x10103),
        ("channel_id", 0x20110),
        ("max_ifsd", 0x30125),
        ("maxinput", 0x7A007),
        ("current_protocol_type", 0x80201),
        ("extended_bwt", 0x8020C),
        ("atr_string", 0x90303),
        ("device_friendly_name", 0x7FFF0003),
    ],
)
def test_attributes_have_the_numbers_of_pcsc(name: str, number: int) -> None:
    assert ATTRIBUTES[name] == number
    assert attribute_name(number) == name


def test_system_attributes_are_known_without_their_class() -> None:
    for number in range(1, 8):
        assert attribute_name(number) == attribute_name(0x7FFF0000 | number) is not None
    assert attribute_name(0) is attribute_name(8) is attribute_name(0x12345) is None


@pytest.mark.parametrize(
    ("number", "unix", "windows"),
    [
        (0, 0x42000000, 0x310000),
        (1, 0x42000001, 0x310004),
        (2048, 0x42000800, 0x312000),
        (3400, 0x42000D48, 0x313520),
        (0x330006, 0x42330006, None),
        (CONTROL_NUMBER_MAX, 0xFFFFFFFF, None),
        (CONTROL_NUMBER_MAX + 1, None, None),
        (-1, None, None),
    ],
)
def test_a_control_number_has_a_code_on_each_platform(
    number: int, unix: int | None, windows: int | None
) -> None:
    for code, on_windows in ((unix, False), (windows, True)):
        assert control_code(number, windows=on_windows) == code
        if code is not None:
            assert control_number(code, windows=on_windows) == number


@pytest.mark.parametrize("code", [0, 0x310001, 0x41FFFFFF, 0x320000])
def test_other_codes_have_no_number(code: int) -> None:
    assert control_number(code, windows=True) is None
    assert control_number(code, windows=code < 0x42000000 and code != 0) is None


def test_features_are_told_by_number() -> None:
    unix, windows = bytes.fromhex("0604 42330006 0704 42330007"), bytes.fromhex("0604 00313520")
    assert neutral_features(unix, windows=False) == bytes.fromhex("0604 00330006 0704 00330007")
    assert neutral_features(windows, windows=True) == bytes.fromhex("0604 00000d48")
    assert neutral_features(bytes.fromhex("0604 00000001 0602 42330006 06"), windows=False) == b""


def test_features_are_told_with_the_codes_of_a_platform() -> None:
    neutral = bytes.fromhex("0604 00000d48 0704 00330007")
    unix = bytes.fromhex("0604 42000d48 0704 42330007")
    assert platform_features(neutral, windows=False) == unix
    assert neutral_features(unix, windows=False) == neutral
    assert platform_features(neutral, windows=True) == bytes.fromhex("0604 00313520")
    assert platform_features(bytes.fromhex("0604 ffffffff 0602 00000001 06"), windows=False) == b""


def test_a_state_is_a_mask_on_one_platform_and_an_ordinal_on_the_other() -> None:
    assert card_status(0x34, windows=False) == (
        CardStatus.PRESENT,
        CardStatus.POWERED,
        CardStatus.NEGOTIABLE,
    )
    assert card_status(0, windows=False) == ()
    assert [card_status(n, windows=True) for n in range(7)] == [(s,) for s in CardStatus]
    assert card_status(7, windows=True) == (CardStatus.UNKNOWN,)
    assert card_status(-1, windows=True) == (CardStatus.UNKNOWN,)
    assert [card_status(1 << n, windows=False) for n in range(7)] == [(s,) for s in CardStatus]
