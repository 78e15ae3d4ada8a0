# SPDX-License-Identifier: Apache-2.0
"""wsrc.card.pcsc_numbers has the numbers that pyscard has from the PC/SC library."""

import smartcard.scard as pcsc  # noqa: TID251 - it is compared with
from smartcard.CardConnection import CardConnection  # noqa: TID251

from wsrc.card.pcsc_numbers import (
    ATTRIBUTES,
    PROTOCOL_RAW,
    PROTOCOL_T0,
    PROTOCOL_T1,
    PROTOCOL_T15,
    Code,
    Disposition,
    ShareMode,
    control_code,
)

OF_WINDOWS = {"device_friendly_name_wide", "device_system_name_wide"}


def test_result_codes() -> None:
    theirs = {code.name: getattr(pcsc, code.name) & 0xFFFFFFFF for code in Code}
    assert theirs == {code.name: code.value for code in Code}


def test_attributes() -> None:
    known = {name: number for name, number in ATTRIBUTES.items() if name not in OF_WINDOWS}
    assert known == {name: getattr(pcsc, f"SCARD_ATTR_{name.upper()}") for name in known}
    assert {ATTRIBUTES[name] for name in OF_WINDOWS} == {0x7FFF0005, 0x7FFF0006}


def test_modes_dispositions_and_protocols() -> None:
    assert [(each, getattr(pcsc, f"SCARD_SHARE_{each.name}")) for each in ShareMode] == [
        (each, each.value) for each in ShareMode
    ]
    assert [getattr(pcsc, f"SCARD_{each.name}_CARD") for each in Disposition] == [*Disposition]
    assert pcsc.SCARD_PROTOCOL_RAW == PROTOCOL_RAW
    assert pcsc.SCARD_PROTOCOL_T15 == PROTOCOL_T15
    assert (CardConnection.T0_protocol, CardConnection.T1_protocol) == (PROTOCOL_T0, PROTOCOL_T1)


def test_control_codes() -> None:
    assert [pcsc.SCARD_CTL_CODE(n) for n in (0, 1, 3400)] == [
        control_code(n, windows=False) for n in (0, 1, 3400)
    ]
