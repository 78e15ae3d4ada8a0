# SPDX-License-Identifier: Apache-2.0
"""wsrc.tokens: what a token looks like (issue 13, 1)."""

import re

import pytest
from hypothesis import given, strategies as st

from wsrc.tokens import PATTERN, PREFIX, SECRET_OCTETS, is_token, made_of, without_tokens

SECRETS = st.binary(min_size=SECRET_OCTETS, max_size=SECRET_OCTETS)


@given(SECRETS)
def test_13_a_token_has_the_form_that_a_scanner_looks_for(secret: bytes) -> None:
    token = made_of(secret)
    assert re.fullmatch(PATTERN, token)
    assert is_token(token)
    assert re.findall(PATTERN, f'token = "{token}"') == [token]


@given(SECRETS, SECRETS)
def test_13_no_bit_of_the_secret_is_lost(one: bytes, other: bytes) -> None:
    assert (made_of(one) == made_of(other)) is (one == other)


@pytest.mark.parametrize("octet", [0, 0xFF])
def test_13_all_tokens_are_of_one_length(octet: int) -> None:
    assert len(made_of(bytes([octet]) * SECRET_OCTETS)) == 54


@given(SECRETS, st.data())
def test_13_a_digit_that_was_mistyped_is_noticed(secret: bytes, data: st.DataObject) -> None:
    token = made_of(secret)
    at = data.draw(st.integers(len(PREFIX), len(token) - 1))
    other = data.draw(st.sampled_from("0aZ9").filter(lambda digit: digit != token[at]))
    assert not is_token(token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize(
    "text", ["", PREFIX, "x", made_of(bytes(32))[:-1], made_of(bytes(32)) + "0"]
)
def test_13_what_is_cut_or_longer_is_no_token(text: str) -> None:
    assert not is_token(text)


@given(SECRETS, st.integers(16, 49))
def test_13_a_token_in_place_of_a_name_is_not_shown_whole_or_in_part(
    secret: bytes, digits: int
) -> None:
    token = made_of(secret)[: len(PREFIX) + digits]
    assert without_tokens(f"label={token}, {token}") == "label=wsrc_…, wsrc_…"
    assert without_tokens("wsrc_cards and wsrc_x are no tokens") == (
        "wsrc_cards and wsrc_x are no tokens"
    )
