# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.identity against tests/vectors/identity.json."""

import json
from typing import Any

import pytest

from tests.support.paths import VECTORS
from wsrc.card.identity import (
    Identities,
    eid_from_ecasd,
    eid_from_response,
    iccid_forms,
    iccid_from_ef,
    iccid_to_ef,
    is_eid,
    is_iccid,
    luhn_digit,
    normal_iccid,
    shorten,
)

CASES = json.loads((VECTORS / "identity.json").read_text("utf-8"))


def vectors(section: str) -> Any:
    return pytest.mark.parametrize("v", [pytest.param(v, id=v.get("name")) for v in CASES[section]])


@vectors("iccid_ef")
def test_iccid_ef(v: dict[str, Any]) -> None:
    assert iccid_from_ef(bytes.fromhex(v["ef"])) == v["iccid"]


@vectors("iccid_coding")
def test_iccid_coding(v: dict[str, Any]) -> None:
    assert iccid_to_ef(v["iccid"]).hex() == v["ef"]
    assert iccid_from_ef(bytes.fromhex(v["ef"])) == v["iccid"]


@vectors("iccid_text")
def test_iccid_text(v: dict[str, Any]) -> None:
    assert normal_iccid(v["text"]) == v["iccid"]


@vectors("iccid_forms")
def test_iccid_forms(v: dict[str, Any]) -> None:
    assert list(iccid_forms(v["iccid"])) == v["forms"]


@vectors("luhn")
def test_luhn(v: dict[str, Any]) -> None:
    assert luhn_digit(v["digits"]) == v["digit"]


@vectors("eid")
def test_eid(v: dict[str, Any]) -> None:
    assert is_eid(v["eid"]) is v["right"]


@vectors("eid_response")
def test_eid_response(v: dict[str, Any]) -> None:
    assert eid_from_response(bytes.fromhex(v["data"])) == v["eid"]


@vectors("eid_ecasd")
def test_eid_ecasd(v: dict[str, Any]) -> None:
    assert eid_from_ecasd(bytes.fromhex(v["data"])) == v["eid"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8" * 17, False),
        ("8" * 18, True),
        ("8" * 20, True),
        ("8" * 21, False),
        ("8" * 17 + "²", False),
    ],
)
def test_an_iccid_has_18_to_20_decimal_digits(text: str, *, expected: bool) -> None:
    assert is_iccid(text) is expected


def test_a_card_may_have_neither() -> None:
    assert Identities() == Identities(iccid=None, eids=())


def test_logs_show_neither_iccid_nor_eid_in_full() -> None:
    assert shorten("8988211000000430010") == "898821…0010"
    assert shorten("89882119900000000000000000007280") == "898821…7280"
    assert shorten("short") == "short"
