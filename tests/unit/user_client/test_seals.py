# SPDX-License-Identifier: Apache-2.0
"""wsrc.user_client.core.seals: whose reader is meant, whatever servers add to names."""

import pytest

from wsrc.protocol import messages as m
from wsrc.sealing.terms import Card
from wsrc.user_client.core import seals

BLUE = Card("bench", "Blue@bench", "Blue", b"\x3b\x00", "8988211", ("89049",), "blue")


def shown(reader: str, host: str) -> m.CardInfo:
    return m.CardInfo(
        remote_addr=(host, 0),
        identities=m.Identities(),
        state=m.CardState.ASSOCIATED,
        host=host,
        reader=reader,
    )


@pytest.mark.parametrize(
    ("as_shown", "host", "is_it"),
    [
        ("bench", "bench", True),
        ("bench (2)", "bench", True),
        ("bench (2)", "bench (2)", True),
        ("bench (2) (3)", "bench (2)", True),
        ("(bench)", "bench", True),
        ("(bench) (2)", "bench", True),
        ("lab@example.org (bench)", "bench", True),
        ("lab@example.org (bench) (12)", "bench", True),
        ("lab@example.org (my [old] bench)", "my (old) bench", True),
        ("bench (0)", "bench", False),
        ("bench", "bench (2)", False),
        ("workbench", "bench", False),
        ("bench (other)", "bench", False),
        ("lab@example.org (workbench)", "bench", False),
    ],
)
def test_servers_add_to_names_of_hosts_in_few_ways(
    as_shown: str, host: str, *, is_it: bool
) -> None:
    assert seals.is_called(as_shown, host) is is_it


@pytest.mark.parametrize(
    ("reader", "host", "is_it"),
    [
        ("Blue@bench (2)", "bench (2)", True),
        ("Blue@bench (2) (7)", "bench (2)", True),
        ("Blue@lab (bench)", "lab (bench)", True),
        ("Red@bench (2)", "bench (2)", False),
        ("Blue@other (2)", "other (2)", False),
        ("Blue@bench (2)x", "bench (2)", False),
        ("Blue@bench (2)", "", False),
    ],
)
def test_a_reader_is_meant_by_the_id_that_a_server_shows_only_if_its_host_has_signed_the_rest(
    reader: str, host: str, *, is_it: bool
) -> None:
    meant = seals._is_meant(m.SelectCard(id=1, reader=reader), shown(reader, host))
    assert meant(BLUE) is is_it


def test_a_reader_is_meant_by_what_its_host_calls_it() -> None:
    for reader in ("Blue@bench", "Blue"):
        assert seals._is_meant(m.SelectCard(id=1, reader=reader), None)(BLUE)
    assert not seals._is_meant(m.SelectCard(id=1, reader="Blue@bench (2)"), None)(BLUE)
