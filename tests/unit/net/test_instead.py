# SPDX-License-Identifier: Apache-2.0
"""Where a client connects that a server which ends has sent to others."""

import pytest

from wsrc.net.dial import MOST_INSTEAD, Instead

URL = "wss://relay.example:4220/user"


def visited(instead: Instead) -> list[str]:
    """Return where it connects, until it is by the URL again."""
    return list(iter(instead.next, ""))


def test_each_host_is_tried_once_and_then_that_of_the_url() -> None:
    instead = Instead(URL)
    instead.told(["a.example", "192.0.2.1", "2001:db8::1"])
    assert instead
    assert sorted(visited(instead)) == ["192.0.2.1", "2001:db8::1", "a.example"]
    assert not instead
    assert instead.next() == ""


def test_chance_has_the_order() -> None:
    orders = set[tuple[str, ...]]()
    for _ in range(200):
        instead = Instead(URL)
        instead.told(["a", "b", "c"])
        orders.add(tuple(visited(instead)))
    assert len(orders) == 6


def test_without_tls_nobody_is_sent_anywhere() -> None:
    instead = Instead("ws://localhost:4220/user")
    instead.told(["a.example"])
    assert visited(instead) == []


def test_what_is_told_later_counts_alone() -> None:
    instead = Instead(URL)
    instead.told(["a.example", "b.example"])
    instead.told(["c.example"])
    assert visited(instead) == ["c.example"]
    instead.told(["a.example"])
    instead.told(())
    assert visited(instead) == []


@pytest.mark.parametrize(
    "host",
    [
        "",
        "a b",
        "a\r\nX-Header: 1",
        "a\n",
        "user@a",
        "a/b",
        "[::1]",
        "a:4220",
        "-x",
        "ä.example",
        "a" * 254,
    ],
)
def test_what_is_no_host_is_passed_over(host: str) -> None:
    instead = Instead(URL)
    instead.told([host, "a.example"])
    assert visited(instead) == ["a.example"]


def test_a_server_cannot_name_as_many_as_it_likes() -> None:
    instead = Instead(URL)
    instead.told([f"n{number}" for number in range(1000)])
    assert len(visited(instead)) == MOST_INSTEAD
