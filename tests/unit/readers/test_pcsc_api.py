# SPDX-License-Identifier: Apache-2.0
"""PC/SC result codes as errors."""

import pytest

from wsrc.card.pcsc_numbers import Code
from wsrc.errors import (
    CardError,
    CardNotPresentError,
    CardTransmissionError,
    CardUnresponsiveError,
    Outcome,
    ReaderInUseError,
    ReaderUnavailableError,
)
from wsrc.readers import pcsc_api as api

CLASSES: list[tuple[int, str, type[CardError]]] = [
    (0x8010_0003, "SCARD_E_INVALID_HANDLE", ReaderUnavailableError),
    (0x8010_0009, "SCARD_E_UNKNOWN_READER", ReaderUnavailableError),
    (0x8010_000B, "SCARD_E_SHARING_VIOLATION", ReaderInUseError),
    (0x8010_000C, "SCARD_E_NO_SMARTCARD", CardNotPresentError),
    (0x8010_0013, "SCARD_F_COMM_ERROR", ReaderUnavailableError),
    (0x8010_0015, "SCARD_E_INVALID_ATR", CardUnresponsiveError),
    (0x8010_0016, "SCARD_E_NOT_TRANSACTED", CardTransmissionError),
    (0x8010_0017, "SCARD_E_READER_UNAVAILABLE", ReaderUnavailableError),
    (0x8010_001D, "SCARD_E_NO_SERVICE", ReaderUnavailableError),
    (0x8010_001E, "SCARD_E_SERVICE_STOPPED", ReaderUnavailableError),
    (0x8010_002E, "SCARD_E_NO_READERS_AVAILABLE", ReaderUnavailableError),
    (0x8010_002F, "SCARD_E_COMM_DATA_LOST", CardTransmissionError),
    (0x8010_0066, "SCARD_W_UNRESPONSIVE_CARD", CardUnresponsiveError),
    (0x8010_0067, "SCARD_W_UNPOWERED_CARD", CardUnresponsiveError),
    (0x8010_0068, "SCARD_W_RESET_CARD", CardTransmissionError),
    (0x8010_0069, "SCARD_W_REMOVED_CARD", CardNotPresentError),
    (0x8010_006A, "SCARD_W_SECURITY_VIOLATION", ReaderUnavailableError),
    (0x8010_0099, "PC/SC error 80100099", CardTransmissionError),
]


@pytest.mark.parametrize(("code", "name", "kind"), CLASSES)
def test_sentence_names_the_reader_and_the_error(
    code: int, name: str, kind: type[CardError]
) -> None:
    for given in (code, code - (1 << 32)):
        error = api.card_error(given, "Reader 00 00")
        assert type(error) is kind
        assert "Reader 00 00" in str(error)
        assert str(error).endswith(f"({name})")


def test_mismatch_at_connecting_is_an_unusable_atr() -> None:
    assert isinstance(api.connect_error(Code.SCARD_E_PROTO_MISMATCH, "R"), CardUnresponsiveError)
    assert isinstance(api.card_error(Code.SCARD_E_PROTO_MISMATCH, "R"), CardTransmissionError)
    assert isinstance(api.connect_error(Code.SCARD_E_NO_SMARTCARD, "R"), CardNotPresentError)


@pytest.mark.parametrize(
    ("code", "pcsc_lite", "elsewhere"),
    [
        (Code.SCARD_E_INVALID_HANDLE, Outcome.NOT_EXECUTED, Outcome.NOT_EXECUTED),
        (Code.SCARD_E_SHARING_VIOLATION, Outcome.NOT_EXECUTED, Outcome.NOT_EXECUTED),
        (Code.SCARD_E_PROTO_MISMATCH, Outcome.NOT_EXECUTED, Outcome.NOT_EXECUTED),
        (Code.SCARD_W_RESET_CARD, Outcome.NOT_EXECUTED, Outcome.NOT_EXECUTED),
        (Code.SCARD_W_REMOVED_CARD, Outcome.NOT_EXECUTED, Outcome.UNKNOWN),
        (Code.SCARD_E_NO_SERVICE, Outcome.NOT_EXECUTED, Outcome.UNKNOWN),
        (Code.SCARD_F_COMM_ERROR, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Code.SCARD_E_INSUFFICIENT_BUFFER, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Code.SCARD_E_NOT_TRANSACTED, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Code.SCARD_E_NO_SMARTCARD, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (Code.SCARD_E_READER_UNAVAILABLE, Outcome.UNKNOWN, Outcome.UNKNOWN),
        (0x8010_0001, Outcome.UNKNOWN, Outcome.UNKNOWN),
    ],
)
def test_only_what_provably_never_reached_the_card_is_not_executed(
    code: int, pcsc_lite: Outcome, elsewhere: Outcome
) -> None:
    assert api.transmit_error(code, "R", pcsc_lite=True).outcome is pcsc_lite
    assert api.transmit_error(code, "R", pcsc_lite=False).outcome is elsewhere
