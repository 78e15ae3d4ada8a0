# SPDX-License-Identifier: Apache-2.0
"""Whole numbers in every field of every message: which are read, and which are malformed."""

import json

import pytest
from hypothesis import assume, given, strategies as st

from tests.support.samples import NUMBERS, WRITTEN, Place, at, number_at
from wsrc.errors import RemoteProtocolError
from wsrc.protocol.codec import decode
from wsrc.protocol.fields import MAX_WHOLE


@given(
    place=st.sampled_from(NUMBERS),
    value=st.integers(-MAX_WHOLE, MAX_WHOLE),
    digits=st.sampled_from(WRITTEN),
)
def test_e31_any_whole_number_of_53_bits_is_read_exactly(
    place: Place, value: int, digits: str
) -> None:
    got = at(decode(number_at(place, digits.format(value))), place)
    assert (got, type(got)) == (value, int)


@given(
    place=st.sampled_from(NUMBERS),
    value=st.integers().filter(lambda value: abs(value) > MAX_WHOLE) | st.floats(allow_nan=False),
)
def test_e31_any_other_number_is_malformed(place: Place, value: float) -> None:
    assume(abs(value) > MAX_WHOLE or value != int(value))
    with pytest.raises(RemoteProtocolError):
        decode(number_at(place, json.dumps(value)))
