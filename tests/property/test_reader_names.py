# SPDX-License-Identifier: Apache-2.0
"""Names of readers, whatever a card is called."""

from hypothesis import given, strategies as st

from tests.support.card_rows import card
from wsrc.bridges.remote.names import reader_name


@given(st.text(max_size=200))
def test_name_is_good_for_any_program(label: str) -> None:
    name = reader_name(card(label=label), ())
    assert len(name) <= 127
    assert name.isascii()
    assert name.decode().isprintable()
    assert name.startswith(b"WSRC ")
    assert name.endswith(b" 00 00")
    assert reader_name(card(label=name.decode()[5:-6]), ()) == name
