# SPDX-License-Identifier: Apache-2.0
"""What is printed of cards and responses."""

import pytest

from wsrc.card.apdu import Response
from wsrc.card.slot import CardProtocol
from wsrc.command_line.output import (
    Output,
    atr_document,
    card_document,
    error_document,
    info_lines,
    response_document,
    response_line,
)
from wsrc.errors import (
    CardTransmissionError,
    ConfigError,
    ErrorCode,
    NotExecutedError,
    OutcomeUnknownError,
    RefusedError,
)
from wsrc.process.printable import clean
from wsrc.protocol.messages import CardInfo, CardState, Identities, LeaseInfo, Waiting
from wsrc.user_client.naming import describe

ICCID = "89860000000000000001"
UICC_ATR = "3b9f96801fc78031e073fe211b6403574a5352554d010203aa"
BARE = CardInfo(remote_addr=("bench", 0), identities=Identities(atr="3b00"), state=CardState.READY)
FULL = CardInfo(
    remote_addr=("bench", 0),
    identities=Identities(atr=UICC_ATR, iccid=ICCID, eid="8904"),
    state=CardState.ASSOCIATED,
    host="bench",
    reader="acme-1",
    reader_name="ACME [00]",
    eids=("8904", "8905"),
    label="blue",
    protocol=CardProtocol.T0,
    lease=LeaseInfo(holder="ida@lab", since="2026-01-01T00:00:00Z"),
)


def test_a_response_is_shown_with_its_meaning() -> None:
    assert response_line(Response(b"\x3f\x00", 0x9000)) == "3f00 9000  done"
    assert response_document(Response(b"", 0x63C2)) == {
        "response": "",
        "sw": "63C2",
        "meaning": "verification failed, 2 tries left",
    }


def test_a_card_is_named_by_what_is_known_of_it() -> None:
    assert describe(BARE) == "ATR 3b00, in reader of a first-form card client on bench"
    assert describe(FULL) == (
        f"ICCID {ICCID}, EID 8904, EID 8905, label blue, in reader ACME [00] (acme-1) on bench"
    )


def test_documents_of_cards_have_every_field() -> None:
    assert card_document(BARE).keys() == card_document(FULL).keys()
    assert card_document(FULL)["holder"] == "ida@lab"
    assert card_document(BARE)["iccid"] is None


def test_info_says_what_is_not_known() -> None:
    lines = dict(line.split(maxsplit=1) for line in info_lines(BARE))
    assert lines["ICCID"] == "not known"
    assert lines["Holder"] == "nobody"
    assert lines["eUICC"] == "no sign of it"
    lines = dict(line.split(maxsplit=1) for line in info_lines(FULL))
    assert lines["offers"] == "T=0"
    assert lines["eUICC"] == "yes, it has an EID"


def test_a_card_in_use_is_shown_in_words_and_told_to_programs_as_on_the_wire() -> None:
    held = CardInfo(remote_addr=("h", 0), identities=Identities(), state=CardState.ASSOCIATED)
    assert "State        in use" in info_lines(held)
    assert card_document(held)["state"] == "associated"


def test_a_broken_atr_is_no_error() -> None:
    assert set(atr_document(b"\x3b").values()) == {None}


def test_control_characters_of_others_do_not_reach_the_terminal() -> None:
    assert clean("a\x1b[2J\x07b\nc") == r"a\x1b[2J\x07b\nc"


@pytest.mark.parametrize(
    ("exc", "key", "value"),
    [
        (CardTransmissionError("x"), "outcome", "unknown"),
        (OutcomeUnknownError("x"), "outcome", "unknown"),
        (NotExecutedError("x"), "outcome", "not_executed"),
        (ConfigError("server_url", "x"), "setting", "server_url"),
    ],
)
def test_documents_of_errors_say_what_programs_need(exc: Exception, key: str, value: str) -> None:
    assert error_document(exc)[key] == value  # type: ignore[arg-type]


def test_quiet_keeps_notes_away(capsys: pytest.CaptureFixture[str]) -> None:
    told = Waiting(position=2, lease=FULL.lease)
    Output(quiet=True).waiting(told)
    assert capsys.readouterr() == ("", "")
    Output(utc=True).waiting(told)
    assert "held by ida@lab since 2026-01-01T00:00:00Z; place in the queue: 2" in (
        capsys.readouterr().err
    )


def test_e34_an_error_says_when_to_ask_again_where_that_is_known() -> None:
    exc = RefusedError(ErrorCode.TOO_MANY, "Full.")
    assert "retry_after_s" not in error_document(exc)
    exc.retry_after_s = 1.5
    assert error_document(exc)["retry_after_s"] == 1.5
