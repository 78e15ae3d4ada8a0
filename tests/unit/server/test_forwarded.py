# SPDX-License-Identifier: Apache-2.0
"""wsrc.server.forwarded: a client's address by way of proxies, and none that it chose itself."""

from ipaddress import ip_network

import pytest

from wsrc.server.forwarded import UnclearError, client_of

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("::1/128")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "listed", "client"),
    [
        ("192.0.2.1", [], [], "192.0.2.1"),
        ("192.0.2.1", ["for=203.0.113.9"], ["203.0.113.9"], "192.0.2.1"),  # it is no proxy of ours
        ("10.0.0.1", [], [], "10.0.0.1"),
        ("10.0.0.1", [], ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [], ["198.51.100.7, 203.0.113.9"], "203.0.113.9"),  # the first is its own word
        ("10.0.0.1", [], ["198.51.100.7", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [], ["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", [], ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("::1", [], ["203.0.113.9:4711"], "203.0.113.9"),
        ("::1", [], ["2001:db8::7"], "2001:db8::7"),
        ("::1", ['for="[2001:db8::7]:80";proto=https'], [], "2001:db8::7"),
        ("::1", ["For=203.0.113.9;by=10.0.0.1, for=10.0.0.2"], [], "203.0.113.9"),
        ("::1", ["for=203.0.113.9"], ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [], ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", [], ["203.0.113.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["for=unknown"], [], "10.0.0.1"),
        ("10.0.0.1", ["proto=https"], [], "10.0.0.1"),
        ("10.0.0.1", ["for=192.0.2.1;for=192.0.2.2"], [], "10.0.0.1"),
        ("::ffff:10.0.0.1", [], ["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
def test_the_nearest_that_is_no_trusted_proxy_is_the_client(
    peer: str, forwarded: list[str], listed: list[str], client: str
) -> None:
    assert client_of(peer, forwarded, listed, TRUSTED) == client


def test_two_headers_that_differ_are_refused_for_one_may_be_the_clients_own() -> None:
    with pytest.raises(UnclearError, match="differ"):
        client_of("10.0.0.1", ["for=198.51.100.7"], ["203.0.113.9"], TRUSTED)


def test_a_long_chain_is_looked_at_from_its_end() -> None:
    listed = ["198.51.100.7", *(["10.0.0.2"] * 100)]
    assert client_of("10.0.0.1", [], listed, TRUSTED) == "10.0.0.2"
