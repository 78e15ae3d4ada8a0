# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.contents.files and numbers: what octets of files mean, and which are refused."""

from collections.abc import Callable
from typing import Any

import pytest

from wsrc.card.contents import files, numbers
from wsrc.readers.simulation.profile import imsi_to_ef

EMPTY = b"\xff" * 40


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(
    ("decode", "stored", "value"),
    [
        (files.iccid, "988812010000400310f0", "8988211000000430010"),
        (numbers.imsi, "080910100000000010", "001010000000001"),
        (numbers.imsi, imsi_to_ef("00010123456789").hex(), "00010123456789"),
        (files.languages, "656e6465ffff", ["en", "de"]),
        (
            files.provider,
            "0157535243ff",
            {"name": "WSRC", "show_plmn_at_home": True, "show_abroad": True},
        ),
        (
            files.administrative,
            "81000103",
            {
                "mode": "type approval, specific facilities",
                "ciphering_indicator": True,
                "mnc_digits": 3,
            },
        ),
        (
            files.administrative,
            "000000",
            {"mode": "normal", "ciphering_indicator": False, "mnc_digits": None},
        ),
        (files.access_classes, "0401", [0, 10]),
        (files.networks, "00f110ffffff130062", ["001-01", "310-260"]),
        (
            files.selector,
            "00f110c08813006270b0ffffff0000",
            [
                {"plmn": "001-01", "access": ["UTRAN", "E-UTRAN", "EC-GSM-IoT"]},
                {
                    "plmn": "310-260",
                    "access": ["E-UTRAN", "GSM", "cdma2000 HRPD", "cdma2000 1xRTT"],
                },
            ],
        ),
        (files.search_period, "05", {"units": 5, "minutes": 30}),
        (
            files.location,
            "0102030400f11012340002",
            {"tmsi": "01020304", "plmn": "001-01", "lac": "1234", "status": "PLMN not allowed"},
        ),
        (
            files.eps_location,
            "ff" * 12 + "00" + "00f110" + "abcd" + "01",
            {"guti": None, "plmn": "001-01", "tac": "abcd", "status": "not updated"},
        ),
        (files.group, "0102ffff", "0102"),
        (files.emergency_numbers_gsm, "11f2ff19f1ffffffff", [
            {"number": "112", "name": None, "category": None},
            {"number": "911", "name": None, "category": None},
        ]),
    ],
)  # fmt: skip
def test_a_file_means_what_its_clause_says(
    decode: Callable[[bytes], Any], stored: str, value: object
) -> None:
    assert decode(octets(stored)) == value


def test_services_are_numbered_and_named() -> None:
    found = files.services(octets("0200088c"))
    assert found == {
        "2": "fixed dialling numbers",
        "20": "user controlled PLMN selector",
        "27": "GSM access",
        "28": "data download by SMS-PP",
        "32": "RUN AT COMMAND",
    }
    assert files.services(b"\xff" * 20)["124"] == "subscription identifier privacy"
    assert files.services(b"\xff" * 20)["160"] == ""


def test_own_numbers_have_a_name_and_a_type() -> None:
    with_name = b"me".ljust(6, b"\xff") + octets("0791448720003254ffffffffffff")
    national = octets("ffffffffffff0281 21f3ffffffffffffffff ffff")
    assert files.subscriber_numbers([with_name, national, EMPTY]) == [
        {"number": "+447802002345", "name": "me"},
        {"number": "12", "name": None},
    ]
    assert files.subscriber_numbers([EMPTY]) is None


def test_numbers_may_have_what_is_on_a_keypad() -> None:
    assert numbers.dialled(octets("81a1cb")) == "1*#p"
    assert numbers.dialled(octets("81")) is None


def test_parameters_of_short_messages_are_null_where_a_bit_says_so() -> None:
    there = b"centre" + octets("e5") + b"\xff" * 12 + octets("0791447758100650ffffffff")
    told = files.message_parameters([there + octets("0000a7"), b"\xff" * 34])
    assert told == [
        {
            "name": "centre",
            "service_centre": "+447785016005",
            "destination": None,
            "protocol": None,
            "coding": 0,
            "validity": 0xA7,
        }
    ]


def test_emergency_numbers_have_a_name_and_a_category() -> None:
    record = octets("11f2ff") + b"help".ljust(8, b"\xff") + octets("04")
    assert files.emergency_numbers([record, EMPTY]) == [
        {"number": "112", "name": "help", "category": 4}
    ]


def test_applications_are_named_by_their_aid() -> None:
    usim = octets("61184f10a0000000871002ffffffff890709000050045553494d")
    assert (
        files.applications([usim, usim.ljust(48, b"\xff"), EMPTY])
        == [{"aid": "a0000000871002ffffffff8907090000", "label": "USIM", "application": "USIM"}] * 2
    )


@pytest.mark.parametrize(
    ("decode", "stored"),
    [
        (files.iccid, EMPTY), (numbers.imsi, EMPTY), (files.languages, EMPTY),
        (files.provider, EMPTY), (files.networks, EMPTY), (files.selector, EMPTY),
        (files.search_period, b"\xff"), (files.group, EMPTY), (files.emergency_numbers_gsm, EMPTY),
    ],
)  # fmt: skip
def test_where_nothing_is_stored_there_is_no_value(
    decode: Callable[[bytes], Any], stored: bytes
) -> None:
    assert decode(stored) is None


@pytest.mark.parametrize(
    ("decode", "stored"),
    [
        (files.iccid, octets("1234")), (numbers.imsi, octets("0109")),
        (numbers.imsi, octets("08091010000000ab10")), (files.languages, b"\x00\x01"),
        (files.administrative, b"\0\0"), (files.access_classes, b"\0"),
        (files.networks, octets("aaaaaa")), (files.search_period, b""), (files.location, b"\0"),
        (files.eps_location, b"\0"), (numbers.dialled, octets("81f1f221")),
    ],
)  # fmt: skip
def test_what_is_not_as_its_clause_says_is_refused(
    decode: Callable[[bytes], Any], stored: bytes
) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(stored)


@pytest.mark.parametrize(
    "decode", [files.subscriber_numbers, files.message_parameters, files.applications]
)
def test_records_that_are_not_as_their_clause_says_are_refused(
    decode: Callable[[list[bytes]], Any],
) -> None:
    with pytest.raises(ValueError, match="record"):
        decode([b"\x01\x02"])
