# SPDX-License-Identifier: Apache-2.0
"""wsrc.protocol.messages: what the first form sees, and what no message may be."""

from typing import get_args

import msgspec
import pytest

from wsrc.errors import ErrorCode
from wsrc.octets import Octets
from wsrc.protocol import messages as m
from wsrc.protocol.codec import encode

EVERY: tuple[type[m.Message], ...] = get_args(m.AnyMessage)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (m.Hello(client_type=m.ClientType.USER), b'{"msg_type":"hello","client_type":"user"}'),
        (
            m.Hello(client_type=m.ClientType.CARD, atr=Octets(b"\x3b\0")),
            b'{"msg_type":"hello","client_type":"card","atr":"3b00"}',
        ),
        (m.HelloAck(), b'{"msg_type":"hello_ack"}'),
        (m.ListCards(), b'{"msg_type":"list_cards"}'),
        (m.ListCardsAck(cards=()), b'{"msg_type":"list_cards_ack","cards":[]}'),
        (
            m.SelectCard(id_type="EID", id_str="89"),
            b'{"msg_type":"select_card","id_type":"EID","id_str":"89"}',
        ),
        (
            m.SelectCardAck(identities=m.Identities(atr="3b00", eid="89", iccid="90")),
            b'{"msg_type":"select_card_ack","identities":{"ATR":"3b00","EID":"89","ICCID":"90"}}',
        ),
        (m.CApdu(command=Octets(4)), b'{"msg_type":"c_apdu","command":"00000000"}'),
        (
            m.RApdu(response=Octets(), sw="9000"),
            b'{"msg_type":"r_apdu","response":"","sw":"9000"}',
        ),
        (m.ResetReq(), b'{"msg_type":"reset_req"}'),
        (m.ResetResp(atr=Octets(b"\x3b\0")), b'{"msg_type":"reset_resp","atr":"3b00"}'),
        (
            m.StateNotification(new_state=m.CardState.ASSOCIATED),
            b'{"msg_type":"state_notification","new_state":"associated"}',
        ),
        (m.Error(message="No."), b'{"msg_type":"error","message":"No."}'),
    ],
)
def test_the_first_form_is_a_message_with_nothing_more_in_it(
    message: m.Message, text: bytes
) -> None:
    assert encode(message) == text


@pytest.mark.parametrize("kind", EVERY)
def test_a_message_is_described_frozen_and_named_in_snake_case(kind: type[m.Message]) -> None:
    config = kind.__struct_config__
    assert config.frozen
    assert config.tag_field == "msg_type"
    assert isinstance(config.tag, str)
    assert config.tag.replace("_", "").islower()
    assert kind.__doc__


@pytest.mark.parametrize("kind", EVERY)
def test_no_default_can_be_written_to(kind: type[m.Message]) -> None:
    """Fault 14 of the first form: defaults that persist between calls."""
    for field in msgspec.structs.fields(kind):
        assert field.default_factory is msgspec.NODEFAULT
        assert not isinstance(field.default, (list, dict, set))


def test_an_error_has_the_pcsc_name_of_its_code() -> None:
    error = m.error(ErrorCode.CARD_BUSY, "It is busy.", id=3)
    assert (error.id, error.message) == (3, "It is busy.")
    assert error.pcsc == "SCARD_E_SHARING_VIOLATION"
