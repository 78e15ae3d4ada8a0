# SPDX-License-Identifier: Apache-2.0
"""Names and patterns of PC/SC readers."""

from pathlib import Path

import pytest

from wsrc.readers.pcsc_names import stable_id, usb_position, wanted

OMNIKEY = "HID Global OMNIKEY 5422 [OMNIKEY 5422CL Smartcard Reader] (KN0) 01 00"
USB_1_7 = bytes.fromhex("07012000")
"""Channel id: USB, bus 1, address 7, little-endian as pcsc-lite gives it."""


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ((), (), True),
        (("hid*",), (), True),
        (("HID*", "ACS*"), (), True),
        (("OMNIKEY",), (), False),
        (("*omnikey*",), ("*5422CL*",), False),
        ((OMNIKEY,), (), True),
        ((), (OMNIKEY.upper(),), False),
        (("hid global omnikey 54?2*",), (), True),
    ],
)
def test_patterns_cover_the_whole_name_without_regard_to_case(
    include: tuple[str, ...], exclude: tuple[str, ...], expected: bool
) -> None:
    assert wanted(OMNIKEY, include, exclude) is expected


@pytest.mark.parametrize(
    ("name", "serial", "expected"),
    [
        ("Gemalto PC Twin Reader (A1B2) 00 00", b"A1B2\0", "A1B2"),
        ("Gemalto PC Twin Reader (A1B2) 03 00", b"A1B2", "A1B2"),
        ("ACS ACR1281 1S Dual Reader 00 01", b"RR123", "RR123 slot 1"),
        (OMNIKEY, b"KN0", "KN0 [OMNIKEY 5422CL Smartcard Reader]"),
        ("Some Reader 00 00", b"", "Some Reader 00 00"),
        ("Some Reader 00 00", b"000000000000", "Some Reader 00 00"),
        ("Some Reader 0", b"S", "S"),
    ],
)
def test_serial_number_names_the_reader_and_the_slot(
    name: str, serial: bytes, expected: str
) -> None:
    assert stable_id(name, serial, b"") == expected


def test_usb_port_names_a_reader_without_serial_number(tmp_path: Path) -> None:
    for port, bus, address in [("1-2", 1, 6), ("1-4.3", 1, 7), ("2-1", 2, 7)]:
        (tmp_path / port).mkdir()
        (tmp_path / port / "busnum").write_text(f"{bus}\n")
        (tmp_path / port / "devnum").write_text(f"{address}\n")
    (tmp_path / "1-4.3:1.0").mkdir()
    assert stable_id("Reader 00 01", b"", USB_1_7, tmp_path) == "usb 1-4.3 slot 1"


def test_a1_a_usb_address_names_nothing_for_it_is_another_ones_tomorrow(tmp_path: Path) -> None:
    assert stable_id("Reader 00 00", b"", USB_1_7, tmp_path) == "Reader 00 00"
    assert usb_position(USB_1_7, tmp_path) == ""


@pytest.mark.parametrize("channel", ["", "07", "07010100", "0701200000"])
def test_channel_that_is_no_usb_position_names_nothing(channel: str, tmp_path: Path) -> None:
    assert stable_id("Reader 00 00", b"", bytes.fromhex(channel), tmp_path) == "Reader 00 00"
